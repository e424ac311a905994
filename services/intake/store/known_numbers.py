"""What few contacts ask for: the tickets that subjects name, and how long a number was silent that writes under another name."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.contacts import Contact, Handle, InboundMessage
from services.intake.domain.identity import name_hash
from services.intake.domain.known import Known, Named, Seen
from shared import db

# By its number; who else wrote to it or had a copy, of those who ask; at which hosts its customer writes from.
NAMED = """
    SELECT t.number, t.id, t.customer_id,
        ARRAY(SELECT DISTINCT m.handle FROM intake.message m
              WHERE m.ticket_id = t.id AND NOT m.participant AND m.handle_kind = 'email' AND m.handle = ANY($2::text[])
              UNION
              SELECT h.value FROM intake.handle h JOIN intake.message m ON m.cc && ARRAY[h.customer_id, h.origin]
              WHERE m.ticket_id = t.id AND h.kind = 'email' AND h.scope = '' AND h.value = ANY($2::text[])),
        ARRAY(SELECT DISTINCT split_part(h.value, '@', -1) FROM intake.handle h
              WHERE h.customer_id = t.customer_id AND h.kind = 'email' AND h.scope = '')
    FROM intake.ticket t WHERE t.number = ANY($1::bigint[])
    """
# Since when nothing came from these numbers: no message from the number, no call on a ticket of whoever has it.
SEEN = """
    SELECT h.value, h.id, h.customer_id, clock_timestamp() - greatest(
        (SELECT max(m.received_at) FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
         WHERE t.customer_id = h.customer_id AND m.handle_kind = h.kind AND m.handle = h.value),
        (SELECT max(t.changed_at) FROM intake.ticket t WHERE t.customer_id = h.customer_id AND t.channel = 'phone'))
    FROM intake.handle h WHERE h.kind = 'phone' AND h.scope = '' AND h.value = ANY($1::text[])
    """


async def renamed(conn: AsyncConnection, contacts: Sequence[Contact], known: Known) -> None:
    """Since when the numbers were silent from which somebody now writes under another name."""
    if not known.names:
        return
    asked = {
        form.value
        for one in contacts
        if isinstance(one, InboundMessage) and one.handle is not None and (called := name_hash(one.name)) is not None
        for form in numbers.forms(one.handle)
        if known.names.get(form, called) != called
    }
    if not asked:
        return
    values = sorted({form.value for value in asked for form in numbers.forms(Handle("phone", value))})
    for value, handle_id, customer_id, silent in await db.fetch(conn, SEEN, values):
        known.seen[Handle("phone", value)] = Seen(handle_id, customer_id, silent)


async def named(conn: AsyncConnection, contacts: Sequence[Contact], known: Known) -> None:
    """The tickets that subjects name, where nothing stronger names one."""
    naming = [one for one in contacts if isinstance(one, InboundMessage) and one.numbers and not one.tokens]
    if not naming:
        return
    asked = sorted({number for one in naming for number in one.numbers})
    senders = sorted({one.handle.value for one in naming if one.handle is not None})
    for number, ticket_id, customer_id, writers, hosts in await db.fetch(conn, NAMED, asked, senders):
        known.named[number] = Named(ticket_id, customer_id, frozenset(writers), frozenset(hosts))
