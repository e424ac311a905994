"""Customers' records: who they are, how they are reached, what they ordered, and who turned out to be whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Handle
from services.intake.domain.identity import TYPED, Person, Profile
from shared import db
from shared.events.people import HandleKind, OrderRecorded
from shared.ticket import Ticket

_profiles = msgspec.json.Decoder(Profile)
_orders = msgspec.json.Decoder(OrderRecorded)
_stories = msgspec.json.Decoder(Ticket)

_ROW = """
    SELECT c.id, c.version, c.profile::text, c.merged_into, c.erased_at IS NOT NULL, c.language, c.created_at
    FROM intake.customer c
    """
LOCKED = _ROW + "WHERE c.id = ANY($1::text[]) ORDER BY c.id FOR UPDATE"
ONE = _ROW + "WHERE c.id = $1"
PAGE = _ROW + "WHERE c.id > $1 AND c.erased_at IS NULL AND c.merged_into IS NULL ORDER BY c.id LIMIT $2::integer"
OWNERS = """
    SELECT h.kind, h.scope, h.value, h.customer_id FROM unnest($1::text[], $2::text[], $3::text[]) AS w(kind, scope, value)
    JOIN intake.handle h USING (kind, scope, value)
    """
HANDLES = """
    SELECT id, kind, scope, value, coalesce(verified_by, CASE WHEN scope = 'claimed' THEN 'not' ELSE 'wrote_from_it' END),
        customer_id FROM intake.handle WHERE customer_id = ANY($1::text[]) ORDER BY customer_id, kind, scope, value
    """
INSERT = """
    INSERT INTO intake.customer (id, language, created_at) SELECT *, $1::timestamptz FROM unnest($2::text[], $3::text[])
    ON CONFLICT DO NOTHING
    """
ADD_HANDLES = """
    INSERT INTO intake.handle (kind, scope, value, id, customer_id, verified_by)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING
    """
REMOVE_HANDLE = "DELETE FROM intake.handle WHERE id = $1 AND customer_id = $2 RETURNING 1"
# What is told of the person is of the whole merge set; `profile` is what was said under this id.
WRITE = """
    UPDATE intake.customer c SET version = w.version, profile = w.profile::jsonb, vip = coalesce(w.vip, false), plan = w.plan,
        tier = w.tier, language = coalesce(w.language, c.language)
    FROM unnest($1::text[], $2::integer[], $3::text[], $4::boolean[], $5::text[], $6::text[], $7::text[])
        AS w(id, version, profile, vip, plan, tier, language) WHERE c.id = w.id
    """
# The ids that came in under each of these, deepest last; each with what was said under it.
FAMILY = """
    WITH RECURSIVE family(root, id, depth, at) AS (
        SELECT id, id, 0, merged_at FROM intake.customer WHERE id = ANY($1::text[])
        UNION ALL SELECT f.root, c.id, f.depth + 1, c.merged_at
        FROM family f JOIN intake.customer c ON c.merged_into = f.id WHERE f.depth < 10
    )
    SELECT f.root, f.id, c.profile::text FROM family f JOIN intake.customer c USING (id) ORDER BY f.root, f.depth, f.at, f.id
    """
ONWARD = """
    WITH RECURSIVE way(id, depth) AS (
        SELECT $1::text, 0 UNION ALL
        SELECT c.merged_into, depth + 1 FROM way JOIN intake.customer c USING (id) WHERE c.merged_into IS NOT NULL AND depth < 10
    )
    SELECT id FROM way ORDER BY depth DESC LIMIT 1
    """
MERGE = "UPDATE intake.customer SET merged_into = $2, merged_at = $3::timestamptz WHERE id = $1"
MOVE_HANDLES = "UPDATE intake.handle SET origin = coalesce(origin, customer_id), customer_id = $2 WHERE customer_id = $1"
# A claim that came to the owner is none any more; the next one who types the address in is not taken for them.
DROP_CLAIMS = """
    DELETE FROM intake.handle h USING intake.handle o
    WHERE h.customer_id = $1 AND h.scope = 'claimed' AND o.customer_id = $1 AND (o.kind, o.scope, o.value) = (h.kind, '', h.value)
    RETURNING h.id
    """
RETURN_HANDLES = """
    UPDATE intake.handle SET customer_id = $2, origin = CASE WHEN origin = $2 THEN NULL ELSE origin END
    WHERE customer_id = $1 AND origin = ANY($3::text[]) RETURNING kind, scope, value
    """
TICKETS = "SELECT id, story FROM intake.ticket WHERE customer_id = $1 ORDER BY id FOR UPDATE"
# A ticket is of who wrote it first; calls, and what was written after the merge, tell it by the handle that goes back.
RETURNING = """
    SELECT t.id, t.story FROM intake.ticket t
    LEFT JOIN LATERAL (SELECT m.customer_id, m.handle_kind, m.handle FROM intake.message m WHERE m.ticket_id = t.id
                       ORDER BY m.opened DESC, m.received_at LIMIT 1) m ON true
    WHERE t.customer_id = $1 AND (
        m.customer_id = ANY($2::text[])
        OR EXISTS (SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS h(kind, scope, value)
                   WHERE (h.kind, h.value, h.scope = 'claimed') = (m.handle_kind, m.handle, t.channel = ANY($6::text[])))
        OR EXISTS (SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS h(kind, scope, value)
                   WHERE right(t.conversation, length(concat_ws(E'\\x1f', '', h.kind, h.scope, h.value)))
                       = concat_ws(E'\\x1f', '', h.kind, h.scope, h.value)))
    ORDER BY t.id FOR UPDATE OF t
    """
GIVE = "UPDATE intake.ticket SET customer_id = $1 WHERE id = ANY($2::text[])"
SUGGEST = """
    INSERT INTO intake.suggestion AS s (customer_id, other_id, evidence, suggested_at)
    SELECT DISTINCT *, $1::timestamptz FROM unnest($2::text[], $3::text[], $4::text[])
    ON CONFLICT (customer_id, other_id) DO UPDATE SET evidence = excluded.evidence, state = 'open'
    WHERE excluded.evidence = 'answered_from_it' AND s.evidence <> excluded.evidence AND s.state <> 'accepted'
    """
SUGGESTED = """
    SELECT customer_id, other_id, evidence, state, suggested_at FROM intake.suggestion
    WHERE (customer_id = ANY($1::text[]) OR other_id = ANY($1::text[])) AND state = 'open' ORDER BY suggested_at, 1, 2
    """
SETTLE = """
    UPDATE intake.suggestion SET state = $3::text
    WHERE state = 'open' AND (customer_id, other_id) IN (($1, $2), ($2, $1)) RETURNING 1
    """
PROVEN = """
    SELECT customer_id, other_id FROM intake.suggestion WHERE state = 'open' AND evidence = 'answered_from_it'
    ORDER BY suggested_at LIMIT 20
    """
DOUBT = "UPDATE intake.suggestion SET evidence = 'claimed_address' WHERE customer_id = $1 AND other_id = $2"
PUT_ORDER = """
    INSERT INTO intake.customer_order (customer_id, order_id, version, said) VALUES ($1, $2, $3::integer, $4::text::jsonb)
    ON CONFLICT (customer_id, order_id) DO UPDATE SET version = excluded.version, said = excluded.said
    """
ORDER = "SELECT version, said::text AS said FROM intake.customer_order WHERE customer_id = $1 AND order_id = $2"
ORDERS = """
    SELECT version, said::text AS said FROM intake.customer_order WHERE customer_id = ANY($1::text[]) AND order_id > $2
    ORDER BY order_id LIMIT $3::integer
    """


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer's row. `profile` is what was said under this id; `version` counts the changes of it."""

    customer_id: str
    version: int
    profile: Profile
    merged_into: str | None
    erased: bool
    language: str
    created_at: datetime


