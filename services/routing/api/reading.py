"""What people see: a ticket with its history, an agent's live stream, the agents of the house."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.agents import AgentId, agent_view, ticket_line, tickets_page
from services.routing.api.room import (
    ID_PATTERN,
    AgentOrSupervisor,
    Cursor,
    Limit,
    OperationsOrPartner,
    Reader,
    Room,
    TheRoom,
    check_self,
    page,
)
from services.routing.api.titles import titles
from services.routing.domain.work import Work
from services.routing.store import reading, streams
from services.routing.store.reading import HistoryRow
from shared import db
from shared.auth import Caller, requires, still_known
from shared.events.base import PersonalFact
from shared.events.codec import decode_data
from shared.events.people import AgentState
from shared.events.ticket import TicketPersonal
from shared.events.topics import FACT_BY_TYPE
from shared.http import Problem, etag
from shared.personal import Erased
from shared.telemetry import log

router = APIRouter(tags=["reading"])
LARGEST = 2**63 - 1  # of bigint, which numbers entries and what streams tell
MANY = 500  # of the tickets that people have to look at, among which a partner's are found
Number = Annotated[int, Query(ge=0, le=LARGEST, description="entries after this one")]
Attention = Annotated[Literal["spam", "no_queue"], Query(description="why people have to look")]
Entries = Annotated[int, Query(ge=1, le=500, description="at most so many entries")]


@router.get("/v1/tickets")
async def list_tickets(
    room: TheRoom,
    caller: Annotated[Caller, Depends(requires("supervisor", "partner"))],
    attention: Attention,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> dict[str, object]:
    """Tickets that people have to look at, in order of id: those quarantined as spam, or those that no queue takes."""
    async with db.transaction(room.parts.engine) as conn:
        found = await _looked_for(conn, caller, attention, cursor, limit)
        named = await titles(conn, room.parts.keys, found)
    items = [{**ticket_line(work), **_named(named[work.id])} for work in found]
    return tickets_page(caller, found, items, limit)


async def _looked_for(conn: AsyncConnection, caller: Caller, attention: str, after: str, limit: int) -> list[Work]:
    """So many as the caller sees: a page, and where it ends, tells a partner nothing of others."""
    found: list[Work] = []
    at_once = limit if caller.partner_id is None else MANY
    while len(found) < limit:
        some = await reading.needing_attention(conn, attention, after, at_once)
        found += [work for work in some if caller.sees(work.ticket.partner_id)]
        if len(some) < at_once:
            break
        after = some[-1].id
    return found[:limit]


@router.get("/v1/tickets/{ticket_id}")
async def get_ticket(
    ticket_id: Annotated[str, Path(max_length=64)],
    room: TheRoom,
    caller: Reader,
    response: Response,
    after: Number = 0,
    limit: Entries = 200,
) -> dict[str, object]:
    """A ticket: status, owner, promises, and its history with the texts. For its agent, a supervisor, its partner. The ETag is
    that of what can be edited of it.
    """
    async with db.transaction(room.parts.engine) as conn:
        work = await ticket_for(conn, room, caller, ticket_id)
        named = await titles(conn, room.parts.keys, [work])
        rows = await reading.history(conn, ticket_id, after, limit)
        timeline = await _open(conn, room, rows)
        promises = await reading.promises(conn, ticket_id)
        parked = await reading.needs_people(conn, ticket_id)
    response.headers["ETag"] = etag(work.ticket.version)
    return {
        **ticket_line(work),
        **_named(named[work.id]),
        **_edited(work),
        "customer_id": work.ticket.intake.customer_id,
        "attention": "record_parked" if parked else work.looked_at_for,
        "offered_to": work.offer.agent_id if work.offer else None,
        **_besides(work),
        "promises": promises,
        "timeline": timeline,
        "next_after": rows[-1].id if len(rows) == limit else None,
    }


def _edited(work: Work) -> dict[str, object]:
    """What people edit, beside the priority and the subject."""
    ticket = work.ticket
    return {"topic": ticket.topic, "product": ticket.product, "tags": ticket.tags, "fields": ticket.fields}


def _besides(work: Work) -> dict[str, object]:
    """How far it rose, and what goes on with it besides."""
    callback = work.besides.callback if work.awaits_callback else None
    return {
        "tier": work.tier,
        "path": work.path,
        "transfers": work.transfers,
        "transfer": msgspec.to_builtins(work.besides.hand_over),
        "consults": msgspec.to_builtins(work.besides.consults),
        "wrap_ups": [{"agent_id": one.agent_id, "since": one.since, "ends_by": one.ends_by} for one in work.besides.wrap_ups],
        "returns_at": callback.due_at if callback is not None else None,
        "rests_until": work.besides.rests_until if work.rests else None,
    }


@router.get("/v1/agents")
async def list_agents(
    room: TheRoom,
    caller: OperationsOrPartner,
    state: Annotated[AgentState | None, Query(description="only those in this state")] = None,
    team_id: Annotated[str | None, Query(pattern=ID_PATTERN, description="only those of this team")] = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> dict[str, object]:
    """Agents in order of id: state, load, presence."""
    async with db.transaction(room.parts.engine) as conn:
        found = await reading.agents_page(conn, cursor, limit, caller.partner_id, state, team_id)
    return page([agent_view(agent, until) for agent, until in found], limit, "id")


async def _position(
    agent_id: AgentId,
    room: TheRoom,
    caller: AgentOrSupervisor,
    last_event_id: Annotated[str | None, Header()] = None,
    cursor: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
) -> tuple[int, bool]:
    """Where the stream goes on, and whether what came before is lost: then the client reads its lists again."""
    check_self(caller, agent_id)
    wanted = cursor if last_event_id is None else _number(last_event_id)
    async with db.transaction(room.parts.engine) as conn:
        if await reading.agent(conn, agent_id) is None:
            raise Problem(404, "agent-not-found", f"There is no agent '{agent_id}'.")
        if caller.agent_id == agent_id:
            await streams.renew(conn, [agent_id], room.settings.routing_presence_seconds)
        before_oldest, last = await streams.bounds(conn, agent_id)
    if wanted is None:
        return last, False
    return (wanted, False) if before_oldest <= wanted <= last else (last, True)


@router.get("/v1/agents/{agent_id}/stream", response_class=EventSourceResponse)
async def stream_agent(
    agent_id: AgentId,
    request: Request,
    room: TheRoom,
    caller: AgentOrSupervisor,
    position: Annotated[tuple[int, bool], Depends(_position)],
) -> AsyncIterator[ServerSentEvent]:
    """The agent's live stream (SSE). The first event says where it stands: `ready`, or `reset` when some were lost. It ends when
    the key is revoked or the session ends, which an open stream lets last on. What has no id (`presence.changed`) passes by, and
    is not told again.
    """
    cursor, lost = position
    yield ServerSentEvent(event="reset" if lost else "ready", id=str(cursor), data={"agent_id": agent_id}, retry=1000)
    present = caller.agent_id == agent_id
    with room.hub.subscribed(agent_id, cursor, present=present) as subscriber:
        async for told in subscriber.rows():
            if not await still_known(request):
                return
            if told is not None:
                yield ServerSentEvent(event=told.kind, id=str(told.n) if told.n else None, raw_data=told.payload)


def _personal(room: Room, fact: PersonalFact, event_id: str) -> dict[str, object]:
    if fact.personal is None:
        return {"personal": None, "erased": False}
    try:
        content = room.parts.keys.open(fact.personal, fact.PERSONAL, event_id)
    except ValueError:
        log().error("sealed data cannot be opened", event_id=event_id)
        return {"personal": None, "erased": False, "unreadable": True}
    erased = isinstance(content, Erased)
    return {"personal": None if isinstance(content, Erased) else msgspec.to_builtins(content), "erased": erased}


def _number(last_event_id: str) -> int:
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        raise Problem(422, "invalid-request", "Last-Event-ID is not an id of this stream. Connect without it.")
    return int(last_event_id)


async def ticket_for(conn: AsyncConnection, room: Room, caller: Caller, ticket_id: str, also: str = "supervisor") -> Work:
    """The ticket, for whom it is (`_check_theirs`), and for who has the scope `also`; that they ask is a sign of life. Raises
    Problem 404, 403.
    """
    await room.seen(conn, caller)
    work = await reading.ticket(conn, ticket_id)
    if work is None or not (caller.sees(work.ticket.partner_id) or _is_offered(caller, work)):
        raise Problem(404, "ticket-not-found", "There is no such ticket, or routing has not heard of it yet.")
    if not caller.oversees and not caller.may(also):
        await _check_theirs(conn, caller, work)
    return work


def _is_offered(caller: Caller, work: Work) -> bool:
    return caller.agent_id is not None and work.offer is not None and work.offer.agent_id == caller.agent_id


async def _check_theirs(conn: AsyncConnection, caller: Caller, work: Work) -> None:
    """Refuse what is not for those who have it, had it last, are offered it or asked about it; of a merged one also those of
    the ticket that it went on as. Raises Problem 403.
    """
    theirs: set[str | None] = set()
    following: Work | None = work
    while following is not None and not theirs >= {caller.agent_id}:
        theirs |= {following.last_agent_id, *following.agents}
        into = following.ticket.intake.merged_into
        following = await reading.ticket(conn, into) if into is not None else None
    if caller.agent_id not in theirs:
        raise Problem(403, "forbidden", "The ticket is another agent's. A supervisor may see it.")


def _named(title: TicketPersonal) -> dict[str, object]:
    return {"subject": title.subject or None, "customer_name": title.customer_name or None}


async def _open(conn: AsyncConnection, room: Room, rows: list[HistoryRow]) -> list[dict[str, object]]:
    """The history as people read it: what is sealed is opened, and what was erased says so."""
    facts = [(row, decode_data(row.data, FACT_BY_TYPE[row.type])) for row in rows if row.type in FACT_BY_TYPE]
    sealed = [fact.personal for _, fact in facts if isinstance(fact, PersonalFact) and fact.personal is not None]
    await room.parts.keys.load(conn, {box.customer_id for box in sealed})
    timeline = []
    for row, fact in facts:
        data = msgspec.to_builtins(fact)
        data.pop("personal", None)
        entry = {"id": row.id, "event_id": row.event_id, "type": row.type, "writer": row.writer, "at": row.at, "data": data}
        if isinstance(fact, PersonalFact):
            entry |= _personal(room, fact, row.event_id)
        timeline.append(entry)
    return timeline
