"""Calendars and policies. Each PUT is a new version, said on `config`; edits need the ETag of what they edit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sla.domain.policies import Book, WrongPolicy, check_policy
from services.sla.store import definitions
from services.sla.store.definitions import Kind
from shared import business_time, db
from shared.auth import requires
from shared.business_time import WrongCalendar
from shared.clock import clock
from shared.configuring import version_after, version_said
from shared.events.config import CalendarConfigured, ConfigRemoved, PolicyConfigured, TargetKind
from shared.http import FieldError, IfMatch, Problem, check_match, etag
from shared.outbox import Outbox

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$"
ConfigId = Annotated[str, Path(pattern=ID_PATTERN)]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Hour = Annotated[str, StringConstraints(max_length=5)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Limit = Annotated[int, Query(ge=1, le=200, description="at most so many")]
Cursor = Annotated[str, Query(max_length=255, description="`next_cursor` of the page before")]
Configured = TypeVar("Configured", CalendarConfigured, PolicyConfigured)
Check = Callable[[Configured, Book], None]


class Body(BaseModel):
    """A request's body: nothing unknown in it. `effective_from` is now when left out, and never before now."""

    model_config = ConfigDict(extra="forbid", str_max_length=64_000)
    effective_from: AwareDatetime | None = None


class Hours(BaseModel):
    """Open from `opens` to `closes`, HH:MM; 24:00 is the end of the day, closing before opening is on the next day."""

    model_config = ConfigDict(extra="forbid")
    opens: Hour
    closes: Hour


class Dated(BaseModel):
    """A date with hours of its own; none at all means closed."""

    model_config = ConfigDict(extra="forbid")
    on: date
    hours: Annotated[list[Hours], Field(max_length=20)] = Field(default_factory=list)
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class Calendar(Body):
    """Business hours: `weekly` has seven entries, Monday first; `holidays_of` are ISO codes such as IL or US-CA."""

    zone: Annotated[str, StringConstraints(max_length=64)]
    weekly: Annotated[list[Annotated[list[Hours], Field(max_length=20)]], Field(max_length=7)]
    dates: Annotated[list[Dated], Field(max_length=2000)] = Field(default_factory=list)
    holidays_of: Annotated[list[Annotated[str, StringConstraints(max_length=10)]], Field(max_length=10)] = Field(
        default_factory=list
    )


class Target(BaseModel):
    """One promise: seconds by priority ("1" to "4"; none, no promise), counted in business or calendar time."""

    model_config = ConfigDict(extra="forbid")
    kind: TargetKind
    seconds: Annotated[dict[str, int], Field(max_length=4)]
    hours: Literal["business", "calendar"] = "business"
    warn_at_percent: Annotated[list[int], Field(max_length=10)] = Field(default=[80])
    pause_on: Annotated[list[Literal["pending", "on_hold"]], Field(max_length=2)] = Field(default=["pending"])
    on_reopen: Literal["resume", "restart"] = "resume"


class Policy(Body):
    """A policy: `when` is a condition tree, {} takes every ticket; the first policy by `position` that takes it applies."""

    name: Name
    position: Annotated[int, Field(ge=0, le=1_000_000)]
    targets: Annotated[list[Target], Field(max_length=20)]
    when: dict[str, JsonValue] = Field(default_factory=dict)
    calendar_id: Id | None = None
    scope: Literal["customer", "team", "agent"] = "customer"
    apply_to_open: bool = False


def check_new_calendar(calendar: CalendarConfigured, book: Book) -> None:
    """Refuse a calendar that cannot be counted with, or by which a policy could no longer be kept. Raises Problem 422."""
    try:
        business_time.check(calendar)
    except WrongCalendar as wrong:
        raise _invalid(wrong.path, wrong.reason) from None
    for policy in book.newest_policies():
        if policy.calendar_id == calendar.id:
            try:
                check_policy(policy, {calendar.id: calendar})
            except WrongPolicy as wrong:
                raise _invalid("weekly", f"policy '{policy.id}' counts by this calendar: {wrong.reason}") from None


def check_new_policy(policy: PolicyConfigured, book: Book) -> None:
    """Refuse a policy that cannot be kept count of. Raises Problem 422."""
    try:
        check_policy(policy, {calendar.id: calendar for calendar in book.newest_calendars()})
    except WrongPolicy as wrong:
        raise _invalid(wrong.path, wrong.reason) from None


def check_unused(calendar_id: str, book: Book) -> None:
    """Refuse to remove a calendar that a policy counts by. Raises Problem 409."""
    users = [policy.id for policy in book.newest_policies() if policy.calendar_id == calendar_id]
    if users:
        raise Problem(409, "in-use", f"Policies count by this calendar: {', '.join(users)}. Change or remove them first.")


