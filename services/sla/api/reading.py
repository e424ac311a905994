"""How promises stand: of one ticket, about to run out, broken."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sla.domain.clocks import clock_id
from services.sla.domain.looking import look
from services.sla.store import definitions, tickets
from services.sla.store import reading as rows
from services.sla.store.reading import ClockRow, Place
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.http import FieldError, Problem

Limit = Annotated[int, Query(ge=1, le=200, description="at most so many")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")]
Everyone = Annotated[Caller, Depends(requires("ops:read", "supervisor", "agent", "partner agent", "partner"))]
Operations = Annotated[Caller, Depends(requires("ops:read", "supervisor", "partner"))]
DAY_SECONDS = 24 * 3600
LARGEST_CYCLE = 2**31 - 1  # of integer


class ClockOut(BaseModel):
    """One clock. Microseconds of its own (business or calendar) time; `kept` is null while it is open."""

    clock_id: str
    target: str
    cycle: int
    state: str
    reason: str
    started_at: datetime
    target_us: int
    elapsed_us: int
    remaining_us: int
    deadline: datetime | None
    ended_at: datetime | None
    breached_at: datetime | None
    breach_published: bool
    warned_at_percent: list[int]
    kept: bool | None


class TicketOut(BaseModel):
    """A ticket's promise and its clocks as of an instant; no policy, no clocks."""

    ticket_id: str
    as_of: datetime
    status: str
    policy_id: str | None
    policy_version: int | None
    calendar_id: str | None
    calendar_version: int | None
    clocks: list[ClockOut]


class ListedOut(BaseModel):
    """A clock in a list."""

    clock_id: str
    ticket_id: str
    target: str
    cycle: int
    state: str
    policy_id: str
    channel: str
    priority: int
    queue_id: str | None
    team_id: str | None
    agent_id: str | None
    partner_id: str | None
    started_at: datetime
    target_us: int
    deadline: datetime
    ended_at: datetime | None
    breached_at: datetime | None


class PageOut(BaseModel):
    """A page of clocks; `next_cursor` is null on the last."""

    as_of: datetime
    items: list[ListedOut]
    next_cursor: str | None


def make_router(engine: AsyncEngine) -> APIRouter:
    """The routes that tell how promises stand."""
    router = APIRouter(tags=["promises"])

    @router.get("/v1/sla/tickets/{ticket_id}", response_model=TicketOut)
    async def get_ticket_sla(ticket_id: Annotated[str, Path(max_length=64)], caller: Everyone) -> Response:
        """A ticket's clocks: state, deadline, what is used and what is left."""
        async with db.transaction(engine) as conn:
            story = await tickets.find_story(conn, ticket_id)
            if story is None or not caller.sees(story.standing.ticket.partner_id):
                raise Problem(404, "ticket-not-found", "No ticket of this id has been read from the log.")
            book, now = await definitions.read_book(conn), await clock(conn)
        promise = story.promise
        answer = {
            "ticket_id": ticket_id,
            "as_of": now,
            "status": story.standing.ticket.status if promise else "unknown",
            "policy_id": promise.policy_id if promise else None,
            "policy_version": promise.policy_version if promise else None,
            "calendar_id": promise.calendar_id if promise else None,
            "calendar_version": promise.calendar_version if promise else None,
            "clocks": look(story, book.terms(promise), now) if promise else [],
        }
        return Response(msgspec.json.encode(answer), media_type="application/json")

    @router.get("/v1/sla/breaches", response_model=PageOut)
    async def list_breaches(caller: Operations, cursor: Cursor = None, limit: Limit = 50) -> Response:
        """Broken promises, the newest first; those that turned out as kept are not among them."""
        place = _place(cursor)
        async with db.transaction(engine) as conn:
            found, now = await rows.breaches(conn, place, limit + 1, caller.partner_id), await clock(conn)
        return _page(found, limit, now, [row.breached_at or now for row in found])

    @router.get("/v1/sla/at-risk", response_model=PageOut)
    async def list_at_risk(
        caller: Operations,
        within_seconds: Annotated[int, Query(ge=0, le=30 * DAY_SECONDS)] = 3600,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Response:
        """Running clocks whose deadline comes within so many seconds, the nearest first."""
        place = _place(cursor)
        async with db.transaction(engine) as conn:
            now = await clock(conn)
            until = now + timedelta(seconds=within_seconds)
            found = await rows.at_risk(conn, until, place, limit + 1, caller.partner_id)
        return _page(found, limit, now, [row.deadline for row in found])

    return router


def _page(found: list[ClockRow], limit: int, now: datetime, instants: list[datetime]) -> Response:
    """So many of those that were found, and where the next page begins if there are more."""
    items = [{"clock_id": clock_id(row.ticket_id, row.target, row.cycle), **row._asdict()} for row in found[:limit]]
    last = found[limit - 1] if len(found) > limit else None
    cursor = _cursor(Place(instants[limit - 1], last.ticket_id, last.target, last.cycle)) if last is not None else None
    answer = {"as_of": now, "items": items, "next_cursor": cursor}
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=Place)
        if not 0 <= place.cycle <= LARGEST_CYCLE or "\x00" in place.ticket_id + place.target:
            raise ValueError("no clock has this name")
        return place._replace(at=place.at.astimezone(UTC))
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError):
        errors = [FieldError("query.cursor", "is not one that this list gave out")]
        raise Problem(422, "invalid-request", "The cursor cannot be read; begin again without it.", errors) from None
