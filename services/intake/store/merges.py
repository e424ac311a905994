"""Who turned out to be whom: two customers become one and two again, and who may be one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import TYPED, Person
from services.intake.domain.records import OwnedHandle
from services.intake.store import customers
from shared import db
from shared.ticket import Ticket

_stories = msgspec.json.Decoder(Ticket)

MERGE = "UPDATE intake.customer SET merged_into = $2, merged_at = $3::timestamptz WHERE id = $1"
MOVE_HANDLES = "UPDATE intake.handle SET origin = coalesce(origin, customer_id), customer_id = $2 WHERE customer_id = $1"
# A claim that came to the owner is none any more; the next one who types the address in is not taken for them. Nor is one of a
# number that was only given beside an address, when its claimer turns out to be somebody who is known by what is theirs.
DROP_CLAIMS = """
    DELETE FROM intake.handle h
    WHERE h.customer_id = $1 AND h.scope = 'claimed' AND (
        EXISTS (SELECT FROM intake.handle o
                WHERE o.customer_id = $1 AND (o.kind, o.scope, o.value) = (h.kind, '', h.value))
        OR EXISTS (SELECT FROM intake.handle o WHERE o.customer_id = $1 AND o.scope <> 'claimed')
        AND NOT EXISTS (SELECT FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
                        WHERE t.customer_id = $1 AND (m.handle_kind, m.handle) = (h.kind, h.value)))
    RETURNING h.id, h.kind, h.scope, h.value,
        EXISTS (SELECT FROM intake.handle o
                WHERE o.customer_id = $1 AND (o.kind, o.scope, o.value) = (h.kind, '', h.value)) AS proven
    """
# What of somebody's claims would stay theirs in another (`DROP_CLAIMS`), who never showed that they have it.
UNPROVEN = """
    SELECT 1 FROM intake.handle h
    WHERE h.customer_id = $1 AND h.scope = 'claimed'
        AND NOT EXISTS (SELECT FROM intake.handle o
                        WHERE o.customer_id = $2 AND (o.kind, o.scope, o.value) = (h.kind, '', h.value))
        AND EXISTS (SELECT FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
                    WHERE t.customer_id = $1 AND (m.handle_kind, m.handle) = (h.kind, h.value))
    LIMIT 1
    """
RETURN_HANDLES = """
    UPDATE intake.handle SET customer_id = $2, origin = CASE WHEN origin = $2 THEN NULL ELSE origin END
    WHERE customer_id = $1 AND origin = ANY($3::text[]) RETURNING kind, scope, value
    """
# Another form of a number that goes back, seen since the merge, is the same line.
RETURN_FORMS = """
    UPDATE intake.handle h SET customer_id = $2 FROM unnest($3::text[], $4::text[], $5::text[]) AS w(kind, scope, value)
    WHERE h.customer_id = $1 AND h.origin IS NULL AND (h.kind, h.scope, h.value) = (w.kind, w.scope, w.value)
    RETURNING h.kind, h.scope, h.value
    """
# A claim that came to its owner was no claim any more; it is one again when they are two, for who typed the address in is reached
# there, and nowhere else. Where somebody else claims it by now it is theirs.
RECLAIM = """
    INSERT INTO intake.handle (kind, scope, value, id, customer_id)
    SELECT DISTINCT ON (m.handle_kind, m.handle)
        m.handle_kind, 'claimed', m.handle, gen_random_uuid()::text, t.customer_id
    FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
    JOIN intake.handle o ON (o.kind, o.scope, o.value) = (m.handle_kind, '', m.handle)
    WHERE t.customer_id = ANY($1::text[]) AND t.channel = ANY($2::text[]) AND m.opened AND m.participant
        AND o.kind IN ('email', 'phone') AND o.customer_id = ANY($1::text[]) AND o.customer_id <> t.customer_id
    ORDER BY m.handle_kind, m.handle, m.received_at
    ON CONFLICT DO NOTHING RETURNING id, kind, scope, value, customer_id
    """
TICKETS = "SELECT id, story FROM intake.ticket WHERE customer_id = $1 ORDER BY id FOR UPDATE"
# A ticket is of whom it was moved from, or of who wrote it first; calls, and what was written after the merge, tell it by the
# handle that goes back.
RETURNING = """
    SELECT t.id, t.story FROM intake.ticket t
    LEFT JOIN LATERAL (SELECT m.customer_id, m.handle_kind, m.handle FROM intake.message m WHERE m.ticket_id = t.id
                       ORDER BY m.opened DESC, m.received_at LIMIT 1) m ON true
    WHERE t.customer_id = $1 AND (
        convert_from(t.story, 'UTF8')::jsonb #>> '{intake,origin}' = ANY($2::text[])
        OR m.customer_id = ANY($2::text[])
        OR EXISTS (SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS h(kind, scope, value)
                   WHERE (h.kind, h.value, h.scope = 'claimed') = (m.handle_kind, m.handle, t.channel = ANY($6::text[])))
        OR EXISTS (SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS h(kind, scope, value)
                   WHERE right(t.conversation, length(concat_ws(E'\\x1f', '', h.kind, h.scope, h.value)))
                       = concat_ws(E'\\x1f', '', h.kind, h.scope, h.value)))
    ORDER BY t.id FOR UPDATE OF t
    """
GIVE = "UPDATE intake.ticket SET customer_id = $1 WHERE id = ANY($2::text[])"
# What came from a handle while it was taken for somebody else's goes back with it; and what one of two wrote to a ticket that is
# the other's again is a guest's from now on. So each one's erasure finds all that is theirs. Who typed an address in did not
# write from it.
RETURN_MESSAGES = """
    UPDATE intake.message m SET customer_id = $1
    FROM intake.ticket t, unnest($4::text[], $5::text[], $6::text[]) AS h(kind, scope, value)
    WHERE t.customer_id IN ($1, $2) AND m.ticket_id = t.id AND m.customer_id = ANY($3::text[])
      AND (m.handle_kind, m.handle) = (h.kind, h.value)
      AND (h.scope = 'claimed' OR t.channel <> ALL($7::text[]) OR t.channel = 'form' AND NOT m.opened)
    """
# What was written to them, and what was said of it.
RETURN_DELIVERIES = """
    UPDATE intake.delivery d SET customer_id = $1 FROM intake.ticket t
    WHERE t.customer_id = $1 AND d.ticket_id = t.id AND d.customer_id = ANY($2::text[])
    """
# Files go with the message to which they belong, one that came or one that was written to them.
RETURN_FILES = """
    UPDATE intake.file f SET customer_id = $1
    WHERE f.customer_id = ANY($2::text[]) AND (
        EXISTS (SELECT FROM intake.message m WHERE m.id = f.message_id AND m.customer_id = $1)
        OR EXISTS (SELECT FROM intake.delivery d WHERE d.message_id = f.message_id AND d.customer_id = $1))
    """
RETURN_FETCHES = """
    UPDATE intake.fetch f SET customer_id = $1 FROM intake.message m
    WHERE f.customer_id = ANY($2::text[]) AND m.id = f.message_id AND m.customer_id = $1
    """
PART_MESSAGES = """
    UPDATE intake.message m SET participant = false FROM intake.ticket t
    WHERE t.customer_id = $1 AND m.ticket_id = t.id AND m.participant AND m.customer_id <> ALL($2::text[])
    """
ENTANGLED = """
    SELECT t.number, o.number AS other FROM intake.ticket t JOIN intake.ticket o ON o.id = t.merged_into
    WHERE t.customer_id = ANY($1::text[]) AND o.customer_id = ANY($1::text[]) AND o.customer_id <> t.customer_id
    ORDER BY 1 LIMIT 1
    """
SUGGEST = """
    INSERT INTO intake.suggestion AS s (customer_id, other_id, evidence, suggested_at)
    SELECT DISTINCT ON (w.one, w.other) w.one, w.other, w.evidence, $1::timestamptz
    FROM unnest($2::text[], $3::text[], $4::text[]) AS w(one, other, evidence)
    ORDER BY w.one, w.other, w.evidence IN ('answered_from_it', 'signed_identity') DESC
    ON CONFLICT (customer_id, other_id) DO UPDATE SET evidence = excluded.evidence, state = 'open'
    WHERE excluded.evidence IN ('answered_from_it', 'signed_identity')
      AND s.evidence NOT IN ('answered_from_it', 'signed_identity') AND s.state <> 'accepted'
    """
SUGGESTED = """
    SELECT customer_id, other_id, evidence, state, suggested_at FROM intake.suggestion
    WHERE (customer_id = ANY($1::text[]) OR other_id = ANY($1::text[])) AND state = 'open' ORDER BY suggested_at, 1, 2
    """
SETTLE = """
    UPDATE intake.suggestion SET state = $3::text
    WHERE state = 'open' AND (customer_id = ANY($1::text[]) AND other_id = $2 OR customer_id = $2 AND other_id = ANY($1::text[]))
    RETURNING 1
    """
PROVEN = """
    SELECT customer_id, other_id, evidence FROM intake.suggestion
    WHERE state = 'open' AND evidence IN ('answered_from_it', 'signed_identity')
    ORDER BY suggested_at LIMIT 20
    """
DOUBT = "UPDATE intake.suggestion SET evidence = 'claimed_address' WHERE customer_id = $1 AND other_id = $2"


class Dropped(NamedTuple):
    """A claim that has ended: the id of the handle, and whether it turned out to be theirs."""

    handle_id: str
    handle: Handle
    proven: bool


class Suggested(NamedTuple):
    """Two customers who may be one."""

    customer_id: str
    other_id: str
    evidence: str
    state: str
    suggested_at: datetime


async def people(conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, Person]:
    """What merging wants to know of these; their rows are held."""
    rows = await customers.locked(conn, customer_ids)
    external: dict[str, set[str]] = {}
    for owned in await customers.handles_of(conn, list(rows)):
        if owned.handle.kind == "external_id":
            external.setdefault(owned.customer_id, set()).add(owned.handle.value)
    return {
        row.customer_id: Person(row.customer_id, row.merged_into, row.erased, frozenset(external.get(row.customer_id, ())))
        for row in rows.values()
    }


async def merge(conn: AsyncConnection, one_id: str, into_id: str, now: datetime, holder: str | None = None) -> dict[str, Ticket]:
    """Let one customer go on as another: handles and tickets move, to `holder` where that one was merged onward itself. Returns
    the tickets' stories, held.
    """
    await db.fetch(conn, MERGE, one_id, into_id, now)
    await db.fetch(conn, MOVE_HANDLES, one_id, holder or into_id)
    stories = {ticket_id: _stories.decode(story) for ticket_id, story in await db.fetch(conn, TICKETS, one_id)}
    await db.fetch(conn, GIVE, holder or into_id, list(stories))
    return stories


async def drop_claims(conn: AsyncConnection, customer_id: str) -> list[Dropped]:
    """Take from a customer the claims on what is theirs anyway, and on what was only said beside it."""
    rows = await db.fetch(conn, DROP_CLAIMS, customer_id)
    return [Dropped(row[0], Handle(row[1], row[3], row[2]), row[4]) for row in rows]


async def reclaim(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[OwnedHandle]:
    """Give these, who are two again, the claims back that ended when they were one. Returns those."""
    rows = await db.fetch(conn, RECLAIM, list(customer_ids), sorted(TYPED))
    return [OwnedHandle(row[0], Handle(row[1], row[3], row[2]), "not", row[4]) for row in rows]


async def unmerge(conn: AsyncConnection, one_id: str, from_id: str) -> dict[str, Ticket]:
    """Let a customer be one again, with all that came with it and with its handles since. Returns its tickets' stories, held."""
    families = await customers.family(conn, [one_id, from_id])
    members = list(families[one_id])
    await db.fetch(conn, MERGE, one_id, None, None)
    back = await db.fetch(conn, RETURN_HANDLES, from_id, one_id, members)
    returned = [Handle(kind, value, scope) for kind, scope, value in back]
    forms = [form for handle in returned for form in numbers.forms(handle)[1:]]
    if forms:
        also = await db.fetch(conn, RETURN_FORMS, from_id, one_id, *customers.columns(forms))
        returned += [Handle(kind, value, scope) for kind, scope, value in also]
    rows = await db.fetch(conn, RETURNING, from_id, members, *customers.columns(returned), sorted(TYPED))
    stories = {ticket_id: _stories.decode(story) for ticket_id, story in rows}
    await db.fetch(conn, GIVE, one_id, list(stories))
    others = [from_id, *(member for member in families.get(from_id, {}) if member not in members)]
    await db.fetch(conn, RETURN_MESSAGES, one_id, from_id, others, *customers.columns(returned), sorted(TYPED))
    for statement in (RETURN_DELIVERIES, RETURN_FILES, RETURN_FETCHES):
        await db.fetch(conn, statement, one_id, others)
    for customer_id, own in ((one_id, members), (from_id, others)):
        await db.fetch(conn, PART_MESSAGES, customer_id, own)
    return stories


