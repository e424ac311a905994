"""Who looks at a ticket or writes on it, for the other agents; customers never see it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.room import AgentOrSupervisor, Body, Room, TheRoom, actor
from services.routing.api.tickets import TicketId
from services.routing.domain.work import Work
from services.routing.store import attending, reading
from shared import db
from shared.auth import Caller
from shared.events.signals import PresenceChanged
from shared.http import Problem

router = APIRouter(tags=["tickets"])


class Attend(Body):
    """What the agent does at the ticket."""

    doing: Literal["viewing", "replying", "noting"]


@router.put("/v1/tickets/{ticket_id}/presence")
async def attend_ticket(ticket_id: TicketId, body: Attend, room: TheRoom, caller: AgentOrSupervisor) -> dict[str, object]:
    """Say that one looks at the ticket, or writes an answer or a note; again before it ends. The other agents of the ticket are
    told on their live streams (`presence.changed`, `away` when it ends). Of several windows the last one counts. Answers with who
    is there.
    """
    agent_id, seconds = actor(caller).agent_id, room.settings.routing_attending_seconds
    async with db.transaction(room.parts.engine) as conn:
        await known_ticket(conn, room, caller, ticket_id)
        until = await attending.attend(conn, ticket_id, agent_id, body.doing, seconds)
        shown = await _shown(conn, ticket_id, seconds)
    if until is not None:
        room.attendance.tell(ticket_id, PresenceChanged(agent_id=agent_id, doing=body.doing, until=until))
    return shown


@router.get("/v1/tickets/{ticket_id}/presence")
async def list_attending(ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor) -> dict[str, object]:
    """Who is at the ticket now, who came first before, and until when unless they say it again."""
    async with db.transaction(room.parts.engine) as conn:
        await known_ticket(conn, room, caller, ticket_id)
        return await _shown(conn, ticket_id, room.settings.routing_attending_seconds)


@router.delete("/v1/tickets/{ticket_id}/presence", status_code=204)
async def leave_ticket(ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor) -> Response:
    """One is at the ticket no more. Nothing where one was not."""
    agent_id = actor(caller).agent_id
    async with db.transaction(room.parts.engine) as conn:
        await known_ticket(conn, room, caller, ticket_id)
        left = await attending.leave(conn, ticket_id, agent_id)
    room.attendance.tell_away(agent_id, left)
    return Response(status_code=204)


async def known_ticket(conn: AsyncConnection, room: Room, caller: Caller, ticket_id: str, *, lock: bool = False) -> Work:
    """The ticket, for all agents of the house, and those of the partner whose it is; that they ask is a sign of life. `lock`: it
    stays as it is until the transaction ends. Raises Problem 404.
    """
    await room.seen(conn, caller)
    work = await reading.ticket(conn, ticket_id, lock=lock)
    if work is None or not caller.sees(work.ticket.partner_id):
        raise Problem(404, "ticket-not-found", "There is no such ticket, or routing has not heard of it yet.")
    return work


async def _shown(conn: AsyncConnection, ticket_id: str, seconds: float) -> dict[str, object]:
    items = [one._asdict() for one in await attending.here(conn, ticket_id)]
    return {"ticket_id": ticket_id, "items": items, "ends_after_seconds": seconds}
