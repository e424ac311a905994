"""What agents have to do with tickets that are not, or no longer, theirs: wrap-ups, questions to experts, hand-overs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import StringConstraints, model_validator

from services.routing.api.agents import AgentId
from services.routing.api.room import (
    ID_PATTERN,
    AgentOrSupervisor,
    Body,
    Json,
    Label,
    TheRoom,
    acting_agent,
    actor,
    check_self,
    ticket_command,
)
from services.routing.api.tickets import Text, TicketId
from services.routing.commanding import Queues
from services.routing.domain import afterwards, experts
from services.routing.domain.work import Turn, Work
from services.routing.store import reading
from shared import db
from shared.idempotency import IdempotencyKey

router = APIRouter(tags=["tickets"])
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
ConsultId = Annotated[str, Path(max_length=64)]
CANDIDATES = 8  # of those who have a skill, who are looked at when it is asked for


class WrapUp(Body):
    """How it went (`code`), and what it was about. A supervisor names the agent whose wrap-up is to end."""

    code: Label | None = None
    topic: Label | None = None
    product: Label | None = None
    agent_id: Id | None = None


class Consult(Body):
    """The question, and who is asked: an agent, or the best of those who have a skill and are there."""

    text: Text
    agent_id: Id | None = None
    skill: Id | None = None

    @model_validator(mode="after")
    def one_of_both(self) -> Consult:
        """Somebody, or anybody who knows."""
        if (self.agent_id is None) == (self.skill is None):
            raise ValueError("name an agent or a skill")
        return self


class ConsultAnswer(Body):
    """What the expert says."""

    text: Text


@router.post("/v1/tickets/{ticket_id}/wrap-up")
async def complete_wrap_up(
    ticket_id: TicketId, body: WrapUp, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """The work after the contact is done; what the ticket took of the agent is free again."""

    def decide(turn: Turn, _queues: Queues) -> Json:
        took = afterwards.wrap_up(turn, actor(caller), body.code, body.topic, body.product, body.agent_id)
        return {"wrap_up_seconds": round(took / 1_000_000, 3)}

    return await ticket_command(room, caller, "complete_wrap_up", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/consults", status_code=201)
async def consult_expert(
    ticket_id: TicketId, body: Consult, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask an expert. They see the ticket and may note on it until the question is answered or ended; its owner keeps it."""
    candidates = [body.agent_id] if body.agent_id is not None else []
    if body.skill is not None:
        async with db.transaction(room.parts.engine) as conn:
            candidates = await reading.experts(conn, body.skill, CANDIDATES)

    def decide(turn: Turn, queues: Queues) -> Json:
        consult_id, expert_id = experts.ask(turn, actor(caller), queues, candidates, body.text, body.skill)
        return {"consult_id": consult_id, "expert_id": expert_id}

    return await ticket_command(
        room, caller, "consult_expert", ticket_id, idempotency_key, body, decide, 201, concerns=frozenset(candidates)
    )


@router.post("/v1/tickets/{ticket_id}/consults/{consult_id}/answer")
async def answer_consult(
    ticket_id: TicketId,
    consult_id: ConsultId,
    body: ConsultAnswer,
    room: TheRoom,
    caller: AgentOrSupervisor,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The expert answers, and is told of the ticket no more."""
    acting_agent(caller)

    def decide(turn: Turn, _queues: Queues) -> None:
        experts.answer(turn, actor(caller), consult_id, body.text)

    operation = f"answer_consult {consult_id}"
    return await ticket_command(room, caller, operation, ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/consults/{consult_id}/end")
async def end_consult(
    ticket_id: TicketId, consult_id: ConsultId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """No answer is needed any more, or the expert has none."""

    def decide(turn: Turn, _queues: Queues) -> None:
        experts.cancel(turn, actor(caller), consult_id)

    return await ticket_command(room, caller, f"end_consult {consult_id}", ticket_id, idempotency_key, None, decide)


@router.get("/v1/agents/{agent_id}/tasks")
async def list_agent_tasks(agent_id: AgentId, room: TheRoom, caller: AgentOrSupervisor) -> dict[str, object]:
    """What the agent has to do with tickets that they neither own nor are offered by a queue: wrap-ups to complete, questions to
    answer, hand-overs to accept. Each by a time of the server's.
    """
    check_self(caller, agent_id)
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        works = await reading.besides(conn, agent_id)
    return {"items": [task for work in works for task in _tasks(work, agent_id)], "next_cursor": None}


def _tasks(work: Work, agent_id: str) -> list[dict[str, object]]:
    of = {"ticket_id": work.id, "number": work.ticket.intake.number, "channel": work.channel}
    besides, asked = work.besides, work.besides.hand_over
    return [
        *({**of, "kind": "wrap_up", "id": None, "by": one.ends_by} for one in besides.wrap_ups if one.agent_id == agent_id),
        *({**of, "kind": "consult", "id": one.id, "by": one.expires_at} for one in besides.consults if one.expert_id == agent_id),
        *(
            [{**of, "kind": "transfer", "id": asked.id, "by": asked.expires_at}]
            if asked is not None and asked.to_agent_id == agent_id
            else []
        ),
    ]
