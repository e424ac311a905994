"""One command on many tickets: each is decided by itself, and all that are done are committed together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field, StringConstraints, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

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
    command,
    confined,
    refusals,
    shown,
)
from services.routing.commanding import Decide, Queues
from services.routing.domain import commands, editing, escalating, moves
from services.routing.domain.commands import Actor
from services.routing.domain.editing import MOST_TAGS, Labelling
from services.routing.domain.lifecycle import age_of
from services.routing.domain.work import Turn
from services.routing.grouping import Group
from shared import audit
from shared.auth import Caller
from shared.http import Problem
from shared.idempotency import IdempotencyKey
from shared.telemetry import current_traceparent

router = APIRouter(tags=["tickets"])
MOST = 100
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
TicketRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
# As word lists have them: they stand on the log in clear.
Mark = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]*$")]
Marks = Annotated[list[Mark], Field(max_length=MOST_TAGS)]
Do = Literal[
    "resolve",
    "pend",
    "hold",
    "reopen",
    "prioritise",
    "label",
    "assign",
    "take",
    "release",
    "transfer",
    "escalate",
    "mark_spam",
    "unmark_spam",
    "close",
]
# What each needs, and what it may be told besides.
FIELDS: Mapping[Do, tuple[frozenset[str], frozenset[str]]] = {
    "resolve": (frozenset(), frozenset({"code"})),
    "pend": (frozenset(), frozenset({"until"})),
    "hold": (frozenset(), frozenset({"third_party", "until"})),
    "reopen": (frozenset(), frozenset({"reason"})),
    "prioritise": (frozenset({"priority"}), frozenset()),
    "label": (frozenset(), frozenset({"topic", "product", "add_tags", "remove_tags"})),
    "assign": (frozenset({"agent_id"}), frozenset()),
    "take": (frozenset(), frozenset()),
    "release": (frozenset(), frozenset()),
    "transfer": (frozenset({"to", "id"}), frozenset({"reason"})),
    "escalate": (frozenset(), frozenset({"to_tier", "reason"})),
    "mark_spam": (frozenset(), frozenset()),
    "unmark_spam": (frozenset(), frozenset()),
    "close": (frozenset(), frozenset()),
}


class Command(Body):
    """What is to be done to each of them, with what the command on one ticket takes: `resolve` a `code`, `hold` a `third_party`,
    both it and `pend` an `until`, `prioritise` its `priority`, `assign` an `agent_id`, `transfer` (cold) `to`, `id`, `escalate`
    perhaps `to_tier`, and `label` `topic`, `product`, `add_tags`, `remove_tags`. `assign` is for supervisors, `take` for agents;
    `close` asks intake to.
    """

    do: Do
    code: Label | None = None
    reason: Label | None = None
    third_party: Label | None = None
    until: AwareDatetime | None = None
    priority: Literal[1, 2, 3, 4] | None = None
    agent_id: Id | None = None
    to: Literal["queue", "agent", "tier", "partner"] | None = None
    id: Id | None = None
    to_tier: Annotated[int, Field(ge=2, le=escalating.HIGHEST_TIER)] | None = None
    topic: Mark | None = None
    product: Mark | None = None
    add_tags: Marks = Field(default_factory=list)
    remove_tags: Marks = Field(default_factory=list)

    @model_validator(mode="after")
    def as_it_is_done(self) -> Command:
        """With what the command takes, and nothing else."""
        told = {name for name, value in self if name != "do" and value not in (None, [])}
        needed, besides = FIELDS[self.do]
        if needed - told:
            raise ValueError(f"'{self.do}' needs {', '.join(sorted(needed - told))}")
        if told - needed - besides:
            raise ValueError(f"'{self.do}' takes no {', '.join(sorted(told - needed - besides))}")
        if self.do == "label" and not told:
            raise ValueError("say what is to be labelled otherwise")
        return self


class Bulk(Body):
    """Which tickets, and what is to be done to each of them. One that is named twice is named once."""

    ticket_ids: Annotated[list[TicketRef], Field(min_length=1, max_length=MOST)]
    command: Command


@router.post("/v1/tickets/bulk")
async def bulk_tickets(body: Bulk, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None) -> Response:
    """Do one thing to up to 100 tickets. Each is decided by itself, in the order in which they are named, by the rights and the
    room that are left: `items` says of each `done` and how it stands, or `problem` with status, code and detail as of the command
    on one ticket. All that are done are committed together; the same key and body get the same answer.
    """
    concerned, decide = _concerned(body.command, caller), _decide(body.command, room, caller)

    async def work(conn: AsyncConnection, cause: str) -> Json:
        ticket_ids = list(dict.fromkeys(body.ticket_ids))
        group = await Group.load(conn, ticket_ids, concerned, room.commander.queues)
        items = [_one(group, ticket_id, cause, decide) for ticket_id in ticket_ids]
        await group.write(conn, room.parts.outbox)
        done = sum(item["outcome"] == "done" for item in items)
        await audit.note(conn, "tickets.bulk", caller.key_id, body.command.do, f"{done} of {len(items)}")
        return {"done": done, "problems": len(items) - done, "items": items}

    return await command(room, caller, "bulk_tickets", body.command.do, idempotency_key, body, work)


def _concerned(wanted: Command, caller: Caller) -> set[str]:
    """The agents whom the command is about besides those of the tickets. Raises Problem 403 for who may not give it."""
    if wanted.do == "take":
        return {acting_agent(caller)}
    if wanted.do == "assign" and not caller.may("supervisor"):
        raise Problem(403, "forbidden", "Only a supervisor assigns tickets. Take them, or transfer what you have.")
    named = wanted.agent_id if wanted.do == "assign" else wanted.id if wanted.to == "agent" else None
    return {named} if named is not None else set()


def _decide(wanted: Command, room: Room, caller: Caller) -> Decide:
    by, again_after = actor(caller), timedelta(seconds=room.settings.routing_again_seconds)

    def decide(turn: Turn, queues: Queues) -> Json:
        APPLIED[wanted.do](turn, by, queues, wanted, again_after)
        return shown(turn.work)

    return decide if caller.partner_id is None else confined(caller, decide)


def _one(group: Group, ticket_id: str, cause: str, decide: Decide) -> Mapping[str, object]:
    """How it went with one of them."""
    try:
        with refusals():
            done = group.decide(ticket_id, f"{cause} {ticket_id}", decide, current_traceparent())
    except Problem as problem:
        return {"ticket_id": ticket_id, "outcome": "problem", **json.loads(bytes(problem.response().body))}
    return {**done, "outcome": "done"}


def _prioritise(turn: Turn, by: Actor, _queues: Queues, wanted: Command, _again_after: timedelta) -> None:
    assert wanted.priority is not None, "FIELDS says so, here and below"
    commands.prioritise(turn, by, wanted.priority)


def _assign(turn: Turn, _by: Actor, queues: Queues, wanted: Command, _again_after: timedelta) -> None:
    assert wanted.agent_id is not None
    moves.assign(turn, queues, wanted.agent_id)


def _label(turn: Turn, by: Actor, _queues: Queues, wanted: Command, _again_after: timedelta) -> None:
    editing.label(turn, by, Labelling(wanted.topic, wanted.product, wanted.add_tags, wanted.remove_tags))


def _transfer(turn: Turn, by: Actor, queues: Queues, wanted: Command, again_after: timedelta) -> None:
    assert wanted.to is not None
    assert wanted.id is not None
    if wanted.to == "agent":
        moves.hand_to(turn, by, queues, wanted.id, wanted.reason)
    else:
        moves.transfer(turn, by, queues, wanted.to, wanted.id, wanted.reason, again_after)


# Each as the command on one ticket does it, and raising what that raises.
APPLIED: Mapping[Do, Callable[[Turn, Actor, Queues, Command, timedelta], None]] = {
    "resolve": lambda turn, by, queues, wanted, _: commands.resolve(turn, by, wanted.code, queues),
    "pend": lambda turn, by, _queues, wanted, _: commands.pend(turn, by, wanted.until),
    "hold": lambda turn, by, _queues, wanted, _: commands.put_on_hold(turn, by, wanted.third_party, wanted.until),
    "reopen": lambda turn, by, queues, wanted, _: commands.reopen(turn, by, queues, wanted.reason),
    "prioritise": _prioritise,
    "label": _label,
    "assign": _assign,
    "take": lambda turn, by, queues, _wanted, _: moves.take(turn, by.agent_id, queues),
    "release": lambda turn, by, queues, _wanted, _: commands.give_back(turn, by, queues, age_of(turn.work, turn.now)),
    "transfer": _transfer,
    "escalate": lambda turn, by, queues, wanted, _: escalating.escalate(turn, by, queues, wanted.to_tier, wanted.reason),
    "mark_spam": lambda turn, by, _queues, _wanted, _: commands.mark_spam(turn, by),
    "unmark_spam": lambda turn, by, queues, _wanted, _: commands.unmark_spam(turn, by, queues, age_of(turn.work, turn.now)),
    "close": lambda turn, by, _queues, _wanted, _: commands.ask_to_close(turn, by),
}
