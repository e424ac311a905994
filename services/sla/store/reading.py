"""What people ask for: clocks about to run out, and promises broken."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.store.timers import decode_story
from shared.events.config import TargetKind

COLUMNS = (
    "c.ticket_id, c.target, c.cycle, c.state, c.policy_id, c.channel, c.priority, c.started_at, c.target_us, c.deadline,"
    " c.ended_at, c.breached_at, t.state"
)
OF_CLOCKS = "sla.clock c JOIN sla.ticket t USING (ticket_id)"


class Place(NamedTuple):
    """Where a page ended: an instant and the clock that it belongs to."""

    at: datetime
    ticket_id: str
    target: str
    cycle: int


class ClockRow(NamedTuple):
    """A clock as kept for reading, and whose its ticket is by its story."""

    ticket_id: str
    target: TargetKind
    cycle: int
    state: str
    policy_id: str
    channel: str
    priority: int
    started_at: datetime
    target_us: int
    deadline: datetime
    ended_at: datetime | None
    breached_at: datetime | None
    queue_id: str | None
    team_id: str | None
    agent_id: str | None
    partner_id: str | None


async def breaches(conn: AsyncConnection, before: Place | None, limit: int, partner_id: str | None = None) -> list[ClockRow]:
    """Promises broken (and not proved kept since), the newest first, after the place where the page before ended; only on a
    partner's tickets when given.
    """
    rows = await conn.execute(
        sa.text(
            f"SELECT {COLUMNS} FROM {OF_CLOCKS} WHERE c.breached_at IS NOT NULL{_of(partner_id)}"
            " AND (CAST(:at AS timestamptz) IS NULL"
            " OR (c.breached_at, c.ticket_id, c.target, c.cycle) < (:at, :ticket_id, :target, :cycle))"
            " ORDER BY c.breached_at DESC, c.ticket_id DESC, c.target DESC, c.cycle DESC LIMIT :limit"
        ),
        {**_values(before, partner_id), "limit": limit},
    )
    return [_row(*row) for row in rows]


async def at_risk(
    conn: AsyncConnection, until: datetime, after: Place | None, limit: int, partner_id: str | None = None
) -> list[ClockRow]:
    """Running clocks whose deadline comes by `until`, the nearest first, after the place where the page before ended; only on a
    partner's tickets when given.
    """
    rows = await conn.execute(
        sa.text(
            f"SELECT {COLUMNS} FROM {OF_CLOCKS} WHERE c.state = 'running' AND c.breached_at IS NULL AND c.deadline <= :until"
            f"{_of(partner_id)}"
            " AND (CAST(:at AS timestamptz) IS NULL"
            " OR (c.deadline, c.ticket_id, c.target, c.cycle) > (:at, :ticket_id, :target, :cycle))"
            " ORDER BY c.deadline, c.ticket_id, c.target, c.cycle LIMIT :limit"
        ),
        {**_values(after, partner_id), "until": until, "limit": limit},
    )
    return [_row(*row) for row in rows]


def _row(*columns: Any) -> ClockRow:
    *of_clock, state = columns
    whose = decode_story(state).standing.whose
    return ClockRow._make((*of_clock, whose.queue_id, whose.team_id, whose.agent_id, whose.partner_id))


def _of(partner_id: str | None) -> str:
    return " AND c.partner_id = :partner_id" if partner_id is not None else ""


def _values(place: Place | None, partner_id: str | None) -> dict[str, object]:
    whose = {"partner_id": partner_id} if partner_id is not None else {}
    return {**(place._asdict() if place else {"at": None, "ticket_id": "", "target": "", "cycle": 0}), **whose}
