"""Writing what was decided for a group of contacts: one statement for all tables that nearly every group writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import delivery
from services.intake.domain.confirmation import confirmed_on
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.identity import name_hash
from services.intake.domain.media import attachment_id
from services.intake.domain.plan import (
    CallWord,
    CameAgain,
    ConsentSaid,
    FirstHeard,
    HandleLeft,
    NameSeen,
    NewCustomer,
    NewHandle,
    NewMessage,
    NewTicket,
    Plan,
    Scored,
    SentTold,
    Suggestion,
)
from services.intake.domain.speech import spoken_to
from services.intake.domain.tell import attachments_of, channel_of
from services.intake.domain.threads import refs_of
from services.intake.store import consents, copies, fetches, fingerprints, identities, merges, tickets, words
from shared import db
from shared.ticket import Ticket

NUMBERS = "SELECT clock_timestamp(), ARRAY(SELECT nextval('intake.ticket_number') FROM generate_series(1, $1::integer))"
PLACE = """
    WITH tickets AS (
        INSERT INTO intake.ticket (id, number, customer_id, channel, inbox, language, subject, conversation, status, story,
                                   opened_at, changed_at)
        SELECT *, $1::timestamptz, $1::timestamptz FROM unnest(
            $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
            $11::bytea[])
    ), customers AS (
        INSERT INTO intake.customer (id, language, created_at)
        SELECT *, $1::timestamptz FROM unnest($12::text[], $13::text[])
    ), handles AS (
        INSERT INTO intake.handle (kind, scope, value, id, customer_id, name_hash)
        SELECT * FROM unnest($14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::bigint[])
    ), refs AS (
        INSERT INTO intake.ref (inbox, value, ticket_id)
        SELECT * FROM unnest($20::text[], $21::text[], $22::text[]) ON CONFLICT DO NOTHING
    ), confirmations AS (
        INSERT INTO intake.delivery (message_id, ticket_id, customer_id, language, channel, kind, due_at, created_at)
        SELECT *, 'confirmation', $23::timestamptz, $1::timestamptz
        FROM unnest($24::text[], $25::text[], $26::text[], $27::text[], $28::text[])
    )
    INSERT INTO intake.message (id, ticket_id, customer_id, content_hash, handle_kind, handle, message_ref,
                                request, request_hash, human, opened, participant, media_type, body, text_hash,
                                received_at)
    SELECT *, $1::timestamptz FROM unnest(
        $29::text[], $30::text[], $31::text[], $32::text[], $33::text[], $34::text[], $35::text[], $36::text[], $37::bytea[],
        $38::boolean[], $39::boolean[], $40::boolean[], $41::text[], $42::bytea[], $43::bytea[])
    """
FOLLOW = """
    UPDATE intake.ticket t SET followed_up_by = w.new_id
    FROM unnest($1::text[], $2::text[]) AS w(id, new_id) WHERE t.id = w.id
    """
ATTACHMENTS = """
    INSERT INTO intake.attachment (id, message_id, part, name, media_type, size_bytes, sha256)
    SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::text[])
    """
LEAVE_HANDLES = """
    DELETE FROM intake.handle h USING unnest($1::text[], $2::text[], $3::text[]) AS w(kind, scope, value)
    WHERE (h.kind, h.scope, h.value) = (w.kind, w.scope, w.value)
    """
NAMES = """
    UPDATE intake.handle h SET name_hash = w.called
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS w(kind, scope, value, called)
    WHERE (h.kind, h.scope, h.value) = (w.kind, w.scope, w.value)
    """

Columns = list[tuple[object, ...]]


class Drawn(NamedTuple):
    """The instant of the decision and the numbers drawn for it."""

    now: datetime
    numbers: list[int]


async def draw(conn: AsyncConnection, count: int) -> Drawn:
    """The database's clock, and `count` ticket numbers in their order."""
    [(now, numbers)] = await db.fetch(conn, NUMBERS, count)
    return Drawn(now, numbers)


async def save(conn: AsyncConnection, plan: Plan, stories: Mapping[str, Ticket], now: datetime) -> set[str]:
    """Everything of a plan. `stories` are those of the tickets it opens. Returns to whom mail came back for good."""
    await _leave(conn, [step for step in plan.steps if isinstance(step, HandleLeft)])
    if not all(isinstance(step, SentTold | ConsentSaid | Scored) for step in plan.steps):
        await _place(conn, plan, stories, now)
    await words.of_calls(conn, [step for step in plan.steps if isinstance(step, CallWord)], now)
    returned = await words.of_what_went_out(conn, [step for step in plan.steps if isinstance(step, SentTold)], now)
    await words.of_consent(conn, [step for step in plan.steps if isinstance(step, ConsentSaid)], now)
    await _note_names(conn, [step for step in plan.steps if isinstance(step, NameSeen)])
    await copies.first_heard(conn, [step for step in plan.steps if isinstance(step, FirstHeard)])
    await words.of_scores(conn, [step for step in plan.steps if isinstance(step, Scored)], now)
    pairs = [(step.customer_id, step.other_id, step.evidence) for step in plan.steps if isinstance(step, Suggestion)]
    await merges.suggest(conn, pairs, now)
    return returned


