"""Who looks at a ticket or writes on it: leases that end by themselves. Nothing of it outlives a crash of the database."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

# Nothing is written, and so nothing told, while half of a lease is left and the agent does the same.
ATTEND = """
    INSERT INTO routing.attending AS a (ticket_id, agent_id, doing, since, until)
    VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + make_interval(secs => $4::float8))
    ON CONFLICT (ticket_id, agent_id) DO UPDATE SET doing = excluded.doing, until = excluded.until,
        since = CASE WHEN a.doing = excluded.doing AND a.until > clock_timestamp() THEN a.since ELSE excluded.since END
    WHERE a.doing <> excluded.doing OR a.until < clock_timestamp() + make_interval(secs => $4::float8 / 2)
    RETURNING until
"""
HERE = """
    SELECT agent_id, doing, since, until FROM routing.attending
    WHERE ticket_id = $1 AND until > clock_timestamp() ORDER BY since, agent_id
"""
LEAVE = "DELETE FROM routing.attending WHERE ticket_id = $1 AND agent_id = $2 RETURNING ticket_id"
LEAVE_ALL = """
    DELETE FROM routing.attending WHERE (ticket_id, agent_id) IN (
        SELECT ticket_id, agent_id FROM routing.attending WHERE agent_id = $1 ORDER BY ticket_id FOR UPDATE)
    RETURNING ticket_id
"""
LAPSED = """
    DELETE FROM routing.attending WHERE (ticket_id, agent_id) IN (
        SELECT ticket_id, agent_id FROM routing.attending WHERE until <= clock_timestamp()
        ORDER BY ticket_id, agent_id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING ticket_id, agent_id
"""
# Whom it concerns: who has something to do with the ticket, and who attends to it.
AUDIENCE = """
    SELECT a.agent_id FROM routing.ticket t
        CROSS JOIN LATERAL unnest(array[t.agent_id, t.offer_agent_id] || string_to_array(t.besides, ' ')) AS a(agent_id)
    WHERE t.ticket_id = $1 AND a.agent_id = ANY($2::text[])
    UNION
    SELECT agent_id FROM routing.attending
    WHERE ticket_id = $1 AND agent_id = ANY($2::text[]) AND until > clock_timestamp()
"""


class Attending(NamedTuple):
    """An agent at a ticket."""

    agent_id: str
    doing: str
    since: datetime
    until: datetime


async def attend(conn: AsyncConnection, ticket_id: str, agent_id: str, doing: str, seconds: float) -> datetime | None:
    """The agent does this for so many seconds. Returns until when, None where that is no news."""
    rows = await db.fetch(conn, ATTEND, ticket_id, agent_id, doing, seconds)
    return rows[0][0] if rows else None


async def here(conn: AsyncConnection, ticket_id: str) -> list[Attending]:
    """Who is at the ticket now, who came first before."""
    return [Attending(*row) for row in await db.fetch(conn, HERE, ticket_id)]


async def leave(conn: AsyncConnection, ticket_id: str, agent_id: str) -> list[str]:
    """The agent is at this ticket no more. Returns the ticket, where they were."""
    return [row[0] for row in await db.fetch(conn, LEAVE, ticket_id, agent_id)]


async def leave_all(conn: AsyncConnection, agent_id: str) -> list[str]:
    """The agent is at no ticket any more. Returns those where they were."""
    return [row[0] for row in await db.fetch(conn, LEAVE_ALL, agent_id)]


async def lapsed(conn: AsyncConnection, at_most: int) -> list[tuple[str, str]]:
    """Tickets and agents of leases that are over, claimed: they are gone with this transaction."""
    return [(row[0], row[1]) for row in await db.fetch(conn, LAPSED, at_most)]


async def audience(conn: AsyncConnection, ticket_id: str, agent_ids: Collection[str]) -> set[str]:
    """Those of the agents whom it concerns who is at the ticket."""
    return {row[0] for row in await db.fetch(conn, AUDIENCE, ticket_id, sorted(agent_ids))}
