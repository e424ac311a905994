"""Outbox, relay, Kafka and consumer together: real servers, nothing lost and nothing doubled."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from structlog.testing import capture_logs

from shared import db, kafka, telemetry
from shared.backlog import measure
from shared.consumer import Consumer, LogLost
from shared.deadlines import within
from shared.events.codec import encode
from shared.events.signals import TypingChanged
from shared.events.topics import TICKETS, Topic
from shared.relay import Relay
from shared.settings import Settings
from shared.signals import Signals
from tests.services.shared.conftest import Plumbing, SeenProjection, opened, received


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait for an outcome, with a deadline."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest_asyncio.fixture
async def connected(plumbing: Plumbing, kafka_bootstrap: str) -> Plumbing:
    settings = plumbing.settings.model_copy(update={"kafka": kafka_bootstrap})
    await kafka.create_topics(settings)
    await _skip_what_other_tests_wrote(plumbing, kafka_bootstrap)
    return replace(plumbing, settings=settings)


async def _skip_what_other_tests_wrote(plumbing: Plumbing, bootstrap: str) -> None:
    """This database starts at the end of a log that other tests of the run share."""
    client = await kafka.start_consumer(plumbing.settings.model_copy(update={"kafka": bootstrap}), "skip", (), group=None)
    try:
        ends = await client.end_offsets([TopicPartition("tickets", n) for n in range(plumbing.settings.partitions)])
    finally:
        await kafka.stop(client)
    async with db.transaction(plumbing.engine) as conn:
        for place, end in ends.items():
            await conn.execute(
                sa.text("INSERT INTO routing.consumer_offset (topic, partition, next_offset) VALUES ('tickets', :p, :o)"),
                {"p": place.partition, "o": end},
            )


def relay_of(plumbing: Plumbing) -> Relay:
    return Relay(plumbing.settings, plumbing.outbox("intake"))


def consumer_of(plumbing: Plumbing, group: str, topic: Topic = TICKETS, **more: Any) -> Consumer:
    folder = plumbing.folder("routing")
    return Consumer(
        settings=plumbing.settings,
        engine=plumbing.engine,
        schema="routing",
        folder=folder,
        parking=folder.parking,
        projections=(SeenProjection(topic=topic),),
        committed=lambda: None,
        group=group,
        **more,
    )


async def test_what_is_published_arrives_once_and_in_order(connected: Plumbing, name: str) -> None:
    keys = [f"{name}-{n}" for n in range(40)]
    relay, consumer = relay_of(connected), consumer_of(connected, name)
    async with running(relay.run, consumer.run):
        told = {key: list(await connected.publish("intake", opened(key), received(key, 1))) for key in keys}
        for key in keys:
            told[key] += await connected.publish("intake", received(key, 2), received(key, 3))

        async def all_there() -> bool:
            return (await connected.rows("SELECT count(*) FROM routing.seen WHERE cardinality(ids) = 4")) == [(40,)]

        await until(all_there)
        for key in keys:
            assert await connected.seen(key) == tuple(event.id for event in told[key])
        assert await connected.rows("SELECT count(*) FROM intake.outbox") == [(0,)]


async def test_two_consumers_of_one_group_apply_everything_once(connected: Plumbing, name: str) -> None:
    group = name
    keys = [f"{group}-two-{n}" for n in range(30)]
    first, second = consumer_of(connected, group), consumer_of(connected, group)
    async with running(relay_of(connected).run, first.run):
        for key in keys[:15]:
            await connected.publish("intake", opened(key), received(key, 1))
        async with running(second.run):
            for key in keys[15:]:
                await connected.publish("intake", opened(key), received(key, 1))

            async def all_there() -> bool:
                return (await connected.rows("SELECT count(*) FROM routing.seen WHERE cardinality(ids) = 2")) == [(30,)]

            await until(all_there, 60)
    assert await connected.rows("SELECT count(*) FROM routing.parked") == [(0,)]


async def test_what_is_held_is_applied_once_though_partitions_come_and_go(connected: Plumbing, name: str) -> None:
    keys = [f"{name}-held-{n}" for n in range(20)]
    # Held so long that a partition always goes with something held of it.
    consumers = [consumer_of(connected, name, patient=frozenset({TICKETS.name}), hold_seconds=3.0) for _ in range(3)]
    told, over = Counter[str](), asyncio.Event()

    async def tell() -> None:
        while not over.is_set():
            for key in keys:
                told[key] += 1
                await connected.publish("intake", received(key, told[key]) if told[key] > 1 else opened(key))

    async with running(relay_of(connected).run, consumers[0].run) as tasks:
        telling = asyncio.create_task(tell())
        await until(lambda: _reads(consumers[0]))
        for other in consumers[1:]:
            async with running(other.run):
                await until(partial(_reads, other))
        over.set()
        await telling
        counts = sorted(told.items())

        async def all_there() -> bool:
            assert not tasks[1].done(), tasks[1].exception()
            rows = await connected.rows("SELECT key, cardinality(ids) FROM routing.seen ORDER BY key")
            return sorted((key, count) for key, count in rows) == counts

        await until(all_there, 60)
    assert await connected.rows("SELECT count(*) FROM routing.parked") == [(0,)]


async def _reads(consumer: Consumer) -> bool:
    return bool(consumer.assigned())


class _KeepsWhatItHas(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member that is alive, and never done with giving its partitions back."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked:
            self.asked.set()
            await asyncio.Event().wait()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        pass


@asynccontextmanager
async def somebody_in_the_way(settings: Settings, group: str) -> AsyncIterator[_KeepsWhatItHas]:
    """All partitions of tickets belong to a member of the group that keeps them."""
    keeper = _KeepsWhatItHas()
    client = await kafka.start_consumer(settings, "keeper", (), group=group)
    client.subscribe((TICKETS.name,), listener=keeper)

    async def has_all() -> bool:
        await client.getmany(timeout_ms=50)
        return bool(client.assignment())

    try:
        await until(has_all)
        yield keeper
    finally:
        await kafka.stop(client)


async def test_a_group_that_gives_no_partitions_is_joined_anew(connected: Plumbing, name: str) -> None:
    async with somebody_in_the_way(connected.settings, name) as keeper:
        consumer = consumer_of(connected, name, join_seconds=0.5)
        with capture_logs() as logs:
            async with running(consumer.run):
                await within(keeper.asked.wait(), 20)

                async def told() -> bool:
                    return any(entry["event"] == "consumer waits" and entry["error"] == "KafkaAway" for entry in logs)

                await until(told)
                assert not consumer.assigned()


@pytest.mark.proof
async def test_a_member_that_does_not_come_back_is_waited_for_ten_seconds_and_left_out(connected: Plumbing, name: str) -> None:
    await connected.publish("intake", opened(name))
    async with somebody_in_the_way(connected.settings, name), running(relay_of(connected).run, consumer_of(connected, name).run):
        began = time.monotonic()

        async def read() -> bool:
            return len(await connected.seen(name)) == 1

        await until(read, 40)
    assert time.monotonic() - began < 20


async def test_a_long_foreign_transaction_does_not_stall_the_relay(connected: Plumbing, name: str) -> None:
    key = f"{name}-foreign"
    async with connected.engine.connect() as foreign:
        await foreign.execute(sa.text("CREATE TEMP TABLE held AS SELECT pg_current_xact_id()"))
        async with running(relay_of(connected).run):
            await connected.publish("intake", opened(key))

            async def sent() -> bool:
                return (await connected.rows("SELECT count(*) FROM intake.outbox")) == [(0,)]

            await until(sent, 10)


async def test_repeats_on_the_wire_change_nothing(connected: Plumbing, name: str) -> None:
    key = f"{name}-repeat"
    events = await connected.publish("intake", opened(key), received(key, 1))
    producer: AIOKafkaProducer = await kafka.start_producer(connected.settings, "test")
    try:
        for event in [*events, *events, events[0]]:
            await producer.send_and_wait("tickets", encode(event), key.encode())
    finally:
        await kafka.stop(producer)
    async with running(consumer_of(connected, key).run):

        async def there() -> bool:
            return len(await connected.seen(key)) >= 2

        await until(there)
    assert await connected.seen(key) == tuple(event.id for event in events)


async def test_records_that_were_removed_unread_end_the_service_even_if_nothing_new_comes(connected: Plumbing, name: str) -> None:
    topic = replace(TICKETS, name=f"removed-{name}", partitions=1)
    await kafka.create_topics(connected.settings, (topic,))
    producer: AIOKafkaProducer = await kafka.start_producer(connected.settings, "test")
    try:
        for n in range(3):
            await producer.send_and_wait(topic.name, b"%d" % n, b"key")
    finally:
        await kafka.stop(producer)
    admin = AIOKafkaAdminClient(bootstrap_servers=connected.settings.kafka)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(before_offset=3)})
    finally:
        await admin.close()
    with pytest.raises(LogLost, match=r"the next record to read is 0, but the log holds 3 to 3\. Records were removed"):
        async with asyncio.timeout(20):
            await consumer_of(connected, topic.name, topic).run()


async def test_the_age_of_the_outbox_is_told_while_the_broker_is_away(plumbing: Plumbing, name: str) -> None:
    await plumbing.publish("intake", opened(name))
    nowhere = replace(plumbing, settings=plumbing.settings.model_copy(update={"kafka": "127.0.0.1:1"}))

    async def told() -> bool:
        rows, age = (gauge.labels("intake")._value.get() for gauge in (telemetry.OUTBOX_ROWS, telemetry.OUTBOX_AGE))
        return bool(rows == 1 and age > 1)

    async with running(relay_of(nowhere).run, lambda: measure(nowhere.engine, "intake")):
        await until(told, 10)


async def test_the_lag_of_partitions_that_another_process_took_is_not_told_any_more(connected: Plumbing, name: str) -> None:
    def told_by_first() -> set[tuple[str, int]]:
        samples = next(iter(telemetry.LAG_RECORDS.collect())).samples
        labels = [sample.labels for sample in samples if sample.labels["service"] == "routing"]
        return {(each["topic"], int(each["partition"])) for each in labels}

    async def tells_of_what_it_reads(at_most: int) -> bool:
        return told_by_first() == first.assigned() and 0 < len(first.assigned()) <= at_most

    telemetry.LAG_RECORDS.clear()  # what other tests' consumers told of
    first, second = consumer_of(connected, name), replace(consumer_of(connected, name), schema="intake")
    async with running(first.run):
        await until(lambda: tells_of_what_it_reads(connected.settings.partitions), 30)
        async with running(second.run):
            await until(lambda: tells_of_what_it_reads(connected.settings.partitions - 1), 30)


async def test_a_signal_is_heard_by_who_listens(connected: Plumbing, name: str) -> None:
    signals = Signals(connected.settings, "intake")
    key = f"{name}-typing"
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear() -> None:
        async for event in Signals(connected.settings, "routing").listen():
            heard.put_nowait(event.key)

    async with running(hear):

        async def said_and_heard() -> bool:
            assert await signals.say(key, TypingChanged(who="customer", who_id="c", typing=True))
            return not heard.empty()

        await until(said_and_heard)
    assert heard.get_nowait() == key
    await signals.stop()
