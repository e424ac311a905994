"""Loading what is known about a group of contacts: locks first, then all kinds of facts in one statement, then the tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.calls import Call
from services.intake.domain.contacts import Contact, DeliveryWord, Handle, InboundCall, InboundMessage
from services.intake.domain.decide import names_of
from services.intake.domain.hearing import word_id_of
from services.intake.domain.identity import CLAIMED, claimed, proven
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Name, Received, Ref, goes_on_as
from services.intake.domain.threads import conversations_of, refs_of
from services.intake.domain.words import Sent, Told
from services.intake.store import asides, copies, fingerprints, identities, known_numbers, surveys
from services.intake.store.locks import handle_lock, lock
from services.intake.store.ways import BEGUN_BY
from shared import db
from shared.events.base import derived_id
from shared.ticket import Ticket

_calls = msgspec.json.Decoder(Call)
_stories = msgspec.json.Decoder(Ticket)
_told = msgspec.json.Decoder(Told)

# A row of each kind: what it is, up to six texts, a number, a truth, bytes. A statement more for each kind would cost a group of
# one contact more than the reading.
FACTS = """
    SELECT 'received' AS what, m.id AS a, m.ticket_id AS b, m.customer_id AS c, m.content_hash AS d, NULL AS e, NULL AS f,
           t.number AS n, m.opened AS yes, NULL::bytea AS bytes
    FROM intake.message m JOIN intake.ticket t ON t.id = m.ticket_id WHERE m.id = ANY($1::text[])
    UNION ALL
    SELECT 'customer', h.kind, h.scope, h.value, c.id, c.plan, c.tier, h.name_hash, c.vip,
           convert_to(concat_ws(' ', c.language, h.id, (c.unreachable <> '{}')::text, h.origin), 'UTF8')
    FROM unnest($2::text[], $3::text[], $4::text[]) AS w(kind, scope, value)
    JOIN intake.handle h USING (kind, scope, value) JOIN intake.customer c ON c.id = h.customer_id
    UNION ALL
    SELECT 'ref', r.inbox, r.value, r.ticket_id, NULL, NULL, NULL, NULL, NULL, NULL
    FROM unnest($5::text[], $6::text[]) AS w(inbox, value) JOIN intake.ref r USING (inbox, value)
    UNION ALL
    SELECT 'conversation', w.conversation, t.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM unnest($7::text[]) AS w(conversation)
    CROSS JOIN LATERAL (
        (SELECT id, 0 AS rank FROM intake.ticket t
         WHERE t.conversation = w.conversation AND NOT t.closed AND t.merged_into IS NULL)
        UNION ALL
        (SELECT id, 1 FROM intake.ticket t WHERE t.conversation = w.conversation AND (t.closed OR t.merged_into IS NOT NULL)
         ORDER BY number DESC LIMIT 1)
        ORDER BY rank LIMIT 1
    ) t
    UNION ALL
    SELECT 'call', c.provider, c.ref, NULL, NULL, NULL, NULL, NULL, NULL, c.state
    FROM unnest($8::text[], $9::text[]) AS w(provider, ref) JOIN intake.call c USING (provider, ref)
    UNION ALL
    SELECT DISTINCT 'request', request, NULL, NULL, NULL, NULL, NULL, NULL::bigint, NULL::boolean, request_hash
    FROM intake.message WHERE request = ANY($10::text[])
    """
TICKETS = """
    WITH RECURSIVE chain(id, depth) AS (
        SELECT unnest($1::text[]), 0
        UNION
        SELECT coalesce(t.merged_into, t.followed_up_by), depth + 1 FROM chain JOIN intake.ticket t ON t.id = chain.id
        WHERE coalesce(t.merged_into, t.followed_up_by) IS NOT NULL AND depth < 10
    )
    SELECT id, number, customer_id, closed, merged_into, followed_up_by, coalesce(subject, ''), clock_timestamp() - changed_at,
           story FROM intake.ticket
    WHERE id IN (SELECT id FROM chain) ORDER BY id FOR UPDATE
    """
SENT = f"""
    SELECT d.message_id, d.ticket_id, d.customer_id, d.channel, d.attempts, d.provider_ref, d.told, d.kind, {BEGUN_BY}
    FROM intake.delivery d JOIN intake.ticket t ON t.id = d.ticket_id
    WHERE d.message_id = ANY($1::text[]) OR d.provider_ref = ANY($2::text[]) ORDER BY d.message_id FOR UPDATE OF d
    """
REFUSING = """
    SELECT h.kind, h.scope, h.value, unnest(h.refuses) FROM unnest($1::text[], $2::text[], $3::text[]) AS w(kind, scope, value)
    JOIN intake.handle h USING (kind, scope, value)
    """
WORDS = "SELECT id FROM intake.word WHERE id = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known about a group, and the stories of the tickets that were locked for it."""

    known: Known
    stories: dict[str, Ticket]


