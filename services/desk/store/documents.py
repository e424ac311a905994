"""By which words tickets are found: which have to be indexed anew, what stands in their facts, and the index itself.

A ticket that was merged into another one is found as that one: one document has the words of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.customers import Box, Record
from services.desk.store.erasure import TRY_HOLD
from shared import db

_records = msgspec.json.Decoder(Record)
MARKS_CAP = 5000  # of which the tickets are taken

# Marks first: what is read after this statement is all that the marks which it deletes were set for.
TAKE = """
    WITH wanted AS (
        SELECT DISTINCT ticket_id FROM (SELECT ticket_id FROM desk.stale ORDER BY id LIMIT $2::integer) oldest LIMIT $1::integer
    )
    DELETE FROM desk.stale s USING wanted w WHERE s.ticket_id = w.ticket_id RETURNING s.ticket_id
"""
FAMILIES = """
    WITH RECURSIVE up(asked, ticket_id, merged_into, depth) AS (
        SELECT ticket_id, ticket_id, merged_into, 0 FROM desk.ticket WHERE ticket_id = ANY($1::text[])
        UNION ALL
        SELECT up.asked, t.ticket_id, t.merged_into, depth + 1 FROM up JOIN desk.ticket t ON t.ticket_id = up.merged_into
        WHERE depth < 10
    ), root AS (
        SELECT DISTINCT last.ticket_id FROM (SELECT DISTINCT ON (asked) ticket_id FROM up ORDER BY asked, depth DESC) last
    ), down(root_id, ticket_id, depth) AS (
        SELECT ticket_id, ticket_id, 0 FROM root
        UNION ALL
        SELECT down.root_id, t.ticket_id, depth + 1 FROM down JOIN desk.ticket t ON t.merged_into = down.ticket_id
        WHERE depth < 10
    )
    SELECT d.root_id, d.ticket_id, r.number, r.customer_id FROM down d JOIN desk.ticket r ON r.ticket_id = d.root_id
"""
# The newest of each ticket, so that one with thousands of messages holds up no other.
FACTS = """
    SELECT f.root_id, e.type, e.event_id, e.person, e.box, e.data
    FROM unnest($1::text[], $2::text[]) AS f(root_id, ticket_id)
    CROSS JOIN LATERAL (
        SELECT * FROM desk.entry e WHERE e.ticket_id = f.ticket_id AND e.type = ANY($3::text[])
        ORDER BY e.id DESC LIMIT $4::integer
    ) e
    ORDER BY e.id DESC
"""
RECORDS = """
    WITH RECURSIVE family(root_id, customer_id, depth) AS (
        SELECT id, id, 0 FROM unnest($1::text[]) AS id
        UNION ALL
        SELECT f.root_id, c.customer_id, depth + 1 FROM family f JOIN desk.customer c ON c.merged_into = f.customer_id
        WHERE depth < 10
    )
    SELECT f.root_id, c.state FROM family f JOIN desk.customer c USING (customer_id)
"""
WAITING = "SELECT count(*) FROM (SELECT FROM desk.stale LIMIT $1::integer) marks"
SAVE = """
    WITH gone AS (DELETE FROM desk.document WHERE ticket_id = ANY($4::text[]))
    INSERT INTO desk.document (ticket_id, people, words)
    SELECT ticket_id, string_to_array(people, E'\\n'), array_to_tsvector(string_to_array(words, ' '))
    FROM unnest($1::text[], $2::text[], $3::text[]) AS d(ticket_id, people, words)
    ON CONFLICT (ticket_id) DO UPDATE SET people = excluded.people, words = excluded.words
"""


@dataclass(frozen=True, slots=True)
class Family:
    """A ticket that goes on, with those that were merged into it."""

    ticket_id: str
    number: int
    customer_id: str
    members: tuple[str, ...]


class FactRow(NamedTuple):
    """A fact with words, of a ticket or of one that was merged into it."""

    ticket_id: str
    type: str
    event_id: str
    person: str | None
    box: str | None
    data: str


class Document(NamedTuple):
    """All by which a ticket is found, and whose words these are."""

    ticket_id: str
    people: Sequence[str]
    words: Sequence[str]


async def hold(conn: AsyncConnection) -> bool:
    """Be the one that indexes until the transaction ends, beside no erasure. False when there is another."""
    [(held,)] = await db.fetch(conn, TRY_HOLD)
    return bool(held)


async def take(conn: AsyncConnection, at_most: int) -> set[str]:
    """Tickets whose words changed, the longest ago first; they are taken for done."""
    return {row[0] for row in await db.fetch(conn, TAKE, at_most, MARKS_CAP)}


async def families(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[Family]:
    """The tickets as which these go on."""
    members: dict[tuple[str, int, str], list[str]] = {}
    for root_id, ticket_id, number, customer_id in await db.fetch(conn, FAMILIES, list(ticket_ids)):
        members.setdefault((root_id, number, customer_id), []).append(ticket_id)
    return [Family(*root, tuple(sorted(ids))) for root, ids in sorted(members.items())]


async def facts(conn: AsyncConnection, of: Sequence[Family], types: Sequence[str], at_most: int) -> list[FactRow]:
    """Facts of these types, the newest of each ticket first, so many of each at most."""
    pairs = [(family.ticket_id, member) for family in of for member in family.members]
    rows = await db.fetch(conn, FACTS, [root for root, _ in pairs], [member for _, member in pairs], list(types), at_most)
    return [FactRow(*row) for row in rows]


async def boxes(conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, list[Box]]:
    """What is sealed in the records of these customers, and of those who were merged into them."""
    found: dict[str, list[Box]] = {}
    for root_id, state in await db.fetch(conn, RECORDS, list(customer_ids)):
        record = _records.decode(state)
        own = [*record.names, *(handle.box for handle in record.handles.values() if handle.box is not None)]
        found.setdefault(root_id, []).extend(own)
    return found


async def save(conn: AsyncConnection, found: Sequence[Document], gone: Sequence[str]) -> None:
    """Write documents; those of tickets that go on as others are not kept. One statement."""
    await db.fetch(
        conn,
        SAVE,
        [one.ticket_id for one in found],
        ["\n".join(one.people) for one in found],
        [" ".join(one.words) for one in found],
        list(gone),
    )


async def waiting(conn: AsyncConnection, at_most: int) -> int:
    """How many marks nobody has taken; no more than `at_most` are counted."""
    [(marks,)] = await db.fetch(conn, WAITING, at_most)
    return int(marks)
