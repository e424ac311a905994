"""What all routes share: the resources, who calls, how a command is carried out once and how a refusal is told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.refusing import REFUSED, problem_of
from services.routing.attending import Attendance
from services.routing.commanding import Command, Commander, Decide, NoSuchOffer, NoSuchTicket, Queues, Target
from services.routing.domain.canned import is_for
from services.routing.domain.commands import Actor, NotMerged, NotYours, TextTooLong
from services.routing.domain.offers import OfferGone
from services.routing.domain.sendable import FIELDS, CannotGoOut
from services.routing.domain.work import Turn, Work
from services.routing.hub import Hub
from services.routing.oidc import Provider
from services.routing.settings import RoutingSettings
from services.routing.signing_in import SignIn
from services.routing.store import canned, streams
from services.routing.store.canned import CannedShelf
from shared.auth import Caller, requires
from shared.events.config import CannedResponseConfigured
from shared.http import FieldError, Problem
from shared.idempotency import Answer, Asked, once, request_hash
from shared.service import Resources
from shared.telemetry import current_traceparent
from shared.ticket import CommandRefused

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$"
Json = Mapping[str, object]
# Reasons and codes stand on the log in clear and for ever, so they are labels; words about a customer belong into a note.
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Body(BaseModel):
    """A request's body: nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", str_max_length=64_000)


@dataclass(frozen=True, slots=True)
class Room:
    """What routes work with."""

    parts: Resources
    settings: RoutingSettings
    hub: Hub
    commander: Commander
    sign_in: SignIn
    provider: Provider
    attendance: Attendance
    canned: CannedShelf = field(default_factory=CannedShelf)

    async def seen(self, conn: AsyncConnection, caller: Caller) -> None:
        """Any call of an agent is a sign of presence."""
        if caller.agent_id is not None:
            await streams.renew(conn, [caller.agent_id], self.settings.routing_presence_seconds)


def room_of(request: Request) -> Room:
    """The room, as a dependency."""
    room: Room = request.app.state.room
    return room


TheRoom = Annotated[Room, Depends(room_of)]
# Who works on tickets, agents of partners too: `carry_out` shows these only what is their partner's, or is asked of them.
AgentOrSupervisor = Annotated[Caller, Depends(requires("supervisor", "agent", "partner agent"))]
OfTheHouse = Annotated[Caller, Depends(requires("supervisor", "agent"))]
Reader = Annotated[Caller, Depends(requires("supervisor", "agent", "partner agent", "partner"))]
Operations = Annotated[Caller, Depends(requires("ops:read", "supervisor"))]
OperationsOrPartner = Annotated[Caller, Depends(requires("ops:read", "supervisor", "partner"))]
Admin = Annotated[Caller, Depends(requires("admin"))]
Limit = Annotated[int, Query(ge=1, le=200, description="at most so many")]
Cursor = Annotated[str, Query(max_length=255, description="`next_cursor` of the page before")]


async def usable(conn: AsyncConnection, room: Room, caller: Caller) -> list[CannedResponseConfigured]:
    """The canned responses that the caller may use: a supervisor all, an agent those of their teams."""
    responses = await room.canned.of(conn)
    if caller.may("supervisor"):
        return list(responses)
    teams = await canned.teams(conn, caller.agent_id or "")
    return [one for one in responses if is_for(one, teams, of_partner=caller.partner_id is not None)]


def actor(caller: Caller) -> Actor:
    """The caller as one who acts. A supervisor's key without an agent acts under the key's own id."""
    return Actor(caller.agent_id or caller.key_id, caller.may("supervisor"))


def acting_agent(caller: Caller) -> str:
    """The agent who calls. Raises Problem 403."""
    if caller.agent_id is None:
        raise Problem(403, "forbidden", "Only an agent does this: whom it is about. Use that agent's key.")
    return caller.agent_id


def check_self(caller: Caller, agent_id: str) -> None:
    """Refuse what is another agent's. Raises Problem 403."""
    if caller.agent_id != agent_id and not caller.oversees:
        raise Problem(403, "forbidden", f"This is for agent '{agent_id}' or a supervisor.")


def cause_of(caller: Caller, operation: str, subject: str, key: str | None) -> str:
    """What names a command: the same for a repeat with the same Idempotency-Key."""
    return f"{caller.key_id} {operation} {subject} {key or uuid.uuid4()}"


