"""Lists of tickets and how many there are: a filter as SQL, pages by keyset, counts that stop counting.

A page begins behind a place and not after so many rows, so what changes meanwhile moves nobody's page: a ticket that did not
change is neither missed nor told twice. One that did may come again, at its new place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.filters import ME, NATURAL, NOBODY, Filter, Order, Place, Sight, Sort
from shared import db

COLUMNS = (
    "t.ticket_id, t.number, t.customer_id, t.status, t.spam, t.queue_id, t.team_id, t.agent_id, t.partner_id, t.channel, t.inbox,"
    " t.language, t.direction, t.priority, t.vip, t.plan, t.tier, t.topic, t.product, t.tags, t.opened_at, t.updated_at,"
    " t.waiting_since, t.merged_into, p.due_at, coalesce(p.breached, false) AS breached"
)
BY: dict[Sort, str] = {"updated": "t.updated_at", "opened": "t.number", "priority": "t.priority", "due": "p.due_at"}
# Which way numbers run among equals when a list runs its natural way: of the equally urgent the oldest comes first.
TIE: dict[Sort, Order] = {"updated": "desc", "opened": "desc", "priority": "asc", "due": "asc"}
TITLES = """
    SELECT DISTINCT ON (ticket_id, type) ticket_id, type, event_id, person, box FROM desk.entry
    WHERE ticket_id = ANY($1::text[]) AND type IN ('ticket.opened.v1', 'ticket.renamed.v1') ORDER BY ticket_id, type, id DESC
"""


class Line(NamedTuple):
    """A ticket as listed."""

    ticket_id: str
    number: int
    customer_id: str
    status: str
    spam: bool
    queue_id: str | None
    team_id: str | None
    agent_id: str | None
    partner_id: str | None
    channel: str
    inbox: str
    language: str
    direction: str
    priority: int
    vip: bool
    plan: str | None
    tier: str | None
    topic: str | None
    product: str | None
    tags: list[str]
    opened_at: datetime
    updated_at: datetime
    waiting_since: datetime | None
    merged_into: str | None
    due_at: datetime | None
    breached: bool


class Title(NamedTuple):
    """What names a ticket, still sealed."""

    ticket_id: str
    type: str
    event_id: str
    person: str | None
    box: str | None


@dataclass(slots=True)
class Where:
    """Conditions in the making, with the values of their parameters."""

    conditions: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def value(self, value: object, kind: str) -> str:
        """A parameter for this value."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"

    def add(self, condition: str, value: object, kind: str) -> None:
        """A condition on one value, which stands where `{}` does."""
        self.conditions.append(condition.format(self.value(value, kind)))

    def any_of(self, column: str, values: Sequence[object], kind: str = "text") -> None:
        """The column has one of these values; nothing where there are none. Of one alone an index keeps its order."""
        if len(values) == 1:
            self.add(f"{column} = {{}}", values[0], kind)
        elif values:
            self.add(f"{column} = ANY({{}})", list(values), f"{kind}[]")

    @property
    def sql(self) -> str:
        """All of it."""
        return " AND ".join(self.conditions) or "true"


def seen(where: Where, sight: Sight) -> None:
    """Only what the caller may see. Every statement that reads tickets for somebody goes through here."""
    if sight.partner_id is not None:
        where.add("t.partner_id = {}", sight.partner_id, "text")


def conditions(where: Where, asked: Filter, me: str | None, *, live: bool = False) -> None:
    """What a filter asks for, of tickets that were not merged into others; `me` is the agent who asks. `live`: where no status is
    asked for, only of those with which somebody still has to do.
    """
    where.conditions.append("t.merged_into IS NULL")
    if asked.only_live or (live and not asked.statuses):
        where.conditions.append("t.live")  # the indexes of live tickets hold only these
    where.any_of("t.status", asked.statuses)
    where.any_of("t.queue_id", asked.queue_ids)
    where.any_of("t.team_id", asked.team_ids)
    _owners(where, asked.owners, me)
    where.any_of("t.channel", asked.channels)
    where.any_of("t.language", asked.languages)
    where.any_of("t.priority", asked.priorities, "smallint")
    where.any_of("t.plan", asked.plans)
    where.any_of("t.topic", asked.topics)
    where.any_of("t.product", asked.products)
    where.any_of("t.inbox", asked.inboxes)
    where.any_of("t.customer_id", asked.customer_ids)
    if asked.tags:
        where.add("t.tags @> {}", list(asked.tags), "text[]")
    _flags(where, asked)
    _times(where, asked)


def _owners(where: Where, owners: Sequence[str], me: str | None) -> None:
    ids = [me or "" if owner == ME else owner for owner in owners if owner != NOBODY]
    if owners and NOBODY in owners:
        unowned = "t.agent_id IS NULL"
        where.conditions.append(f"({unowned} OR t.agent_id = ANY({where.value(ids, 'text[]')}))" if ids else unowned)
    else:
        where.any_of("t.agent_id", ids)