class OwnedHandle(NamedTuple):
    """A handle with its id and what proved it."""

    handle_id: str
    handle: Handle
    verified_by: str
    customer_id: str


class Written(NamedTuple):
    """A customer's record to write: what was said under this id, and what it comes to together with all merged ids."""

    customer_id: str
    version: int
    own: Profile
    whole: Profile


class Suggested(NamedTuple):
    """Two customers who may be one."""

    customer_id: str
    other_id: str
    evidence: str
    state: str
    suggested_at: datetime


def _customer(row: asyncpg.Record) -> Customer:
    customer_id, version, profile, merged_into, erased, language, created_at = row
    return Customer(customer_id, version, _profiles.decode(profile), merged_into, erased, language, created_at)


async def locked(conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, Customer]:
    """These customers, their rows held in order."""
    return {row[0]: _customer(row) for row in await db.fetch(conn, LOCKED, sorted(set(customer_ids)))}


async def one(conn: AsyncConnection, customer_id: str) -> Customer | None:
    """A customer as stored under this id, merged or not."""
    rows = await db.fetch(conn, ONE, customer_id)
    return _customer(rows[0]) if rows else None


async def page(conn: AsyncConnection, after: str, limit: int) -> list[Customer]:
    """Customers by id, without those who were merged or erased."""
    return [_customer(row) for row in await db.fetch(conn, PAGE, after, limit)]


