"""One ticket with its history, and one customer with theirs. Who was merged into whom is followed both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.customers import Record
from services.desk.domain.filters import Sight
from services.desk.domain.promises import Promise, Promises
from services.desk.domain.tickets import Filed
from services.desk.store.listing import Where, seen
from shared import db
from shared.events.people import OrderRecorded

_records = msgspec.json.Decoder(Record)
_orders = msgspec.json.Decoder(OrderRecorded)
_promises = msgspec.json.Decoder(Promises)
_filed = msgspec.json.Decoder(Filed)

WAY = """
    WITH RECURSIVE way(ticket_id, merged_into, depth) AS (
        SELECT ticket_id, merged_into, 0 FROM desk.ticket WHERE ticket_id = $1
        UNION ALL
        SELECT t.ticket_id, t.merged_into, depth + 1 FROM way JOIN desk.ticket t ON t.ticket_id = way.merged_into WHERE depth < 10
    )
    SELECT ticket_id FROM way ORDER BY depth DESC LIMIT 1
"""
PARTS = """
    WITH RECURSIVE down(ticket_id, number, depth) AS (
        SELECT ticket_id, number, 0 FROM desk.ticket WHERE ticket_id = $1
        UNION ALL
        SELECT t.ticket_id, t.number, depth + 1 FROM down JOIN desk.ticket t ON t.merged_into = down.ticket_id WHERE depth < 10
    )
    SELECT ticket_id, number FROM down ORDER BY number
"""
MAY_SEE = "SELECT EXISTS (SELECT FROM desk.ticket t WHERE t.ticket_id = $1::text AND {where})"
TIMELINE = """
    SELECT id, ticket_id, event_id, type, writer, at, person, box, data FROM desk.entry
    WHERE ticket_id = ANY($1::text[]) AND ($2::text[] IS NULL OR type = ANY($2::text[]))
        AND ($3::timestamptz IS NULL OR (at, id) {beyond} ($3::timestamptz, $4::bigint))
    ORDER BY at {order}, id {order} LIMIT $5::integer
"""
PROMISES = "SELECT state FROM desk.promised WHERE ticket_id = $1"
PARKED = "SELECT EXISTS (SELECT FROM desk.parked WHERE topic = 'tickets' AND key = ANY($1::text[]))"
ONWARD = """
    WITH RECURSIVE way(customer_id, merged_into, depth) AS (
        SELECT customer_id, merged_into, 0 FROM desk.customer WHERE customer_id = $1
        UNION ALL
        SELECT c.customer_id, c.merged_into, depth + 1 FROM way JOIN desk.customer c ON c.customer_id = way.merged_into
        WHERE depth < 10
    )
    SELECT customer_id FROM way ORDER BY depth DESC LIMIT 1
"""
FAMILY = """
    WITH RECURSIVE family(customer_id, depth) AS (
        SELECT $1::text, 0
        UNION ALL
        SELECT c.customer_id, depth + 1 FROM family f JOIN desk.customer c ON c.merged_into = f.customer_id WHERE depth < 10
    )
    SELECT c.state FROM family f JOIN desk.customer c USING (customer_id) ORDER BY f.depth, c.customer_id
"""
ORDERS = """
    SELECT recorded_at, data FROM desk.customer_order WHERE customer_id = ANY($1::text[])
    ORDER BY recorded_at DESC, order_id LIMIT $2::integer
"""
STANDING = """
    SELECT p.ticket_id, t.number, p.state FROM desk.ticket t JOIN desk.promised p ON p.ticket_id = t.ticket_id AND p.standing
    WHERE t.live AND {where} ORDER BY p.due_at NULLS LAST, t.number LIMIT {limit}
"""
ANSWERS = """
    SELECT e.ticket_id, t.number, e.event_id, e.at, e.person, e.box, e.data FROM desk.ticket t
    JOIN desk.entry e ON e.ticket_id = t.ticket_id AND e.type = 'survey.answered.v1'
    WHERE {where} ORDER BY e.at DESC, e.id DESC LIMIT {limit}
"""
TOTALS = """
    SELECT t.status, t.channel, count(*) FROM desk.ticket t WHERE t.merged_into IS NULL AND NOT t.spam AND {where} GROUP BY 1, 2
"""
IN_SIGHT = "SELECT EXISTS (SELECT FROM desk.ticket t WHERE {where})"


class EntryRow(NamedTuple):
    """One event of a ticket's history; what is personal in it is sealed."""

    id: int
    ticket_id: str
    event_id: str
    type: str
    writer: str
    at: datetime
    person: str | None
    box: str | None
    data: str