def _flags(where: Where, asked: Filter) -> None:
    for column, wanted in (("t.vip", asked.vip), ("t.spam", asked.spam)):
        if wanted is not None:
            where.conditions.append(column if wanted else f"NOT {column}")
    if asked.breached is not None:
        where.conditions.append("p.breached" if asked.breached else "p.breached IS NOT TRUE")


def _times(where: Where, asked: Filter) -> None:
    times = (
        ("t.opened_at >= {}", asked.opened_after),
        ("t.opened_at < {}", asked.opened_before),
        ("t.updated_at >= {}", asked.updated_after),
        ("t.updated_at < {}", asked.updated_before),
        ("p.due_at < {}", asked.due_before),
    )
    for condition, at in times:
        if at is not None:
            where.add(condition, at, "timestamptz")


def after(where: Where, sort: Sort, order: Order, place: Place | None) -> None:
    """Only what is sorted so, and comes behind the place. The column alone bounds the index; the number decides among equals."""
    column = BY[sort]
    if sort == "due":
        where.conditions.append("p.due_at IS NOT NULL")
    if place is None:
        return
    number, beyond = where.value(place.number, "bigint"), _beyond(order)
    if sort == "opened":
        where.conditions.append(f"{column} {beyond} {number}")
        return
    at = where.value(place.at, "smallint" if sort == "priority" else "timestamptz")
    tie = f"t.number {_beyond(_tie(sort, order))} {number}"
    where.conditions.append(f"{column} {beyond}= {at} AND ({column} {beyond} {at} OR {tie})")


def ordered(sort: Sort, order: Order) -> str:
    """ORDER BY."""
    first = f"{BY[sort]} {order.upper()}"
    return first if sort == "opened" else f"{first}, t.number {_tie(sort, order).upper()}"


def _tie(sort: Sort, order: Order) -> Order:
    natural = TIE[sort]
    if order == NATURAL[sort]:
        return natural
    return "asc" if natural == "desc" else "desc"


def _beyond(order: Order) -> str:
    return "<" if order == "desc" else ">"


async def plan_each(conn: AsyncConnection) -> None:
    """Have statements of this transaction planned for the values they are given: a queue may have ten tickets or half of all."""
    await db.fetch(conn, "SET LOCAL plan_cache_mode = force_custom_plan")


async def page(
    conn: AsyncConnection, asked: Filter, sight: Sight, me: str | None, sort: Sort, order: Order, place: Place | None, limit: int
) -> list[Line]:
    """So many tickets behind the place. What is sorted by urgency is what still has to be done, unless a status is asked for."""
    await plan_each(conn)
    where = Where()
    seen(where, sight)
    conditions(where, asked, me, live=sort == "priority")
    after(where, sort, order, place)
    rows = await db.fetch(
        conn,
        f"SELECT {COLUMNS} FROM {joined(asked, sort)} WHERE {where.sql}"
        f" ORDER BY {ordered(sort, order)} LIMIT {where.value(limit, 'integer')}",
        *where.values,
    )
    return [Line(*row) for row in rows]


async def lines(conn: AsyncConnection, ticket_ids: Sequence[str]) -> dict[str, Line]:
    """These tickets as listed, whoever may see them."""
    statement = f"SELECT {COLUMNS} FROM {joined(Filter())} WHERE t.ticket_id = ANY($1::text[])"
    return {row[0]: Line(*row) for row in await db.fetch(conn, statement, list(ticket_ids))}


async def counts(
    conn: AsyncConnection, asked: Sequence[tuple[str, Filter]], sight: Sight, me: str | None, at_most: int
) -> dict[str, int]:
    """How many tickets each filter has, by its name; no more than `at_most` are counted."""
    await plan_each(conn)
    found = {}
    for name, one in asked:
        where = Where()
        seen(where, sight)
        conditions(where, one, me)
        limit = where.value(at_most, "integer")
        statement = f"SELECT count(*) FROM (SELECT 1 FROM {joined(one)} WHERE {where.sql} LIMIT {limit}) counted"
        found[name] = (await db.fetch(conn, statement, *where.values))[0][0]
    return found


def joined(asked: Filter, sort: Sort | None = None) -> str:
    """From where. Where only what was promised is asked for, the promises come first."""
    inner = sort == "due" or asked.due_before is not None or asked.breached is True
    return f"desk.ticket t {'JOIN' if inner else 'LEFT JOIN'} desk.promised p ON p.ticket_id = t.ticket_id"


async def titles(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[Title]:
    """What was said last of each ticket's subject and customer's name, and when it was opened."""
    rows: list[asyncpg.Record] = await db.fetch(conn, TITLES, list(ticket_ids))
    return [Title(*row) for row in rows]
