"""Faults that need servers of their own: three brokers of which some are killed, and disks that are full.

Nothing here is drawn from a seed. Whoever supervises servers, or makes room on a disk, is played by the test.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.setup import migrate
from shared import db
from shared.deadlines import within
from shared.events.topics import TICKETS
from simulator.truth import Answer, Sending
from tests.faults.house import House
from tests.faults.small_disk import SmallDisk, small_disk
from tests.infra import LocalKafka, LocalPostgres, make_cluster, make_kafka, server_ports
from tests.system import running_system, until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]

ANSWER_SECONDS = 12.0  # a provider gives up after 10 to 15
PAUSE_SECONDS = 0.3
KAFKA_MEGABYTES = 64
POSTGRES_MEGABYTES = 320
CONTACTS_IN_THE_DARK = 12  # so many that some are on partitions of every broker
UNPUBLISHED = "SELECT DISTINCT key FROM intake.outbox WHERE topic = 'tickets' AND key = ANY($1::text[])"


@asynccontextmanager
async def house_on(brokers: Sequence[LocalKafka], postgres: LocalPostgres, database: str, folder: Path) -> AsyncIterator[House]:
    """A system on these servers, without proxies; each partition on all brokers."""
    bootstrap = ",".join(broker.bootstrap for broker in brokers)
    async with running_system(
        bootstrap,
        database,
        folder,
        replication=len(brokers),
        PATCHBAY_INTAKE_FORM_PER_MINUTE="10000",
        PATCHBAY_ROUTING_AGAIN_SECONDS="1",
    ) as system:
        yield House(system, brokers[0], postgres)


async def assert_all_is_well(house: House) -> None:
    """No service ended, and every promise holds for the whole history. Some more contacts show that all goes on."""
    async with house.at_work(9, contacts=6, rate=4):
        pass
    wrong = await house.wrong(figures=True)
    ended = {name: process.tail() for name, process in house.system.processes.items() if process.exit_code is not None}
    assert (wrong, ended) == ([], {})


async def accepted(house: House, key: str) -> str:
    """A contact that is acknowledged in time. Returns the ticket's id."""
    return await within(house.write(key), ANSWER_SECONDS)


async def accepted_until(what: str, house: House, name: str, seen: Callable[[], bool], seconds: float) -> None:
    """One contact after the other, each acknowledged in time, until it is so. Raises TimeoutError that names it."""
    written = count()

    async def write_and_look() -> bool:
        await accepted(house, f"{name}-{next(written)}")
        with suppress(TimeoutError):
            await until(what, seen, PAUSE_SECONDS)
        return seen()

    await until(what, write_and_look, seconds)


async def assert_all_wait(house: House, tickets: list[str]) -> None:
    """The relay tries these tickets' events in vain, and has all of them still: it deletes what the log acknowledged."""
    said = house.system.processes["intake"].log
    enough = _times(said, "relay waits") + 2  # the first failure may be of what it had in hand before these came
    await until("the relay fails twice", lambda: _times(said, "relay waits") >= enough, 60)
    assert {row["key"] for row in await house.system.rows(UNPUBLISHED, tickets)} == set(tickets)


def _times(log: Path, what: str) -> int:
    return log.read_text(errors="replace").count(what)


async def has_rows(house: House, statement: str, *values: object) -> bool:
    return bool(await house.system.rows(f"{statement} LIMIT 1", *values))


# -- A full disk under the broker


async def test_contacts_are_accepted_while_kafkas_disk_is_full_and_all_of_it_is_on_the_log_when_there_is_room(
    server_folder: Path, postgres_server: LocalPostgres, database: str, tmp_path: Path
) -> None:
    broker = make_kafka(server_folder / "full")
    with small_disk(broker.data_dir / "data", KAFKA_MEGABYTES) as disk:
        try:
            await asyncio.to_thread(broker.start)
            async with house_on([broker], postgres_server, database, tmp_path) as house:
                await accepted(house, "room")
                disk.give_indexes_their_first_page()
                disk.fill()
                await accepted_until("the broker halts", house, "full", lambda: not broker.alive, 90)
                assert _times(broker.data_dir / "kafka.log", "No space left on device")
                waiting = [await accepted(house, f"halted-{n}") for n in range(3)]
                await assert_all_wait(house, waiting)
                disk.free()
                await asyncio.to_thread(broker.start)
                await assert_all_is_well(house)
        finally:
            await asyncio.to_thread(broker.stop)


