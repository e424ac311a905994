"""Lists of tickets, how many saved views have, and what is found by words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.api.asking import SearchQuery, TicketFilter, TicketQuery, together
from services.desk.api.room import (
    LARGEST,
    Looking,
    Room,
    Staff,
    TheRoom,
    in_utc,
    looking,
    make_cursor,
    read_cursor,
    unreadable,
)
from services.desk.api.shown import CountShown, CountsShown, HitShown, Mark, SearchPage, SnippetShown, TicketPage
from services.desk.api.telling import names_of, tell_lines
from services.desk.domain.documents import texts_of
from services.desk.domain.filters import NATURAL, Order, Place, Sort
from services.desk.domain.timeline import KIND_OF, WORDED
from services.desk.domain.views import View, may_see
from services.desk.domain.words import Snippet, Term, snippet, terms_of
from services.desk.opening import open_fact
from services.desk.store import listing, searching, views
from services.desk.store.listing import Line
from services.desk.store.searching import Search, Words
from shared import db
from shared.events.base import Moment
from shared.http import FieldError, Problem

router = APIRouter(tags=["lists"])
COUNTED_CAP = 1000
VIEWS_CAP = 50
LOOKED_INTO = 10  # of the newest texts of a ticket, for a snippet
LOOKED_AT = 4000  # characters of each
PRIORITIES = range(1, 5)
TEXTS = sorted(fact.TYPE for fact in WORDED)


class ListCursor(msgspec.Struct, frozen=True):
    """Where a page of a list ended: by what it is sorted, which way, and the last one's place."""

    sort: Sort
    order: Order
    at: Moment | int
    number: int


@router.get("/v1/desk/tickets")
async def list_tickets(asked: Annotated[TicketQuery, Query()], room: TheRoom, caller: Staff) -> TicketPage:
    """Tickets by filter, sorted by what changed last (`updated`), came last (`opened`), is most urgent (`priority`: of what is
    live, where no status is asked for) or is due next (`due`: of what has a promise that runs). Without spam, unless asked for.
    """
    async with db.transaction(room.parts.engine) as conn:
        look = await looking(conn, caller)
        view = await view_for(conn, look, asked.view) if asked.view is not None else None
        wanted = together(filter_of(view), asked) if view is not None else asked
        sort, order = _sorted(asked, view)
        place = _place(asked.cursor, sort, order)
        found = await listing.page(conn, wanted.wanted(), look.sight, look.viewer.agent_id, sort, order, place, asked.limit + 1)
        lines = found[: asked.limit]
        items = await tell_lines(conn, room.parts.keys, lines)
        names = await names_of(conn, lines)
    more = make_cursor(_cursor(lines[-1], sort, order)) if len(found) > asked.limit else None
    return TicketPage(items=items, next_cursor=more, names=names)


@router.get("/v1/desk/counts")
async def count_views(
    room: TheRoom,
    caller: Staff,
    view_id: Annotated[list[str], Query(max_length=VIEWS_CAP, description="else the first that may be seen")] = [],  # noqa: B006
) -> CountsShown:
    """How many tickets saved views have, counted up to a thousand each. What is not there, or not to be seen, is left out."""
    async with db.transaction(room.parts.engine) as conn:
        look = await looking(conn, caller)
        asked = await _views(conn, look, view_id)
        filters = [(view.id, filter_of(view).wanted()) for view in asked]
        found = await listing.counts(conn, filters, look.sight, look.viewer.agent_id, COUNTED_CAP + 1)
    return CountsShown(
        counts=[
            CountShown(view_id=name, tickets=min(count, COUNTED_CAP), capped=count > COUNTED_CAP) for name, count in found.items()
        ]
    )


@router.get("/v1/desk/search")
async def search_tickets(asked: Annotated[SearchQuery, Query()], room: TheRoom, caller: Staff) -> SearchPage:
    """Tickets on which all of these words stand: in subjects, messages, answers, notes, in their customer's name, addresses and
    numbers, or as their own number. Case, accents, vowel signs and what Hebrew and Arabic write onto words do not matter. What
    was written a moment ago is found a moment later.
    """
    terms = terms_of(asked.q)
    if not terms:
        errors = [FieldError("query.q", "has no letter and no digit")]
        raise Problem(422, "invalid-request", "There is nothing to look for.", errors)
    before = read_cursor(asked.cursor, int)
    if before is not None and not 0 <= before <= LARGEST:
        raise unreadable()
    async with db.transaction(room.parts.engine) as conn:
        look = await looking(conn, caller)
        search = Search(terms, asked.wanted(), look.sight, look.viewer.agent_id)
        found = await searching.found(conn, search, before, asked.limit + 1)
        hits = found[: asked.limit]
        by_id = await listing.lines(conn, [ticket_id for _, ticket_id in hits])
        lines = [by_id[ticket_id] for _, ticket_id in hits if ticket_id in by_id]
        items = await tell_lines(conn, room.parts.keys, lines)
        snippets = await _snippets(conn, room, lines, terms)
        names = await names_of(conn, lines)
    shown = [HitShown(ticket=item, snippet=snippets.get(item.ticket_id)) for item in items]
    return SearchPage(items=shown, next_cursor=make_cursor(hits[-1][0]) if len(found) > asked.limit else None, names=names)


