"""What an agent has begun to write on a ticket: kept here, so that it is there in every window and after a restart.

A draft is its agent's alone. It is deleted when what it became is sent, when its customer is erased, and when nobody goes on with
it.
"""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.attending import known_ticket
from services.routing.api.room import AgentOrSupervisor, Body, Room, TheRoom, actor, refusals
from services.routing.api.tickets import CannedId, Language, Mention, ReplyFile, Subject, TicketId, WrittenChannel
from services.routing.domain.drafts import DraftFile, DraftPersonal, Kind, NotOfThisKind, check
from services.routing.domain.work import Work
from services.routing.store import drafts, reading
from services.routing.store.drafts import Draft, Kept
from shared import db
from shared.auth import Caller
from shared.http import FieldError, IfMatch, Problem, check_match, etag, unconditional
from shared.personal import Erased
from shared.telemetry import log

router = APIRouter(tags=["tickets"])
FARTHEST = 20  # merges of merges that are followed


class DraftBody(Body):
    """A draft, whole: what is left out is no longer in it. An answer has no `mentions`, a note nothing but them and its text."""

    text: str = ""
    subject: Subject = ""
    language: Language | None = None
    channel: WrittenChannel | None = None
    cc_customer_ids: Annotated[list[Mention], Field(max_length=20)] = Field(default_factory=list)
    attachments: Annotated[list[ReplyFile], Field(max_length=20)] = Field(default_factory=list)
    canned_response_id: CannedId | None = None
    mentions: Annotated[list[Mention], Field(max_length=50)] = Field(default_factory=list)

    def content(self, kind: Kind) -> DraftPersonal:
        """As it is sealed. Raises TextTooLong, Problem."""
        values = self.model_dump(exclude={"attachments"})
        files = tuple(DraftFile(file=file, name=name) for file, name in (one.told() for one in self.attachments))
        content = msgspec.structs.replace(msgspec.convert(values, DraftPersonal), attachments=files)
        try:
            check(content, kind)
        except NotOfThisKind as wrong:
            error = FieldError(f"body.{wrong.field}", str(wrong))
            raise Problem(422, "invalid-request", "The request does not fit the contract; see errors.", [error]) from None
        return content


@router.put("/v1/tickets/{ticket_id}/drafts/{kind}")
async def put_draft(
    ticket_id: TicketId, kind: Kind, body: DraftBody, room: TheRoom, caller: AgentOrSupervisor, if_match: IfMatch = None
) -> Response:
    """Keep what one has begun to write. To change it, send If-Match with the ETag that came last: of two windows the one that is
    behind is told so (412), and does not undo what the other wrote. A merged ticket's draft is where the ticket went on.
    """
    with refusals():
        content = body.content(kind)
    agent_id = actor(caller).agent_id

    async def attempt() -> tuple[str, Kept, bool]:
        async with db.transaction(room.parts.engine) as conn:
            works = await _places(conn, room, caller, ticket_id, lock=True)
            before = await drafts.find(conn, [work.id for work in works], agent_id, kind, lock=True)
            check_match(if_match, before.version if before is not None else None)
            kept = await _keep(conn, room, works[-1], agent_id, kind, before, content)
        return before.ticket_id if before is not None else works[-1].id, kept, before is None

    place, kept, is_new = await db.retrying(attempt)
    told = {"ticket_id": place, "kind": kind, "version": kept.version, "updated_at": kept.updated_at}
    return Response(msgspec.json.encode(told), 201 if is_new else 200, {"ETag": etag(kept.version)}, "application/json")


async def _keep(
    conn: AsyncConnection, room: Room, work: Work, agent_id: str, kind: Kind, before: Draft | None, content: DraftPersonal
) -> Kept:
    """Raises Problem 409 for a customer who was erased or an agent who has too many, 428 where one was just made."""
    person = work.sealed_under
    seals = await room.parts.keys.seals(conn, [person])
    draft_id = before.draft_id if before is not None else str(uuid4())
    sealed = seals.seal(person, content, _bound_to(draft_id))
    if not sealed.box:
        raise Problem(409, "erased", "The customer's data was erased; nothing can be written to them.")
    if before is not None:
        return await drafts.change(conn, before, sealed)
    if await drafts.count(conn, agent_id) >= drafts.MOST_OF_AN_AGENT:
        detail = f"There are {drafts.MOST_OF_AN_AGENT} drafts already. Send or delete some: GET /v1/drafts lists them."
        raise Problem(409, "too-many-drafts", detail)
    kept = await drafts.make(conn, work.id, agent_id, kind, draft_id, sealed)
    if kept is None:
        made = await drafts.find(conn, [work.id], agent_id, kind)
        raise unconditional(made.version if made is not None else 0)
    return kept


