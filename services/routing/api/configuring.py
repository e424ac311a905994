"""Configuration that routing owns, part by part. Each PUT is a new version, said on `config`; edits need the ETag of what they
edit. With `dry_run` it is only told what would come of it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import configuring
from services.routing.api.config_bodies import AgentBody, CannedResponse, Misfit, Queue, Rule, Skill, Team, Version
from services.routing.api.overview import now_of
from services.routing.api.room import (
    ID_PATTERN,
    Admin,
    Cursor,
    Limit,
    Operations,
    OperationsOrPartner,
    Room,
    TheRoom,
    page,
)
from services.routing.domain.configuration import Change, Configuration, Key, Part, faults, named_by
from services.routing.store import canned, config, configuration
from services.routing.store.config import Stored
from shared import db
from shared.auth import Caller
from shared.clock import clock
from shared.events.config import CannedResponseConfigured, QueueConfigured, RoutingConfigured
from shared.http import FieldError, IfMatch, Problem, check_match, etag

router = APIRouter(tags=["configuration"])
ConfigId = Annotated[str, Path(pattern=ID_PATTERN)]
DryRun = Annotated[bool, Query(description="only tell what would come of it; nothing is stored or said")]
TOLD = 100  # changes of a version, where it has many
# A part as its own PUT takes it.
One = Queue | Team | Skill | AgentBody | Rule | CannedResponse


@router.put("/v1/queues/{config_id}")
async def put_queue(
    config_id: ConfigId, body: Queue, room: TheRoom, admin: Admin, dry_run: DryRun = False, if_match: IfMatch = None
) -> Response:
    """Make or change a queue. Tickets that wait go where the rules send them now, unless somebody sent them where they are, and
    stand in their queue as it says from now on; what is offered stays so until the offer is over.
    """
    return await put(room, admin, config_id, body, if_match, dry_run=dry_run)


@router.put("/v1/teams/{config_id}")
async def put_team(
    config_id: ConfigId, body: Team, room: TheRoom, admin: Admin, dry_run: DryRun = False, if_match: IfMatch = None
) -> Response:
    """Make or change a team."""
    return await put(room, admin, config_id, body, if_match, dry_run=dry_run)


@router.put("/v1/skills/{config_id}")
async def put_skill(
    config_id: ConfigId, body: Skill, room: TheRoom, admin: Admin, dry_run: DryRun = False, if_match: IfMatch = None
) -> Response:
    """Make or change a skill."""
    return await put(room, admin, config_id, body, if_match, dry_run=dry_run)


@router.put("/v1/agents/{config_id}")
async def put_agent(
    config_id: ConfigId, body: AgentBody, room: TheRoom, admin: Admin, dry_run: DryRun = False, if_match: IfMatch = None
) -> Response:
    """Make or change an agent. One who is no longer active goes offline and loses live offers, not tickets."""
    return await put(room, admin, config_id, body, if_match, dry_run=dry_run)


@router.put("/v1/rules/{config_id}")
async def put_rule(
    config_id: ConfigId, body: Rule, room: TheRoom, admin: Admin, dry_run: DryRun = False, if_match: IfMatch = None
) -> Response:
    """Make or change a rule. Tickets that wait or are at work are looked at again."""
    return await put(room, admin, config_id, body, if_match, dry_run=dry_run)


@router.get("/v1/queues/{config_id}")
async def get_queue(config_id: ConfigId, room: TheRoom, caller: OperationsOrPartner) -> Response:
    """A queue as configured."""
    return await get(room, "queue", config_id, caller)


@router.get("/v1/teams/{config_id}")
async def get_team(config_id: ConfigId, room: TheRoom, caller: OperationsOrPartner) -> Response:
    """A team as configured."""
    return await get(room, "team", config_id, caller)


@router.get("/v1/skills/{config_id}")
async def get_skill(config_id: ConfigId, room: TheRoom, caller: Operations) -> Response:
    """A skill as configured."""
    return await get(room, "skill", config_id, caller)


@router.get("/v1/rules/{config_id}")
async def get_rule(config_id: ConfigId, room: TheRoom, caller: Operations) -> Response:
    """A rule as configured."""
    return await get(room, "rule", config_id, caller)


@router.get("/v1/teams")
async def list_teams(room: TheRoom, caller: OperationsOrPartner, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Teams in order of id."""
    return await listed(room, "team", cursor, limit, caller)


