"""Calendars and policies: versions are only ever added."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain.policies import Book
from shared import db
from shared.events.codec import decode_data, encode_data
from shared.events.config import CalendarConfigured, ConfigRemoved, PolicyConfigured

Kind = Literal["calendar", "policy"]
Defined = CalendarConfigured | PolicyConfigured | ConfigRemoved
SHAPES: dict[Kind, type[CalendarConfigured] | type[PolicyConfigured]] = {
    "calendar": CalendarConfigured,
    "policy": PolicyConfigured,
}


@dataclass(slots=True)
class Shelf:
    """Keeps the book as long as it is the newest: versions are only ever added."""

    _count: int = -1
    _book: Book = field(default_factory=Book)

    async def book(self, conn: AsyncConnection) -> Book:
        """The book as this transaction sees it."""
        [(count,)] = await db.fetch(conn, "SELECT count(*) FROM sla.definition")
        return await self.book_of(conn, count)

    async def book_of(self, conn: AsyncConnection, count: int) -> Book:
        """The book of so many versions."""
        if count != self._count:
            self._book, self._count = await read_book(conn), count
        return self._book


async def read_book(conn: AsyncConnection) -> Book:
    """Every version of every policy and calendar."""
    book: dict[str, dict[str, tuple[Defined, ...]]] = {"calendar": {}, "policy": {}}
    for row in await conn.execute(sa.text("SELECT kind, id, removed, body FROM sla.definition ORDER BY kind, id, version")):
        versions = book[row.kind]
        versions[row.id] = (*versions.get(row.id, ()), _defined(row.kind, row.removed, row.body))
    return Book(book["policy"], book["calendar"])  # type: ignore[arg-type]


async def lock_definitions(conn: AsyncConnection) -> None:
    """Edits of calendars and policies happen one after the other: they refer to each other."""
    await conn.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('sla.definition'))"))


async def add_definition(conn: AsyncConnection, kind: Kind, identity: str, fact: Defined) -> None:
    """One more version."""
    await conn.execute(
        sa.text("INSERT INTO sla.definition (kind, id, version, removed, body) VALUES (:kind, :id, :version, :removed, :body)"),
        {
            "kind": kind,
            "id": identity,
            "version": fact.version,
            "removed": isinstance(fact, ConfigRemoved),
            "body": encode_data(fact),
        },
    )


def _defined(kind: Kind, removed: bool, body: bytes) -> Defined:
    return decode_data(body, ConfigRemoved) if removed else decode_data(body, SHAPES[kind])