def make_router(engine: AsyncEngine, outbox: Outbox) -> APIRouter:
    """The routes of calendars and policies."""
    router = APIRouter(tags=["configuration"])
    admin, readers = Depends(requires("admin")), Depends(requires("ops:read", "supervisor"))
    edge = _Edge(engine, outbox)

    @router.put("/v1/calendars/{config_id}", dependencies=[admin])
    async def put_calendar(config_id: ConfigId, body: Calendar, if_match: IfMatch = None) -> Response:
        """Make or change a calendar. Clocks that run keep the version they were promised by."""
        values = body.model_dump(exclude={"effective_from"})
        return await edge.put("calendar", config_id, body, values, CalendarConfigured, check_new_calendar, if_match)

    @router.put("/v1/policies/{config_id}", dependencies=[admin])
    async def put_policy(config_id: ConfigId, body: Policy, if_match: IfMatch = None) -> Response:
        """Make or change a policy. It applies to tickets opened from then on."""
        values = {**body.model_dump(exclude={"effective_from"}), "when": body.when or {"is": "all"}}
        return await edge.put("policy", config_id, body, values, PolicyConfigured, check_new_policy, if_match)

    @router.delete("/v1/calendars/{config_id}", dependencies=[admin], status_code=204)
    async def remove_calendar(config_id: ConfigId, if_match: IfMatch = None) -> Response:
        """Remove a calendar that no policy counts by."""
        return await edge.remove("calendar", config_id, if_match, check_unused)

    @router.delete("/v1/policies/{config_id}", dependencies=[admin], status_code=204)
    async def remove_policy(config_id: ConfigId, if_match: IfMatch = None) -> Response:
        """Remove a policy. Tickets that were promised by it keep their promise."""
        return await edge.remove("policy", config_id, if_match, lambda _id, _book: None)

    @router.get("/v1/calendars/{config_id}", dependencies=[readers])
    async def get_calendar(config_id: ConfigId) -> Response:
        """A calendar as configured last."""
        return await edge.get("calendar", config_id)

    @router.get("/v1/policies/{config_id}", dependencies=[readers])
    async def get_policy(config_id: ConfigId) -> Response:
        """A policy as configured last."""
        return await edge.get("policy", config_id)

    @router.get("/v1/calendars", dependencies=[readers])
    async def list_calendars(cursor: Cursor = "", limit: Limit = 50) -> Response:
        """Calendars in order of id."""
        return await edge.page("calendar", cursor, limit)

    @router.get("/v1/policies", dependencies=[readers])
    async def list_policies(cursor: Cursor = "", limit: Limit = 50) -> Response:
        """Policies in order of id; they apply in order of `position`."""
        return await edge.page("policy", cursor, limit)

    return router


class _Edge:
    """What calendars and policies do alike."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox) -> None:
        self.engine = engine
        self.outbox = outbox

    async def put(
        self,
        kind: Kind,
        config_id: str,
        body: Body,
        values: Mapping[str, object],
        shape: type[Configured],
        check: Check[Configured],
        if_match: str | None,
    ) -> Response:
        """One more version, checked against all others."""

        async def work(conn: AsyncConnection) -> tuple[Configured, bool]:
            book = await self._book(conn)
            before = book.last(kind, config_id)
            exists = before is not None and not isinstance(before, ConfigRemoved)
            check_match(if_match, before.version if before is not None and exists else None)
            now = await clock(conn)
            numbered = {
                "id": config_id,
                "version": version_after(before),
                "effective_from": max(now, body.effective_from or now),
            }
            fact = _fact(shape, {**values, **numbered})
            check(fact, book)
            await self._say(conn, kind, config_id, fact)
            return fact, not exists

        fact, created = await self._transaction(work)
        headers = {"ETag": etag(fact.version)}
        return Response(msgspec.json.encode(fact), 201 if created else 200, headers, "application/json")

    async def remove(self, kind: Kind, config_id: str, if_match: str | None, check: Callable[[str, Book], None]) -> Response:
        """A version that says that there is none any longer."""

        async def work(conn: AsyncConnection) -> None:
            book = await self._book(conn)
            before = book.last(kind, config_id)
            if before is None or isinstance(before, ConfigRemoved):
                raise _not_found(kind, config_id)
            check_match(if_match, before.version)
            check(config_id, book)
            removed = ConfigRemoved(version=version_after(before), effective_from=await clock(conn))
            await self._say(conn, kind, config_id, removed)

        await self._transaction(work)
        return Response(status_code=204)

    async def get(self, kind: Kind, config_id: str) -> Response:
        """The last version."""
        async with db.transaction(self.engine) as conn:
            fact = (await definitions.read_book(conn)).last(kind, config_id)
        if fact is None or isinstance(fact, ConfigRemoved):
            raise _not_found(kind, config_id)
        return Response(msgspec.json.encode(fact), 200, {"ETag": etag(fact.version)}, "application/json")

    async def page(self, kind: Kind, cursor: str, limit: int) -> Response:
        """The last versions, by id."""
        async with db.transaction(self.engine) as conn:
            book = await definitions.read_book(conn)
        newest = book.newest_calendars() if kind == "calendar" else book.newest_policies()
        after = sorted((fact for fact in newest if fact.id > cursor), key=lambda fact: fact.id)
        items = after[:limit]
        more = items[-1].id if len(after) > limit else None
        return Response(msgspec.json.encode({"items": items, "next_cursor": more}), 200, media_type="application/json")

    async def _book(self, conn: AsyncConnection) -> Book:
        await definitions.lock_definitions(conn)
        return await definitions.read_book(conn)

    async def _say(self, conn: AsyncConnection, kind: Kind, config_id: str, fact: definitions.Defined) -> None:
        await definitions.add_definition(conn, kind, config_id, fact)
        await self.outbox.publish(conn, [version_said(kind, config_id, fact)], await clock(conn))

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        async def attempt() -> Result:
            async with db.transaction(self.engine) as conn:
                return await work(conn)

        return await db.retrying(attempt)


Result = TypeVar("Result")


def _fact(shape: type[Configured], values: Mapping[str, object]) -> Configured:
    try:
        return msgspec.convert(values, shape)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise _invalid(path.rstrip("`").lstrip(".") or "when", reason) from None


def _not_found(kind: Kind, config_id: str) -> Problem:
    return Problem(404, f"{kind}-not-found", f"There is no {kind} '{config_id}'. An admin makes one with PUT.")


def _invalid(field: str, reason: str) -> Problem:
    detail = "The request does not fit the contract; see errors for each field."
    return Problem(422, "invalid-request", detail, [FieldError(f"body.{field}", reason)])
