"""What agents ask intake for: to merge, split, link and open tickets.

202 says that it was asked. The answer is a fact: it stands in the ticket's timeline, and the agent who asked is told on the
live stream (`ticket.merged_into`, `ticket.split`, … or `request.refused` with code and detail).
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.room import AgentOrSupervisor, Body, Json, Room, TheRoom, actor, command, refusals, ticket_command
from services.routing.api.tickets import Subject, TicketId, serves
from services.routing.commanding import NoSuchTicket, Queues
from services.routing.domain import commands
from services.routing.domain.work import Turn
from services.routing.store import reading
from shared import db
from shared.auth import Caller
from shared.clock import clock
from shared.events.base import Draft, derived_id
from shared.events.ticket import TicketOpenRequested, TicketPersonal
from shared.http import Problem
from shared.idempotency import IdempotencyKey

router = APIRouter(tags=["tickets"])
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
MOST_MESSAGES = 200


class Merge(Body):
    """The ticket that goes on; it may be one that was merged itself."""

    into_ticket_id: Id


class Split(Body):
    """Which of the customer's messages go to a ticket of their own."""

    message_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_MESSAGES)]


class Link(Body):
    """The other ticket; with `undo` the link is taken away."""

    ticket_id: Id
    undo: bool = False


class Open(Body):
    """A ticket for a customer who came in person, rang, or is to be written to."""

    customer_id: Id
    channel: Literal["in_person", "phone", "other"] = "in_person"
    subject: Subject = ""
    priority: Literal[1, 2, 3, 4] = 2
    outward: bool = False


@router.post("/v1/tickets", status_code=202)
async def open_ticket(body: Open, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None) -> Response:
    """Ask intake to open a ticket for a customer; it has its number when intake says so. Agents of a partner open tickets of the
    partner's, for customers who have one already.
    """

    async def work(conn: AsyncConnection, cause: str) -> Json:
        if not await room.parts.keys.knows(conn, body.customer_id) or not await serves(conn, caller, body.customer_id):
            detail = "There is no such customer. Make one of somebody new by POST /v1/customers/by-hand of intake."
            raise Problem(404, "customer-not-found", detail)
        ticket_id = derived_id("ticket", cause)
        wish = TicketOpenRequested(
            agent_id=actor(caller).agent_id,
            customer_id=body.customer_id,
            channel=body.channel,
            priority=body.priority,
            outward=body.outward,
            partner_id=caller.partner_id,
        )
        personal = TicketPersonal(subject=body.subject) if body.subject else None
        person = body.customer_id if body.subject else None
        draft = Draft(key=ticket_id, data=wish, cause=cause, person=person, personal=personal)
        await room.parts.outbox.publish(conn, [draft], await clock(conn))
        return {"ticket_id": ticket_id}

    return await command(room, caller, "open_ticket", body.customer_id, idempotency_key, body, work, 202)


@router.post("/v1/tickets/{ticket_id}/merge", status_code=202)
async def merge_ticket(
    ticket_id: TicketId, body: Merge, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask intake to merge it into another ticket of the same customer."""
    await _check_other(room, caller, body.into_ticket_id)

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.ask_to_merge(turn, actor(caller), body.into_ticket_id)

    return await ticket_command(room, caller, "merge_ticket", ticket_id, idempotency_key, body, decide, 202)


@router.post("/v1/tickets/{ticket_id}/unmerge", status_code=202)
async def unmerge_ticket(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask intake to undo the merge of this ticket: it has again what was on it; what came since stays where it came."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.ask_to_unmerge(turn, actor(caller))

    return await ticket_command(room, caller, "unmerge_ticket", ticket_id, idempotency_key, None, decide, 202)


@router.post("/v1/tickets/{ticket_id}/split", status_code=202)
async def split_ticket(
    ticket_id: TicketId, body: Split, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask intake to put some of the customer's messages on a ticket of their own."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.ask_to_split(turn, actor(caller), tuple(dict.fromkeys(body.message_ids)))

    return await ticket_command(room, caller, "split_ticket", ticket_id, idempotency_key, body, decide, 202)


@router.post("/v1/tickets/{ticket_id}/links", status_code=202)
async def link_ticket(
    ticket_id: TicketId, body: Link, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask intake to link it with another ticket, or to take that link away."""
    await _check_other(room, caller, body.ticket_id)

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.ask_to_link(turn, actor(caller), body.ticket_id, undo=body.undo)

    return await ticket_command(room, caller, "link_ticket", ticket_id, idempotency_key, body, decide, 202)


async def _check_other(room: Room, caller: Caller, ticket_id: str) -> None:
    """Refuse to a partner's agent to join a ticket with one that is not the partner's: there is none. Raises Problem 404."""
    if caller.partner_id is None:
        return
    async with db.transaction(room.parts.engine) as conn:
        other = await reading.ticket(conn, ticket_id)
    if other is None or not caller.sees(other.ticket.partner_id):
        with refusals():
            raise NoSuchTicket
