"""What agents do to tickets."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field, StringConstraints

from services.routing.api.room import ID_PATTERN, AgentOrSupervisor, Body, Label, TheRoom, actor, ticket_command
from services.routing.commanding import Queues
from services.routing.domain import commands
from services.routing.domain.work import Turn
from shared.idempotency import IdempotencyKey

router = APIRouter(tags=["tickets"])
TicketId = Annotated[str, Path(max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1)]
Mention = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


class Reply(Body):
    """What goes to the customer. Without a language the ticket's own is taken."""

    text: Text
    subject: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\r\n]*$")] = ""
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None


class Note(Body):
    """What stays among agents."""

    text: Text
    mentions: Annotated[list[Mention], Field(max_length=50)] = Field(default_factory=list)


class Resolve(Body):
    """How it ended."""

    code: Label | None = None


class Hold(Body):
    """Who is waited for: `carrier`, `bank`; names of people belong into a note."""

    third_party: Label | None = None


class Reopen(Body):
    """Why."""

    reason: Label | None = None


class Prioritise(Body):
    """The priority from now on: 1 not urgent … 4 urgent."""

    priority: Literal[1, 2, 3, 4]


@router.post("/v1/tickets/{ticket_id}/reply", status_code=201)
async def reply_to_ticket(
    ticket_id: TicketId, body: Reply, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answer the customer, on the channel on which they wrote."""

    def decide(turn: Turn, _queues: Queues) -> dict[str, object]:
        message_id = commands.reply(turn, actor(caller), body.text, body.subject, body.language)
        return {"message_id": message_id}

    return await ticket_command(room, caller, "reply_to_ticket", ticket_id, idempotency_key, body, decide, 201)


@router.post("/v1/tickets/{ticket_id}/note", status_code=201)
async def note_on_ticket(
    ticket_id: TicketId, body: Note, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Write for other agents; the customer never sees it."""

    def decide(turn: Turn, _queues: Queues) -> dict[str, object]:
        return {"note_id": commands.note(turn, actor(caller), body.text, tuple(body.mentions))}

    return await ticket_command(room, caller, "note_on_ticket", ticket_id, idempotency_key, body, decide, 201)


@router.post("/v1/tickets/{ticket_id}/resolve")
async def resolve_ticket(
    ticket_id: TicketId, body: Resolve, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """The problem is solved."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.resolve(turn, actor(caller), body.code)

    return await ticket_command(room, caller, "resolve_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/pend")
async def pend_ticket(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Wait for the customer."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.pend(turn, actor(caller))

    return await ticket_command(room, caller, "pend_ticket", ticket_id, idempotency_key, None, decide)


@router.post("/v1/tickets/{ticket_id}/hold")
async def hold_ticket(
    ticket_id: TicketId, body: Hold, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Wait for a third party."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.put_on_hold(turn, actor(caller), body.third_party)

    return await ticket_command(room, caller, "hold_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/reopen")
async def reopen_ticket(
    ticket_id: TicketId, body: Reopen, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Back to work."""

    def decide(turn: Turn, queues: Queues) -> None:
        commands.reopen(turn, actor(caller), queues, body.reason)

    return await ticket_command(room, caller, "reopen_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/release")
async def release_ticket(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Give it back to the queue, with the age it has."""

    def decide(turn: Turn, queues: Queues) -> None:
        since = turn.work.ticket.waiting_since or turn.work.ticket.intake.opened_at or turn.now
        commands.give_back(turn, actor(caller), queues, since)

    return await ticket_command(room, caller, "release_ticket", ticket_id, idempotency_key, None, decide)


@router.post("/v1/tickets/{ticket_id}/priority")
async def prioritise_ticket(
    ticket_id: TicketId, body: Prioritise, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Change the priority."""

    def decide(turn: Turn, _queues: Queues) -> dict[str, object]:
        commands.prioritise(turn, actor(caller), body.priority)
        return {"priority": turn.work.ticket.priority}

    return await ticket_command(room, caller, "prioritise_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/close", status_code=202)
async def close_ticket(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask intake to close it; it is closed when intake says so."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.ask_to_close(turn, actor(caller))

    return await ticket_command(room, caller, "close_ticket", ticket_id, idempotency_key, None, decide, 202)
