"""Before a person is forgotten: their addresses are taken out of what is somebody else's, and what has no customer and names them
is deleted. Some at a time, each in a transaction of its own: while rows are held, all waits that names them.

It may be broken off and asked for again: what is done names them no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake.domain.redacting import names, without
from services.intake.store import erasure, mentions
from services.intake.store.mentions import Kept, Shelf
from shared import db

TICKETS_AT_ONCE = 100
SHORTEST = 8  # characters of another system's name for somebody that mean something wherever they stand
Handled = Callable[[AsyncConnection, Shelf, Sequence[Kept]], Awaitable[None]]


async def prepare(engine: AsyncEngine, customer_id: str) -> None:
    """Do all that can be done before their handles are gone. Raises DatabaseAway."""
    async with db.transaction(engine) as conn:
        ids = await erasure.merge_set(conn, customer_id)
        handles = await erasure.handles_of(conn, ids)
        tickets = await mentions.tickets_of(conn, ids)
    addresses = [one.value for one in handles if one.kind == "email" and one.scope == ""]
    if addresses:
        done = await _redact_copied(engine, customer_id)
        await _redact_others(engine, tickets, addresses, done)
    named = [one.value for one in handles if one.kind in ("email", "phone") or len(one.value) >= SHORTEST]
    if named:
        await _drop_unowned(engine, named)


async def _redact_copied(engine: AsyncEngine, customer_id: str) -> set[str]:
    """What others wrote with a copy to them. Returns which messages those are."""

    async def some() -> list[str]:
        async with db.transaction(engine) as conn:
            return await erasure.redact(conn, await erasure.merge_set(conn, customer_id))

    done = set[str]()
    while ids := await db.retrying(some):
        done.update(ids)
    return done


async def _redact_others(engine: AsyncEngine, tickets: Sequence[str], addresses: Sequence[str], done: Set[str]) -> None:
    """What else was written on tickets on which they take part, and what providers said of what went out to the others there."""

    def left(rows: Sequence[Kept]) -> list[Kept]:
        changed = ((row, without(row.body, row.media_type, addresses)) for row in rows if row.id not in done)
        return [Kept(row.id, row.media_type, body) for row, body in changed if body is not row.body]

    async def write(conn: AsyncConnection, shelf: Shelf, rows: Sequence[Kept]) -> None:
        await shelf.write(conn, await asyncio.to_thread(left, rows))

    seen = set[str]()
    for start in range(0, len(tickets), TICKETS_AT_ONCE):
        some = tickets[start : start + TICKETS_AT_ONCE]
        await _through(engine, mentions.MESSAGES, some, write)
        async with db.transaction(engine) as conn:
            owners = [one for one in await mentions.owners_of(conn, some) if one not in seen]
        seen.update(owners)
        await _through(engine, mentions.WORDS, owners, write)


async def _drop_unowned(engine: AsyncEngine, named: Sequence[str]) -> None:
    """What could not be read, and what was uploaded and not sent yet, is theirs if it names them."""

    def theirs(rows: Sequence[Kept]) -> list[str]:
        return [row.id for row in rows if names(row.body, row.media_type, named)]

    async def drop(conn: AsyncConnection, shelf: Shelf, rows: Sequence[Kept]) -> None:
        await shelf.drop(conn, await asyncio.to_thread(theirs, rows))

    for shelf in (mentions.PARKED, mentions.UPLOADED):
        await _through(engine, shelf, [], drop)


async def _through(engine: AsyncEngine, shelf: Shelf, of: Sequence[str], handle: Handled) -> None:
    """All rows of a shelf, from the first id to the last."""
    after: str | None = shelf.first
    while after is not None:
        after = await db.retrying(lambda at=after: _some(engine, shelf, of, handle, at))  # type: ignore[misc]


async def _some(engine: AsyncEngine, shelf: Shelf, of: Sequence[str], handle: Handled, after: str) -> str | None:
    """Up to which id it came; None at the end."""
    async with db.transaction(engine) as conn:
        rows = await shelf.read(conn, of, after)
        await handle(conn, shelf, rows)
    return rows[-1].id if rows else None