async def onward(conn: AsyncConnection, customer_id: str) -> str:
    """Under which id this customer goes on."""
    return (await db.fetch(conn, ONWARD, customer_id))[0]["id"]  # type: ignore[no-any-return]


async def owners(conn: AsyncConnection, handles: Sequence[Handle]) -> dict[Handle, str]:
    """Whose these handles are."""
    rows = await db.fetch(conn, OWNERS, *_columns(handles))
    return {Handle(kind, value, scope): customer_id for kind, scope, value, customer_id in rows}


async def handles_of(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[OwnedHandle]:
    """How these customers are reached."""
    rows = await db.fetch(conn, HANDLES, list(customer_ids))
    return [OwnedHandle(handle_id, Handle(kind, value, scope), by, owner) for handle_id, kind, scope, value, by, owner in rows]


async def family(conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, dict[str, Profile]]:
    """For each of these: what was said under its own id and under every id that was merged into it, nearest first."""
    found: dict[str, dict[str, Profile]] = {}
    for root, member, profile in await db.fetch(conn, FAMILY, list(customer_ids)):
        found.setdefault(root, {})[member] = _profiles.decode(profile)
    return found


async def people(conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, Person]:
    """What merging wants to know of these; their rows are held."""
    rows = await locked(conn, customer_ids)
    external: dict[str, set[str]] = {}
    for owned in await handles_of(conn, list(rows)):
        if owned.handle.kind == "external_id":
            external.setdefault(owned.customer_id, set()).add(owned.handle.value)
    return {
        row.customer_id: Person(row.customer_id, row.merged_into, row.erased, frozenset(external.get(row.customer_id, ())))
        for row in rows.values()
    }


async def insert(conn: AsyncConnection, languages: Mapping[str, str], now: datetime) -> None:
    """New customers, by id."""
    if languages:
        await db.fetch(conn, INSERT, now, list(languages), list(languages.values()))


async def add_handles(conn: AsyncConnection, handles: Sequence[OwnedHandle]) -> None:
    """Ways to reach customers."""
    if handles:
        columns = _columns([owned.handle for owned in handles])
        rest = [h.handle_id for h in handles], [h.customer_id for h in handles], [h.verified_by for h in handles]
        await db.fetch(conn, ADD_HANDLES, *columns, *rest)


async def remove_handle(conn: AsyncConnection, customer_id: str, handle_id: str) -> bool:
    """Take a handle from a customer. False when it is not theirs."""
    return bool(await db.fetch(conn, REMOVE_HANDLE, handle_id, customer_id))


async def write(conn: AsyncConnection, records: Sequence[Written]) -> None:
    """Records as they are now."""
    if not records:
        return
    await db.fetch(
        conn,
        WRITE,
        [record.customer_id for record in records],
        [record.version for record in records],
        [msgspec.json.encode(record.own).decode() for record in records],
        [record.whole.vip for record in records],
        [record.whole.plan for record in records],
        [record.whole.tier for record in records],
        [record.whole.language for record in records],
    )


async def merge(conn: AsyncConnection, one_id: str, into_id: str, now: datetime) -> dict[str, Ticket]:
    """Let one customer go on as another: handles and tickets move. Returns the tickets' stories, held."""
    await db.fetch(conn, MERGE, one_id, into_id, now)
    await db.fetch(conn, MOVE_HANDLES, one_id, into_id)
    stories = {ticket_id: _stories.decode(story) for ticket_id, story in await db.fetch(conn, TICKETS, one_id)}
    await db.fetch(conn, GIVE, into_id, list(stories))
    return stories


async def drop_claims(conn: AsyncConnection, customer_id: str) -> list[str]:
    """Take from a customer the claims on what is theirs anyway. Returns the ids of those handles."""
    return [row["id"] for row in await db.fetch(conn, DROP_CLAIMS, customer_id)]


async def unmerge(conn: AsyncConnection, one_id: str, from_id: str) -> dict[str, Ticket]:
    """Let a customer be one again, with all that came with it and with its handles since. Returns its tickets' stories, held."""
    members = list((await family(conn, [one_id]))[one_id])
    await db.fetch(conn, MERGE, one_id, None, None)
    returned = [
        Handle(kind, value, scope) for kind, scope, value in await db.fetch(conn, RETURN_HANDLES, from_id, one_id, members)
    ]
    rows = await db.fetch(conn, RETURNING, from_id, members, *_columns(returned), sorted(TYPED))
    stories = {ticket_id: _stories.decode(story) for ticket_id, story in rows}
    await db.fetch(conn, GIVE, one_id, list(stories))
    return stories


async def suggest(conn: AsyncConnection, pairs: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """Perhaps the same person: (customer, other, evidence). What was answered before is not asked again."""
    if pairs:
        await db.fetch(conn, SUGGEST, now, *map(list, zip(*pairs, strict=True)))


async def suggestions(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[Suggested]:
    """Those that nobody answered, oldest first."""
    return [Suggested(*row) for row in await db.fetch(conn, SUGGESTED, list(customer_ids))]


async def settle(conn: AsyncConnection, one_id: str, other_id: str, state: str) -> bool:
    """Answer a suggestion. False when none is open."""
    return bool(await db.fetch(conn, SETTLE, one_id, other_id, state))


async def proven(conn: AsyncConnection) -> list[tuple[str, str]]:
    """Pairs that are one person for certain and were not merged yet."""
    return [(one, other) for one, other in await db.fetch(conn, PROVEN)]


async def doubt(conn: AsyncConnection, one_id: str, other_id: str) -> None:
    """Leave a pair that could not be merged to people."""
    await db.fetch(conn, DOUBT, one_id, other_id)


async def put_order(conn: AsyncConnection, customer_id: str, version: int, order: OrderRecorded) -> None:
    """An order as it stands now."""
    await db.fetch(conn, PUT_ORDER, customer_id, order.order_id, version, msgspec.json.encode(order).decode())


async def order(conn: AsyncConnection, customer_id: str, order_id: str) -> tuple[int, OrderRecorded] | None:
    """An order and its version."""
    rows = await db.fetch(conn, ORDER, customer_id, order_id)
    return (rows[0]["version"], _orders.decode(rows[0]["said"])) if rows else None


async def orders(conn: AsyncConnection, customer_ids: Sequence[str], after: str, limit: int) -> list[tuple[int, OrderRecorded]]:
    """Orders of these, by their ids."""
    return [(version, _orders.decode(said)) for version, said in await db.fetch(conn, ORDERS, list(customer_ids), after, limit)]


def _columns(handles: Sequence[Handle]) -> tuple[list[HandleKind], list[str], list[str]]:
    return [h.kind for h in handles], [h.scope for h in handles], [h.value for h in handles]
