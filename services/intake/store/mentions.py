"""What is somebody else's and may name a person: what others wrote on tickets on which they take part, what providers said of
that, and what has no customer. Read in order, so much at a time as a transaction can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

AT_ONCE, BYTES_AT_ONCE = 100, 2**20  # rows that are read together; one alone whatever its size
TICKETS = """
    SELECT id FROM intake.ticket WHERE customer_id = ANY($1::text[])
    UNION SELECT ticket_id FROM intake.message WHERE customer_id = ANY($1::text[]) AND NOT participant
    UNION SELECT ticket_id FROM intake.message WHERE cc && $1::text[]
    ORDER BY 1
    """
# Of what others had said about what went out to them.
OWNERS = """
    SELECT customer_id FROM intake.ticket WHERE id = ANY($1::text[])
    UNION SELECT customer_id FROM intake.message WHERE ticket_id = ANY($1::text[])
    ORDER BY 1
    """


@dataclass(frozen=True, slots=True)
class Kept:
    """A row: bytes of this type."""

    id: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Shelf:
    """A table of bytes that can be gone through by id. `of`: which rows, by the parameter $1."""

    table: str
    body: str
    of: str
    id_type: str = "text"

    @property
    def first(self) -> str:
        """Before every id."""
        return "0" if self.id_type == "bigint" else ""

    async def read(self, conn: AsyncConnection, of: Sequence[str], after: str) -> list[Kept]:
        """The next rows after an id, held."""
        statement = f"""
            WITH next AS (
                SELECT id, sum(octet_length({self.body})) OVER (ORDER BY id) - octet_length({self.body}) AS bytes_before
                FROM (SELECT id, {self.body} FROM {self.table} x
                      WHERE {self.of} AND {self.body} IS NOT NULL AND id > $2::{self.id_type} ORDER BY id LIMIT {AT_ONCE}) x
            )
            SELECT id::text, media_type, {self.body} FROM {self.table} x
            WHERE {self.of} AND id IN (SELECT id FROM next WHERE bytes_before < {BYTES_AT_ONCE}) ORDER BY x.id FOR UPDATE
            """
        after_id = int(after) if self.id_type == "bigint" else after
        return [Kept(*row) for row in await db.fetch(conn, statement, list(of), after_id)]

    async def write(self, conn: AsyncConnection, changed: Sequence[Kept]) -> None:
        """Other bytes in place of these."""
        statement = f"""
            UPDATE {self.table} x SET {self.body} = w.body FROM unnest($1::text[], $2::bytea[]) AS w(id, body)
            WHERE x.id = w.id::{self.id_type}
            """
        if changed:
            await db.fetch(conn, statement, [one.id for one in changed], [one.body for one in changed])

    async def drop(self, conn: AsyncConnection, ids: Sequence[str]) -> None:
        """Without these."""
        if ids:
            await db.fetch(conn, f"DELETE FROM {self.table} WHERE id = ANY($1::text[]::{self.id_type}[])", list(ids))


MESSAGES = Shelf("intake.message", "body", "x.ticket_id = ANY($1::text[])")
WORDS = Shelf("intake.word", "body", "x.customer_id = ANY($1::text[])")
# What could not be read, and what was uploaded and not sent yet.
PARKED = Shelf("intake.parked_contact", "body", "$1::text[] IS NOT NULL", "bigint")
UPLOADED = Shelf("intake.file", "content", "$1::text[] IS NOT NULL AND x.message_id IS NULL")


async def tickets_of(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[str]:
    """The tickets that are theirs, to which they wrote, or of which they had a copy."""
    return [row[0] for row in await db.fetch(conn, TICKETS, list(customer_ids))]


async def owners_of(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[str]:
    """Who has these tickets, or wrote to them."""
    return [row[0] for row in await db.fetch(conn, OWNERS, list(ticket_ids))]