async def command(
    room: Room,
    caller: Caller,
    operation: str,
    subject: str,
    key: str | None,
    body: BaseModel | None,
    work: Callable[[AsyncConnection, str], Awaitable[Json]],
    status: int = 200,
) -> Response:
    """Carry out a command once, in one transaction with its answer. `work(conn, cause)` is a coroutine giving the body."""
    cause = cause_of(caller, operation, subject, key)

    async def attempt(conn: AsyncConnection) -> Answer:
        await room.seen(conn, caller)
        result = await work(conn, cause)
        return Answer(status, json.dumps(result, ensure_ascii=False).encode())

    with refusals():
        digest = request_hash(f"{operation} {subject}", _sent(body))
        answer = await once(room.parts.engine, "routing", caller.key_id, key, digest, attempt)
    return answer.response()


async def ticket_command(
    room: Room,
    caller: Caller,
    operation: str,
    ticket_id: str,
    key: str | None,
    body: BaseModel | None,
    decide: Callable[[Turn, Queues], Json | None],
    status: int = 200,
    *,
    concerns: frozenset[str] = frozenset(),
) -> Response:
    """A command on one ticket: answers with its status and owner, and what `decide` adds. `concerns` are agents it is about."""

    def decided(turn: Turn, queues: Queues) -> Json:
        more = decide(turn, queues) or {}
        return {**shown(turn.work), **more}

    target = Target(ticket_id=ticket_id)
    return await carry_out(room, caller, operation, target, key, body, decided, status, concerns=concerns)


def shown(work: Work) -> Json:
    """How a ticket stands after a command."""
    waits_in = work.visit.queue_id if work.visit else None
    return {"ticket_id": work.id, "status": work.ticket.status, "agent_id": work.owner, "queue_id": waits_in}


async def carry_out(
    room: Room,
    caller: Caller,
    operation: str,
    target: Target,
    key: str | None,
    body: BaseModel | None,
    decide: Decide,
    status: int = 200,
    *,
    concerns: frozenset[str] = frozenset(),
) -> Response:
    """Carry out a command on a ticket once, together with those that arrive at the same time."""

    subject = target.offer_id or target.ticket_id
    asked = Asked(caller.key_id, key, request_hash(f"{operation} {subject}", _sent(body))) if key is not None else None
    command = Command(
        agent_id=caller.agent_id,
        target=target,
        cause=cause_of(caller, operation, subject, key),
        decide=decide if caller.partner_id is None else confined(caller, decide),
        status=status,
        asked=asked,
        traceparent=current_traceparent(),
        concerns=concerns,
    )
    with refusals():
        answer = await room.commander.carry_out(command)
    return answer.response()


def confined(caller: Caller, decide: Decide) -> Decide:
    """`decide`, for a partner's agent: of the partner's tickets, and of those with which the agent has something to do (an offer,
    a wrap-up that goes on when the ticket is the house's again). Of all others there is none: NoSuchTicket.
    """

    def decided(turn: Turn, queues: Queues) -> Json:
        if not caller.sees(turn.work.ticket.partner_id) and caller.agent_id not in turn.work.agents:
            raise NoSuchTicket
        return decide(turn, queues)

    return decided


def _sent(body: BaseModel | None) -> bytes:
    return body.model_dump_json().encode() if body is not None else b""


@contextmanager
def refusals() -> Iterator[None]:
    """What the domain refuses, as problems."""
    try:
        yield
    except NoSuchOffer:
        raise Problem(404, "offer-not-found", "There is no such offer to you.") from None
    except NoSuchTicket:
        raise Problem(404, "ticket-not-found", "There is no such ticket, or routing has not heard of it yet.") from None
    except CommandRefused as refused:
        detail = f"{str(refused).capitalize()}. Read the ticket again; it may have changed."
        raise Problem(409, "wrong-status", detail, more={"ticket_status": refused.status}) from None
    except NotYours as refused:
        more: dict[str, str | int | None] = {"held_by": refused.holder, "queue_id": refused.queue_id}
        raise Problem(409, "not-yours", f"Only who holds the ticket may do this: {refused}.", more=more) from None
    except NotMerged:
        raise Problem(409, "not-merged", "The ticket was not merged; there is nothing to undo.") from None
    except OfferGone as gone:
        raise Problem(409, "offer-expired", f"The offer cannot be answered any more: {gone}.") from None
    except CannotGoOut as refused:
        field = FIELDS.get(refused.code)
        errors = [FieldError(field, str(refused))] if field is not None else []
        raise Problem(422 if field is not None else 409, refused.code, f"This cannot go out: {refused}.", errors) from None
    except REFUSED as refused:
        raise problem_of(refused) from None
    except TextTooLong as long:
        errors = [FieldError("body.text", str(long))]
        raise Problem(422, "text-too-long", "The text is longer than can be sent; shorten or split it.", errors) from None


def page(items: list[dict[str, object]], limit: int, cursor_field: str) -> dict[str, object]:
    """A page of a keyset list: `next_cursor` is None on the last one."""
    return {"items": items, "next_cursor": items[-1][cursor_field] if len(items) == limit else None}
