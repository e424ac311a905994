"""How agents and supervisors move tickets: taken, assigned, sent on, handed over, escalated, called back later."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, Field, StringConstraints

from services.routing.api.room import (
    ID_PATTERN,
    AgentOrSupervisor,
    Body,
    Json,
    Label,
    Room,
    TheRoom,
    acting_agent,
    actor,
    ticket_command,
)
from services.routing.api.tickets import TicketId
from services.routing.commanding import NoSuchTicket, Queues
from services.routing.domain import calling_back, escalating, handing, moves
from services.routing.domain.commands import permit
from services.routing.domain.work import Turn
from shared.auth import Caller, requires
from shared.http import FieldError, Problem
from shared.idempotency import IdempotencyKey

router = APIRouter(tags=["tickets"])
Supervisor = Annotated[Caller, Depends(requires("supervisor"))]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


class Transfer(Body):
    """Where to: a queue, the queue of a tier or partner whose rule takes it, or an agent.

    `warm`: the agent is asked first, and the owner keeps the ticket until they accept; else they have it at once.
    """

    to: Literal["queue", "agent", "tier", "partner"]
    id: Id
    warm: bool = False
    reason: Label | None = None


class DeclineTransfer(Body):
    """Why not."""

    reason: Label | None = None


class Assign(Body):
    """To whom."""

    agent_id: Id


class Escalate(Body):
    """How far up, the next tier where none is named; and why."""

    to_tier: Annotated[int, Field(ge=2, le=escalating.HIGHEST_TIER)] | None = None
    reason: Label | None = None


class CallBack(Body):
    """When the customer wants to be called, within 366 days; as soon as it is their turn where nothing is said."""

    not_before: AwareDatetime | None = None


@router.post("/v1/tickets/{ticket_id}/take")
async def take_ticket(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take a waiting ticket without being offered it. For an agent who could be offered it now; one that is offered to somebody
    else is theirs until they have answered.
    """
    agent_id = acting_agent(caller)

    def decide(turn: Turn, queues: Queues) -> None:
        moves.take(turn, agent_id, queues)

    concerned = frozenset({agent_id})
    return await ticket_command(room, caller, "take_ticket", ticket_id, idempotency_key, None, decide, concerns=concerned)


@router.post("/v1/tickets/{ticket_id}/assign")
async def assign_ticket(
    ticket_id: TicketId, body: Assign, room: TheRoom, caller: Supervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Give it to an agent, whatever they are able to do; never more than they can carry, and to nobody who is offline."""

    def decide(turn: Turn, queues: Queues) -> None:
        moves.assign(turn, queues, body.agent_id)

    concerned = frozenset({body.agent_id})
    return await ticket_command(room, caller, "assign_ticket", ticket_id, idempotency_key, body, decide, concerns=concerned)


@router.post("/v1/tickets/{ticket_id}/transfer")
async def transfer_ticket(
    ticket_id: TicketId, body: Transfer, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send it on, with the age it has. A warm transfer answers with its `transfer_id`; nothing changes until it is accepted."""
    if body.warm and body.to != "agent":
        error = FieldError("body.warm", "only with an agent, who can be asked")
        raise Problem(422, "invalid-request", "Only an agent can be asked whether they take it.", [error])

    def decide(turn: Turn, queues: Queues) -> Json | None:
        return _transfer(turn, body, room, caller, queues)

    concerned = frozenset({body.id} if body.to == "agent" else ())
    return await ticket_command(room, caller, "transfer_ticket", ticket_id, idempotency_key, body, decide, concerns=concerned)


def _transfer(turn: Turn, body: Transfer, room: Room, caller: Caller, queues: Queues) -> Json | None:
    if body.to != "agent":
        again_after = timedelta(seconds=room.settings.routing_again_seconds)
        moves.transfer(turn, actor(caller), queues, body.to, body.id, body.reason, again_after)
    elif body.warm:
        return {"transfer_id": moves.offer_to(turn, actor(caller), queues, body.id, body.reason)}
    else:
        moves.hand_to(turn, actor(caller), queues, body.id, body.reason)
    return None


@router.post("/v1/tickets/{ticket_id}/transfer/accept")
async def accept_transfer(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take over a ticket that is offered to be handed over. Too late is 409."""
    agent_id = acting_agent(caller)

    def decide(turn: Turn, queues: Queues) -> None:
        moves.accept_transfer(turn, agent_id, queues)

    return await ticket_command(room, caller, "accept_transfer", ticket_id, idempotency_key, None, decide)


@router.post("/v1/tickets/{ticket_id}/transfer/decline")
async def decline_transfer(
    ticket_id: TicketId, body: DeclineTransfer, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Leave it with its owner, who is told."""
    agent_id = acting_agent(caller)

    def decide(turn: Turn, _queues: Queues) -> None:
        handing.decline(turn, agent_id, body.reason)

    return await ticket_command(room, caller, "decline_transfer", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/transfer/withdraw")
async def withdraw_transfer(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Keep it after all: whoever was asked is told. Nothing when nobody is asked."""

    def decide(turn: Turn, _queues: Queues) -> None:
        permit(turn, actor(caller), "assign", owned=True)
        handing.end(turn, "withdrawn")

    return await ticket_command(room, caller, "withdraw_transfer", ticket_id, idempotency_key, None, decide)


@router.post("/v1/tickets/{ticket_id}/escalate")
async def escalate_ticket(
    ticket_id: TicketId, body: Escalate, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send it up to the next tier, or the one named, with the age it has."""

    def decide(turn: Turn, queues: Queues) -> Json:
        escalating.escalate(turn, actor(caller), queues, body.to_tier, body.reason)
        return {"tier": turn.work.tier, "path": turn.work.path}

    return await ticket_command(room, caller, "escalate_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/callback")
async def call_back_later(
    ticket_id: TicketId, body: CallBack, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """The customer is called back instead of waiting: the ticket leaves its queue, and comes back at its time where it stood."""

    def decide(turn: Turn, queues: Queues) -> Json:
        if not caller.sees(turn.work.ticket.partner_id):
            raise NoSuchTicket  # a wrap-up that goes on for a partner's agent gives no say in where the house's ticket waits
        returns_at = calling_back.request(turn, actor(caller), queues, body.not_before)
        return {"returns_at": returns_at.isoformat()}

    return await ticket_command(room, caller, "call_back_later", ticket_id, idempotency_key, body, decide)
