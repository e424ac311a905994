"""What agents do to tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.room import ID_PATTERN, AgentOrSupervisor, Body, Label, Room, TheRoom, actor, ticket_command, usable
from services.routing.commanding import Queues
from services.routing.domain import canned, commands
from services.routing.domain.lifecycle import age_of
from services.routing.domain.work import Turn
from services.routing.store import config, reading
from shared import db
from shared.auth import Caller
from shared.events.base import Attachment
from shared.http import FieldError, Problem
from shared.idempotency import IdempotencyKey

router = APIRouter(tags=["tickets"])
TicketId = Annotated[str, Path(max_length=64)]
# No NUL: neither mail nor PostgreSQL takes one.
Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]*$")]
# Where written words can go; the others are spoken, or shown to everybody.
WrittenChannel = Literal["email", "sms", "chat", "whatsapp", "telegram", "line", "messenger", "instagram", "other"]
FILES_BYTES = 18 * 2**20  # as base64 within the 25 MB that mail servers take
Mention = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
CannedId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Subject = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]*$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class ReplyFile(Body):
    """A file to send along, as intake's `POST /v1/uploads` answered it."""

    id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    media_type: Annotated[str, StringConstraints(pattern=r"^[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}$")]
    size_bytes: Annotated[int, Field(ge=1, le=10 * 2**20)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]*$")] = ""

    def told(self) -> tuple[Attachment, str]:
        """As the log has it, and its name."""
        return Attachment(id=self.id, media_type=self.media_type, size_bytes=self.size_bytes, sha256=self.sha256), self.name


class Reply(Body):
    """What goes to the customer. Without a language the ticket's own is taken, without a channel the one they wrote on.

    To another channel of the same customer, and with copies (by e-mail only), it goes where intake knows an address; where it
    knows none, mail to it came back, or the customer wants nothing there, `message.failed` says so with its code. It may name
    the canned response that it was made of.
    """

    text: Text
    subject: Subject = ""
    language: Language | None = None
    channel: WrittenChannel | None = None
    cc_customer_ids: Annotated[list[Mention], Field(max_length=20)] = Field(default_factory=list)
    attachments: Annotated[list[ReplyFile], Field(max_length=20)] = Field(default_factory=list)
    canned_response_id: CannedId | None = None

    def answer(self) -> commands.Answer:
        """As the domain has it. Raises Problem."""
        if sum(file.size_bytes for file in self.attachments) > FILES_BYTES:
            error = FieldError("body.attachments", f"hold more than {FILES_BYTES} bytes")
            raise Problem(422, "attachments-too-large", "The files are more than can go out at once.", [error])
        left = canned.unfilled(self.text) if self.canned_response_id is not None else ()
        if left:
            error = FieldError("body.text", f"still has '{left[0].written}' at character {left[0].at}")
            raise Problem(422, "placeholder-left", "Write what stands there, or take it out.", [error])
        files, copies = tuple(file.told() for file in self.attachments), tuple(self.cc_customer_ids)
        return commands.Answer(self.text, self.subject, self.language, self.channel, copies, files, self.canned_response_id)


class Note(Body):
    """What stays among agents. Those whom it mentions are told on their live streams."""

    text: Text
    mentions: Annotated[list[Mention], Field(max_length=50)] = Field(default_factory=list)


class Resolve(Body):
    """How it ended."""

    code: Label | None = None


class Pend(Body):
    """Until when at most the customer is waited for; for ever where nothing is said."""

    until: AwareDatetime | None = None


class Hold(Body):
    """Who is waited for: `carrier`, `bank`; names of people belong into a note. And until when at most."""

    third_party: Label | None = None
    until: AwareDatetime | None = None


class Reopen(Body):
    """Why."""

    reason: Label | None = None