# -- A full disk under PostgreSQL


async def test_contacts_are_refused_while_postgresqls_disk_is_full_and_nothing_is_lost(
    server_folder: Path, kafka_server: LocalKafka, tmp_path: Path
) -> None:
    with small_disk(server_folder / "full-postgres", POSTGRES_MEGABYTES) as disk:
        # Its log is elsewhere, so that it can say what is wrong.
        postgres = LocalPostgres(
            disk.path / "postgres",
            server_ports(1)[0],
            secrets.token_urlsafe(24),
            log=tmp_path / "postgres.log",
            pid_file=tmp_path / "postgres.pid",
            fsync=False,
        )
        try:
            await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(migrate, postgres.url)
            await keep_wal(postgres)
            async with house_on([kafka_server], postgres, postgres.url, tmp_path) as house:
                await accepted(house, "room")
                refused = await refused_while_full(house, disk, "tables", 8)
                await use_up_wal(postgres, disk, tmp_path / "postgres.log")
                refused += await refused_while_full(house, disk, "wal", 4)
                disk.free()
                await until("PostgreSQL serves again", partial(serving, postgres), 90)
                for key in refused:
                    await house.write(key)
                await assert_all_is_well(house)
        finally:
            await asyncio.to_thread(postgres.stop)


async def refused_while_full(house: House, disk: SmallDisk, name: str, wanted: int) -> list[str]:
    """Send contacts until so many were refused, as is promised; some still find room in the tables. Returns the refused keys."""
    refused: list[str] = []
    async with asyncio.timeout(60):
        for n in count():
            disk.fill()
            answer = await attempted(house, f"{name}-{n}")
            if answer.status_code != 201:
                assert (answer.status_code, answer.json()["code"]) == (503, "temporarily-unavailable")
                assert int(answer.headers["retry-after"]) > 0
                refused.append(f"{name}-{n}")
            if len(refused) == wanted:
                break
    return refused


async def attempted(house: House, key: str) -> httpx.Response:
    """One attempt at a contact, of which the ground truth knows."""
    text = "Hello, where is my order?"
    house.truth.begun(Sending(key, "generic", f"{key}@customers.example", "en", key, text))
    answer = await within(house.system.contact(key, text), ANSWER_SECONDS)
    told = answer.json() if answer.status_code == 201 else {}
    house.truth.answered(key, Answer(0.0, answer.status_code, told.get("ticket_id"), told.get("message_id"), told.get("number")))
    return answer


async def keep_wal(postgres: LocalPostgres) -> None:
    """No checkpoint from now on: it would make old files of the WAL into new ones, and the disk would never be too small."""
    connection = await asyncpg.connect(postgres.url, timeout=5)
    try:
        for setting, value in (("max_wal_size", "100GB"), ("checkpoint_timeout", "1h")):
            await connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'", timeout=5)
        await connection.execute("SELECT pg_reload_conf()", timeout=5)
    finally:
        await connection.close(timeout=5)


async def use_up_wal(postgres: LocalPostgres, disk: SmallDisk, log: Path) -> None:
    """Have PostgreSQL begin one file of its WAL after the other, until it cannot make the next: it panics then."""

    async def panicked() -> bool:
        disk.fill()
        with suppress(*db.DRIVER_ERRORS):
            connection = await asyncpg.connect(postgres.url, timeout=5)
            try:
                await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'more')", timeout=5)
                await connection.execute("SELECT pg_switch_wal()", timeout=5)
            finally:
                await connection.close(timeout=5)
        return _times(log, "PANIC") > 0

    await until("PostgreSQL panics", panicked, 120)


async def serving(postgres: LocalPostgres) -> bool:
    """Whether it takes sessions; started again where it has ended, as a supervisor does."""
    if not postgres.alive:
        await asyncio.to_thread(postgres.start)
    return await asyncio.to_thread(postgres.answers)


# -- Three brokers


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
