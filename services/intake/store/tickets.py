"""The tickets' rows: what SQL must find, and the story as the fold has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.plan import NewTicket
from services.intake.store.contacts import subject_of
from shared.db import execute_many
from shared.ticket import Ticket

_stories = msgspec.json.Decoder(Ticket)

INSERT = sa.text(
    """
    INSERT INTO intake.ticket (id, number, customer_id, channel, inbox, language, subject, conversation, status, story,
                               opened_at, changed_at)
    SELECT *, CAST(:now AS timestamptz), CAST(:now AS timestamptz) FROM unnest(
        CAST(:ids AS text[]), CAST(:numbers AS bigint[]), CAST(:customers AS text[]), CAST(:channels AS text[]),
        CAST(:inboxes AS text[]), CAST(:languages AS text[]), CAST(:subjects AS text[]), CAST(:conversations AS text[]),
        CAST(:statuses AS text[]), CAST(:stories AS bytea[]))
    """
)
UPDATE = sa.text(
    """
    UPDATE intake.ticket t SET status = w.status, closed = w.closed, owned = w.owned, rested_at = w.rested_at,
        merged_into = w.merged_into, story = w.story, changed_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:closed AS boolean[]), CAST(:owned AS boolean[]),
                CAST(:rested AS timestamptz[]), CAST(:merged AS text[]), CAST(:stories AS bytea[]))
        AS w(id, status, closed, owned, rested_at, merged_into, story)
    WHERE t.id = w.id
    """
)
FOLLOW = sa.text(
    """
    UPDATE intake.ticket t SET followed_up_by = w.new_id
    FROM unnest(CAST(:olds AS text[]), CAST(:news AS text[])) AS w(id, new_id) WHERE t.id = w.id
    """
)
LOCKED = sa.text("SELECT id, story FROM intake.ticket WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
RESTING = sa.text(
    """
    SELECT id, story FROM intake.ticket WHERE rested_at < :before ORDER BY id LIMIT :n FOR UPDATE SKIP LOCKED
    """
)
PROMISED = sa.text(
    """
    WITH w AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[])) AS w(id, promised_by)),
    told AS (UPDATE intake.ticket t SET promised_by = w.promised_by FROM w WHERE t.id = w.id RETURNING t.id)
    UPDATE intake.delivery d SET due_at = least(d.due_at, :now)
    WHERE d.ticket_id = ANY(:ids) AND d.kind = 'confirmation' AND d.state = 'waiting' AND d.attempts = 0
    """
)
PAGE = sa.text("SELECT number, status, language, channel, opened_at, changed_at, promised_by FROM intake.ticket WHERE id = :id")


@dataclass(frozen=True, slots=True)
class StatusPage:
    """What a customer may see of a ticket by its link."""

    number: int
    status: str
    language: str
    channel: str
    opened_at: datetime
    changed_at: datetime
    promised_by: datetime | None


async def insert(conn: AsyncConnection, opened: Sequence[NewTicket], stories: Mapping[str, Ticket], now: datetime) -> None:
    """The rows of new tickets."""
    if not opened:
        return
    tickets = [(ticket, stories[ticket.ticket_id]) for ticket in opened]
    await conn.execute(
        INSERT,
        {
            "now": now,
            "ids": [ticket.ticket_id for ticket, _ in tickets],
            "numbers": [story.intake.number for _, story in tickets],
            "customers": [story.intake.customer_id for _, story in tickets],
            "channels": [story.intake.channel for _, story in tickets],
            "inboxes": [story.intake.inbox for _, story in tickets],
            "languages": [story.intake.language for _, story in tickets],
            "subjects": [subject_of(ticket) for ticket, _ in tickets],
            "conversations": [ticket.conversation for ticket, _ in tickets],
            "statuses": [story.status for _, story in tickets],
            "stories": [msgspec.json.encode(story) for _, story in tickets],
        },
    )
    followed = [(ticket.follow_up_of.ticket_id, ticket.ticket_id) for ticket in opened if ticket.follow_up_of]
    if followed:
        await execute_many(conn, FOLLOW, olds=[old for old, _ in followed], news=[new for _, new in followed])


async def update(conn: AsyncConnection, stories: Mapping[str, Ticket], now: datetime) -> None:
    """The rows of tickets whose story went on."""
    if not stories:
        return
    ordered = sorted(stories.items())
    await conn.execute(
        UPDATE,
        {
            "now": now,
            "ids": [ticket_id for ticket_id, _ in ordered],
            "statuses": [story.status for _, story in ordered],
            "closed": [story.intake.closed for _, story in ordered],
            "owned": [story.routing.agent_id is not None for _, story in ordered],
            "rested": [rested_at(story) for _, story in ordered],
            "merged": [story.intake.merged_into for _, story in ordered],
            "stories": [msgspec.json.encode(story) for _, story in ordered],
        },
    )


async def locked(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Ticket]:
    """The stories of these tickets, their rows locked in order."""
    rows = await conn.execute(LOCKED, {"ids": sorted(set(ids))})
    return {row.id: _stories.decode(row.story) for row in rows}


async def resting(conn: AsyncConnection, before: datetime, limit: int) -> dict[str, Ticket]:
    """Tickets that were resolved before this instant and still are, locked; those that others hold are left out."""
    rows = await conn.execute(RESTING, {"before": before, "n": limit})
    return {row.id: _stories.decode(row.story) for row in rows}


async def promise(conn: AsyncConnection, promises: Mapping[str, datetime], now: datetime) -> None:
    """Note when an answer was promised; confirmations that waited to know it are due now."""
    ordered = sorted(promises.items())
    await conn.execute(PROMISED, {"ids": [t for t, _ in ordered], "times": [at for _, at in ordered], "now": now})


async def page(conn: AsyncConnection, ticket_id: str) -> StatusPage | None:
    """What the status page shows."""
    row = (await conn.execute(PAGE, {"id": ticket_id})).one_or_none()
    if row is None:
        return None
    return StatusPage(row.number, row.status, row.language, row.channel, row.opened_at, row.changed_at, row.promised_by)


def rested_at(story: Ticket) -> datetime | None:
    decision = story.routing.decision
    return decision.at if story.status == "resolved" and decision is not None else None
