"""Three brokers, of which some are killed: nothing that was acknowledged is lost. Nothing is drawn from a seed."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.events.topics import TICKETS
from tests.faults.house import House
from tests.faults.own_servers import UNPUBLISHED, accepted, assert_all_is_well, assert_all_wait, has_rows, house_on
from tests.infra import LocalKafka, LocalPostgres, make_cluster
from tests.system import until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]

CONTACTS_IN_THE_DARK = 12  # so many that some are on partitions of every broker


@pytest.fixture(scope="module")
def brokers(server_folder: Path) -> Iterator[list[LocalKafka]]:
    """Three of one cluster. A test that kills some must start them again."""
    cluster = make_cluster(server_folder)
    try:
        for broker in cluster:
            broker.launch()
        for broker in cluster:
            broker.wait_until_serving()
        yield cluster
    finally:
        for broker in cluster:
            if broker.alive:
                broker.kill()


async def test_a_leader_that_is_killed_stops_nothing_and_nothing_acknowledged_is_lost(
    brokers: list[LocalKafka], postgres_server: LocalPostgres, database: str, tmp_path: Path
) -> None:
    async with house_on(brokers, postgres_server, database, tmp_path) as house:
        try:
            async with house.at_work(1, contacts=16, rate=4):
                await until("there is work in hand", partial(has_rows, house, "SELECT 1 FROM routing.ticket"))
                leader = await leader_of_the_first(brokers)
                await asyncio.to_thread(leader.kill)
                written = [await accepted(house, f"led-{n}") for n in range(CONTACTS_IN_THE_DARK)]
                await until("others lead", partial(leads_nothing, leader, brokers))
                for ticket_id in written:
                    known = partial(has_rows, house, "SELECT 1 FROM routing.ticket WHERE ticket_id = $1", ticket_id)
                    await until("routing has read of it", known)
                assert not leader.alive
                await asyncio.to_thread(leader.start)
            await assert_all_is_well(house)
        finally:
            await asyncio.to_thread(start_again, brokers)


async def test_one_broker_of_three_acknowledges_nothing_while_intake_does_and_all_is_on_the_log_when_a_second_is_back(
    brokers: list[LocalKafka], postgres_server: LocalPostgres, database: str, tmp_path: Path
) -> None:
    first, second, _ = brokers
    async with house_on(brokers, postgres_server, database, tmp_path) as house:
        try:
            await accepted(house, "three")
            await asyncio.to_thread(first.kill)
            await until("others lead", partial(leads_nothing, first, brokers))
            await asyncio.to_thread(second.kill)
            waiting = [await accepted(house, f"one-{n}") for n in range(CONTACTS_IN_THE_DARK)]
            await assert_all_wait(house, waiting)
            await asyncio.to_thread(second.start)
            await until("all is on the log", partial(has_none, house, UNPUBLISHED, waiting), 60)
            assert not first.alive
            await asyncio.to_thread(first.start)
            await assert_all_is_well(house)
        finally:
            await asyncio.to_thread(start_again, brokers)


async def has_none(house: House, statement: str, *values: object) -> bool:
    return not await has_rows(house, statement, *values)


async def leaders(brokers: Sequence[LocalKafka]) -> list[int]:
    """The number of the broker that leads each partition of `tickets`, -1 where none does. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=",".join(broker.bootstrap for broker in brokers), request_timeout_ms=5_000)
    try:
        await admin.start()
        [topic] = await admin.describe_topics([TICKETS.name])
        partitions = sorted(topic["partitions"], key=lambda partition: int(partition["partition"]))
        return [int(partition["leader"]) for partition in partitions]
    finally:
        await admin.close()


async def leader_of_the_first(brokers: Sequence[LocalKafka]) -> LocalKafka:
    """The broker that leads partition 0 of `tickets`."""
    return brokers[(await leaders(brokers))[0] - 1]


async def leads_nothing(broker: LocalKafka, brokers: Sequence[LocalKafka]) -> bool:
    """Whether every partition of `tickets` has a leader, and none has this one."""
    number = brokers.index(broker) + 1
    with suppress(KafkaError):
        return not {number, -1} & set(await leaders(brokers))
    return False


def start_again(brokers: Sequence[LocalKafka]) -> None:
    """Bring back what a test left dead."""
    dead = [broker for broker in brokers if not broker.alive]
    for broker in dead:
        broker.launch()
    for broker in dead:
        broker.wait_until_serving()
