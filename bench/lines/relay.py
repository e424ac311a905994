"""From the commit of a transaction that published to the commit that applied it elsewhere: outbox, relay, Kafka, consumer.

Beside it, what Kafka takes alone: a record sent with the same settings until a client holds it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.figures import Column, Line, Repeat, lines, percentile
from bench.fold import SCHEMA, create
from bench.interleave import quick, repeats
from bench.progress import tell
from bench.requests import TEXT
from bench.tasks import end
from bench.world import BenchFailed, World, world
from shared import db, kafka
from shared.events.base import Draft, Fact, derived_id
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketOpened
from shared.events.topics import SIGNALS
from shared.outbox import Outbox
from shared.personal import KeyRing
from shared.settings import Settings

NAME = "relay"
PER_SECOND = 100
SECONDS = 2.0
QUICK_SECONDS = 1.5
WARM_UP = 100
DEADLINE_SECONDS = 30.0


async def run() -> list[Line]:
    """Measure Kafka alone and the whole way, by turns."""
    async with world() as here:
        await here.topics()
        settings = here.settings(await here.database(("keys",)))
        await create(settings, "intake", SCHEMA)
        alone, whole = await _by_turns(here, settings)
    columns = (
        Column("p50", f"commit → applied elsewhere, p50, {PER_SECOND}/s", "ms"),
        Column("p99", f"commit → applied elsewhere, p99, {PER_SECOND}/s", "ms"),
    )
    return lines(NAME, columns, whole, alone, "Kafka alone, from send to received")


async def _by_turns(here: World, settings: Settings) -> tuple[list[Repeat], list[Repeat]]:
    """Both sides' figures; the consumer tells when it applied what only at its end."""
    count = round(PER_SECOND * (QUICK_SECONDS if quick() else SECONDS))
    alone, committed = [], []
    async with _whole(here, settings) as (publisher, applied):
        for turn in range(1, repeats() + 1):
            tell(f"Kafka alone, {turn} of {repeats()}")
            alone.append(_figures(await _kafka_alone(settings, count)))
            tell(f"the whole way, {turn} of {repeats()}")
            committed.append(await publisher.publish_paced(count))
    at = applied()
    return alone, [_figures([at[event] - when for event, when in one.items()]) for one in committed]


def _figures(latencies: list[float]) -> Repeat:
    return {"p50": percentile(latencies, 0.5) * 1000, "p99": percentile(latencies, 0.99) * 1000}


async def _paced(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Call `one` PER_SECOND times a second, whatever the calls do."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for n in range(count):
            await asyncio.sleep(max(0.0, began + n / PER_SECOND - time.monotonic()))
            group.create_task(_coroutine(one, n))


async def _coroutine(one: Callable[[int], Awaitable[None]], n: int) -> None:
    await one(n)


async def _kafka_alone(settings: Settings, count: int) -> list[float]:
    latencies: list[float] = []
    producer = await kafka.start_producer(settings, "bench")
    client: AIOKafkaConsumer = await kafka.start_consumer(settings, "bench", (SIGNALS.name,), group=None)

    async def receive() -> None:
        while True:
            for records in (await client.getmany(timeout_ms=200)).values():
                latencies.extend(time.monotonic() - float(record.value) for record in records)

    async def send(n: int) -> None:
        await producer.send(SIGNALS.name, str(time.monotonic()).encode(), str(n).encode())

    receiving = asyncio.create_task(receive())
    try:
        await _paced(WARM_UP, send)
        await _until(lambda: len(latencies) >= WARM_UP)
        latencies.clear()
        await _paced(count, send)
        await _until(lambda: len(latencies) >= count)
    finally:
        await end(receiving)
        await kafka.stop(client)
        await kafka.stop(producer)
    return latencies


async def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise BenchFailed("not everything arrived in time")
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class Publisher:
    """Opens tickets, each in a transaction of its own."""

    engine: AsyncEngine
    outbox: Outbox
    committed: dict[str, float] = field(default_factory=dict)
    tickets: int = 0

    async def publish_paced(self, count: int) -> dict[str, float]:
        """So many tickets; when all are applied, the instants at which the events were committed."""
        self.committed = {}
        first, self.tickets = self.tickets, self.tickets + count
        await _paced(count, lambda n: self.publish(first + n))
        await _applied(self.engine, self.tickets)
        return self.committed

    async def publish(self, n: int) -> None:
        """The nth ticket: opened, with its first message."""
        key, customer = derived_id("relayed", str(n)), derived_id("customer", str(n % 50))
        opened = TicketOpened(number=n + 1, customer_id=customer, channel="chat", inbox="bench")
        message = MessageReceived(message_id=key, customer_id=customer, channel="chat", inbox="bench", provider="generic")
        drafts: list[Draft[Fact]] = [
            Draft(key=key, data=opened, cause=key),
            Draft(key=key, data=message, cause=key, person=customer, personal=MessagePersonal(text=TEXT)),
        ]
        async with db.transaction(self.engine) as conn:
            events = await self.outbox.publish(conn, drafts, datetime.now(UTC))
        self.committed[events[-1].id] = time.monotonic()


@asynccontextmanager
async def _whole(here: World, settings: Settings) -> AsyncIterator[tuple[Publisher, Callable[[], dict[str, float]]]]:
    """A publisher, a relay and a consumer, warmed up; and, once they have ended, when each event was applied."""
    file, url = here.folder / "applied.json", settings.database.get_secret_value()
    here.spawn("relay", "bench.parts", "relay", database=url)
    consumer = here.spawn("consumer", "bench.parts", "consumer", str(file), database=url)
    outbox = Outbox(schema="intake", incarnation=1, keys=KeyRing(settings.master_key_bytes()), wake=asyncio.Event())
    publisher = Publisher(db.make_engine(settings, "bench"), outbox)

    def applied() -> dict[str, float]:
        if not file.exists():
            raise BenchFailed("the consumer did not write what it applied")
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])

    try:
        await publisher.publish_paced(WARM_UP)
        yield publisher, applied
    finally:
        await publisher.engine.dispose()
    await asyncio.to_thread(consumer.stop, DEADLINE_SECONDS)


async def _applied(engine: AsyncEngine, tickets: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        async with db.transaction(engine) as conn:
            if (await conn.execute(sa.text(f"SELECT count(*) FROM {SCHEMA}.fold"))).scalar_one() >= tickets:
                return
        await asyncio.sleep(0.1)
    raise BenchFailed("not everything was applied in time")
