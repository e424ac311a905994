"""Why a ticket was offered to whom it was, and why not to somebody else."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.reading import Entries, Number, ticket_for
from services.routing.api.room import ID_PATTERN, OfTheHouse, TheRoom, check_self
from services.routing.api.tickets import TicketId
from services.routing.domain.looking import languages_wanted
from services.routing.domain.steps import asked
from services.routing.domain.verdicts import missing_skills, verdict
from services.routing.domain.work import Work
from services.routing.store import config, configuration, decisions, matching, reading
from services.routing.store.decisions import Decision
from shared import db
from shared.clock import clock
from shared.events.config import QueueConfigured
from shared.http import Problem

router = APIRouter(tags=["reading"])
SENT_ON = 20
WhyNot = Annotated[str | None, Query(pattern=ID_PATTERN, description="the agent about whom it is asked, why not to them")]


@router.get("/v1/tickets/{ticket_id}/decisions")
async def list_decisions(
    ticket_id: TicketId,
    room: TheRoom,
    caller: OfTheHouse,
    agent_id: WhyNot = None,
    after: Number = 0,
    limit: Entries = 50,
) -> dict[str, object]:
    """Each offer of the ticket with what was decided by: how many agents came to which verdict, the first of them by name,
    versions of the configuration and of the queue, step and strategy. `sent_on`: which steps of queues sent it on, and why. With
    `agent_id`, for a ticket that waits now: what stands between it and that agent.
    """
    if agent_id is not None:
        check_self(caller, agent_id)
    async with db.transaction(room.parts.engine) as conn:
        work = await ticket_for(conn, room, caller, ticket_id)
        rows = await decisions.of_ticket(conn, ticket_id, after, limit)
        sent = await decisions.sent_on(conn, ticket_id, SENT_ON)
        now = await _now(conn, work, agent_id) if agent_id is not None else None
    return {
        "ticket_id": ticket_id,
        "items": [_shown(row) for row in rows],
        "sent_on": [{"at": at, "to_queue_id": queue_id, **msgspec.json.decode(why)} for at, queue_id, why in sent],
        "now": now,
        "next_after": rows[-1].id if len(rows) == limit else None,
    }


def _shown(row: Decision) -> dict[str, object]:
    reason = msgspec.json.decode(row.reason) if row.reason is not None else {"how": None, "let_go": []}
    return {
        "offer_id": row.offer_id,
        "agent_id": row.agent_id,
        "queue_id": row.queue_id,
        "visit": row.visit,
        "state": row.state,
        "offered_at": row.offered_at,
        "ended_at": row.ended_at,
        **reason,
        "saw": msgspec.json.decode(row.looked) if row.looked is not None else None,
    }


async def _now(conn: AsyncConnection, work: Work, agent_id: str) -> dict[str, object] | None:
    """The verdict on the agent, as the next pass would find it; None for a ticket that does not wait without an offer."""
    found = await reading.agent(conn, agent_id)
    if found is None:
        raise Problem(404, "agent-not-found", f"There is no agent '{agent_id}'.")
    visit = work.visit
    stored = await config.find(conn, "queue", visit.queue_id) if visit is not None and work.offer is None else None
    if visit is None or stored is None:
        return None
    queue = msgspec.json.decode(stored.data, type=QueueConfigured)
    preferred = await reading.agent(conn, visit.preferred) if visit.preferred is not None else None
    now = await clock(conn)
    wanted = languages_wanted([work], {queue.id: queue})
    here = asked(queue, work, visit, now, await matching.unspoken(conn, wanted) if wanted else frozenset())
    agent, until = found
    keeper = preferred[0] if preferred is not None and _there(preferred[1], now) else None
    judged = verdict(agent, work, visit, here, now, present=_there(until, now), preferred=keeper)
    return {
        "agent_id": agent_id,
        "verdict": judged,
        "missing_skills": missing_skills(agent, here.queue),
        "queue_id": queue.id,
        "queue_version": queue.version,
        "config_version": await configuration.number(conn),
        "step": here.step,
        "strategy": queue.strategy,
    }


def _there(until: datetime | None, now: datetime) -> bool:
    return until is not None and until > now
