"""Loading what is known about a group of contacts: locks first, then one statement per kind of fact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.calls import Call
from services.intake.domain.contacts import Contact, Handle, InboundCall, InboundMessage
from services.intake.domain.decide import conversation_of, message_id_of, refs_of
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Name, Received, Ref
from shared.ticket import Ticket

_calls = msgspec.json.Decoder(Call)
_stories = msgspec.json.Decoder(Ticket)

LOCK = sa.text("SELECT pg_advisory_xact_lock(k) FROM unnest(CAST(:keys AS bigint[])) k")
RECEIVED = sa.text(
    """
    SELECT m.id, m.ticket_id, t.number, m.customer_id, m.content_hash, m.opened
    FROM intake.message m JOIN intake.ticket t ON t.id = m.ticket_id WHERE m.id = ANY(:ids)
    """
)
CUSTOMERS = sa.text(
    """
    SELECT h.kind, h.scope, h.value, c.id, c.vip, c.plan, c.tier
    FROM unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[]), CAST(:values AS text[])) AS w(kind, scope, value)
    JOIN intake.handle h USING (kind, scope, value) JOIN intake.customer c ON c.id = h.customer_id
    """
)
REFS = sa.text(
    """
    SELECT r.inbox, r.value, r.ticket_id
    FROM unnest(CAST(:inboxes AS text[]), CAST(:values AS text[])) AS w(inbox, value) JOIN intake.ref r USING (inbox, value)
    """
)
CONVERSATIONS = sa.text(
    """
    SELECT w.conversation, t.id FROM unnest(CAST(:conversations AS text[])) AS w(conversation)
    CROSS JOIN LATERAL (
        (SELECT id, 0 AS rank FROM intake.ticket t WHERE t.conversation = w.conversation AND NOT t.closed)
        UNION ALL
        (SELECT id, 1 FROM intake.ticket t WHERE t.conversation = w.conversation AND t.closed ORDER BY number DESC LIMIT 1)
        ORDER BY rank LIMIT 1
    ) t
    """
)
CALLS = sa.text(
    """
    SELECT c.provider, c.ref, c.state
    FROM unnest(CAST(:providers AS text[]), CAST(:refs AS text[])) AS w(provider, ref) JOIN intake.call c USING (provider, ref)
    """
)
REQUESTS = sa.text("SELECT DISTINCT request, request_hash FROM intake.message WHERE request = ANY(:requests)")
TICKETS = sa.text(
    """
    WITH RECURSIVE chain(id, depth) AS (
        SELECT unnest(CAST(:ids AS text[])), 0
        UNION
        SELECT coalesce(t.merged_into, t.followed_up_by), depth + 1 FROM chain JOIN intake.ticket t ON t.id = chain.id
        WHERE coalesce(t.merged_into, t.followed_up_by) IS NOT NULL AND depth < 10
    )
    SELECT id, number, customer_id, closed, merged_into, followed_up_by, owned, story FROM intake.ticket
    WHERE id IN (SELECT id FROM chain) ORDER BY id FOR UPDATE
    """
)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known about a group, and the stories of the tickets that were locked for it."""

    known: Known
    stories: dict[str, Ticket]


async def lock(conn: AsyncConnection, names: Iterable[str]) -> None:
    """Hold these names until the transaction ends. All in one order, so that no two wait for each other crosswise."""
    await conn.execute(LOCK, {"keys": sorted({_lock(name) for name in names})})


def handle_lock(handle: Handle) -> str:
    """The name under which a person is held."""
    return f"handle\n{handle.key}"


async def load(conn: AsyncConnection, contacts: Sequence[Contact]) -> Situation:
    """Lock whatever two groups could decide differently at the same time, then load."""
    await lock(conn, [name for contact in contacts for name in _contended(contact)])
    known = Known(
        received=await _received(conn, contacts),
        customers=await _customers(conn, contacts),
        refs=await _refs(conn, contacts),
        conversations=await _conversations(conn, contacts),
        calls=await _calls_of(conn, contacts),
        requests=await _requests(conn, contacts),
    )
    wanted = {ticket_id for c in contacts if isinstance(c, InboundMessage) for ticket_id in c.tokens}
    wanted.update(known.refs.values(), known.conversations.values(), (call.ticket_id for call in known.calls.values()))
    stories = await _tickets(conn, wanted, known)
    return Situation(known, stories)


