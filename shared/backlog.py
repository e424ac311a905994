"""What waits in a service's schema: for its gauges, and for operators."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db, telemetry

MEASURE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events not yet on the log, and keys behind parked records."""

    outbox_rows: int
    outbox_age_seconds: float
    parked_keys: int


async def backlog_of(conn: AsyncConnection, schema: str) -> Backlog:
    """That of one service, one statement."""
    rows = await conn.execute(
        sa.text(
            f"SELECT (SELECT count(*) FROM {schema}.outbox) AS outbox_rows,"
            f" (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8"
            f"  FROM {schema}.outbox) AS outbox_age_seconds,"
            f" (SELECT count(DISTINCT (topic, key)) FROM {schema}.parked) AS parked_keys"
        )
    )
    return Backlog(**rows.one()._mapping)


async def measure(engine: AsyncEngine, schema: str) -> None:
    """Set the gauges until cancelled; beside the consumer, because they matter most while the broker is away. While the
    database is away, which relay and consumer report, they stay as they were.
    """
    while True:
        with suppress(db.DatabaseAway):
            async with db.transaction(engine) as conn:
                backlog = await backlog_of(conn, schema)
            telemetry.OUTBOX_ROWS.labels(schema).set(backlog.outbox_rows)
            telemetry.OUTBOX_AGE.labels(schema).set(backlog.outbox_age_seconds)
            telemetry.PARKED_KEYS.labels(schema).set(backlog.parked_keys)
        await asyncio.sleep(MEASURE_SECONDS)
