"""What people ask for: clocks about to run out, and promises broken."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.config import TargetKind

COLUMNS = (
    "ticket_id, target, cycle, state, policy_id, channel, priority, queue_id, team_id, agent_id, partner_id,"
    " started_at, target_us, deadline, ended_at, breached_at"
)


class Place(NamedTuple):
    """Where a page ended: an instant and the clock that it belongs to."""

    at: datetime
    ticket_id: str
    target: str
    cycle: int


class ClockRow(NamedTuple):
    """A clock as kept for reading."""

    ticket_id: str
    target: TargetKind
    cycle: int
    state: str
    policy_id: str
    channel: str
    priority: int
    queue_id: str | None
    team_id: str | None
    agent_id: str | None
    partner_id: str | None
    started_at: datetime
    target_us: int
    deadline: datetime
    ended_at: datetime | None
    breached_at: datetime | None


async def breaches(conn: AsyncConnection, before: Place | None, limit: int) -> list[ClockRow]:
    """Promises broken (and not proved kept since), the newest first, after the place where the page before ended."""
    rows = await conn.execute(
        sa.text(
            f"SELECT {COLUMNS} FROM sla.clock WHERE breached_at IS NOT NULL"
            " AND (CAST(:at AS timestamptz) IS NULL"
            " OR (breached_at, ticket_id, target, cycle) < (:at, :ticket_id, :target, :cycle))"
            " ORDER BY breached_at DESC, ticket_id DESC, target DESC, cycle DESC LIMIT :limit"
        ),
        {**_values(before), "limit": limit},
    )
    return [ClockRow(*row) for row in rows]


async def at_risk(conn: AsyncConnection, until: datetime, after: Place | None, limit: int) -> list[ClockRow]:
    """Running clocks whose deadline comes by `until`, the nearest first, after the place where the page before ended."""
    rows = await conn.execute(
        sa.text(
            f"SELECT {COLUMNS} FROM sla.clock WHERE state = 'running' AND breached_at IS NULL AND deadline <= :until"
            " AND (CAST(:at AS timestamptz) IS NULL"
            " OR (deadline, ticket_id, target, cycle) > (:at, :ticket_id, :target, :cycle))"
            " ORDER BY deadline, ticket_id, target, cycle LIMIT :limit"
        ),
        {**_values(after), "until": until, "limit": limit},
    )
    return [ClockRow(*row) for row in rows]


def _values(place: Place | None) -> dict[str, object]:
    return place._asdict() if place else {"at": None, "ticket_id": "", "target": "", "cycle": 0}