@router.get("/v1/skills")
async def list_skills(room: TheRoom, caller: Operations, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Skills in order of id."""
    return await listed(room, "skill", cursor, limit, caller)


@router.get("/v1/rules")
async def list_rules(room: TheRoom, caller: Operations, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Rules in order of id."""
    return await listed(room, "rule", cursor, limit, caller)


@router.get("/v1/queues")
async def list_queues(room: TheRoom, caller: OperationsOrPartner, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Queues in order of id, each with its figures now: how many wait, since when the oldest, who could take them, how long
    whoever comes now would wait, and how the last half hour kept its service level.
    """
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.page(conn, "queue", cursor, limit, caller.partner_id)
        figures = await now_of(conn, [msgspec.json.decode(one.data, type=QueueConfigured) for one in stored])
    items = [{**_view(one, caller), "now": figures[one.id]} for one in stored]
    return page(items, limit, "id")


async def put(room: Room, caller: Caller, config_id: str, body: One, if_match: str | None, *, dry_run: bool) -> Response:
    """Write a version and say it, or (`dry_run`) tell what would come of it."""
    key = Key(body.KIND, config_id)
    try:
        wanted = body.part(config_id)
    except Misfit as misfit:
        raise invalid(misfit.field, misfit.reason) from None
    if dry_run:
        async with db.transaction(room.parts.engine) as conn:
            number, before = await configuration.number(conn), await configuration.whole(conn)
            change = await _checked(conn, before, key, wanted, body, if_match, dry_run=True)
        return await foreseen(room, number, before, [change])

    async def attempt() -> tuple[RoutingConfigured, bool]:
        async with db.transaction(room.parts.engine) as conn:
            await configuration.hold(conn)
            known = await configuration.some(conn, {key, *await _looked_at(conn, wanted)})
            change = await _checked(conn, known, key, wanted, body, if_match, dry_run=False)
            said = (await configuring.enact(conn, room.parts.outbox, [change], caller.key_id))[key]
            assert isinstance(said, RoutingConfigured)
            return said, change.before is None

    fact, created = await db.retrying(attempt)
    headers = {"ETag": etag(fact.version)}
    return Response(msgspec.json.encode(fact), 201 if created else 200, headers, "application/json")


async def _looked_at(conn: AsyncConnection, part: Part) -> set[Key]:
    """Other parts that have to be known to tell whether this one can be in force."""
    named = {key for _, key in named_by(part)}
    if isinstance(part, CannedResponseConfigured) and part.shortcut is not None:
        named |= {Key("canned_response", one) for one in await canned.with_shortcut(conn, part.shortcut)}
    return named


async def _checked(
    conn: AsyncConnection,
    known: Configuration,
    key: Key,
    wanted: Part,
    body: Version,
    if_match: str | None,
    *,
    dry_run: bool,
) -> Change:
    """The change, where it may be made."""
    change = Change(key, known.parts.get(key), wanted)
    if if_match is not None or not dry_run:
        check_match(if_match, change.before.version if change.before else None)
    if body.effective_from is not None and body.effective_from > await clock(conn):
        raise invalid("effective_from", "lies ahead; a change is in force at once, so send it when it is to begin")
    found = faults(known.after([change]), [key])
    if found:
        raise refused([FieldError(f"body.{fault.field}", fault.reason) for fault in found])
    return change


async def foreseen(room: Room, number: int, before: Configuration, changes: list[Change]) -> Response:
    """What would come of it."""
    effects = await configuring.foresee(room.parts.engine, before, before.after(changes))
    told = {"version": number, **told_of(changes), "effects": effects}
    return Response(msgspec.json.encode(told), 200, media_type="application/json")


def told_of(changes: list[Change]) -> dict[str, object]:
    """How many changes, and the first of them."""
    first = [{"kind": change.key.kind, "id": change.key.id, "what": change.what} for change in changes[:TOLD]]
    return {"change_count": len(changes), "changes": first}


async def get(room: Room, kind: str, config_id: str, caller: Caller) -> Response:
    """The newest version, with its ETag. Raises Problem 404."""
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.find(conn, kind, config_id)
    if stored is None or not caller.sees(_partner_of(stored)):
        raise Problem(404, f"{kind}-not-found", f"There is no {kind} '{config_id}'. An admin makes one with PUT.")
    return Response(msgspec.json.encode(_view(stored, caller)), 200, {"ETag": etag(stored.version)}, "application/json")


async def listed(room: Room, kind: str, cursor: str, limit: int, caller: Caller) -> dict[str, object]:
    """A page of a kind, in order of id."""
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.page(conn, kind, cursor, limit, caller.partner_id)
    return page([_view(one, caller) for one in stored], limit, "id")


def _partner_of(stored: Stored) -> str | None:
    partner_id = _view(stored).get("partner_id")
    return partner_id if isinstance(partner_id, str) else None


def _view(stored: Stored, caller: Caller | None = None) -> dict[str, object]:
    """As it was said; to a partner not by whom of the house."""
    told = msgspec.json.decode(stored.data, type=dict[str, object])
    if caller is None or caller.partner_id is not None:
        told.pop("changed_by", None)
    return told


def invalid(field: str, reason: str) -> Problem:
    """That something in the body cannot be in force."""
    return refused([FieldError(f"body.{field}", reason)])


def refused(errors: list[FieldError]) -> Problem:
    """That the body cannot be in force."""
    return Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", errors)