async def _place(conn: AsyncConnection, plan: Plan, stories: Mapping[str, Ticket], now: datetime) -> None:
    messages = [step for step in plan.steps if isinstance(step, NewMessage)]
    opened = plan.opened()
    customers = [step for step in plan.steps if isinstance(step, NewCustomer)]
    await db.fetch(
        conn,
        PLACE,
        now,
        *_columns(10, [_ticket(ticket, stories[ticket.ticket_id]) for ticket in opened]),
        *_columns(2, [(step.customer.customer_id, step.language) for step in customers]),
        *_columns(6, [_handle(step) for step in plan.steps if isinstance(step, NewCustomer | NewHandle) and step.handle]),
        *_columns(3, _refs(plan)),
        now + delivery.PROMISE_WAIT,
        *_columns(5, [_confirmation(ticket) for ticket in opened if ticket.confirmation_id is not None]),
        *_columns(15, [_message(step) for step in messages]),
    )
    await consents.refuse_alike(conn, (step.handle for step in plan.steps if isinstance(step, NewHandle)))
    await fingerprints.note(conn, plan, now)
    await _follow(conn, opened)
    await copies.note(conn, messages, customers)
    await identities.note(conn, plan)
    await _save_attachments(conn, messages)
    await fetches.insert(conn, [row for step in messages if step.contact.media for row in _fetches(step)], now)


def _refs(plan: Plan) -> list[tuple[str, str, str]]:
    written = [(step.answered_on, step.contact) for step in plan.steps if isinstance(step, NewMessage)]
    again = [(step.ticket_id, step.contact) for step in plan.steps if isinstance(step, CameAgain)]
    return sorted({(*ref, ticket_id) for ticket_id, contact in (*written, *again) for ref in refs_of(contact)})


def _columns(width: int, rows: Sequence[tuple[object, ...]]) -> Columns:
    """Rows as the arrays that a statement unnests."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _ticket(ticket: NewTicket, story: Ticket) -> tuple[object, ...]:
    said, contact = story.intake, ticket.contact
    return (
        ticket.ticket_id,
        said.number,
        said.customer_id,
        said.channel,
        said.inbox,
        said.language,
        contact.subject if isinstance(contact, InboundMessage) else "",
        ticket.conversation,
        story.status,
        msgspec.json.encode(story),
    )


def _handle(step: NewCustomer | NewHandle) -> tuple[object, ...]:
    handle, contact = step.handle, step.contact
    assert handle is not None
    called = name_hash(contact.name) if handle.kind == "phone" and isinstance(contact, InboundMessage) else None
    return (handle.kind, handle.scope, handle.value, step.handle_id, step.customer_id, called)


def _confirmation(ticket: NewTicket) -> tuple[object, ...]:
    """Due when the promised time is known or PROMISE_WAIT is over."""
    channel = confirmed_on(channel_of(ticket.contact))
    language = spoken_to(ticket.contact.language, ticket.customer.language)
    return (ticket.confirmation_id, ticket.ticket_id, ticket.customer.customer_id, language, channel)


def _message(step: NewMessage) -> tuple[object, ...]:
    contact = step.contact
    return (
        step.message_id,
        step.ticket_id,
        step.customer_id,
        contact.content_hash,
        contact.handle.kind if contact.handle else None,
        contact.handle.value if contact.handle else None,
        contact.message_ref,
        contact.request.name if contact.request else None,
        contact.request.digest if contact.request else None,
        contact.origin == "human",
        step.opened,
        step.participant,
        contact.media_type,
        contact.raw,
        contact.text_hash,
    )


async def _follow(conn: AsyncConnection, opened: Sequence[NewTicket]) -> None:
    followed = [(ticket.follow_up_of.ticket_id, ticket.ticket_id) for ticket in opened if ticket.follow_up_of]
    if followed:
        await db.fetch(conn, FOLLOW, *_columns(2, followed))


async def _save_attachments(conn: AsyncConnection, steps: Sequence[NewMessage]) -> None:
    files = [
        (attachment.id, step.message_id, file.part, file.name, file.media_type, file.size_bytes, file.sha256)
        for step in steps
        if step.contact.files
        for file, attachment in zip(step.contact.files, attachments_of(step.message_id, step.contact), strict=True)
    ]
    if files:
        await db.fetch(conn, ATTACHMENTS, *_columns(7, files))


def _fetches(step: NewMessage) -> list[tuple[str, str, str, str]]:
    urls = enumerate(step.contact.media)
    return [(attachment_id(step.message_id, n), step.message_id, step.customer_id, url) for n, url in urls]


async def _leave(conn: AsyncConnection, left: Sequence[HandleLeft]) -> None:
    """Numbers are no longer whose they were; before they are somebody else's."""
    if not left:
        return
    handles = [step.handle for step in left]
    await db.fetch(conn, LEAVE_HANDLES, *_columns(3, [(handle.kind, handle.scope, handle.value) for handle in handles]))
    await tickets.leave_conversations(conn, [(step.customer_id, step.handle) for step in left])


async def _note_names(conn: AsyncConnection, seen: Sequence[NameSeen]) -> None:
    if seen:
        last = {step.handle: step.name_hash for step in seen}
        rows = [(handle.kind, handle.scope, handle.value, called) for handle, called in sorted(last.items(), key=_by_key)]
        await db.fetch(conn, NAMES, *_columns(4, rows))


def _by_key(item: tuple[Handle, int]) -> str:
    return item[0].key
