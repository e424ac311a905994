"""Writing what was decided for a group of contacts: one statement per table, over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import delivery
from services.intake.domain.calls import Call
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.decide import refs_of
from services.intake.domain.plan import CallWord, NewCustomer, NewMessage, NewTicket, Plan
from services.intake.domain.tell import attachments_of
from shared.db import execute_many
from shared.events.base import derived_id

NUMBERS = sa.text(
    "SELECT clock_timestamp() AS now, ARRAY(SELECT nextval('intake.ticket_number') FROM generate_series(1, :n)) AS numbers"
)
CUSTOMERS = sa.text(
    """
    WITH c AS (
        INSERT INTO intake.customer (id, language, created_at)
        SELECT *, CAST(:now AS timestamptz) FROM unnest(CAST(:ids AS text[]), CAST(:languages AS text[]))
    )
    INSERT INTO intake.handle (kind, scope, value, id, customer_id)
    SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[]), CAST(:values AS text[]), CAST(:handle_ids AS text[]),
                         CAST(:owners AS text[])) AS h(kind, scope, value, id, owner)
    """
)
MESSAGES = sa.text(
    """
    INSERT INTO intake.message (id, ticket_id, customer_id, content_hash, handle_kind, handle, message_ref,
                                request, request_hash, human, opened, participant, media_type, body, received_at)
    SELECT *, CAST(:now AS timestamptz) FROM unnest(
        CAST(:ids AS text[]), CAST(:tickets AS text[]), CAST(:customers AS text[]), CAST(:hashes AS text[]),
        CAST(:kinds AS text[]), CAST(:handles AS text[]),
        CAST(:refs AS text[]), CAST(:requests AS text[]), CAST(:digests AS bytea[]), CAST(:human AS boolean[]),
        CAST(:opened AS boolean[]), CAST(:participants AS boolean[]), CAST(:media AS text[]), CAST(:bodies AS bytea[]))
    """
)
REFS = sa.text(
    """
    INSERT INTO intake.ref (inbox, value, ticket_id)
    SELECT * FROM unnest(CAST(:inboxes AS text[]), CAST(:values AS text[]), CAST(:tickets AS text[])) ON CONFLICT DO NOTHING
    """
)
ATTACHMENTS = sa.text(
    """
    INSERT INTO intake.attachment (id, message_id, part, name, media_type, size_bytes, sha256)
    SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:messages AS text[]), CAST(:parts AS integer[]), CAST(:names AS text[]),
                         CAST(:media AS text[]), CAST(:sizes AS bigint[]), CAST(:hashes AS text[]))
    """
)
CALLS = sa.text(
    """
    INSERT INTO intake.call (provider, ref, id, ticket_id, state)
    SELECT * FROM unnest(CAST(:providers AS text[]), CAST(:refs AS text[]), CAST(:ids AS text[]), CAST(:tickets AS text[]),
                         CAST(:states AS bytea[]))
    ON CONFLICT (provider, ref) DO UPDATE SET state = excluded.state
    """
)
CALL_WORDS = sa.text(
    """
    INSERT INTO intake.word (id, customer_id, media_type, body, received_at)
    SELECT *, CAST(:now AS timestamptz) FROM unnest(CAST(:ids AS text[]), CAST(:customers AS text[]), CAST(:media AS text[]),
                                                    CAST(:bodies AS bytea[]))
    ON CONFLICT DO NOTHING
    """
)
CONFIRMATIONS = sa.text(
    """
    INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at)
    SELECT id, ticket, customer, 'confirmation', 'email', language, CAST(:due AS timestamptz), CAST(:now AS timestamptz)
    FROM unnest(CAST(:ids AS text[]), CAST(:tickets AS text[]), CAST(:customers AS text[]), CAST(:languages AS text[]))
        AS c(id, ticket, customer, language)
    """
)
PARK = sa.text(
    "INSERT INTO intake.parked_contact (provider, reason, media_type, body) VALUES (:provider, :reason, :media_type, :body)"
)


class Drawn(NamedTuple):
    """The instant of the decision and the numbers drawn for it."""

    now: datetime
    numbers: list[int]


async def draw(conn: AsyncConnection, count: int) -> Drawn:
    """The database's clock, and `count` ticket numbers in their order."""
    row = (await conn.execute(NUMBERS, {"n": count})).one()
    return Drawn(row.now, row.numbers)


async def save(conn: AsyncConnection, plan: Plan, now: datetime) -> None:
    """Everything of a plan but its tickets, whose rows tell what was published too."""
    customers = [step for step in plan.steps if isinstance(step, NewCustomer)]
    messages = [step for step in plan.steps if isinstance(step, NewMessage)]
    words = [step for step in plan.steps if isinstance(step, CallWord)]
    confirmed = [ticket for ticket in plan.opened() if ticket.confirmation_id is not None]
    if customers:
        await _save_customers(conn, customers, now)
    if messages:
        await _save_messages(conn, messages, now)
    if words:
        await _save_calls(conn, words, now)
    if confirmed:
        await _save_confirmations(conn, confirmed, now)


