"""Configuration that routing owns. Each PUT is a new version, said on `config`; edits need the ETag of what they edit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, Field, JsonValue, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.room import (
    ID_PATTERN,
    Admin,
    Body,
    Cursor,
    Limit,
    Operations,
    OperationsOrPartner,
    Room,
    TheRoom,
    page,
)
from services.routing.domain.agents import EVERYBODY, Agent, Profile
from services.routing.domain.queues import WrongQueue, check_queue
from services.routing.domain.steps import MOST_STEPS
from services.routing.store import config, desk, reading
from services.routing.store.config import Stored
from services.routing.ticking import set_states
from shared import db
from shared.auth import Caller, note_agent
from shared.clock import clock
from shared.configuring import version_after, version_said
from shared.events.base import Draft, Fact
from shared.events.config import AgentConfigured, Configured, QueueConfigured, SkillConfigured, Strategy, TeamConfigured
from shared.http import FieldError, IfMatch, Problem, check_match, etag

router = APIRouter(tags=["configuration"])
ConfigId = Annotated[str, Path(pattern=ID_PATTERN)]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
# What stands below answers, by language.
SignatureTexts = Annotated[dict[str, Annotated[str, StringConstraints(max_length=2000)]], Field(max_length=50)]
Ids = Annotated[list[Id], Field(max_length=200)]
Names = Annotated[dict[str, Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=50)]
Languages = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{2,35}$")]], Field(max_length=50)]
Limits = Annotated[dict[str, Annotated[int, Field(ge=0, le=1_000_000)]], Field(max_length=50)]
Levels = Annotated[dict[Id, Annotated[int, Field(ge=1, le=10)]], Field(max_length=200)]
Fits = TypeVar("Fits", bound=Configured)


class Version(Body):
    """What a PUT sends of each kind. It is in force at once; `effective_from` may be left out, and never lies ahead."""

    effective_from: AwareDatetime | None = None


class Step(Body):
    """What is asked of agents from `after_seconds` in the queue on: these skills, these teams (none: any), or any agent at all of
    ours, or of the queue's partner. What is left out stays as it was; a step never asks more than the one before it.
    """

    after_seconds: Annotated[int, Field(ge=1, le=31_536_000)]
    required_skills: Levels | None = None
    team_ids: Ids | None = None
    any_agent: bool = False


class Queue(Version):
    """A queue: `when` is a condition tree, {} takes everything; the first queue by `position` that takes a ticket gets it.

    Tickets stand by priority, then age; with `ageing_seconds` whoever waited so long counts as one priority higher, a VIP as
    having waited `vip_bonus_seconds` longer, and whose promise is running as waiting from `due_lead_seconds` before it is due,
    at the latest. `strategy` says which of those who can take a ticket is asked next, `steps` how less is asked of them the
    longer it waits. For its first `prefer_last_agent_seconds` it is kept for the agent who had it last, while that agent is
    there and can take it. Whoever was through with a ticket has `wrap_up_seconds` for what is to be said of it (0: none), while
    they keep what it took of them; an expert who is asked about it has `consult_seconds` and gives `consult_units`.
    """

    name: Names
    position: Annotated[int, Field(ge=0, le=1_000_000)]
    when: dict[str, JsonValue] = Field(default_factory=dict)
    team_ids: Ids = Field(default_factory=list)
    required_skills: Levels = Field(default_factory=dict)
    skill_by_language: bool = False
    offer_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    auto_accept: bool = False
    calendar_id: Id | None = None
    tier: Annotated[int, Field(ge=1, le=9)] = 1
    partner_id: Id | None = None
    service_level_seconds: Annotated[int, Field(ge=1, le=604_800)] | None = None
    service_level_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    ageing_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    vip_bonus_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    due_lead_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    strategy: Strategy = "longest_idle"
    steps: Annotated[list[Step], Field(max_length=MOST_STEPS)] = Field(default_factory=list)
    prefer_last_agent_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    signature: SignatureTexts = Field(default_factory=dict)
    wrap_up_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    consult_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400
    consult_units: Annotated[int, Field(ge=0, le=1_000)] = 0


class Team(Version):
    """A team of agents."""

    name: Names
    calendar_id: Id | None = None
    partner_id: Id | None = None


class Skill(Version):
    """A skill, held at levels 1 to 10."""

    name: Names


class AgentBody(Version):
    """An agent: the name customers see, and what routing has to know."""

    display_name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    signature: SignatureTexts = Field(default_factory=dict)
    team_ids: Ids = Field(default_factory=list)
    skills: Levels = Field(default_factory=dict)
    languages: Languages = Field(default_factory=list)
    capacity_units: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    channel_limits: Limits = Field(default_factory=dict)
    tier: Annotated[int, Field(ge=1, le=9)] = 1
    partner_id: Id | None = None
    active: bool = True


@router.put("/v1/queues/{config_id}")
async def put_queue(config_id: ConfigId, body: Queue, room: TheRoom, _admin: Admin, if_match: IfMatch = None) -> Response:
    """Make or change a queue. Tickets that wait keep their queue and stand in it as it says from now on; those that no
    queue took are looked at again."""

    async def prepare(conn: AsyncConnection, fact: QueueConfigured) -> list[Draft[Fact]]:
        try:
            check_queue(fact)
        except WrongQueue as wrong:
            raise invalid(wrong.field, wrong.reason) from None
        await check_known(conn, "team", body.team_ids, "team_ids")
        for n, step in enumerate(body.steps):
            await check_known(conn, "team", step.team_ids or [], f"steps[{n}].team_ids")
        return []

    values = {**body.model_dump(), "when": body.when or {"is": "all"}}
    return await put(room, "queue", config_id, body, values, QueueConfigured, if_match, prepare)


@router.put("/v1/teams/{config_id}")
async def put_team(config_id: ConfigId, body: Team, room: TheRoom, _admin: Admin, if_match: IfMatch = None) -> Response:
    """Make or change a team."""
    return await put(room, "team", config_id, body, body.model_dump(), TeamConfigured, if_match, nothing_more)


@router.put("/v1/skills/{config_id}")
async def put_skill(config_id: ConfigId, body: Skill, room: TheRoom, _admin: Admin, if_match: IfMatch = None) -> Response:
    """Make or change a skill."""
    return await put(room, "skill", config_id, body, body.model_dump(), SkillConfigured, if_match, nothing_more)


@router.put("/v1/agents/{config_id}")
async def put_agent(config_id: ConfigId, body: AgentBody, room: TheRoom, _admin: Admin, if_match: IfMatch = None) -> Response:
    """Make or change an agent. One who is no longer active goes offline and loses live offers, not tickets."""
    profile = msgspec.convert(body.model_dump(exclude={"signature", "effective_from"}), Profile)

    async def prepare(conn: AsyncConnection, fact: AgentConfigured) -> list[Draft[Fact]]:
        await check_known(conn, "team", body.team_ids, "team_ids")
        cause = f"agent:{config_id}:{fact.version}"
        if not body.active:
            await set_states(conn, room.parts.outbox, [config_id], "offline", "not_active", cause=cause)
        known = await desk.agents(conn, [config_id])
        now = await clock(conn)
        agent = known.get(config_id) or Agent(id=config_id, profile=profile, state_since=now, idle_since=now)
        await desk.configure_agent(conn, msgspec.structs.replace(agent, profile=profile))
        await note_agent(conn, config_id, body.partner_id, active=body.active)
        return [Draft(key=config_id, data=profile.enrolled(), cause=cause)]

    values = {"display_name": body.display_name, "signature": body.signature}
    return await put(room, "agent", config_id, body, values, AgentConfigured, if_match, prepare)


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


@router.get("/v1/teams")
async def list_teams(room: TheRoom, caller: OperationsOrPartner, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Teams in order of id."""
    return await listed(room, "team", cursor, limit, caller)


