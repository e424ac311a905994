"""Saved views: made, changed, removed. Edits need the ETag of what they edit."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.api.asking import TicketFilter
from services.desk.api.listing import filter_of, no_view, view_for
from services.desk.api.room import Looking, Staff, TheRoom, looking, make_cursor, read_cursor
from services.desk.api.shown import Column, ViewShown, ViewsPage
from services.desk.domain.filters import Order, Sort
from services.desk.domain.views import View, ViewKind, may_change, may_see
from services.desk.store import views
from shared import db
from shared.clock import clock
from shared.http import IfMatch, Problem, check_match, etag
from shared.idempotency import Answer, IdempotencyKey, once, request_hash

router = APIRouter(tags=["views"])
ViewId = Annotated[str, Path(max_length=64)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
OWNED_CAP = 200


class ViewBody(BaseModel):
    """A view: one's own (`personal`), of a team, or of all (`shared`); what it asks for, how it is sorted, and what a console
    shows of it.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name
    kind: ViewKind = "personal"
    team_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    filter: TicketFilter = TicketFilter()
    sort: Sort = "updated"
    order: Order | None = None
    columns: Annotated[list[Column], Field(max_length=30)] = []

    @model_validator(mode="after")
    def _names_its_team(self) -> Self:
        if (self.kind == "team") != (self.team_id is not None):
            raise ValueError("a view of a team names it in team_id, and no other does")
        return self


@router.get("/v1/desk/views")
async def list_views(
    room: TheRoom,
    caller: Staff,
    cursor: Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="at most so many")] = 50,
) -> ViewsPage:
    """One's own views, those of one's teams and those of all, by name."""
    place = read_cursor(cursor, tuple[str, str]) or ("", "")
    async with db.transaction(room.parts.engine) as conn:
        look = await looking(conn, caller)
        found = await views.page(conn, look.viewer, place, limit + 1)
    shown = found[:limit]
    more = make_cursor((shown[-1].name, shown[-1].id)) if len(found) > limit else None
    return ViewsPage(items=[_shown(view) for view in shown], next_cursor=more)


@router.post("/v1/desk/views", status_code=201, response_model=ViewShown)
async def create_view(body: ViewBody, room: TheRoom, caller: Staff, idempotency_key: IdempotencyKey = None) -> Response:
    """Save a view. Agents save their own and those of their teams, supervisors those of all."""

    async def work(conn: AsyncConnection) -> Answer:
        look = await looking(conn, caller)
        owner = look.viewer.id
        _check(look, body, owner)
        if await views.owned(conn, owner, OWNED_CAP) >= OWNED_CAP:
            raise Problem(409, "too-many-views", f"{OWNED_CAP} views are yours already; remove one first.")
        made = await views.add(conn, await _view(conn, str(uuid4()), owner, body))
        return Answer(201, _shown(made).model_dump_json().encode(), {"ETag": etag(made.version)})

    digest = request_hash("create_view", body.model_dump_json().encode())
    return (await once(room.parts.engine, "desk", caller.key_id, idempotency_key, digest, work)).response()


@router.get("/v1/desk/views/{view_id}")
async def get_view(view_id: ViewId, room: TheRoom, caller: Staff, response: Response) -> ViewShown:
    """A view, with its ETag."""
    async with db.transaction(room.parts.engine) as conn:
        view = await view_for(conn, await looking(conn, caller), view_id)
    response.headers["ETag"] = etag(view.version)
    return _shown(view)


@router.put("/v1/desk/views/{view_id}")
async def put_view(
    view_id: ViewId, body: ViewBody, room: TheRoom, caller: Staff, response: Response, if_match: IfMatch = None
) -> ViewShown:
    """Change a view. It stays whose it was."""

    async def put() -> View:
        async with db.transaction(room.parts.engine) as conn:
            look = await looking(conn, caller)
            before = await _held(conn, look, view_id, if_match)
            _check(look, body, before.owner)
            return await views.change(conn, await _view(conn, view_id, before.owner, body))

    view = await db.retrying(put)
    response.headers["ETag"] = etag(view.version)
    return _shown(view)


@router.delete("/v1/desk/views/{view_id}", status_code=204)
async def delete_view(view_id: ViewId, room: TheRoom, caller: Staff, if_match: IfMatch = None) -> Response:
    """Remove a view."""

    async def remove() -> None:
        async with db.transaction(room.parts.engine) as conn:
            await _held(conn, await looking(conn, caller), view_id, if_match)
            await views.remove(conn, view_id)

    await db.retrying(remove)
    return Response(status_code=204)


async def _held(conn: AsyncConnection, look: Looking, view_id: str, if_match: str | None) -> View:
    """The view, locked, for who may change it. Raises Problem 404, 403, 428, 412."""
    view = await views.one(conn, view_id, lock=True)
    if view is None or not may_see(look.viewer, view.kind, view.owner, view.team_id):
        raise no_view()
    if not may_change(look.viewer, view.kind, view.owner, view.team_id):
        raise _not_yours()
    check_match(if_match, view.version)
    return view


def _check(look: Looking, body: ViewBody, owner: str) -> None:
    """Refuse what would be somebody else's to save. Raises Problem 403."""
    if not may_change(look.viewer, body.kind, owner, body.team_id):
        raise _not_yours()


def _not_yours() -> Problem:
    detail = "Agents save their own views and those of their teams; views that others made or all use are a supervisor's."
    return Problem(403, "forbidden", detail)


async def _view(conn: AsyncConnection, view_id: str, owner: str, body: ViewBody) -> View:
    return View(
        id=view_id,
        version=1,
        kind=body.kind,
        owner=owner,
        team_id=body.team_id,
        name=body.name,
        asked=body.filter.model_dump(mode="json", exclude_defaults=True),
        sort=body.sort,
        order=body.order,
        columns=tuple(body.columns),
        changed_at=await clock(conn),
    )


def _shown(view: View) -> ViewShown:
    return ViewShown.model_validate(
        {
            "view_id": view.id,
            "version": view.version,
            "kind": view.kind,
            "owner": view.owner,
            "team_id": view.team_id,
            "name": view.name,
            "filter": filter_of(view),
            "sort": view.sort,
            "order": view.order,
            "columns": list(view.columns),
            "changed_at": view.changed_at,
        }
    )
