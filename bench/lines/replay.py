"""Folding the whole log anew into the tables of metrics, as `python -m services.metrics rebuild` does, beside reading alone."""

from __future__ import annotations

import asyncio
import time

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import interleaved, quick
from bench.lines.consumer import DEADLINE_SECONDS, Pace
from bench.story import fill
from bench.world import BenchFailed, World, world
from services.metrics.rebuild import Rebuild, rebuild_engine
from services.metrics.settings import MetricsSettings
from shared import db, kafka
from shared.events.codec import decode
from shared.events.topics import TICKETS

NAME = "replay"
TICKETS_ON_LOG = 3_500
GOALS = (Goal("ratio", "at least", 0.1), Goal("value", "at least", 15_000.0))
POSITION = (
    "INSERT INTO metrics.consumer_offset (topic, partition, next_offset)"
    " SELECT :topic, * FROM unnest(CAST(:partitions AS integer[]), CAST(:ends AS bigint[]))"
)


async def run() -> list[Line]:
    """Measure."""
    async with world() as here:
        await here.topics()
        template = await here.database(("keys", "metrics"))
        records = await fill(here, await here.database(("keys",)), TICKETS_ON_LOG // (5 if quick() else 1))
        await _as_if_read(here, template)

        async def baseline() -> Repeat:
            return {"rate": await _read(_settings(here, template), records)}

        async def product() -> Repeat:
            return {"rate": await _rebuild(_settings(here, await here.database(template=template)), records)}

        products, baselines = await interleaved("metrics", baseline, product)
    column = Column("rate", "events folded by metrics on replay, tables written", "events/s", GOALS)
    return lines(NAME, (column,), products, baselines, "aiokafka getmany and decoding of the same records, nothing else")


def _settings(here: World, database: str) -> MetricsSettings:
    return MetricsSettings.model_validate(here.settings(database).model_dump())


async def _as_if_read(here: World, database: str) -> None:
    """A service that has read the log to its end: how far a rebuild goes."""
    settings = here.settings(database)
    client = await kafka.start_consumer(settings, "bench", (), group=None)
    try:
        places = [TopicPartition(TICKETS.name, number) for number in range(settings.partitions)]
        ends = await asyncio.wait_for(client.end_offsets(places), 10)
    finally:
        await kafka.stop(client)
    engine = db.make_engine(settings, "bench")
    async with db.transaction(engine) as conn:
        values = {"partitions": [place.partition for place in places], "ends": [ends[place] for place in places]}
        await conn.execute(sa.text(POSITION), {"topic": TICKETS.name, **values})
    await engine.dispose()


async def _read(settings: MetricsSettings, records: int) -> float:
    """Records a second that are read and decoded, from the second poll on as in the product."""
    client: AIOKafkaConsumer = await kafka.start_consumer(settings, "bench", (TICKETS.name,), group=None)
    pace, done = Pace(), 0
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while done < records:
                polled = await client.getmany(timeout_ms=200, max_records=settings.metrics_rebuild_records)
                for batch in polled.values():
                    for record in batch:
                        decode(record.value)
                    done += len(batch)
                if polled:
                    pace.note(done)
    finally:
        await kafka.stop(client)
    return pace.rate


async def _rebuild(settings: MetricsSettings, records: int) -> float:
    """Records a second that a rebuild commits; comparing with the live tables comes after and does not count."""
    pace, engine = Pace(), rebuild_engine(settings)

    def told(done: int, _total: int) -> None:
        if not pace.commits or done > pace.commits[-1][1]:
            pace.note(done)

    began = time.monotonic()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            outcome = await Rebuild(settings, engine, told).run(replace=False)
    except TimeoutError:
        raise BenchFailed(f"the rebuild took more than {time.monotonic() - began:.0f} s") from None
    finally:
        await engine.dispose()
    if outcome.records != records or outcome.parked:
        raise BenchFailed(f"{outcome.records} of {records} records were folded, {outcome.parked} could not be taken")
    return pace.rate