class AnswerRow(NamedTuple):
    """A customer's answer to a question after a resolution; the comment is sealed."""

    ticket_id: str
    number: int
    event_id: str
    at: datetime
    person: str | None
    box: str | None
    data: str


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a page of a history ended."""

    at: datetime
    id: int


async def goes_on_as(conn: AsyncConnection, ticket_id: str) -> str | None:
    """The ticket as which this one goes on, mostly itself; None where there is none."""
    rows = await db.fetch(conn, WAY, ticket_id)
    return rows[0][0] if rows else None


async def filed(conn: AsyncConnection, ticket_id: str) -> Filed:
    """The ticket as it was folded. It is there."""
    [row] = await db.fetch(conn, "SELECT state FROM desk.ticket WHERE ticket_id = $1", ticket_id)
    return _filed.decode(row[0])


async def parts(conn: AsyncConnection, ticket_id: str) -> list[tuple[str, int]]:
    """Id and number of the ticket and of all that were merged into it, the oldest first."""
    return [(row[0], row[1]) for row in await db.fetch(conn, PARTS, ticket_id)]


async def may_see(conn: AsyncConnection, ticket_id: str, sight: Sight) -> bool:
    """Whether the ticket is in sight of who asks."""
    where = Where(values=[ticket_id])
    seen(where, sight)
    [(there,)] = await db.fetch(conn, MAY_SEE.format(where=where.sql), *where.values)
    return bool(there)


async def timeline(
    conn: AsyncConnection,
    ticket_ids: Sequence[str],
    types: Sequence[str] | None,
    spot: Spot | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[EntryRow]:
    """What was told of these tickets, in the order of its time, behind the spot."""
    statement = TIMELINE.format(beyond="<" if newest_first else ">", order="DESC" if newest_first else "ASC")
    wanted = list(types) if types is not None else None
    at, entry = (spot.at, spot.id) if spot is not None else (None, None)
    return [EntryRow(*row) for row in await db.fetch(conn, statement, list(ticket_ids), wanted, at, entry, limit)]


async def promises(conn: AsyncConnection, ticket_id: str) -> list[Promise]:
    """What was promised on the ticket, by target and cycle."""
    rows = await db.fetch(conn, PROMISES, ticket_id)
    told = _promises.decode(rows[0][0]).clocks.values() if rows else ()
    return sorted(told, key=lambda one: (one.target, one.cycle))


async def parked(conn: AsyncConnection, ticket_ids: Sequence[str]) -> bool:
    """Whether something that was said of these tickets could not be taken, and is not shown here."""
    [(waits,)] = await db.fetch(conn, PARKED, list(ticket_ids))
    return bool(waits)


async def onward(conn: AsyncConnection, customer_id: str) -> str:
    """The id under which this customer goes on, mostly their own."""
    rows = await db.fetch(conn, ONWARD, customer_id)
    return rows[0][0] if rows else customer_id


async def family(conn: AsyncConnection, customer_id: str) -> list[Record]:
    """The customer's record, then those of all who were merged into it; none where nothing was told of them."""
    return [_records.decode(row[0]) for row in await db.fetch(conn, FAMILY, customer_id)]


async def orders(conn: AsyncConnection, customer_ids: Sequence[str], at_most: int) -> list[tuple[datetime, OrderRecorded]]:
    """Orders as they were told last, the newest first."""
    rows = await db.fetch(conn, ORDERS, list(customer_ids), at_most)
    return [(at, _orders.decode(data.encode())) for at, data in rows]


async def standing(
    conn: AsyncConnection, customer_ids: Sequence[str], sight: Sight, at_most: int
) -> list[tuple[str, int, list[Promise]]]:
    """What is still promised to the customer: ticket, number, clocks; the nearest first."""
    where = _theirs(customer_ids, sight)
    statement = STANDING.format(where=where.sql, limit=where.value(at_most, "integer"))
    rows = await db.fetch(conn, statement, *where.values)
    return [(ticket_id, number, _promises.decode(state).standing) for ticket_id, number, state in rows]


async def answers(conn: AsyncConnection, customer_ids: Sequence[str], sight: Sight, at_most: int) -> list[AnswerRow]:
    """What the customer answered to questions, the newest first; an answer that was corrected stands there twice."""
    where = _theirs(customer_ids, sight)
    statement = ANSWERS.format(where=where.sql, limit=where.value(at_most, "integer"))
    return [AnswerRow(*row) for row in await db.fetch(conn, statement, *where.values)]


async def totals(conn: AsyncConnection, customer_ids: Sequence[str], sight: Sight) -> list[tuple[str, str, int]]:
    """How many tickets the customer has, by status and channel."""
    where = _theirs(customer_ids, sight)
    return [(row[0], row[1], row[2]) for row in await db.fetch(conn, TOTALS.format(where=where.sql), *where.values)]


async def in_sight(conn: AsyncConnection, customer_ids: Sequence[str], sight: Sight) -> bool:
    """Whether the customer has a ticket that may be seen."""
    where = _theirs(customer_ids, sight)
    [(there,)] = await db.fetch(conn, IN_SIGHT.format(where=where.sql), *where.values)
    return bool(there)


def _theirs(customer_ids: Sequence[str], sight: Sight) -> Where:
    where = Where()
    where.add("t.customer_id = ANY({})", list(customer_ids), "text[]")
    seen(where, sight)
    return where
