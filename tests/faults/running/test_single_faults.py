"""Faults that are not drawn from a seed, one after the other on one system. What the last ones did to it cannot be undone."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared import kafka
from shared.events.sla import SlaBreached, SlaWarned
from shared.events.topics import TICKETS, TOPICS
from shared.records import key_text
from tests.faults import moving_clock
from tests.faults.house import House
from tests.faults.houses import Houses
from tests.faults.poison import Poison, poisons
from tests.infra import LocalKafka, LocalPostgres
from tests.system import READERS, SERVICES, until

KAFKA_AWAY_SECONDS = (3, pytest.param(30, marks=pytest.mark.proof))
POSTGRES_AWAY_SECONDS = (2, pytest.param(10, marks=pytest.mark.proof))
DRAIN_SECONDS = 15
HOUR = 3600
TEN_MINUTES = {
    "name": "Ten minutes",
    "position": 0,  # before the demonstration's own
    "when": {"is": "test", "field": "inbox", "op": "equals", "value": "unattended"},
    "targets": [{"kind": "first_response", "hours": "calendar", "seconds": dict.fromkeys("1234", 600), "warn_at_percent": [50]}],
}


async def until_none(what: str, missing: Callable[[], Awaitable[list[str]]], seconds: float) -> None:
    """Wait until nothing is missing. Raises AssertionError that names what is."""
    left: list[str] = []

    async def none() -> bool:
        left[:] = await missing()
        return not left

    try:
        await until(what, none, seconds)
    except TimeoutError:
        raise AssertionError(f"{what} within {seconds:.0f} s: {left}") from None


async def assert_all_is_well(house: House) -> None:
    wrong = await house.wrong()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seconds", KAFKA_AWAY_SECONDS)
async def test_intake_accepts_while_kafka_is_stopped_and_nothing_is_lost(
    houses: Houses, kafka_server: LocalKafka, seconds: float
) -> None:
    async with houses.whole() as house:
        await asyncio.to_thread(kafka_server.stop)
        try:
            began, n = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                async with asyncio.timeout(3):
                    await house.write(f"dark-{seconds}-{n}")
                n += 1
                await asyncio.sleep(0.25)
        finally:
            await asyncio.to_thread(kafka_server.start)
        async with house.at_work(1, contacts=4, rate=4):
            pass
        await assert_all_is_well(house)


@pytest.mark.parametrize("seconds", POSTGRES_AWAY_SECONDS)
async def test_contacts_are_refused_or_kept_while_postgresql_is_stopped(
    houses: Houses, postgres_server: LocalPostgres, seconds: float
) -> None:
    async with houses.whole() as house:
        await asyncio.to_thread(postgres_server.kill)
        try:
            answer = await house.system.contact("refused")
            assert (answer.status_code, answer.json()["code"]) == (503, "temporarily-unavailable")
            assert answer.headers["retry-after"]
            writing = asyncio.create_task(house.write(f"kept-{seconds}"))
            await asyncio.sleep(seconds)
            assert not writing.done()
        finally:
            await asyncio.to_thread(postgres_server.start)
        await writing
        async with house.at_work(2, contacts=4, rate=4):
            pass
        await assert_all_is_well(house)


async def test_services_that_are_told_to_end_under_load_drain_in_time_and_lose_nothing(houses: Houses) -> None:
    async with houses.whole() as house:
        processes = [house.system.processes[service] for service in SERVICES]
        async with house.at_work(3, contacts=20, rate=10):
            await until(
                "there is work in hand", partial(_has_rows, house, "SELECT 1 FROM routing.ticket WHERE agent_id IS NOT NULL")
            )
            began = time.monotonic()
            for process in processes:
                process.signal(signal.SIGTERM)
            await until("all have ended", lambda: all(p.exit_code is not None for p in processes), DRAIN_SECONDS)
            took = time.monotonic() - began
            for process in processes:
                assert process.exit_code == 0, f"{process.name} ended with {process.exit_code}:\n{process.tail()}"
                process.start()
        await assert_all_is_well(house)
        print(f"drained in {took:.1f} s")


async def test_a_database_clock_that_jumps_fires_no_timer_early_and_none_twice(houses: Houses) -> None:
    async with houses.whole() as house:
        house.clock_moved = True
        (await house.system.client("sla").put("/v1/policies/ten-minutes", json=TEN_MINUTES)).raise_for_status()
        await _move_the_clock(house)
        async with house.at_work(4, contacts=8, rate=4):
            pass
        await assert_all_is_well(house)


SEEN_NOON = "SELECT 1 FROM sla.high_water WHERE at > pg_catalog.clock_timestamp() + interval '90 minutes'"


async def _move_the_clock(house: House) -> None:
    """Back and forth over the instants at which promises fall due; each is warned about and broken when its own has come.

    All of it hours after the policies were made: before that there is nothing to promise.
    """
    noon = 2 * HOUR
    await moving_clock.move(house.system, noon)
    first = await _promised(house, "clock-1")
    # Nobody can say that a clock went back who has not seen how far it had come: sla looks once a second.
    await until("sla has seen noon", partial(_has_rows, house, SEEN_NOON), 20)
    await moving_clock.move(house.system, noon - HOUR)
    await until("sla says that the clock went back", lambda: "clock went back" in _said(house, "sla"), 10)
    second = await _promised(house, "clock-2")
    await moving_clock.move(house.system, noon + 301)
    await until("the first is warned", partial(_told, house, first, warned=1), 20)
    await moving_clock.move(house.system, noon + 601)
    await until("the first is broken", partial(_told, house, first, warned=1, broken=1), 20)
    await moving_clock.move(house.system, noon + 60)
    third = await _promised(house, "clock-3")
    await moving_clock.move(house.system, noon + 2 * HOUR)
    for ticket in (first, second, third):
        await until("all are broken once", partial(_told, house, ticket, warned=1, broken=1), 20)


async def test_poison_of_every_kind_on_every_topic_is_parked_and_all_else_flows(houses: Houses) -> None:
    sent = [poison for topic in TOPICS if topic.sequenced for poison in poisons(topic)]
    async with houses.whole() as house:
        house.poisoned.update(key_text(poison.key) for poison in sent)
        async with house.at_work(5, contacts=8, rate=4):
            offsets = await _produce(house, sent)
            for schema in (*SERVICES, *READERS):
                await until_none("not parked", partial(_unparked, house, schema, sent, offsets), 30)
        assert all(process.exit_code is None for process in house.system.processes.values())
        await assert_all_is_well(house)


async def test_a_service_whose_unread_records_were_removed_stops_and_says_so(houses: Houses) -> None:
    async with houses.whole() as house:
        metrics = house.system.processes["metrics"]
        assert await asyncio.to_thread(metrics.end) == 0
        async with house.at_work(6, contacts=4, rate=4):
            pass
        await _remove_what_was_read(house, ("intake", "routing", "sla", "desk"))
        metrics.start()
        await until("metrics stops", lambda: metrics.exit_code is not None, 20)
        assert metrics.exit_code == 1
        assert "Records were removed before they were read" in metrics.tail()
        async with house.at_work(7, contacts=4, rate=4):  # the others need nothing of what is gone
            pass
        assert [name for name, process in house.system.processes.items() if process.exit_code is not None] == ["metrics"]
    await houses.leave()


def _said(house: House, service: str) -> str:
    return house.system.processes[service].log.read_text(encoding="utf-8", errors="replace")


async def _has_rows(house: House, statement: str, *values: object) -> bool:
    return bool(await house.system.rows(f"{statement} LIMIT 1", *values))


async def _has_none(house: House, statement: str, *values: object) -> bool:
    return not await _has_rows(house, statement, *values)


async def _promised(house: House, key: str) -> str:
    """A contact to which nobody attends, once its customer has a promise. Returns the ticket's id."""
    ticket_id = await house.write(key, "unattended")
    await until("a promise is made", partial(_has_rows, house, "SELECT 1 FROM sla.clock WHERE ticket_id = $1", ticket_id))
    return ticket_id