async def load(conn: AsyncConnection, contacts: Sequence[Contact]) -> Situation:
    """Lock whatever two groups could decide differently at the same time, then load."""
    await hold(conn, contacts)
    known = await _facts(conn, contacts)
    words = [contact for contact in contacts if isinstance(contact, DeliveryWord)]
    if words:
        # Before their tickets; an unmerge holds tickets first. Who meets it crosswise begins again (`db.retrying`).
        await _sent(conn, words, known)
    asking = [contact for contact in contacts if isinstance(contact, InboundMessage) and contact.consent is not None]
    if asking:
        await _consents(conn, asking, known)
    scored = [contact for contact in contacts if isinstance(contact, InboundMessage) and contact.score is not None]
    if scored:
        await _questions(conn, scored, known)
    await identities.find(conn, contacts, known)
    await known_numbers.renamed(conn, contacts, known)
    await known_numbers.named(conn, contacts, known)
    await fingerprints.find(conn, contacts, known)
    wanted = {ticket_id for c in contacts if isinstance(c, InboundMessage) for ticket_id in c.tokens}
    wanted.update(known.refs.values(), known.conversations.values(), (call.ticket_id for call in known.calls.values()))
    wanted.update(sent.ticket_id for sent in known.sent.values())
    wanted.update(named.ticket_id for named in known.named.values())
    wanted.update(question.ticket_id for question in known.questions.values())
    stories = await _tickets(conn, wanted, known) if wanted else {}
    if beside := await asides.find(conn, contacts, known):
        stories |= await _tickets(conn, beside, known)
    return Situation(known, stories)


async def hold(conn: AsyncConnection, contacts: Sequence[Contact]) -> None:
    """Lock what a group contends for. Who has a copy and is known already is only to be there still when the group is written:
    a popular address keeps no groups waiting for each other, and who erases or merges its owner waits for all of them.
    """
    seen = await copies.seen(conn, contacts)
    alone = [name for contact in contacts for name in _contended(contact, seen)]
    await lock(conn, alone, [handle_lock(handle) for handle in seen])


def _contended(contact: Contact, seen: Set[Handle]) -> Iterable[str]:
    """The names under which another group could meet this contact: its person, what it answers; its own name where nobody is."""
    if isinstance(contact, InboundCall):
        yield f"call\n{contact.provider}\n{contact.call_ref}"
    elif isinstance(contact, DeliveryWord):
        return  # what it speaks of is locked as a row
    elif contact.handle is None:
        said = contact.fingerprint  # of what nobody named
        yield f"name\n{contact.namespace}\n{said.words.hex() if said is not None else contact.dedup_key}"
    if contact.handle is not None:
        yield handle_lock(contact.handle)
    if isinstance(contact, InboundMessage):
        yield from (handle_lock(copy.handle) for copy in contact.copies if copy.handle not in seen)
        yield from map(handle_lock, contact.also)
        yield from map(handle_lock, contact.vouched)
        for ref in refs_of(contact):
            yield f"ref\n{ref.inbox}\n{ref.value}"
        for ticket_id in contact.tokens:
            yield f"ticket\n{ticket_id}"
        if contact.request is not None:
            yield f"request\n{contact.request.name}"


async def _facts(conn: AsyncConnection, contacts: Sequence[Contact]) -> Known:
    messages = [contact for contact in contacts if isinstance(contact, InboundMessage)]
    handles = list({handle for contact in contacts for handle in _handles(contact)})
    refs = list({ref for message in messages for ref in refs_of(message)})
    calls = list({(c.provider, c.call_ref) for c in contacts if isinstance(c, InboundCall)})
    conversations = {conversation for contact in contacts for conversation in conversations_of(contact)}
    rows = await db.fetch(
        conn,
        FACTS,
        list({name for message in messages for name in names_of(message)}),
        [handle.kind for handle in handles],
        [handle.scope for handle in handles],
        [handle.value for handle in handles],
        [ref.inbox for ref in refs],
        [ref.value for ref in refs],
        list(conversations),
        [provider for provider, _ in calls],
        [ref for _, ref in calls],
        list({message.request.name for message in messages if message.request is not None}),
    )
    known = Known()
    for row in rows:
        _NOTE[row[0]](known, row)
    return known


def _handles(contact: Contact) -> Iterable[Handle]:
    """Under which handles somebody of interest may be known: a claim has its owner beside it, an answer its claimer, a mail those
    in copy, a contact others of its person.
    """
    if isinstance(contact, InboundMessage):
        yield from (copy.handle for copy in contact.copies)
        yield from (form for one in contact.also for form in (*numbers.forms(one), *numbers.forms(proven(one))))
        yield from (form for handle in contact.vouched for form in numbers.forms(handle))
    if contact.handle is None:
        return
    yield from numbers.forms(contact.handle)
    if contact.handle.scope == CLAIMED:
        yield from numbers.forms(proven(contact.handle))
    elif isinstance(contact, InboundMessage) and contact.tokens:
        yield claimed(contact.handle)