async def view_for(conn: AsyncConnection, look: Looking, view_id: str) -> View:
    """A saved view, for whom it is. Raises Problem 404."""
    view = await views.one(conn, view_id)
    if view is None or not may_see(look.viewer, view.kind, view.owner, view.team_id):
        raise no_view()
    return view


def no_view() -> Problem:
    """There is none, or it is somebody else's."""
    return Problem(404, "view-not-found", "There is no such view, or it is not for you.")


def filter_of(view: View) -> TicketFilter:
    """What a saved view asks for."""
    return TicketFilter.model_validate(view.asked)


def _sorted(asked: TicketQuery, view: View | None) -> tuple[Sort, Order]:
    """As is asked, else as the view says, else by what changed last."""
    sort: Sort = asked.sort or (view.sort if view is not None else "updated")
    kept = view.order if view is not None and view.sort == sort else None
    return sort, asked.order or kept or NATURAL[sort]


def _cursor(line: Line, sort: Sort, order: Order) -> ListCursor:
    at: dict[Sort, datetime | int | None] = {
        "updated": line.updated_at,
        "opened": line.number,
        "priority": line.priority,
        "due": line.due_at,
    }
    place = at[sort]
    assert place is not None, "a list that is sorted by what is due holds only what is"
    return ListCursor(sort, order, place, line.number)


def _place(cursor: str | None, sort: Sort, order: Order) -> Place | None:
    """Where the page before ended. Raises Problem 422 for a cursor of another list."""
    told = read_cursor(cursor, ListCursor)
    if told is None:
        return None
    wants_instant = sort in ("updated", "due")
    if (
        (told.sort, told.order) != (sort, order)
        or isinstance(told.at, datetime) != wants_instant
        or not 0 <= told.number <= LARGEST
    ):
        raise unreadable()
    if sort == "priority" and told.at not in PRIORITIES:
        raise unreadable()
    return Place(in_utc(told.at) if isinstance(told.at, datetime) else told.at, told.number)


async def _views(conn: AsyncConnection, look: Looking, view_ids: Sequence[str]) -> list[View]:
    if not view_ids:
        return await views.page(conn, look.viewer, ("", ""), VIEWS_CAP)
    found = [await views.one(conn, view_id) for view_id in dict.fromkeys(view_ids)]
    return [view for view in found if view is not None and may_see(look.viewer, view.kind, view.owner, view.team_id)]


async def _snippets(conn: AsyncConnection, room: Room, lines: Sequence[Line], terms: Sequence[Term]) -> dict[str, SnippetShown]:
    """For each ticket the text in which most of the words stand, the newest of several."""
    keys = room.parts.keys
    rows = await searching.facts(conn, [line.ticket_id for line in lines], TEXTS, LOOKED_INTO)
    await keys.load(conn, {row.person for row in rows if row.person is not None})
    texts: list[tuple[Words, str]] = []
    for row in rows:
        content = open_fact(keys, row.type, row.event_id, row.person, row.box).content
        if content is not None:
            texts += [(row, text[:LOOKED_AT]) for text in texts_of(content) if text]
    return await asyncio.to_thread(_best, texts, terms)


def _best(texts: Sequence[tuple[Words, str]], terms: Sequence[Term]) -> dict[str, SnippetShown]:
    best: dict[str, tuple[int, SnippetShown]] = {}
    for row, text in texts:
        if best.get(row.ticket_id, (0,))[0] == len(terms):
            continue
        found = snippet(text, terms)
        if found is not None and found.terms > best.get(row.ticket_id, (0,))[0]:
            best[row.ticket_id] = found.terms, _shown(row, found)
    return {ticket_id: shown for ticket_id, (_, shown) in best.items()}


def _shown(row: Words, found: Snippet) -> SnippetShown:
    return SnippetShown(
        event_id=row.event_id,
        kind=KIND_OF[row.type],
        at=row.at,
        text=found.text,
        direction=found.direction,
        marks=[Mark(start=start, end=end) for start, end in found.marks],
    )
