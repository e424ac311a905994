"""Customers' records: who they are, and how they are reached."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import CLAIMED, TYPED, Profile, claimed
from services.intake.domain.records import Changes, Known, OwnedHandle, Put, Record, Written
from services.intake.store import consents
from services.intake.store.locks import handle_lock, lock
from shared import db
from shared.events.people import HandleKind

_profiles = msgspec.json.Decoder(Profile)

_ROW = """
    SELECT c.id, c.version, c.profile::text, c.erased_at IS NOT NULL, c.merged_into FROM intake.customer c
    """
LOCKED = _ROW + "WHERE c.id = ANY($1::text[]) ORDER BY c.id FOR UPDATE"
ONE = _ROW + "WHERE c.id = $1"
PAGE = _ROW + "WHERE c.id > $1 AND c.erased_at IS NULL AND c.merged_into IS NULL ORDER BY c.id LIMIT $2::integer"
OWNERS = """
    SELECT h.kind, h.scope, h.value, h.customer_id FROM unnest($1::text[], $2::text[], $3::text[]) AS w(kind, scope, value)
    JOIN intake.handle h USING (kind, scope, value)
    """
# Who had a copy had shown nothing by it; since then they may have written. Who typed the address in, and was merged with them
# since, showed nothing either; what follows a form is mail.
_SHOWN = "m.handle = h.value AND (t.channel <> ALL($2::text[]) OR t.channel = 'form' AND NOT m.opened)"
HANDLES = f"""
    SELECT h.id, h.kind, h.scope, h.value, CASE
            WHEN h.scope = 'claimed' THEN 'not'
            WHEN h.verified_by = 'not' AND NOT EXISTS (
                SELECT FROM intake.message m JOIN intake.ticket t ON t.id = m.ticket_id
                WHERE m.customer_id IN (h.customer_id, h.origin) AND NOT m.participant AND {_SHOWN})
                AND NOT EXISTS (
                SELECT FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
                WHERE t.customer_id = h.customer_id AND {_SHOWN}) THEN 'not'
            ELSE coalesce(nullif(h.verified_by, 'not'), 'wrote_from_it') END,
        h.customer_id
    FROM intake.handle h WHERE h.customer_id = ANY($1::text[]) ORDER BY h.customer_id, h.kind, h.scope, h.value
    """
INSERT = """
    INSERT INTO intake.customer (id, language, created_at) SELECT *, $1::timestamptz FROM unnest($2::text[], $3::text[])
    ON CONFLICT DO NOTHING
    """
ADD_HANDLES = """
    INSERT INTO intake.handle (kind, scope, value, id, customer_id, verified_by)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING
    """
FORGET_HANDLE = "DELETE FROM intake.handle WHERE id = $1 RETURNING kind, scope, value, customer_id"
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
    WITH RECURSIVE way(root, id, depth) AS (
        SELECT root, root, 0 FROM unnest($1::text[]) root UNION ALL
        SELECT way.root, c.merged_into, depth + 1 FROM way JOIN intake.customer c USING (id)
        WHERE c.merged_into IS NOT NULL AND depth < 10
    )
    SELECT DISTINCT ON (root) root, id FROM way ORDER BY root, depth DESC
    """


def _record(row: asyncpg.Record) -> Record:
    customer_id, version, profile, erased, merged_into = row
    return Record(customer_id, version, _profiles.decode(profile), erased, merged_into)


async def locked(conn: AsyncConnection, customer_ids: Iterable[str]) -> dict[str, Record]:
    """These customers, their rows held in order."""
    return {row[0]: _record(row) for row in await db.fetch(conn, LOCKED, sorted(set(customer_ids)))}


async def one(conn: AsyncConnection, customer_id: str) -> Record | None:
    """A customer as stored under this id, merged or not."""
    rows = await db.fetch(conn, ONE, customer_id)
    return _record(rows[0]) if rows else None


async def held(conn: AsyncConnection, customer_id: str) -> Record | None:
    """A customer, the row held, under the id that stays: they may have been merged while it was waited for."""
    while True:
        row = (await locked(conn, [customer_id])).get(customer_id)
        if row is None or row.merged_into is None:
            return row
        customer_id = await onward(conn, row.merged_into)


async def situation(conn: AsyncConnection, puts: Sequence[Put]) -> Known:
    """What records are written over; all that is contended is held until the transaction ends."""
    handles = {handle for put in puts for handle in put.all_handles}
    return await standing(conn, handles, {put.named for put in puts if isinstance(put.named, str)})