def _received(known: Known, row: asyncpg.Record) -> None:
    _, message_id, ticket_id, customer_id, content_hash, _, _, number, opened, _ = row
    known.received[message_id] = Received(message_id, ticket_id, number, customer_id, content_hash, opened)


def _customer(known: Known, row: asyncpg.Record) -> None:
    _, kind, scope, value, customer_id, plan, tier, called, vip, more = row
    language, handle_id, unreachable, *origin = more.decode().split(" ")
    handle = Handle(kind, value, scope)
    whose = origin[0] if origin else None
    known.customers[handle] = KnownCustomer(customer_id, vip, plan, tier, language, whose, handle_id, unreachable == "true")
    if called is not None:
        known.names[handle] = called


def _ref(known: Known, row: asyncpg.Record) -> None:
    known.refs[Ref(row["a"], row["b"])] = row["c"]


def _conversation(known: Known, row: asyncpg.Record) -> None:
    known.conversations[row["a"]] = row["b"]


def _call(known: Known, row: asyncpg.Record) -> None:
    known.calls[Name(row["a"], row["b"])] = _calls.decode(row["bytes"])


def _request(known: Known, row: asyncpg.Record) -> None:
    known.requests[row["a"]] = row["bytes"]


_NOTE: Mapping[str, Callable[[Known, asyncpg.Record], None]] = {
    "received": _received,
    "customer": _customer,
    "ref": _ref,
    "conversation": _conversation,
    "call": _call,
    "request": _request,
}


async def _sent(conn: AsyncConnection, words: Sequence[DeliveryWord], known: Known) -> None:
    """What the words speak of, locked, under both of its names; and which of them were heard before."""
    named = list({word.message_id for word in words if word.message_id is not None})
    referred = list({word.provider_ref for word in words if word.message_id is None and word.provider_ref is not None})
    for row in await db.fetch(conn, SENT, named, referred):
        message_id, ticket_id, customer_id, channel, attempts, ref, told, kind, person = row
        heard = _told.decode(told) if told is not None else Told()
        sent = Sent(message_id, ticket_id, customer_id, channel, attempts, ref, heard, kind, person)
        known.sent[sent.message_id] = sent
        if ref in referred:
            known.sent[ref] = sent
    if known.sent:
        known.words.update(row["id"] for row in await db.fetch(conn, WORDS, [word_id_of(word) for word in words]))


async def _consents(conn: AsyncConnection, asking: Sequence[InboundMessage], known: Known) -> None:
    """Who of those that speak of it refuses messages, on which channel; and which of their words were heard before."""
    handles = list({form for one in asking if one.handle is not None for form in numbers.forms(one.handle)})
    columns = [h.kind for h in handles], [h.scope for h in handles], [h.value for h in handles]
    for kind, scope, value, channel in await db.fetch(conn, REFUSING, *columns):
        known.refusing.add((numbers.line(Handle(kind, value, scope)), channel))
    names = [derived_id("word", f"{one.namespace}:{one.dedup_key}") for one in asking]
    known.words.update(row["id"] for row in await db.fetch(conn, WORDS, names))


async def _questions(conn: AsyncConnection, scored: Sequence[InboundMessage], known: Known) -> None:
    """Which questions these bare numbers answer; and which of them were heard before."""
    places = {(one.handle, one.channel, one.inbox) for one in scored if one.handle is not None}
    known.questions.update(await surveys.open_to(conn, places))
    names = [derived_id("word", f"{one.namespace}:{one.dedup_key}") for one in scored]
    known.words.update(row["id"] for row in await db.fetch(conn, WORDS, names))


async def _tickets(conn: AsyncConnection, wanted: Iterable[str], known: Known) -> dict[str, Ticket]:
    stories: dict[str, Ticket] = {}
    while missing := set(wanted) - stories.keys():
        wanted = await _more_tickets(conn, missing, known, stories)
    return stories


async def _more_tickets(conn: AsyncConnection, wanted: Iterable[str], known: Known, stories: dict[str, Ticket]) -> set[str]:
    """Lock and note these. Returns where they go on: of one merged while its row was waited for, and of the end of a long way,
    that was not seen.
    """
    onward = set()
    for row in await db.fetch(conn, TICKETS, list(wanted)):
        ticket_id, number, customer_id, closed, merged_into, followed_up_by, subject, silent, written = row
        story = stories[ticket_id] = _stories.decode(written)
        ticket = KnownTicket(
            ticket_id,
            number,
            customer_id,
            closed,
            merged_into,
            followed_up_by,
            story.routing.agent_id,
            subject,
            silent,
            story.spam,
            judged=bool(story.routing.spam),
        )
        known.tickets[ticket_id] = ticket
        if (next_id := goes_on_as(ticket)) is not None:
            onward.add(next_id)
    return onward