async def _told(house: House, ticket_id: str, *, warned: int, broken: int = 0) -> bool:
    """Whether it is on the log that the ticket's promise was warned about and broken so often, each at its own instant."""
    events = [event for event in await house.system.log_of("sla-warnings", "sla-breaches") if event.key == ticket_id]
    warnings = {event.position for event in events if isinstance(event.data, SlaWarned)}
    breaches = {event.position: event for event in events if isinstance(event.data, SlaBreached)}
    for event in breaches.values():
        assert isinstance(event.data, SlaBreached)
        assert event.time == event.data.deadline
    assert len(warnings) <= warned
    assert len(breaches) <= broken
    return (len(warnings), len(breaches)) == (warned, broken)


async def _produce(house: House, sent: list[Poison]) -> list[int]:
    """Write them past everything that is ours, on the first partition of their topics. Returns the offset of each."""
    producer = AIOKafkaProducer(bootstrap_servers=house.system.settings.kafka, max_request_size=2**21)
    await producer.start()
    try:
        return [(await producer.send_and_wait(p.topic, p.value, key=p.key, partition=0)).offset for p in sent]
    finally:
        await producer.stop()


async def _unparked(house: House, schema: str, sent: list[Poison], offsets: list[int]) -> list[str]:
    """The poison on the topics that this service reads which it should have parked and has not (yet)."""
    reads = {topic.name for topic in TOPICS if schema in topic.readers}
    rows = await house.system.rows(f'SELECT topic, "offset" FROM {schema}.parked WHERE partition = 0')
    parked = {(row["topic"], row["offset"]) for row in rows}
    wanted = [(p, offset) for p, offset in zip(sent, offsets, strict=True) if p.sure and p.topic in reads and p.claims != schema]
    return [f"{p.topic}: {p.name}" for p, offset in wanted if (p.topic, offset) not in parked]


async def _remove_what_was_read(house: House, readers: tuple[str, ...]) -> None:
    """Remove all records of `tickets` there are, when these services have read them."""
    places = [TopicPartition(TICKETS.name, n) for n in range(house.system.settings.partitions)]
    client = await kafka.start_consumer(house.system.settings, "test", (), group=None)
    try:
        ends = await client.end_offsets(places)
    finally:
        await kafka.stop(client)
    behind = "SELECT 1 FROM {}.consumer_offset WHERE topic = 'tickets' AND next_offset < ($1::bigint[])[partition + 1]"
    for service in readers:
        await until(f"{service} has read all", partial(_has_none, house, behind.format(service), [ends[p] for p in places]))
    admin = AIOKafkaAdminClient(bootstrap_servers=house.system.settings.kafka)
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before_offset=ends[place]) for place in places})
    finally:
        await admin.close()