@router.post("/v1/tickets/{ticket_id}/reply", status_code=201)
async def reply_to_ticket(
    ticket_id: TicketId, body: Reply, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answer the customer, on the channel on which they wrote or on another of theirs.

    Refused with 409 `erased`, `opted-out`, `address-returned`, `channel-cannot-send`, `no-number`, or 422
    `attachments-not-possible`, `text-too-long`, as far as routing knows; what only intake can know it says by `message.failed`
    with its code.
    """
    answer = body.answer()
    async with db.transaction(room.parts.engine) as conn:
        signatures, senders = await config.for_answers(conn, caller.agent_id or "")
        await _check_copies(conn, caller, ticket_id, answer.cc_customer_ids)
        if body.canned_response_id is not None:
            await _check_canned(conn, room, caller, body.canned_response_id)

    def decide(turn: Turn, _queues: Queues) -> dict[str, object]:
        return {"message_id": commands.reply(turn, actor(caller), answer, signatures, senders)}

    return await ticket_command(room, caller, "reply_to_ticket", ticket_id, idempotency_key, body, decide, 201)


async def serves(conn: AsyncConnection, caller: Caller, customer_id: str) -> bool:
    """Whether whoever calls may know of the customer: a partner of who has a ticket of the partner's."""
    if caller.partner_id is None:
        return True
    return any(caller.sees(work.ticket.partner_id) for work in await reading.of_customer(conn, customer_id))


async def _check_copies(conn: AsyncConnection, caller: Caller, ticket_id: str, customer_ids: Sequence[str]) -> None:
    """Refuse a partner's agent to send copies to others than the partner's customers and who is on the ticket: whoever gets one
    reads the others' addresses. Raises Problem 422.
    """
    if caller.partner_id is None or not customer_ids:
        return
    work = await reading.ticket(conn, ticket_id)
    there = await reading.people_on(conn, ticket_id) if work is not None and caller.sees(work.ticket.partner_id) else set()
    for n, customer_id in enumerate(customer_ids):
        if customer_id not in there and not await serves(conn, caller, customer_id):
            error = FieldError(f"body.cc_customer_ids[{n}]", "there is no such customer")
            raise Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", [error])


async def _check_canned(conn: AsyncConnection, room: Room, caller: Caller, config_id: str) -> None:
    """Refuse one that is not there; to a partner's agent those of others are not. Raises Problem 422."""
    if caller.partner_id is None:
        known = not await config.missing(conn, canned.KIND, [config_id])
    else:
        known = any(one.id == config_id for one in await usable(conn, room, caller))
    if not known:
        error = FieldError("body.canned_response_id", "there is no such canned response")
        raise Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", [error])


@router.post("/v1/tickets/{ticket_id}/note", status_code=201)
async def note_on_ticket(
    ticket_id: TicketId, body: Note, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Write for other agents; the customer never sees it."""
    mentioned = tuple(dict.fromkeys(body.mentions))

    def decide(turn: Turn, _queues: Queues) -> dict[str, object]:
        return {"note_id": commands.note(turn, actor(caller), body.text, mentioned)}

    concerned = frozenset(mentioned)
    return await ticket_command(room, caller, "note_on_ticket", ticket_id, idempotency_key, body, decide, 201, concerns=concerned)


@router.post("/v1/tickets/{ticket_id}/resolve")
async def resolve_ticket(
    ticket_id: TicketId, body: Resolve, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """The problem is solved."""

    def decide(turn: Turn, queues: Queues) -> None:
        commands.resolve(turn, actor(caller), body.code, queues)

    return await ticket_command(room, caller, "resolve_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/pend")
async def pend_ticket(
    ticket_id: TicketId,
    room: TheRoom,
    caller: AgentOrSupervisor,
    body: Pend | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Wait for the customer. With `until` it comes back to work by itself then."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.pend(turn, actor(caller), body.until if body is not None else None)

    return await ticket_command(room, caller, "pend_ticket", ticket_id, idempotency_key, body, decide)


@router.post("/v1/tickets/{ticket_id}/hold")
async def hold_ticket(
    ticket_id: TicketId, body: Hold, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Wait for a third party. With `until` it comes back to work by itself then."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.put_on_hold(turn, actor(caller), body.third_party, body.until)

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
        commands.give_back(turn, actor(caller), queues, age_of(turn.work, turn.now))

    return await ticket_command(room, caller, "release_ticket", ticket_id, idempotency_key, None, decide)


@router.post("/v1/tickets/{ticket_id}/spam")
async def mark_ticket_as_spam(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Quarantine it: it leaves its queue and its agent, and is not timed."""

    def decide(turn: Turn, _queues: Queues) -> dict[str, object]:
        commands.mark_spam(turn, actor(caller))
        return {"spam": turn.work.ticket.spam}

    return await ticket_command(room, caller, "mark_ticket_as_spam", ticket_id, idempotency_key, None, decide)


@router.delete("/v1/tickets/{ticket_id}/spam")
async def unmark_ticket_as_spam(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """It is no spam after all: it waits in a queue, with the age it has. What nobody has, a supervisor takes out."""

    def decide(turn: Turn, queues: Queues) -> dict[str, object]:
        commands.unmark_spam(turn, actor(caller), queues, age_of(turn.work, turn.now))
        return {"spam": turn.work.ticket.spam}

    return await ticket_command(room, caller, "unmark_ticket_as_spam", ticket_id, idempotency_key, None, decide)


@router.post("/v1/tickets/{ticket_id}/close", status_code=202)
async def close_ticket(
    ticket_id: TicketId, room: TheRoom, caller: AgentOrSupervisor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask intake to close it; it is closed when intake says so."""

    def decide(turn: Turn, _queues: Queues) -> None:
        commands.ask_to_close(turn, actor(caller))

    return await ticket_command(room, caller, "close_ticket", ticket_id, idempotency_key, None, decide, 202)