async def standing(conn: AsyncConnection, handles: Collection[Handle], named: Collection[str] = ()) -> Known:
    """What stands here of these handles, and of customers by their ids; held as `situation` says."""
    await lock(conn, [handle_lock(handle) for handle in handles])
    owned = await owners(conn, list(handles))
    onward = await onward_all(conn, named)
    records = await locked(conn, {*owned.values(), *onward.values()})
    if any(record.merged_into for record in records.values()):  # merged while their rows were waited for
        onward = await onward_all(conn, named)
        records |= await locked(conn, onward.values())
    return Known(owned, onward, records, await family(conn, list(records)))


async def save(conn: AsyncConnection, changes: Changes, now: datetime) -> None:
    """What came of them."""
    await insert(conn, changes.created, now)
    await add_handles(conn, changes.handles)
    await write(conn, list(changes.written.values()))


async def page(conn: AsyncConnection, after: str, limit: int) -> list[Record]:
    """Customers by id, without those who were merged or erased."""
    return [_record(row) for row in await db.fetch(conn, PAGE, after, limit)]


async def onward(conn: AsyncConnection, customer_id: str) -> str:
    """Under which id this customer goes on."""
    return (await onward_all(conn, [customer_id]))[customer_id]


async def onward_all(conn: AsyncConnection, customer_ids: Iterable[str]) -> dict[str, str]:
    """Under which id each of these customers goes on; who is not known, under their own."""
    asked = list(customer_ids)
    return {row["root"]: row["id"] for row in await db.fetch(conn, ONWARD, asked)} if asked else {}


async def owners(conn: AsyncConnection, handles: Sequence[Handle]) -> dict[Handle, str]:
    """Whose these handles are, also where they are known under another form of the number only."""
    rows = await db.fetch(conn, OWNERS, *columns([form for handle in handles for form in numbers.forms(handle)]))
    owned = {Handle(kind, value, scope): customer_id for kind, scope, value, customer_id in rows}
    known = {handle: next((form for form in numbers.forms(handle) if form in owned), None) for handle in handles}
    return {handle: owned[form] for handle, form in known.items() if form is not None}


async def handles_of(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[OwnedHandle]:
    """How these customers are reached."""
    rows = await db.fetch(conn, HANDLES, list(customer_ids), sorted(TYPED))
    return [OwnedHandle(handle_id, Handle(kind, value, scope), by, owner) for handle_id, kind, scope, value, by, owner in rows]


async def hold_handles(conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
    """Let nobody write from what is theirs, nor claim it, until the transaction ends; nor from what became theirs while it was
    waited for. While their rows are not held too, a record may still bring more.
    """
    held: set[str] = set()
    while True:
        owned = [one.handle for one in await handles_of(conn, customer_ids)]
        names = {handle_lock(form) for handle in owned for form in (handle, claimed(handle))}
        if names <= held:
            return
        await lock(conn, names - held)
        held |= names


async def family(conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, dict[str, Profile]]:
    """For each of these: what was said under its own id and under every id that was merged into it, nearest first."""
    found: dict[str, dict[str, Profile]] = {}
    for root, member, profile in await db.fetch(conn, FAMILY, list(customer_ids)):
        found.setdefault(root, {})[member] = _profiles.decode(profile)
    return found


async def insert(conn: AsyncConnection, languages: Mapping[str, str], now: datetime) -> None:
    """New customers, by id."""
    if languages:
        await db.fetch(conn, INSERT, now, list(languages), list(languages.values()))


async def add_handles(conn: AsyncConnection, handles: Sequence[OwnedHandle]) -> None:
    """Ways to reach customers. Of a claim its scope says that nothing proves it."""
    if handles:
        asked = columns([owned.handle for owned in handles])
        verified = [h.verified_by if h.handle.scope != CLAIMED else None for h in handles]
        rest = [h.handle_id for h in handles], [h.customer_id for h in handles], verified
        await db.fetch(conn, ADD_HANDLES, *asked, *rest)
        await consents.refuse_alike(conn, (owned.handle for owned in handles))


async def remove_handle(conn: AsyncConnection, customer_id: str, handle_id: str) -> bool:
    """Take a handle from a customer. False when it is not theirs."""
    return bool(await db.fetch(conn, REMOVE_HANDLE, handle_id, customer_id))


async def forget_handle(conn: AsyncConnection, handle_id: str) -> list[tuple[str, Handle]]:
    """Take a handle away. Returns whose it was. Reads the whole table: for the reading back after a restore."""
    return [(row[3], Handle(row[0], row[2], row[1])) for row in await db.fetch(conn, FORGET_HANDLE, handle_id)]


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


def columns(handles: Sequence[Handle]) -> tuple[list[HandleKind], list[str], list[str]]:
    """Handles as arrays: kinds, scopes, values."""
    return [h.kind for h in handles], [h.scope for h in handles], [h.value for h in handles]