async def entangled(conn: AsyncConnection, customer_ids: Sequence[str]) -> tuple[int, int] | None:
    """The numbers of a ticket of one of these and of that into which it was merged, which is another one's; None where there is
    none.
    """
    rows = await db.fetch(conn, ENTANGLED, list(customer_ids))
    return (rows[0]["number"], rows[0]["other"]) if rows else None


async def suggest(conn: AsyncConnection, pairs: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """Perhaps the same person: (customer, other, evidence). What was answered before is not asked again."""
    if pairs:
        await db.fetch(conn, SUGGEST, now, *map(list, zip(*pairs, strict=True)))


async def suggestions(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[Suggested]:
    """Those that nobody answered, oldest first."""
    return [Suggested(*row) for row in await db.fetch(conn, SUGGESTED, list(customer_ids))]


async def settle(conn: AsyncConnection, ids: Sequence[str], other_id: str, state: str) -> bool:
    """Answer what is suggested of another and a person known under these ids. False when nothing is open."""
    return bool(await db.fetch(conn, SETTLE, list(ids), other_id, state))


async def proven(conn: AsyncConnection) -> list[tuple[str, str, str]]:
    """Pairs that are one person for certain and were not merged yet, and by what."""
    return [(one, other, evidence) for one, other, evidence in await db.fetch(conn, PROVEN)]


async def brings_unproven(conn: AsyncConnection, one_id: str, into_id: str) -> bool:
    """Whether somebody wrote under a claim of the one that is not the other's: it would be theirs by the merge alone."""
    return bool(await db.fetch(conn, UNPROVEN, one_id, into_id))


async def doubt(conn: AsyncConnection, one_id: str, other_id: str) -> None:
    """Leave a pair that could not be merged to people."""
    await db.fetch(conn, DOUBT, one_id, other_id)
