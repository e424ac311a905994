"""What agents have begun to write, one of each kind per ticket and agent. Sealed under the key of the ticket's customer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.base import Sealed

MOST_OF_AN_AGENT = 200
# Several places: a ticket and those as which it went on.
FIND = """
    SELECT ticket_id, kind, draft_id, version, box, customer_id, updated_at FROM routing.draft
    WHERE ticket_id = ANY($1::text[]) AND agent_id = $2 AND kind = $3
    ORDER BY array_position($1::text[], ticket_id) LIMIT 1
"""
# Versions are microseconds, so that none is given out twice: not to a draft that is begun anew, nor after a restore.
MAKE = """
    INSERT INTO routing.draft (ticket_id, agent_id, kind, draft_id, customer_id, box, version, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), clock_timestamp())
    ON CONFLICT DO NOTHING RETURNING version, updated_at
"""
CHANGE = """
    UPDATE routing.draft SET customer_id = $3, box = $4, updated_at = clock_timestamp(),
        version = greatest(version + 1, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint))
    WHERE draft_id = $1 AND version = $2 RETURNING version, updated_at
"""
REMOVE = "DELETE FROM routing.draft WHERE draft_id = $1 AND version = $2 RETURNING draft_id"
OF_AGENT = """
    SELECT d.ticket_id, t.number, d.kind, d.version, d.updated_at
    FROM routing.draft d LEFT JOIN routing.ticket t USING (ticket_id)
    WHERE d.agent_id = $1 ORDER BY d.updated_at DESC, d.ticket_id, d.kind
"""
SENT = """
    DELETE FROM routing.draft d USING unnest($1::text[], $2::text[], $3::text[]) AS s(ticket_id, agent_id, kind)
    WHERE d.ticket_id = s.ticket_id AND d.agent_id = s.agent_id AND d.kind = s.kind
"""
# Where the agent has begun something on both, either stays where it is.
FOLLOW = """
    UPDATE routing.draft d SET ticket_id = m.into_id FROM unnest($1::text[], $2::text[]) AS m(from_id, into_id)
    WHERE d.ticket_id = m.from_id AND NOT EXISTS (
        SELECT FROM routing.draft o WHERE o.ticket_id = m.into_id AND o.agent_id = d.agent_id AND o.kind = d.kind)
"""
FORGET_OLD = "DELETE FROM routing.draft WHERE updated_at < now() - make_interval(days => $1)"
# What was sent after the backup is no draft any more.
FORGET_SENT = """
    DELETE FROM routing.draft d USING routing.entry e
    WHERE e.ticket_id = d.ticket_id AND e.data->>'agent_id' = d.agent_id AND e.at >= d.updated_at
        AND e.type = CASE d.kind WHEN 'reply' THEN 'reply.requested.v1' ELSE 'note.added.v1' END
"""


class Draft(NamedTuple):
    """A draft as it is stored; the box is bound to `draft_id`."""

    ticket_id: str
    kind: str
    draft_id: str
    version: int
    sealed: Sealed
    updated_at: datetime


class Begun(NamedTuple):
    """A draft in a list."""

    ticket_id: str
    number: int | None
    kind: str
    version: int
    updated_at: datetime


class Kept(NamedTuple):
    """What became of a draft that was written."""

    version: int
    updated_at: datetime


async def find(conn: AsyncConnection, places: Sequence[str], agent_id: str, kind: str, *, lock: bool = False) -> Draft | None:
    """The agent's draft at the first of these tickets where there is one."""
    rows = await db.fetch(conn, f"{FIND} FOR UPDATE" if lock else FIND, list(places), agent_id, kind)
    if not rows:
        return None
    [(ticket_id, of_kind, draft_id, version, box, customer_id, updated_at)] = rows
    return Draft(ticket_id, of_kind, draft_id, version, Sealed(customer_id=customer_id, box=box), updated_at)


async def make(conn: AsyncConnection, ticket_id: str, agent_id: str, kind: str, draft_id: str, sealed: Sealed) -> Kept | None:
    """A new draft; None where one was made meanwhile."""
    rows = await db.fetch(conn, MAKE, ticket_id, agent_id, kind, draft_id, sealed.customer_id, sealed.box)
    return Kept(*rows[0]) if rows else None


async def change(conn: AsyncConnection, before: Draft, sealed: Sealed) -> Kept:
    """What it says from now on. It is locked."""
    [row] = await db.fetch(conn, CHANGE, before.draft_id, before.version, sealed.customer_id, sealed.box)
    return Kept(*row)


async def remove(conn: AsyncConnection, before: Draft) -> None:
    """It is there no more. It is locked."""
    await db.fetch(conn, REMOVE, before.draft_id, before.version)


async def of_agent(conn: AsyncConnection, agent_id: str) -> list[Begun]:
    """All that the agent has begun, the newest first."""
    return [Begun(*row) for row in await db.fetch(conn, OF_AGENT, agent_id)]


async def count(conn: AsyncConnection, agent_id: str) -> int:
    """How many drafts the agent has."""
    [row] = await db.fetch(conn, "SELECT count(*) FROM routing.draft WHERE agent_id = $1", agent_id)
    return int(row[0])


async def sent(conn: AsyncConnection, written: Collection[tuple[str, str, str]]) -> None:
    """What is written needs no draft any more: ticket, agent and kind of each."""
    if written:
        await db.fetch(conn, SENT, *(list(column) for column in zip(*sorted(set(written)), strict=True)))


async def follow(conn: AsyncConnection, merged: Mapping[str, str]) -> None:
    """What was begun on merged tickets goes on at those that they went into."""
    if merged:
        await db.fetch(conn, FOLLOW, list(merged), list(merged.values()))


async def forget(conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
    """Delete what was begun about these people."""
    if customer_ids:
        await db.fetch(conn, "DELETE FROM routing.draft WHERE customer_id = ANY($1::text[])", sorted(set(customer_ids)))


async def forget_old(conn: AsyncConnection, days: int) -> None:
    """Delete what nobody went on with for so many days."""
    await db.fetch(conn, FORGET_OLD, days)


async def forget_sent(conn: AsyncConnection) -> None:
    """After a restore: delete what was sent since the backup."""
    await db.fetch(conn, FORGET_SENT)
