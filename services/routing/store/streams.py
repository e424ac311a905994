"""Agents' live streams and their presence: a lease that ends by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

KEEP_HOURS = 24
AFTER = """
    SELECT s.* FROM unnest($1::text[], $2::bigint[]) AS c(agent_id, n)
    CROSS JOIN LATERAL (SELECT agent_id, n, kind, payload, at FROM routing.stream s
        WHERE s.agent_id = c.agent_id AND s.n > c.n ORDER BY s.n LIMIT $3) s ORDER BY s.agent_id, s.n
"""
RENEW = """
    UPDATE routing.presence SET until = clock_timestamp() + make_interval(secs => $2::float8)
    WHERE agent_id IN (SELECT agent_id FROM routing.presence WHERE agent_id = ANY($1::text[])
        AND until < clock_timestamp() + make_interval(secs => $2::float8 / 2) ORDER BY agent_id FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class Told:
    """One row of an agent's stream; with `n` 0 something that passes by, and is in no row. `payload` is JSON."""

    agent_id: str
    n: int
    kind: str
    payload: str
    at: datetime


async def after(conn: AsyncConnection, cursors: Mapping[str, int], at_most: int) -> list[Told]:
    """What each agent's stream has after the number given, at most so much of each."""
    rows = await db.fetch(conn, AFTER, list(cursors), list(cursors.values()), at_most)
    return [Told(*row) for row in rows]


async def bounds(conn: AsyncConnection, agent_id: str) -> tuple[int, int]:
    """The number before the oldest row kept, and the last number of the agent's stream (0, 0 where nothing was told)."""
    row = (
        await conn.execute(
            sa.text(
                "SELECT coalesce((SELECT n FROM routing.stream_position WHERE agent_id = :id), 0) AS last,"
                " (SELECT min(n) FROM routing.stream WHERE agent_id = :id) AS oldest"
            ),
            {"id": agent_id},
        )
    ).one()
    return (row.oldest - 1 if row.oldest is not None else row.last), row.last


async def forget_old(conn: AsyncConnection) -> None:
    """Delete what is older than KEEP_HOURS."""
    await conn.execute(
        sa.text("DELETE FROM routing.stream WHERE at < now() - make_interval(hours => :hours)"), {"hours": KEEP_HOURS}
    )


async def come(conn: AsyncConnection, agent_id: str, seconds: float) -> None:
    """The agent is there; the lease ends so many seconds from now unless it is renewed."""
    await conn.execute(
        sa.text(
            "INSERT INTO routing.presence AS p (agent_id, until)"
            " VALUES (:id, clock_timestamp() + make_interval(secs => :seconds))"
            " ON CONFLICT (agent_id) DO UPDATE SET until = greatest(p.until, excluded.until)"
        ),
        {"id": agent_id, "seconds": seconds},
    )


async def renew(conn: AsyncConnection, agent_ids: Collection[str], seconds: float) -> None:
    """Extend the leases that there are; an agent who went away does not come back by this."""
    if agent_ids:
        await db.fetch(conn, RENEW, sorted(agent_ids), seconds)


async def leave(conn: AsyncConnection, agent_id: str) -> None:
    """The agent goes."""
    await conn.execute(sa.text("DELETE FROM routing.presence WHERE agent_id = :id"), {"id": agent_id})


async def lapsed(conn: AsyncConnection, at_most: int) -> list[str]:
    """Agents whose lease ended, claimed: their leases are gone with this transaction."""
    rows = await conn.execute(
        sa.text(
            "DELETE FROM routing.presence WHERE agent_id IN (SELECT agent_id FROM routing.presence"
            " WHERE until <= clock_timestamp() ORDER BY until LIMIT :at_most FOR UPDATE SKIP LOCKED) RETURNING agent_id"
        ),
        {"at_most": at_most},
    )
    return [row.agent_id for row in rows]
