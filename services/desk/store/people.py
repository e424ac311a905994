"""What the log tells of customers, agents and of what things are called, as the projections load and save it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.customers import CustomerCase, Record
from shared import db
from shared.events.people import AgentEnrolled, OrderRecorded

_encode = msgspec.json.Encoder().encode
_records = msgspec.json.Decoder(Record)

LOAD = "SELECT state FROM desk.customer WHERE customer_id = ANY($1::text[]) ORDER BY customer_id FOR UPDATE"
SAVE = """
    WITH orders AS (
        INSERT INTO desk.customer_order (customer_id, order_id, recorded_at, data)
        SELECT * FROM unnest($7::text[], $8::text[], $9::timestamptz[], $10::text[])
        ON CONFLICT (customer_id, order_id) DO UPDATE SET recorded_at = excluded.recorded_at, data = excluded.data
    )
    INSERT INTO desk.customer (customer_id, vip, plan, tier, merged_into, state)
    SELECT * FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[], $5::text[], $6::bytea[])
    ON CONFLICT (customer_id) DO UPDATE SET vip = excluded.vip, plan = excluded.plan, tier = excluded.tier,
        merged_into = excluded.merged_into, state = excluded.state
"""
# What is resolved keeps what its customer was entitled to then.
ENTITLE = """
    UPDATE desk.ticket t SET vip = coalesce(c.vip, t.vip),
        plan = CASE WHEN c.plan IS NULL THEN t.plan ELSE nullif(c.plan, '') END,
        tier = CASE WHEN c.tier IS NULL THEN t.tier ELSE nullif(c.tier, '') END
    FROM desk.customer c
    WHERE c.customer_id = t.customer_id AND t.ticket_id IN (
        SELECT ticket_id FROM desk.ticket WHERE customer_id = ANY($1::text[]) AND live ORDER BY ticket_id FOR UPDATE)
"""
FIND_ANEW = """
    INSERT INTO desk.stale (ticket_id) SELECT ticket_id FROM desk.ticket WHERE customer_id = ANY($1::text[])
"""
SAVE_NAMES = """
    INSERT INTO desk.named (key, names) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (key) DO UPDATE SET names = excluded.names
"""
SAVE_AGENTS = """
    INSERT INTO desk.agent (agent_id, team_ids, active)
    SELECT agent_id, string_to_array(teams, E'\\n'), active
    FROM unnest($1::text[], $2::text[], $3::boolean[]) AS a(agent_id, teams, active)
    ON CONFLICT (agent_id) DO UPDATE SET team_ids = excluded.team_ids, active = excluded.active
"""
NAMES = "SELECT key, names FROM desk.named WHERE key = ANY($1::text[])"
TEAMS = "SELECT team_ids FROM desk.agent WHERE agent_id = $1 AND active"


async def customers(conn: AsyncConnection, customer_ids: Iterable[str]) -> dict[str, Record]:
    """Those that are known, locked in the order of their ids."""
    found = (_records.decode(row[0]) for row in await db.fetch(conn, LOAD, sorted(customer_ids)))
    return {record.id: record for record in found}


async def save_customers(conn: AsyncConnection, cases: Mapping[str, CustomerCase]) -> None:
    """Write records and orders; then what their tickets are listed by, where that is another now."""
    rows = [(r.id, r.vip, r.plan, r.tier, r.merged_into, _encode(r)) for r in (case.record for _, case in sorted(cases.items()))]
    orders = {(key, order.order_id): (at, order) for key, case in sorted(cases.items()) for at, order in case.orders}
    await db.fetch(conn, SAVE, *_columns(6, rows), *_columns(4, [_order(*whose, *told) for whose, told in orders.items()]))
    if entitled := sorted(key for key, case in cases.items() if case.entitled):
        await db.fetch(conn, ENTITLE, entitled)
    if renamed := sorted(key for key, case in cases.items() if case.renamed):
        await db.fetch(conn, FIND_ANEW, renamed)


async def save_names(conn: AsyncConnection, names: Mapping[str, dict[str, str]]) -> None:
    """How queues, teams, agents … are called, by `kind:id`."""
    await db.fetch(conn, SAVE_NAMES, *_columns(2, [(key, _encode(of).decode()) for key, of in sorted(names.items())]))


async def names(conn: AsyncConnection, keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """How these are called, by language; those without a name are left out."""
    rows = await db.fetch(conn, NAMES, sorted(set(keys)))
    return {key: msgspec.json.decode(said, type=dict[str, str]) for key, said in rows}


async def save_agents(conn: AsyncConnection, enrolled: Mapping[str, AgentEnrolled]) -> None:
    """Who is in which teams."""
    rows = [(key, "\n".join(one.team_ids), one.active) for key, one in sorted(enrolled.items())]
    await db.fetch(conn, SAVE_AGENTS, *_columns(3, rows))


async def teams(conn: AsyncConnection, agent_id: str) -> list[str] | None:
    """The agent's teams; None for one who is not known, or not active."""
    rows = await db.fetch(conn, TEAMS, agent_id)
    return list(rows[0][0]) if rows else None


def _order(customer_id: str, order_id: str, at: datetime, order: OrderRecorded) -> tuple[object, ...]:
    return customer_id, order_id, at, _encode(order).decode()


def _columns(width: int, rows: Sequence[tuple[object, ...]]) -> list[Sequence[object]]:
    """Rows as the arrays that a statement unnests."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
