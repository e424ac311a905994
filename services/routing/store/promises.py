"""What sla promised on each ticket, and what is known of customers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.promises import Promise
from shared import db

SAVE = """
    INSERT INTO routing.promise AS p (ticket_id, clock_id, target, cycle, policy_id, state, deadline, remaining_us,
        warned_percent, breached)
    SELECT ticket_id, clock_id, target, cycle, policy_id, state, deadline, remaining_us, warned, coalesce(breached, false)
    FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[],
        $9::integer[], $10::boolean[])
        AS h(ticket_id, clock_id, target, cycle, policy_id, state, deadline, remaining_us, warned, breached)
    ON CONFLICT (ticket_id, clock_id) DO UPDATE SET
        state = coalesce(excluded.state, p.state), deadline = coalesce(excluded.deadline, p.deadline),
        remaining_us = CASE WHEN excluded.state IS NULL THEN p.remaining_us ELSE excluded.remaining_us END,
        warned_percent = greatest(excluded.warned_percent, p.warned_percent),
        breached = CASE WHEN excluded.state IS NULL AND excluded.warned_percent IS NULL
            THEN excluded.breached ELSE p.breached END
"""
DEADLINES = """
    SELECT ticket_id, min(deadline) FROM routing.promise
    WHERE ticket_id = ANY($1::text[]) AND state = 'running' AND deadline IS NOT NULL GROUP BY ticket_id
"""
# Where promises count in no queue no ticket is looked at.
FILE_AGAIN = """
    UPDATE routing.ticket SET filed_under = -abs(filed_under) WHERE ticket_id IN (
        SELECT t.ticket_id FROM routing.ticket t JOIN routing.config c ON c.kind = 'queue' AND c.id = t.queue_id
        WHERE (SELECT EXISTS (SELECT 1 FROM routing.config WHERE kind = 'queue' AND data ? 'due_lead_seconds'))
            AND t.ticket_id = ANY($1::text[]) AND c.data ? 'due_lead_seconds'
        ORDER BY t.ticket_id FOR UPDATE OF t)
"""
SAVE_REACH = """
    INSERT INTO routing.customer AS c (customer_id, unreachable)
    SELECT id, told::jsonb FROM unnest($1::text[], $2::text[]) AS w(id, told)
    ON CONFLICT (customer_id) DO UPDATE SET unreachable = coalesce(c.unreachable, '{}') || excluded.unreachable
"""


async def save(conn: AsyncConnection, by_ticket: Mapping[str, Mapping[str, Promise]]) -> None:
    """Write what was heard; what was not said stays as it is."""
    rows = [_row(ticket_id, promise) for ticket_id in sorted(by_ticket) for promise in by_ticket[ticket_id].values()]
    if rows:
        await db.fetch(conn, SAVE, *zip(*rows, strict=True))


async def deadlines(conn: AsyncConnection, ticket_ids: Sequence[str]) -> dict[str, datetime]:
    """When the next running promise of each ticket is due; those without one are left out."""
    rows = await db.fetch(conn, DEADLINES, ticket_ids) if ticket_ids else []
    return {row[0]: row[1] for row in rows}


async def file_again(conn: AsyncConnection, ticket_ids: Sequence[str]) -> None:
    """Have those of the tickets filed again that wait in queues in which promises count."""
    if ticket_ids:
        await db.fetch(conn, FILE_AGAIN, ticket_ids)


def _row(ticket_id: str, promise: Promise) -> tuple[object, ...]:
    return (
        ticket_id,
        promise.clock_id,
        promise.target,
        promise.cycle,
        promise.policy_id,
        promise.state,
        promise.deadline,
        promise.remaining_us,
        promise.warned_percent,
        promise.breached,
    )


async def save_customers(
    conn: AsyncConnection,
    ids: Sequence[str],
    vips: Sequence[bool | None],
    plans: Sequence[str | None],
    tiers: Sequence[str | None],
) -> None:
    """Write entitlements; what is None stays as it is, what is empty is no longer any."""
    if not ids:
        return
    await conn.execute(
        sa.text(
            "INSERT INTO routing.customer AS c (customer_id, vip, plan, tier)"
            " SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:vips AS boolean[]),"
            " CAST(:plans AS text[]), CAST(:tiers AS text[]))"
            " ON CONFLICT (customer_id) DO UPDATE SET vip = coalesce(excluded.vip, c.vip),"
            " plan = nullif(coalesce(excluded.plan, c.plan), ''), tier = nullif(coalesce(excluded.tier, c.tier), '')"
        ),
        {"ids": list(ids), "vips": list(vips), "plans": list(plans), "tiers": list(tiers)},
    )


async def save_reach(conn: AsyncConnection, told: Mapping[str, Mapping[str, str | None]]) -> None:
    """Write why customers cannot be written to, by channel; what was not said stays as it is."""
    if told:
        await db.fetch(conn, SAVE_REACH, list(told), [json.dumps(dict(reach)) for reach in told.values()])


async def scrub(conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
    """Take the sealed boxes of these people out of the history; their keys are gone already."""
    if not customer_ids:
        return
    ids = {"ids": sorted(set(customer_ids))}
    await conn.execute(
        sa.text("UPDATE routing.entry SET data = data - 'personal', customer_id = NULL WHERE customer_id = ANY(:ids)"), ids
    )
    await conn.execute(sa.text("DELETE FROM routing.customer WHERE customer_id = ANY(:ids)"), ids)
