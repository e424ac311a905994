"""How far the services are, from the database, and from the broker where it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.parked import services_with
from shared import db, kafka
from shared.backlog import backlog_of
from shared.events.base import Writer
from shared.offsets import Offsets
from shared.records import Place
from shared.settings import Settings

ASK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """One service. `lag_records` is None where the broker did not say how long its partitions are."""

    service: Writer
    lag_records: int | None
    behind_seconds: float
    outbox_rows: int
    outbox_age_seconds: float
    parked_keys: int


async def standings(settings: Settings, engine: AsyncEngine) -> list[Standing]:
    """Each service that has its tables. Raises DatabaseAway."""
    async with db.transaction(engine) as conn:
        services = await services_with(conn, "consumer_offset")
        read = {name: await Offsets(name).standing(conn) for name in services}
        ages = {name: await Offsets(name).ages(conn) for name in services}
        backlogs = {name: await backlog_of(conn, name) for name in services}
    ends = await _ends(settings, {place for places in read.values() for place in places})
    found = []
    for name in services:
        lags = {place: max(0, ends[place] - at) for place, at in read[name].items() if place in ends}
        known = len(lags) == len(read[name])
        late = max((ages[name].get(place, 0.0) for place, behind in lags.items() if behind), default=0.0)
        lag = sum(lags.values()) if known else None
        waiting = backlogs[name]
        found.append(Standing(name, lag, late, waiting.outbox_rows, waiting.outbox_age_seconds, waiting.parked_keys))
    return found


async def _ends(settings: Settings, places: Collection[Place]) -> dict[Place, int]:
    """Where the partitions end; nothing when the broker does not answer."""
    if not places:
        return {}
    try:
        client = await kafka.start_consumer(settings, "status", (), group=None)
    except kafka.KafkaAway:
        return {}
    try:
        partitions = [TopicPartition(place.topic, place.partition) for place in sorted(places)]
        ends = await asyncio.wait_for(client.end_offsets(partitions), ASK_SECONDS)
    except (KafkaError, TimeoutError, OSError, ValueError):
        return {}
    finally:
        await kafka.stop(client)
    return {Place(tp.topic, tp.partition): end for tp, end in ends.items()}
