"""Why offers were made: kept for a while, shown by ticket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

# The ticket's history names its offers; so offers need no index by ticket, which would be written with each.
OF_TICKET = """
    SELECT e.id, o.offer_id, o.agent_id, o.queue_id, o.visit, o.state, o.offered_at, o.ended_at, CAST(o.reason AS text),
        CAST(d.data AS text)
    FROM (SELECT id, data->>'offer_id' AS offer_id FROM routing.entry
        WHERE ticket_id = $1 AND id > $2 AND type = 'ticket.offered.v1' ORDER BY id LIMIT $3) e
    JOIN routing.offer o USING (offer_id) LEFT JOIN routing.decision d USING (decision_id)
    ORDER BY e.id
"""
SENT_ON = """
    SELECT at, data->>'queue_id', CAST(data->'sent_on' AS text) FROM routing.entry
    WHERE ticket_id = $1 AND type = 'ticket.queued.v1' AND data ? 'sent_on' ORDER BY id DESC LIMIT $2
"""
FORGET = """
    DELETE FROM routing.decision WHERE decision_id IN (SELECT decision_id FROM routing.decision
        WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """An offer and why it was made. `reason` and `looked` are JSON, None where it is not known or no longer kept."""

    id: int
    offer_id: str
    agent_id: str
    queue_id: str
    visit: int
    state: str
    offered_at: datetime
    ended_at: datetime | None
    reason: str | None
    looked: str | None


async def of_ticket(conn: AsyncConnection, ticket_id: str, after: int, at_most: int) -> list[Decision]:
    """The offers of a ticket, in order, after the entry of its history given."""
    return [Decision(*row) for row in await db.fetch(conn, OF_TICKET, ticket_id, after, at_most)]


async def sent_on(conn: AsyncConnection, ticket_id: str, at_most: int) -> list[tuple[datetime, str, str]]:
    """When the ticket was sent on to which queue, and why, as JSON; the last ones, the newest first."""
    return [(at, queue_id, why) for at, queue_id, why in await db.fetch(conn, SENT_ON, ticket_id, at_most)]


async def forget_old(conn: AsyncConnection, days: int, at_most: int) -> None:
    """Delete what pass after pass saw so many days ago."""
    await db.fetch(conn, FORGET, days, at_most)
