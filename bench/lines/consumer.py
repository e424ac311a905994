"""How fast the one loop takes a log into PostgreSQL, beside the same batches written with no handler."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.figures import Column, Goal, Line, Repeat, lines
from bench.fold import SCHEMA, TicketFold, create
from bench.interleave import interleaved, quick
from bench.story import fill
from bench.tasks import end
from bench.world import BenchFailed, World, world
from services.metrics.store import projections as metrics_projections
from shared import db, kafka
from shared.consumer import Consumer
from shared.events.base import Writer
from shared.events.topics import TICKETS
from shared.folding import AnyProjection, Folder
from shared.offsets import Offsets, Place
from shared.outbox import Outbox
from shared.parking import Parking
from shared.personal import KeyRing
from shared.settings import Settings

NAME = "consumer"
TICKETS_ON_LOG = 1_000
DEADLINE_SECONDS = 120.0
GOAL = Goal("ratio", "at least", 0.5)
BARE = 'CREATE TABLE metrics.bare (topic text, partition integer, "offset" bigint, key text, value bytea)'
INSERT = (
    "INSERT INTO metrics.bare SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[]),"
    " CAST(:offsets AS bigint[]), CAST(:keys AS text[]), CAST(:values AS bytea[]))"
)


@dataclass(slots=True)
class Pace:
    """When which number of records was committed. The rate counts from the first commit, so that joining a group is not in it."""

    commits: list[tuple[float, int]] = field(default_factory=list)

    def note(self, records_so_far: int) -> None:
        """A transaction was committed."""
        self.commits.append((time.monotonic(), records_so_far))

    @property
    def rate(self) -> float:
        """Records a second."""
        (began, first), (ended, last) = self.commits[0], self.commits[-1]
        return (last - first) / (ended - began)


async def run() -> list[Line]:
    """Measure the fold of a ticket alone, and metrics."""
    async with world() as here:
        await here.topics()
        keys = await here.database(("keys",))
        records = await fill(here, keys, TICKETS_ON_LOG // (5 if quick() else 1))
        fold = await here.database(("keys",))
        await create(here.settings(fold), SCHEMA)
        metrics = await here.database(("keys", "metrics"))
        found = []
        measured: tuple[tuple[str, Writer, str, Callable[[], tuple[AnyProjection, ...]]], ...] = (
            ("the fold of a ticket", SCHEMA, fold, lambda: (TicketFold(),)),
            ("metrics", "metrics", metrics, _metrics),
        )
        for name, schema, template, make in measured:
            found += await _line(here, records, name, schema, template, metrics, make)
        return found


def _metrics() -> tuple[AnyProjection, ...]:
    return tuple(projection for projection in metrics_projections() if projection.topic is TICKETS)


async def _line(
    here: World,
    records: int,
    name: str,
    schema: Writer,
    template: str,
    bare: str,
    make: Callable[[], tuple[AnyProjection, ...]],
) -> list[Line]:
    async def product() -> Repeat:
        settings = here.settings(await here.database(template=template))
        return {"rate": await consume(settings, schema, make(), records)}

    async def baseline() -> Repeat:
        return {"rate": await write_bare(here.settings(await here.database(template=bare)), records)}

    products, baselines = await interleaved(name, baseline, product)
    column = Column("rate", f"events into PostgreSQL, {name}", "events/s", (GOAL,))
    return lines(NAME, (column,), products, baselines, "the same batches: offsets compared and set, records inserted as they are")


def make_consumer(
    settings: Settings, schema: Writer, projections: tuple[AnyProjection, ...], committed: Callable[[], None]
) -> Consumer:
    """A consumer in a group of its own."""
    engine = db.make_engine(settings, "bench")
    outbox = Outbox(schema=schema, incarnation=1, keys=KeyRing(settings.master_key_bytes()), wake=asyncio.Event())
    folder = Folder(outbox, Parking(schema, "bench"))
    return Consumer(
        settings, engine, schema, folder, folder.parking, projections, committed, group=f"bench-{secrets.token_hex(4)}"
    )


async def consume(settings: Settings, schema: Writer, projections: tuple[AnyProjection, ...], records: int) -> float:
    """Records a second that the loop commits."""
    pace, done, before = Pace(), asyncio.Event(), _consumed(schema)

    def committed() -> None:
        pace.note(_consumed(schema) - before)
        if pace.commits[-1][1] >= records:
            done.set()

    consumer = make_consumer(settings, schema, projections, committed)
    loop = asyncio.create_task(consumer.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await done.wait()
        await _refuse_parked(consumer)
    finally:
        await end(loop)
        await consumer.engine.dispose()
    return pace.rate


def _consumed(schema: str) -> int:
    labels = {"service": schema, "topic": TICKETS.name}
    return round(REGISTRY.get_sample_value("patchbay_consumed_records_total", labels) or 0)


async def _refuse_parked(consumer: Consumer) -> None:
    async with db.transaction(consumer.engine) as conn:
        parked = (await conn.execute(sa.text(f"SELECT count(*) FROM {consumer.schema}.parked"))).scalar_one()
    if parked:
        raise BenchFailed(f"{parked} records were parked, so what was measured is not the loop at work")


async def write_bare(settings: Settings, records: int) -> float:
    """Records a second that are written with no handler."""
    engine, pace = db.make_engine(settings, "bench"), Pace()
    offsets, position = Offsets("metrics"), dict.fromkeys(range(settings.partitions), 0)
    async with db.transaction(engine) as conn:
        await conn.execute(sa.text(BARE))
        await offsets.load(conn, [Place(TICKETS.name, number) for number in position])
    client: AIOKafkaConsumer = await kafka.start_consumer(settings, "bench", (TICKETS.name,), group=None)
    written = 0
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while written < records:
                polled = await client.getmany(timeout_ms=200, max_records=settings.batch_records)
                batch = [record for of_partition in polled.values() for record in of_partition]
                if batch:
                    await _write(engine, offsets, position, batch)
                    written += len(batch)
                    pace.note(written)
    finally:
        await kafka.stop(client)
        await engine.dispose()
    return pace.rate


async def _write(engine: AsyncEngine, offsets: Offsets, position: dict[int, int], batch: list[ConsumerRecord]) -> None:
    last = {record.partition: record for record in batch}
    moves = {
        Place(TICKETS.name, number): (position[number], record.offset + 1, datetime.fromtimestamp(record.timestamp / 1000, UTC))
        for number, record in last.items()
    }
    async with db.transaction(engine) as conn:
        if not await offsets.move(conn, moves):
            raise BenchFailed("the baseline lost its own offsets")
        await conn.execute(
            sa.text(INSERT),
            {
                "topics": [record.topic for record in batch],
                "partitions": [record.partition for record in batch],
                "offsets": [record.offset for record in batch],
                "keys": [record.key.decode() for record in batch],
                "values": [record.value for record in batch],
            },
        )
    position.update({number: record.offset + 1 for number, record in last.items()})
