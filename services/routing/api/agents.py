"""Agents: their state, what they are offered, what they have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.room import (
    ID_PATTERN,
    AgentOrSupervisor,
    Body,
    Cursor,
    Json,
    Label,
    Limit,
    Reader,
    TheRoom,
    acting_agent,
    carry_out,
    check_self,
    command,
)
from services.routing.commanding import Queues, Target
from services.routing.domain import offers
from services.routing.domain.agents import Agent
from services.routing.domain.work import Turn, Work
from services.routing.store import attending, config, reading, streams
from services.routing.ticking import set_states
from shared import db
from shared.auth import Caller
from shared.http import Problem
from shared.idempotency import IdempotencyKey

router = APIRouter(tags=["agents"])
AgentId = Annotated[str, Path(pattern=ID_PATTERN)]
OfferId = Annotated[str, Path(max_length=64)]


class State(Body):
    """The state from now on. `missed` is not chosen: it comes of an offer that nobody answered, and ends with this."""

    state: Literal["available", "break", "wrap_up", "offline"]
    reason: Label | None = None


class Decline(Body):
    """Why, for the people who look at it later."""

    reason: Label | None = None


@router.post("/v1/agents/{agent_id}/state")
async def change_agent_state(
    agent_id: AgentId, body: State, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Come, go, pause. Coming starts the presence, which the live stream and every call then keep up."""
    check_self(caller, agent_id)
    left: list[str] = []

    async def work(conn: AsyncConnection, cause: str) -> Json:
        # Presence first: whoever ends it holds its row before the agent's.
        if body.state == "offline":
            await streams.leave(conn, agent_id)
            left[:] = await attending.leave_all(conn, agent_id)
        else:
            await streams.come(conn, agent_id, room.settings.routing_presence_seconds)
        found = await set_states(conn, room.parts.outbox, [agent_id], body.state, body.reason, cause=cause)
        agent = found.get(agent_id)
        if agent is None or not agent.profile.active:
            raise _no_agent(agent_id)
        return {"agent_id": agent_id, "state": agent.state, "state_since": agent.state_since.isoformat()}

    answer = await command(room, caller, "change_agent_state", agent_id, idempotency_key, body, work)
    room.attendance.tell_away(agent_id, left)
    return answer


@router.get("/v1/agents/{agent_id}")
async def get_agent(agent_id: AgentId, room: TheRoom, caller: Reader) -> dict[str, object]:
    """An agent as configured and as now."""
    check_self(caller, agent_id)
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        found = await reading.agent(conn, agent_id)
        stored = await config.find(conn, "agent", agent_id)
    if found is None or not caller.sees(found[0].profile.partner_id):
        raise _no_agent(agent_id)
    return {**agent_view(*found), "version": stored.version if stored else None}


@router.get("/v1/agents/{agent_id}/offers")
async def list_offers(agent_id: AgentId, room: TheRoom, caller: Reader) -> dict[str, object]:
    """What the agent is offered now, oldest first."""
    check_self(caller, agent_id)
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        await _check_theirs(conn, caller, agent_id)
        rows = await reading.live_offers(conn, agent_id)
    items = [
        {
            "offer_id": row.offer_id,
            "ticket_id": row.ticket_id,
            "number": row.number,
            "queue_id": row.queue_id,
            "offered_at": row.offered_at,
            "expires_at": row.expires_at,
        }
        for row in rows
    ]
    return {"items": items, "next_cursor": None}


@router.get("/v1/agents/{agent_id}/tickets")
async def list_agent_tickets(
    agent_id: AgentId, room: TheRoom, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> dict[str, object]:
    """The tickets that the agent owns."""
    check_self(caller, agent_id)
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        await _check_theirs(conn, caller, agent_id)
        works = await reading.owned(conn, agent_id, cursor, limit)
    return tickets_page(caller, works, [ticket_line(work) for work in works], limit)


@router.post("/v1/offers/{offer_id}/accept")
async def accept_offer(
    offer_id: OfferId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take the ticket. A repeat of an acceptance that succeeded gives the same answer; one that is too late is 409."""
    agent_id = acting_agent(caller)

    def decide(turn: Turn, queues: Queues) -> Json:
        of = turn.work.offer.queue_id if turn.work.offer else None
        offers.accept(turn, offer_id, agent_id, next((queue for queue in queues if queue.id == of), None))
        return {**_answered(turn, offer_id), "agent_id": agent_id}

    return await carry_out(room, caller, "accept_offer", Target(offer_id=offer_id), idempotency_key, None, decide)


@router.post("/v1/offers/{offer_id}/decline")
async def decline_offer(
    offer_id: OfferId, body: Decline, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Let it go to the next agent."""
    agent_id = acting_agent(caller)
    again_after = timedelta(seconds=room.settings.routing_again_seconds)

    def decide(turn: Turn, _queues: Queues) -> Json:
        offers.decline(turn, offer_id, agent_id, body.reason, again_after)
        return _answered(turn, offer_id)

    return await carry_out(room, caller, "decline_offer", Target(offer_id=offer_id), idempotency_key, body, decide)


def agent_view(agent: Agent, present_until: datetime | None) -> dict[str, object]:
    """An agent as the API shows one."""
    profile = agent.profile
    return {
        "id": agent.id,
        "display_name": profile.display_name,
        "state": agent.state,
        "state_since": agent.state_since,
        "present_until": present_until,
        "used_units": agent.used_units,
        "capacity_units": agent.capacity_units,
        "tickets": agent.tickets,
        "team_ids": profile.team_ids,
        "skills": profile.skills,
        "languages": profile.languages,
        "channel_limits": profile.channel_limits,
        "tier": profile.tier,
        "partner_id": profile.partner_id,
        "active": profile.active,
    }


def ticket_line(work: Work) -> dict[str, object]:
    """A ticket in a list."""
    ticket = work.ticket
    return {
        "ticket_id": work.id,
        "number": ticket.intake.number,
        "status": ticket.status,
        "channel": ticket.intake.channel,
        "language": ticket.intake.language,
        "direction": work.direction,
        "priority": ticket.priority,
        "version": ticket.version,
        "vip": ticket.intake.vip,
        "agent_id": work.owner,
        "queue_id": work.visit.queue_id if work.visit else ticket.routing.queue_id,
        "opened_at": ticket.intake.opened_at,
        "waiting_since": ticket.waiting_since,
        "merged_into": ticket.intake.merged_into,
    }


def tickets_page(caller: Caller, works: Sequence[Work], items: Sequence[dict[str, object]], limit: int) -> dict[str, object]:
    """A page of tickets, of which a partner sees those that are its own: then it may hold fewer than there is place for."""
    seen = [item for work, item in zip(works, items, strict=True) if caller.sees(work.ticket.partner_id)]
    return {"items": seen, "next_cursor": works[-1].id if len(works) == limit else None}


async def _check_theirs(conn: AsyncConnection, caller: Caller, agent_id: str) -> None:
    """Refuse to a partner what is of no agent of its own. Raises Problem 404."""
    if caller.partner_id is not None:
        found = await reading.agent(conn, agent_id)
        if found is None or not caller.sees(found[0].profile.partner_id):
            raise _no_agent(agent_id)


def _answered(turn: Turn, offer_id: str) -> Json:
    return {"ticket_id": turn.work.id, "number": turn.work.ticket.intake.number, "offer_id": offer_id}


def _no_agent(agent_id: str) -> Problem:
    return Problem(
        404, "agent-not-found", f"There is no active agent '{agent_id}'. An admin makes one: PUT /v1/agents/{agent_id}."
    )
