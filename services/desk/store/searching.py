"""Which tickets are found by words: those with the highest numbers first, and no more of them read than a page needs.

The index knows nothing of an order. So it is asked for some tickets, in whatever order; where that is all of them they are sorted
here. Where there are more, it is asked again for those in one block of numbers, the newest block first, which it tells apart by a
lexeme of the block (`domain/documents.py`); and where there are too many in that too, in its parts. A word of one ticket in a
million costs one statement, a word of every third costs four, and each reads some hundred rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.documents import BITS, Block, asked, blocks_up_to
from services.desk.domain.filters import Filter, Sight
from services.desk.domain.words import Term
from services.desk.store.listing import Where, conditions, joined, plan_each, seen
from shared import db

FEW = 400  # rows of one statement, unless it is one of the lowest block
NEWEST = "SELECT coalesce(max(number), 0) FROM desk.ticket"
LARGEST = 2**62  # no ticket's number comes near it
# The number has no index here on purpose: a walk down from the highest would look at every document on its way.
FIND = """
    SELECT t.number, t.ticket_id FROM desk.document d JOIN ({joined}) ON t.ticket_id = d.ticket_id
    WHERE d.words @@ {words} AND t.number + 0 < {before} AND {where} LIMIT {limit}
"""
FACTS = """
    SELECT w.ticket_id, e.type, e.event_id, e.at, e.person, e.box
    FROM (
        WITH RECURSIVE down(root_id, ticket_id, depth) AS (
            SELECT id, id, 0 FROM unnest($1::text[]) AS id
            UNION ALL
            SELECT d.root_id, t.ticket_id, depth + 1 FROM down d JOIN desk.ticket t ON t.merged_into = d.ticket_id
            WHERE depth < 10
        )
        SELECT root_id AS ticket_id, ticket_id AS member FROM down
    ) w
    CROSS JOIN LATERAL (
        SELECT * FROM desk.entry e
        WHERE e.ticket_id = w.member AND e.type = ANY($2::text[]) AND e.box <> '' ORDER BY e.id DESC LIMIT $3::integer
    ) e
    ORDER BY e.at DESC, e.id DESC
"""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, among which tickets, by whom."""

    terms: Sequence[Term]
    among: Filter
    sight: Sight
    me: str | None


class Words(NamedTuple):
    """A fact with words, still sealed."""

    ticket_id: str
    type: str
    event_id: str
    at: datetime
    person: str | None
    box: str | None


async def found(conn: AsyncConnection, search: Search, before: int | None, limit: int) -> list[tuple[int, str]]:
    """Number and id of so many tickets with numbers below `before`, the highest first."""
    # What every third ticket has would else be looked for in the table itself, from its beginning, where the oldest are.
    await db.fetch(conn, "SET LOCAL enable_seqscan = off")
    await plan_each(conn)
    below = LARGEST if before is None else before
    some = await _some(conn, search, None, below)
    if len(some) < FEW:
        return sorted(some, reverse=True)[:limit]
    hits: list[tuple[int, str]] = []
    [(newest,)] = await db.fetch(conn, NEWEST)
    ahead = blocks_up_to(min(newest, below))
    while ahead and len(hits) < limit:
        block = ahead.pop()
        if block.numbers.start > newest or block.numbers.start >= below:
            continue
        some = await _some(conn, search, block, below)
        if len(some) < FEW or block.level == 0:
            hits += sorted(some, reverse=True)
        else:
            ahead += block.parts()
    return hits[:limit]


async def _some(conn: AsyncConnection, search: Search, block: Block | None, below: int) -> list[tuple[int, str]]:
    sql, values = statement(search, block, below)
    return [(number, ticket_id) for number, ticket_id in await db.fetch(conn, sql, *values)]


def statement(search: Search, block: Block | None, below: int) -> tuple[str, list[object]]:
    """What is asked of the index, with its values."""
    where = Where()
    words = where.value(asked(search.terms, block), "text::tsquery")
    before = where.value(below, "bigint")
    seen(where, search.sight)
    conditions(where, search.among, search.me)
    whole = block is not None and block.level == 0
    limit = where.value(1 << BITS[0] if whole else FEW, "integer")
    sql = FIND.format(joined=joined(search.among), words=words, before=before, where=where.sql, limit=limit)
    return sql, where.values


async def facts(conn: AsyncConnection, ticket_ids: Sequence[str], types: Sequence[str], at_most: int) -> list[Words]:
    """Facts with words of these tickets, so many of the newest of each, the newest first."""
    return [Words(*row) for row in await db.fetch(conn, FACTS, list(ticket_ids), list(types), at_most)]
