"""The tickets' rows: what SQL must find, and the story as the fold has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Handle
from services.intake.domain.threads import QUARANTINE
from shared import db
from shared.ticket import Ticket

_stories = msgspec.json.Decoder(Ticket)

UPDATE = """
    UPDATE intake.ticket t SET status = w.status, closed = w.closed, owned = w.owned, rested_at = w.rested_at,
        merged_into = w.merged_into, story = w.story, changed_at = $1::timestamptz
    FROM unnest($2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::timestamptz[], $7::text[], $8::bytea[])
        AS w(id, status, closed, owned, rested_at, merged_into, story)
    WHERE t.id = w.id
    """
LOCKED = "SELECT id, story FROM intake.ticket WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE"
ONWARD = """
    WITH RECURSIVE chain(id, depth) AS (
        SELECT unnest($1::text[]), 0
        UNION
        SELECT t.merged_into, depth + 1 FROM chain JOIN intake.ticket t ON t.id = chain.id
        WHERE t.merged_into IS NOT NULL AND depth < 10
    )
    SELECT id, story FROM intake.ticket WHERE id IN (SELECT id FROM chain) ORDER BY id FOR UPDATE
    """
MERGED_ONWARD = """
    WITH RECURSIVE chain(id, depth) AS (
        SELECT merged_into, 1 FROM intake.ticket WHERE id = $1 AND merged_into IS NOT NULL
        UNION
        SELECT t.merged_into, depth + 1 FROM chain JOIN intake.ticket t ON t.id = chain.id
        WHERE t.merged_into IS NOT NULL AND depth < 100
    )
    SELECT id FROM chain ORDER BY depth DESC LIMIT 1
    """
# A ticket that comes back while another one goes on with its conversation goes on without.
YIELD = """
    UPDATE intake.ticket t SET conversation = NULL
    WHERE t.id = ANY($1::text[]) AND t.conversation IS NOT NULL AND EXISTS (
        SELECT 1 FROM intake.ticket o
        WHERE o.conversation = t.conversation AND o.id <> t.id AND NOT o.closed AND o.merged_into IS NULL)
    """
# Whoever writes from a handle that is no longer these customers' is somebody else, and does not go on with what they said.
LEAVE = """
    UPDATE intake.ticket t SET conversation = NULL FROM unnest($1::text[], $2::text[]) AS w(customer_id, ending)
    WHERE t.customer_id = w.customer_id AND right(t.conversation, length(w.ending)) = w.ending
    """
# What an agent takes out of quarantine goes on as the conversation, where that does not go on elsewhere.
LET_OUT = """
    UPDATE intake.ticket t SET conversation = CASE WHEN EXISTS (
        SELECT 1 FROM intake.ticket o
        WHERE o.conversation = substr(t.conversation, length($2::text) + 1) AND NOT o.closed AND o.merged_into IS NULL)
        THEN NULL ELSE substr(t.conversation, length($2::text) + 1) END
    WHERE t.id = ANY($1::text[]) AND starts_with(t.conversation, $2::text)
    """
OF_CUSTOMERS = "SELECT story FROM intake.ticket WHERE customer_id = ANY($1::text[])"
RESTING = """
    SELECT id, story FROM intake.ticket WHERE rested_at < $1::timestamptz ORDER BY id LIMIT $2::integer FOR UPDATE SKIP LOCKED
    """
PROMISED = """
    WITH told AS (
        UPDATE intake.ticket t SET promised_by = w.promised_by
        FROM unnest($1::text[], $2::timestamptz[]) AS w(id, promised_by) WHERE t.id = w.id
    )
    UPDATE intake.delivery d SET due_at = least(d.due_at, $3::timestamptz)
    WHERE d.ticket_id = ANY($1::text[]) AND d.kind = 'confirmation' AND d.state = 'waiting' AND d.attempts = 0
    RETURNING 1
    """


async def update(conn: AsyncConnection, stories: Mapping[str, Ticket], now: datetime) -> None:
    """The rows of tickets whose story went on."""
    if not stories:
        return
    ordered = sorted(stories.items())
    await db.fetch(
        conn,
        UPDATE,
        now,
        [ticket_id for ticket_id, _ in ordered],
        [story.status for _, story in ordered],
        [story.intake.closed for _, story in ordered],
        [story.routing.agent_id is not None for _, story in ordered],
        [rested_at(story) for _, story in ordered],
        [story.intake.merged_into for _, story in ordered],
        [msgspec.json.encode(story) for _, story in ordered],
    )


async def locked(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Ticket]:
    """The stories of these tickets, their rows locked in order."""
    return {ticket_id: _stories.decode(story) for ticket_id, story in await db.fetch(conn, LOCKED, sorted(set(ids)))}


async def locked_onward(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, Ticket]:
    """The stories of these tickets and of those into which they were merged, their rows locked in order."""
    wanted = set(ids)
    while True:
        stories = {ticket_id: _stories.decode(story) for ticket_id, story in await db.fetch(conn, ONWARD, sorted(wanted))}
        onward = {story.intake.merged_into for story in stories.values() if story.intake.merged_into is not None}
        # One that was merged while its row was waited for: where it goes on was not seen before.
        if onward <= stories.keys() | wanted:
            return stories
        wanted |= onward


async def merged_onward(conn: AsyncConnection, ticket_id: str) -> str | None:
    """The ticket into which this one was merged; None where it was not."""
    rows = await db.fetch(conn, MERGED_ONWARD, ticket_id)
    return rows[0]["id"] if rows else None


async def yield_conversations(conn: AsyncConnection, ids: Sequence[str]) -> None:
    """These tickets come back from a merge; a conversation that another one has by now stays with that one."""
    await db.fetch(conn, YIELD, list(ids))


async def leave_conversations(conn: AsyncConnection, left: Sequence[tuple[str, Handle]]) -> None:
    """These customers have these handles no more, and the tickets to which they wrote from them no conversation."""
    if left:
        await db.fetch(conn, LEAVE, [customer_id for customer_id, _ in left], [f"\x1f{handle.key}" for _, handle in left])


async def let_out(conn: AsyncConnection, ids: Sequence[str]) -> None:
    """These tickets are no spam after all."""
    await db.fetch(conn, LET_OUT, list(ids), QUARANTINE)


async def of_customers(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[Ticket]:
    """The tickets that were opened for these customers."""
    return [_stories.decode(story) for (story,) in await db.fetch(conn, OF_CUSTOMERS, list(customer_ids))]


async def resting(conn: AsyncConnection, before: datetime, limit: int) -> dict[str, Ticket]:
    """Tickets that were resolved before this instant and still are, locked; those that others hold are left out."""
    return {ticket_id: _stories.decode(story) for ticket_id, story in await db.fetch(conn, RESTING, before, limit)}


async def promise(conn: AsyncConnection, promises: Mapping[str, datetime], now: datetime) -> int:
    """Note when an answer was promised; confirmations that waited to know it are due now. Returns how many those are."""
    ordered = sorted(promises.items())
    return len(await db.fetch(conn, PROMISED, [t for t, _ in ordered], [at for _, at in ordered], now))


def rested_at(story: Ticket) -> datetime | None:
    """Since when the ticket is resolved, None while it is not."""
    decision = story.routing.decision
    return decision.at if story.status == "resolved" and decision is not None else None