def _contended(contact: Contact) -> Iterable[str]:
    """The names under which another group could meet this contact: its person, what it answers; its own name where nobody is."""
    if isinstance(contact, InboundCall):
        yield f"call\n{contact.provider}\n{contact.call_ref}"
    elif contact.handle is None:
        yield f"name\n{contact.provider}\n{contact.dedup_key}"
    if contact.handle is not None:
        yield handle_lock(contact.handle)
    if isinstance(contact, InboundMessage):
        for ref in refs_of(contact):
            yield f"ref\n{ref.inbox}\n{ref.value}"
        for ticket_id in contact.tokens:
            yield f"ticket\n{ticket_id}"
        if contact.request is not None:
            yield f"request\n{contact.request.name}"


def _lock(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)


async def _received(conn: AsyncConnection, contacts: Sequence[Contact]) -> dict[str, Received]:
    ids = {
        message_id_of(c.provider, key)
        for c in contacts
        if isinstance(c, InboundMessage)
        for key in (c.dedup_key, c.conflict_key)
        if key is not None
    }
    if not ids:
        return {}
    return {
        row.id: Received(row.id, row.ticket_id, row.number, row.customer_id, row.content_hash, row.opened)
        for row in await conn.execute(RECEIVED, {"ids": list(ids)})
    }


async def _customers(conn: AsyncConnection, contacts: Sequence[Contact]) -> dict[Handle, KnownCustomer]:
    handles = {contact.handle for contact in contacts if contact.handle is not None}
    if not handles:
        return {}
    rows = await conn.execute(
        CUSTOMERS,
        {"kinds": [h.kind for h in handles], "scopes": [h.scope for h in handles], "values": [h.value for h in handles]},
    )
    return {Handle(row.kind, row.value, row.scope): KnownCustomer(row.id, row.vip, row.plan, row.tier) for row in rows}


async def _refs(conn: AsyncConnection, contacts: Sequence[Contact]) -> dict[Ref, str]:
    refs = {ref for contact in contacts if isinstance(contact, InboundMessage) for ref in refs_of(contact)}
    if not refs:
        return {}
    rows = await conn.execute(REFS, {"inboxes": [ref.inbox for ref in refs], "values": [ref.value for ref in refs]})
    return {Ref(row.inbox, row.value): row.ticket_id for row in rows}


async def _conversations(conn: AsyncConnection, contacts: Sequence[Contact]) -> dict[str, str]:
    wanted = {conversation for contact in contacts if (conversation := conversation_of(contact)) is not None}
    if not wanted:
        return {}
    rows = await conn.execute(CONVERSATIONS, {"conversations": list(wanted)})
    return {row.conversation: row.id for row in rows}


async def _calls_of(conn: AsyncConnection, contacts: Sequence[Contact]) -> dict[Name, Call]:
    names = {Name(c.provider, c.call_ref) for c in contacts if isinstance(c, InboundCall)}
    if not names:
        return {}
    rows = await conn.execute(CALLS, {"providers": [n.provider for n in names], "refs": [n.ref for n in names]})
    return {Name(row.provider, row.ref): _calls.decode(row.state) for row in rows}


async def _requests(conn: AsyncConnection, contacts: Sequence[Contact]) -> dict[str, bytes]:
    names = {c.request.name for c in contacts if isinstance(c, InboundMessage) and c.request is not None}
    if not names:
        return {}
    return {row.request: row.request_hash for row in await conn.execute(REQUESTS, {"requests": list(names)})}


async def _tickets(conn: AsyncConnection, wanted: set[str], known: Known) -> dict[str, Ticket]:
    if not wanted:
        return {}
    stories = {}
    for row in await conn.execute(TICKETS, {"ids": list(wanted)}):
        known.tickets[row.id] = KnownTicket(
            row.id, row.number, row.customer_id, row.closed, row.merged_into, row.followed_up_by, row.owned
        )
        stories[row.id] = _stories.decode(row.story)
    return stories
