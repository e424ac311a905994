"""Canned responses: prepared answers by team and language. Supervisors make them, agents find and fill them in."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import configuring
from services.routing.api.config_bodies import CannedResponse
from services.routing.api.configuring import ConfigId, DryRun, put
from services.routing.api.moves import Supervisor
from services.routing.api.reading import ticket_for
from services.routing.api.room import AgentOrSupervisor, Cursor, Limit, Room, TheRoom, page, usable
from services.routing.api.tickets import TicketId
from services.routing.api.titles import titles
from services.routing.domain import canned as domain
from services.routing.domain.configuration import Change, Key
from services.routing.domain.work import Work
from services.routing.store import canned, configuration
from shared import db
from shared.auth import Caller
from shared.events.config import CannedResponseConfigured
from shared.http import IfMatch, Problem, check_match, etag

router = APIRouter(tags=["canned responses"])
InLanguage = Annotated[str | None, Query(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="in which it is wanted")]


@router.put("/v1/canned-responses/{config_id}")
async def put_canned_response(
    config_id: ConfigId,
    body: CannedResponse,
    room: TheRoom,
    supervisor: Supervisor,
    dry_run: DryRun = False,
    if_match: IfMatch = None,
) -> Response:
    """Make or change a canned response. An unknown variable is refused with its place, and a shortcut that some agent would find
    at two of them.
    """
    return await put(room, supervisor, config_id, body, if_match, dry_run=dry_run)


@router.delete("/v1/canned-responses/{config_id}", status_code=204)
async def delete_canned_response(
    config_id: ConfigId, room: TheRoom, supervisor: Supervisor, if_match: IfMatch = None
) -> Response:
    """Take it out of force. Send If-Match with the ETag that GET told."""

    key = Key(domain.KIND, config_id)

    async def attempt() -> None:
        async with db.transaction(room.parts.engine) as conn:
            await configuration.hold(conn)
            before = (await configuration.some(conn, [key])).parts.get(key)
            if before is None:
                raise _unknown(config_id)
            check_match(if_match, before.version)
            await configuring.enact(conn, room.parts.outbox, [Change(key, before, None)], supervisor.key_id)

    await db.retrying(attempt)
    return Response(status_code=204)


@router.get("/v1/canned-responses/{config_id}")
async def get_canned_response(config_id: ConfigId, room: TheRoom, caller: AgentOrSupervisor) -> Response:
    """A canned response as configured, in all its languages, with its ETag. For agents only those of their teams."""
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        found = await _one(conn, room, caller, config_id)
    if caller.partner_id is not None:
        found = msgspec.structs.replace(found, changed_by=None)
    return Response(msgspec.json.encode(found), 200, {"ETag": etag(found.version)}, "application/json")


@router.get("/v1/canned-responses")
async def list_canned_responses(
    room: TheRoom,
    caller: AgentOrSupervisor,
    language: InLanguage = None,
    q: Annotated[str, Query(max_length=200, description="words of its name, shortcut or text, or what they begin with")] = "",
    shortcut: Annotated[str, Query(max_length=41, description="what its shortcut begins with, with the slash")] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> dict[str, object]:
    """Canned responses in order of id, for agents those of their teams. Each in one language: the one asked for, its main
    language, another of the same main language, English, else its first by name.
    """
    async with db.transaction(room.parts.engine) as conn:
        await room.seen(conn, caller)
        responses = await usable(conn, room, caller)
    spoken = ((one, domain.chosen(one.texts, language)) for one in responses if one.id > cursor)
    found = [(one, spoken_in) for one, spoken_in in spoken if domain.is_found(one, spoken_in, q, shortcut)]
    return page([_line(one, spoken_in) for one, spoken_in in found[:limit]], limit, "id")


@router.get("/v1/tickets/{ticket_id}/canned-responses/{config_id}")
async def fill_in_canned_response(
    ticket_id: TicketId,
    config_id: ConfigId,
    room: TheRoom,
    caller: AgentOrSupervisor,
    language: InLanguage = None,
) -> dict[str, object]:
    """The text for this ticket, in the language asked for, else in the ticket's, as far as it is spoken. What is not known stands
    in it as it was written, and is listed under `missing`; `at` counts characters of the text from 1.
    """
    async with db.transaction(room.parts.engine) as conn:
        work = await ticket_for(conn, room, caller, ticket_id)
        found = await _one(conn, room, caller, config_id)
        spoken = domain.chosen(found.texts, language or work.ticket.intake.language)
        values = await _values(conn, room, caller, work, spoken)
    direction = domain.direction_of(spoken)
    filled = domain.render(found.texts[spoken], values, direction)
    return {
        "canned_response_id": found.id,
        "version": found.version,
        "language": spoken,
        "direction": direction,
        "text": filled.text,
        "missing": [{"variable": place.variable, "at": place.at} for place in filled.missing],
    }


async def _values(conn: AsyncConnection, room: Room, caller: Caller, work: Work, language: str) -> dict[str, str | None]:
    """What is known of the ticket, its customer, and whoever answers."""
    title = (await titles(conn, room.parts.keys, [work]))[work.id]
    ticket = work.ticket
    queue_id = work.visit.queue_id if work.visit is not None else ticket.routing.queue_id
    agent_name, queue_names = await canned.names(conn, caller.agent_id, queue_id)
    return {
        "customer.name": title.customer_name,
        "agent.name": agent_name,
        "ticket.number": str(ticket.intake.number),
        "ticket.subject": title.subject,
        "ticket.topic": ticket.topic,
        "ticket.product": ticket.product,
        "queue.name": queue_names[domain.chosen(queue_names, language)] if queue_names else None,
        **{f"field.{name}": value for name, value in ticket.fields.items()},
    }


async def _one(conn: AsyncConnection, room: Room, caller: Caller, config_id: str) -> CannedResponseConfigured:
    """Raises Problem 404."""
    found = next((one for one in await usable(conn, room, caller) if one.id == config_id), None)
    if found is None:
        raise _unknown(config_id)
    return found


def _line(response: CannedResponseConfigured, language: str) -> dict[str, object]:
    return {
        "id": response.id,
        "version": response.version,
        "name": response.name[domain.chosen(response.name, language)],
        "shortcut": response.shortcut,
        "team_ids": response.team_ids,
        "language": language,
        "direction": domain.direction_of(language),
        "text": response.texts[language],
        "languages": sorted(response.texts),
    }


def _unknown(config_id: str) -> Problem:
    detail = f"There is no canned response '{config_id}' for you. A supervisor makes one with PUT."
    return Problem(404, "canned-response-not-found", detail)
