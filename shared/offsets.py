"""How far a service has read, kept in its own schema and moved in the transaction of what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.records import Place

__all__ = ["Offsets", "Place"]


@dataclass(frozen=True, slots=True)
class Offsets:
    """The offsets of one service."""

    schema: str

    async def load(self, conn: AsyncConnection, places: Sequence[Place]) -> dict[Place, int]:
        """Where to read on at each place; 0 where nothing was read yet (the row is made)."""
        if not places:
            return {}
        arrays = {"topics": [place.topic for place in places], "partitions": [place.partition for place in places]}
        unnested = "unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[])) AS w(topic, partition)"
        await conn.execute(
            sa.text(
                f"INSERT INTO {self.schema}.consumer_offset (topic, partition, next_offset)"
                f" SELECT topic, partition, 0 FROM {unnested} ORDER BY 1, 2 ON CONFLICT DO NOTHING"
            ),
            arrays,
        )
        rows = await conn.execute(
            sa.text(f"SELECT o.* FROM {self.schema}.consumer_offset o JOIN {unnested} USING (topic, partition)"),
            arrays,
        )
        return {Place(row.topic, row.partition): row.next_offset for row in rows}

    async def move(self, conn: AsyncConnection, moves: Mapping[Place, tuple[int, int, datetime]]) -> bool:
        """Compare and set all places at once: place → (expected, next, time of the last record). False when any was moved."""
        ordered = sorted(moves.items())
        moved = await db.fetch(
            conn,
            f"""
            WITH w AS (
                SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::timestamptz[])
                    AS w(topic, partition, expected, next, record_time)
            ), held AS (
                SELECT o.topic, o.partition FROM {self.schema}.consumer_offset o JOIN w USING (topic, partition)
                WHERE o.next_offset = w.expected ORDER BY o.topic, o.partition FOR UPDATE OF o
            )
            UPDATE {self.schema}.consumer_offset o
            SET next_offset = w.next, record_time = w.record_time, updated_at = now()
            FROM w JOIN held USING (topic, partition)
            WHERE (o.topic, o.partition) = (w.topic, w.partition) AND o.next_offset = w.expected
            RETURNING 1
            """,
            [place.topic for place, _ in ordered],
            [place.partition for place, _ in ordered],
            [move[0] for _, move in ordered],
            [move[1] for _, move in ordered],
            [move[2] for _, move in ordered],
        )
        return len(moved) == len(ordered)

    async def standing(self, conn: AsyncConnection) -> dict[Place, int]:
        """Where this service reads on, at each place that it ever read."""
        rows = await conn.execute(sa.text(f"SELECT topic, partition, next_offset FROM {self.schema}.consumer_offset"))
        return {Place(row.topic, row.partition): row.next_offset for row in rows}

    async def lock(self, conn: AsyncConnection, place: Place) -> None:
        """Keep every batch of this place waiting until this transaction ends."""
        await conn.execute(
            sa.text(f"SELECT 1 FROM {self.schema}.consumer_offset WHERE topic = :topic AND partition = :partition FOR UPDATE"),
            {"topic": place.topic, "partition": place.partition},
        )

    async def ages(self, conn: AsyncConnection) -> dict[Place, float]:
        """Seconds since the last record read at each place was written; 0 where nothing was read yet."""
        rows = await conn.execute(
            sa.text(
                "SELECT topic, partition, coalesce(extract(epoch FROM clock_timestamp() - record_time), 0)::float8 AS age"
                f" FROM {self.schema}.consumer_offset"
            )
        )
        return {Place(row.topic, row.partition): row.age for row in rows}