async def park(conn: AsyncConnection, provider: str, reason: str, media_type: str, body: bytes) -> None:
    """Keep what is authentic but could not be taken, for people to look at."""
    await conn.execute(PARK, {"provider": provider, "reason": reason, "media_type": media_type, "body": body})


async def _save_customers(conn: AsyncConnection, steps: Sequence[NewCustomer], now: datetime) -> None:
    reachable = [(step, step.contact.handle) for step in steps if step.contact.handle is not None]
    await conn.execute(
        CUSTOMERS,
        {
            "now": now,
            "ids": [step.customer.customer_id for step in steps],
            "languages": [step.contact.language for step in steps],
            "kinds": [handle.kind for _, handle in reachable],
            "scopes": [handle.scope for _, handle in reachable],
            "values": [handle.value for _, handle in reachable],
            "handle_ids": [step.handle_id for step, _ in reachable],
            "owners": [step.customer.customer_id for step, _ in reachable],
        },
    )


async def _save_messages(conn: AsyncConnection, steps: Sequence[NewMessage], now: datetime) -> None:
    contacts = [step.contact for step in steps]
    await conn.execute(
        MESSAGES,
        {
            "now": now,
            "ids": [step.message_id for step in steps],
            "tickets": [step.ticket_id for step in steps],
            "customers": [step.customer_id for step in steps],
            "media": [contact.media_type for contact in contacts],
            "bodies": [contact.raw for contact in contacts],
            "hashes": [contact.content_hash for contact in contacts],
            "kinds": [contact.handle.kind if contact.handle else None for contact in contacts],
            "handles": [contact.handle.value if contact.handle else None for contact in contacts],
            "refs": [contact.message_ref for contact in contacts],
            "requests": [contact.request.name if contact.request else None for contact in contacts],
            "digests": [contact.request.digest if contact.request else None for contact in contacts],
            "human": [contact.origin == "human" for contact in contacts],
            "opened": [step.opened for step in steps],
            "participants": [step.participant for step in steps],
        },
    )
    await _save_refs(conn, steps)
    await _save_attachments(conn, steps)


async def _save_refs(conn: AsyncConnection, steps: Sequence[NewMessage]) -> None:
    refs = sorted({(*ref, step.ticket_id) for step in steps for ref in refs_of(step.contact)})
    if refs:
        await execute_many(
            conn, REFS, inboxes=[ref[0] for ref in refs], values=[ref[1] for ref in refs], tickets=[ref[2] for ref in refs]
        )


async def _save_attachments(conn: AsyncConnection, steps: Sequence[NewMessage]) -> None:
    files = [
        (step.message_id, attachment.id, file)
        for step in steps
        if step.contact.files
        for file, attachment in zip(step.contact.files, attachments_of(step.message_id, step.contact), strict=True)
    ]
    if files:
        await execute_many(
            conn,
            ATTACHMENTS,
            ids=[attachment_id for _, attachment_id, _ in files],
            messages=[message_id for message_id, _, _ in files],
            parts=[file.part for _, _, file in files],
            names=[file.name for _, _, file in files],
            media=[file.media_type for _, _, file in files],
            sizes=[file.size_bytes for _, _, file in files],
            hashes=[file.sha256 for _, _, file in files],
        )


async def _save_calls(conn: AsyncConnection, words: Sequence[CallWord], now: datetime) -> None:
    last: dict[tuple[str, str], Call] = {(word.call.provider, word.call.call_ref): word.call for word in words}
    calls = [last[key] for key in sorted(last)]
    await execute_many(
        conn,
        CALLS,
        providers=[call.provider for call in calls],
        refs=[call.call_ref for call in calls],
        ids=[call.call_id for call in calls],
        tickets=[call.ticket_id for call in calls],
        states=[msgspec.json.encode(call) for call in calls],
    )
    await conn.execute(
        CALL_WORDS,
        {
            "now": now,
            "ids": [derived_id("word", word.cause) for word in words],
            "customers": [word.call.customer_id for word in words],
            "media": [word.contact.media_type for word in words],
            "bodies": [word.contact.raw for word in words],
        },
    )


async def _save_confirmations(conn: AsyncConnection, tickets: Sequence[NewTicket], now: datetime) -> None:
    """Due when the promised time is known or PROMISE_WAIT is over."""
    await conn.execute(
        CONFIRMATIONS,
        {
            "now": now,
            "due": now + delivery.PROMISE_WAIT,
            "ids": [ticket.confirmation_id for ticket in tickets],
            "tickets": [ticket.ticket_id for ticket in tickets],
            "customers": [ticket.customer.customer_id for ticket in tickets],
            "languages": [ticket.contact.language for ticket in tickets],
        },
    )


def subject_of(ticket: NewTicket) -> str:
    """The subject that the ticket starts with."""
    return ticket.contact.subject if isinstance(ticket.contact, InboundMessage) else ""