@router.get("/v1/tickets/{ticket_id}/drafts/{kind}")
async def get_draft(ticket_id: TicketId, kind: Kind, room: TheRoom, caller: AgentOrSupervisor) -> Response:
    """One's own draft, with its ETag."""
    async with db.transaction(room.parts.engine) as conn:
        works = await _places(conn, room, caller, ticket_id)
        found = await drafts.find(conn, [work.id for work in works], actor(caller).agent_id, kind)
        if found is None:
            raise _no_draft()
        await room.parts.keys.load(conn, [found.sealed.customer_id])
    content = _opened(room, found)
    if isinstance(content, Erased):
        raise _no_draft()
    about = {"ticket_id": found.ticket_id, "kind": kind, "version": found.version, "updated_at": found.updated_at}
    shown = msgspec.json.encode({**about, **_as_sent(content)})
    return Response(shown, 200, {"ETag": etag(found.version)}, "application/json")


@router.delete("/v1/tickets/{ticket_id}/drafts/{kind}", status_code=204)
async def delete_draft(
    ticket_id: TicketId, kind: Kind, room: TheRoom, caller: AgentOrSupervisor, if_match: IfMatch = None
) -> Response:
    """Throw it away. Send If-Match with the ETag that came last."""
    async with db.transaction(room.parts.engine) as conn:
        works = await _places(conn, room, caller, ticket_id)
        found = await drafts.find(conn, [work.id for work in works], actor(caller).agent_id, kind, lock=True)
        if found is None:
            raise _no_draft()
        check_match(if_match, found.version)
        await drafts.remove(conn, found)
    return Response(status_code=204)


@router.get("/v1/drafts")
async def list_drafts(room: TheRoom, caller: AgentOrSupervisor) -> dict[str, object]:
    """What one has begun to write and not sent, the newest first, without the texts. All of it: there is a bound to how much."""
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        begun = await drafts.of_agent(conn, actor(caller).agent_id)
    return {"items": [one._asdict() for one in begun], "next_cursor": None}


async def _places(conn: AsyncConnection, room: Room, caller: Caller, ticket_id: str, *, lock: bool = False) -> list[Work]:
    """The ticket, and those as which it went on. `lock`: they stay so until the transaction ends. Raises Problem 404."""
    works = [await known_ticket(conn, room, caller, ticket_id, lock=lock)]
    while (into := works[-1].ticket.intake.merged_into) is not None and len(works) < FARTHEST:
        following = await reading.ticket(conn, into, lock=lock)
        if following is None or not caller.sees(following.ticket.partner_id):
            break
        works.append(following)
    return works


def _opened(room: Room, found: Draft) -> DraftPersonal | Erased:
    """Raises Problem 404 for what cannot be opened."""
    try:
        return room.parts.keys.open(found.sealed, DraftPersonal, _bound_to(found.draft_id))
    except ValueError:
        log().error("sealed data cannot be opened", draft_id=found.draft_id)
        raise _no_draft() from None


def _as_sent(content: DraftPersonal) -> dict[str, object]:
    """All that a draft may have, as PUT takes it."""
    files = [{**msgspec.to_builtins(one.file), "name": one.name} for one in content.attachments]
    fields = {name: getattr(content, name) for name in DraftPersonal.__struct_fields__}
    return {**fields, "attachments": [{key: file[key] for key in ReplyFile.model_fields} for file in files]}


def _bound_to(draft_id: str) -> str:
    return f"draft {draft_id}"


def _no_draft() -> Problem:
    return Problem(404, "draft-not-found", "There is no such draft of yours. PUT begins one.")