@router.get("/v1/skills")
async def list_skills(room: TheRoom, caller: Operations, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Skills in order of id."""
    return await listed(room, "skill", cursor, limit, caller)


@router.get("/v1/queues")
async def list_queues(room: TheRoom, caller: OperationsOrPartner, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Queues in order of id, each with its figures now: how many wait, since when the oldest, who could take them."""
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.page(conn, "queue", cursor, limit, caller.partner_id)
        facts = [msgspec.json.decode(one.data, type=QueueConfigured) for one in stored]
        figures = await reading.queue_figures(conn, {fact.id: fact.team_ids or (EVERYBODY,) for fact in facts})
    items = [{**_view(one), "now": msgspec.to_builtins(figures[one.id])} for one in stored]
    return page(items, limit, "id")


async def nothing_more(_conn: AsyncConnection, _fact: Configured) -> list[Draft[Fact]]:
    return []


async def put(
    room: Room,
    kind: str,
    config_id: str,
    body: Version,
    values: Mapping[str, object],
    shape: type[Fits],
    if_match: str | None,
    prepare: Callable[[AsyncConnection, Fits], Awaitable[list[Draft[Fact]]]],
) -> Response:
    """Write a version and say it. `prepare` refuses what cannot be in force, and gives what is to be said besides."""

    async def attempt() -> tuple[Fits, bool]:
        async with db.transaction(room.parts.engine) as conn:
            before = await config.find(conn, kind, config_id, lock=True)
            check_match(if_match, before.version if before is not None and not before.removed else None)
            now = await clock(conn)
            if body.effective_from is not None and body.effective_from > now:
                raise invalid("effective_from", "lies ahead; a change is in force at once, so send it when it is to begin")
            fact = _fact(shape, {**values, "id": config_id, "version": version_after(before), "effective_from": now})
            drafts = await prepare(conn, fact)
            await config.put(conn, kind, fact, now)
            await room.parts.outbox.publish(conn, [version_said(kind, config_id, fact), *drafts], await clock(conn))
            await config.wake_matchers(conn)
            return fact, before is None or before.removed

    fact, created = await db.retrying(attempt)
    headers = {"ETag": etag(fact.version)}
    return Response(msgspec.json.encode(fact), 201 if created else 200, headers, "application/json")


def _fact(shape: type[Fits], values: Mapping[str, object]) -> Fits:
    try:
        return msgspec.convert(values, shape)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise invalid(path.rstrip("`").lstrip(".") or "when", reason) from None


async def get(room: Room, kind: str, config_id: str, caller: Caller) -> Response:
    """The newest version, with its ETag. Raises Problem 404."""
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.find(conn, kind, config_id)
    if stored is None or stored.removed or not caller.sees(_partner_of(stored)):
        raise Problem(404, f"{kind}-not-found", f"There is no {kind} '{config_id}'. An admin makes one with PUT.")
    return Response(msgspec.json.encode(_view(stored)), 200, {"ETag": etag(stored.version)}, "application/json")


async def listed(room: Room, kind: str, cursor: str, limit: int, caller: Caller) -> dict[str, object]:
    """A page of a kind, in order of id."""
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.page(conn, kind, cursor, limit, caller.partner_id)
    return page([_view(one) for one in stored], limit, "id")


def _partner_of(stored: Stored) -> str | None:
    partner_id = _view(stored).get("partner_id")
    return partner_id if isinstance(partner_id, str) else None


def _view(stored: Stored) -> dict[str, object]:
    return msgspec.json.decode(stored.data, type=dict[str, object])


async def check_known(conn: AsyncConnection, kind: str, ids: list[str], field: str) -> None:
    """Refuse what names something that is not configured. Raises Problem 422."""
    unknown = await config.missing(conn, kind, ids)
    if unknown:
        raise invalid(field, f"no such {kind}: {', '.join(unknown)}; make it first")


def invalid(field: str, reason: str) -> Problem:
    """That something in the body cannot be in force."""
    detail = "The request does not fit the contract; see errors for each field."
    return Problem(422, "invalid-request", detail, [FieldError(f"body.{field}", reason)])
