"""Tickets on which something is due by the database's clock, whose agents are gone, and at which rules are to look."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.escalating import Promised
from services.routing.domain.work import Work
from services.routing.store import desk
from shared import db

DUE = "SELECT ticket_id FROM routing.ticket WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT $1"
# Conversations whose agent is away: there are only as many as are held at once.
LEFT_ALONE = """
    SELECT t.ticket_id FROM routing.ticket t JOIN routing.agent a ON a.agent_id = t.live_agent_id
    WHERE t.live_agent_id IS NOT NULL AND a.state = 'offline'
        AND a.state_since <= clock_timestamp() - make_interval(secs => $1::float8)
    LIMIT $2
"""
# Where there are no rules nothing is noted. Whoever notes a ticket again while it is looked at has it looked at again.
NOTE = """
    INSERT INTO routing.to_judge (ticket_id, noted_at) SELECT id, clock_timestamp() FROM unnest($1::text[]) AS id
    WHERE EXISTS (SELECT 1 FROM routing.config WHERE kind = 'rule') ORDER BY id
    ON CONFLICT (ticket_id) DO UPDATE SET noted_at = excluded.noted_at
"""
NOTE_ALL = """
    INSERT INTO routing.to_judge (ticket_id, noted_at) SELECT ticket_id, clock_timestamp() FROM routing.ticket
    WHERE status IN ('new', 'open') AND (queue_id IS NOT NULL OR agent_id IS NOT NULL) ORDER BY ticket_id
    ON CONFLICT (ticket_id) DO UPDATE SET noted_at = excluded.noted_at
"""
NOTED = """
    SELECT j.ticket_id, j.noted_at FROM routing.to_judge j JOIN routing.ticket t USING (ticket_id)
    ORDER BY j.noted_at, j.ticket_id LIMIT $1
"""
JUDGED = """
    DELETE FROM routing.to_judge WHERE ticket_id IN (
        SELECT j.ticket_id FROM routing.to_judge j
        JOIN unnest($1::text[], $2::timestamptz[]) AS done(ticket_id, noted_at) USING (ticket_id, noted_at)
        ORDER BY j.ticket_id FOR UPDATE OF j SKIP LOCKED)
"""
# Nobody opened them: told on a topic that was read before `tickets`, for a ticket that never came.
FORGET = "DELETE FROM routing.to_judge WHERE noted_at < now() - interval '1 day'"
PROMISED = """
    SELECT ticket_id, max(warned_percent), bool_or(breached) FROM routing.promise
    WHERE ticket_id = ANY($1::text[]) AND coalesce(state, 'running') IN ('running', 'paused') GROUP BY ticket_id
"""


async def due(conn: AsyncConnection, at_most: int) -> dict[str, Work]:
    """Tickets on which something ends or comes back now, claimed: no other process gets them."""
    return await _claimed(conn, await db.fetch(conn, DUE, at_most))


async def left_alone(conn: AsyncConnection, grace_seconds: float, at_most: int) -> dict[str, Work]:
    """Conversations whose agent is away for so long, claimed."""
    return await _claimed(conn, await db.fetch(conn, LEFT_ALONE, grace_seconds, at_most))


async def note(conn: AsyncConnection, ticket_ids: Collection[str]) -> None:
    """Have rules look at these tickets. The last statement of its transaction, or nearly: it may wait for who notes them too."""
    if ticket_ids:
        await db.fetch(conn, NOTE, sorted(ticket_ids))


async def note_all(conn: AsyncConnection) -> None:
    """Have rules look at all tickets that wait or are at work."""
    await db.fetch(conn, NOTE_ALL)


async def noted(conn: AsyncConnection, at_most: int) -> dict[str, datetime]:
    """At which tickets rules are to look, since when. Not locked."""
    return {row[0]: row[1] for row in await db.fetch(conn, NOTED, at_most)}


async def judged(conn: AsyncConnection, since: Mapping[str, datetime]) -> None:
    """Rules have looked at these, as they were noted; whoever notes one meanwhile keeps it noted."""
    await db.fetch(conn, JUDGED, list(since), list(since.values()))


async def forget_old(conn: AsyncConnection) -> None:
    """Delete what was noted of tickets that never came."""
    await db.fetch(conn, FORGET)


async def promised(conn: AsyncConnection, ticket_ids: Collection[str]) -> dict[str, Promised]:
    """How the promises stand that run on these tickets; those without one are left out."""
    rows = await db.fetch(conn, PROMISED, sorted(ticket_ids)) if ticket_ids else []
    return {row[0]: Promised(warned_percent=row[1], breached=bool(row[2])) for row in rows}


async def _claimed(conn: AsyncConnection, rows: Sequence[asyncpg.Record]) -> dict[str, Work]:
    return await desk.works(conn, [row[0] for row in rows], skip_locked=True) if rows else {}
