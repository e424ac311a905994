"""One ticket, its history, and one customer's card."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.api.cards import tell_card
from services.desk.api.listing import ListCursor
from services.desk.api.room import LARGEST, Looking, Staff, TheRoom, in_utc, looking, make_cursor, read_cursor, unreadable
from services.desk.api.shown import PartShown, TicketShown, TimelinePage
from services.desk.api.shown_customers import CustomerCard
from services.desk.api.telling import names_of, tell_entries, tell_lines, tell_promise
from services.desk.domain.filters import Filter, Order
from services.desk.domain.timeline import Kind, types_of
from services.desk.store import erasure, listing, reading
from services.desk.store.reading import EntryRow, Spot
from shared import db
from shared.events.base import Moment
from shared.http import Problem, etag

router = APIRouter(tags=["reading"])
TicketId = Annotated[str, Path(max_length=64)]
CustomerId = Annotated[str, Path(max_length=64)]
TICKETS_SHOWN = 20
NAMING = (
    ("agent", "agent_id"),
    ("agent", "by_agent_id"),
    ("agent", "to_agent_id"),
    ("agent", "expert_id"),
    ("queue", "queue_id"),
    ("team", "team_id"),
)


class SpotCursor(msgspec.Struct, frozen=True):
    """Where a page of a history ended, and which way it ran."""

    order: Order
    at: Moment
    id: int


@router.get("/v1/desk/tickets/{ticket_id}")
async def get_ticket(ticket_id: TicketId, response: Response, room: TheRoom, caller: Staff) -> TicketShown:
    """A ticket with its promises. One that was merged into another is answered with that. The ETag is the one with which routing
    takes an edit of it, as far as desk has read the log.
    """
    async with db.transaction(room.parts.engine) as conn:
        root = await _ticket(conn, await looking(conn, caller), ticket_id)
        line = (await listing.lines(conn, [root]))[root]
        [shown] = await tell_lines(conn, room.parts.keys, [line])
        parts = await reading.parts(conn, root)
        promises = await reading.promises(conn, root)
        ticket = (await reading.filed(conn, root)).ticket
        incomplete = await reading.parked(conn, [part for part, _ in parts])
        names = await names_of(conn, [line], *(("policy", one.policy_id) for one in promises))
    response.headers["ETag"] = etag(ticket.version)
    return TicketShown(
        **shown.model_dump(),
        version=ticket.version,
        fields=ticket.fields,
        asked_for=ticket_id,
        merged=[PartShown(ticket_id=part, number=number) for part, number in parts if part != root],
        promises=[tell_promise(one) for one in promises],
        incomplete=incomplete,
        names=names,
    )


@router.get("/v1/desk/tickets/{ticket_id}/timeline")
async def get_timeline(
    ticket_id: TicketId,
    room: TheRoom,
    caller: Staff,
    kind: Annotated[list[Kind], Query(max_length=4, description="only of these kinds")] = [],  # noqa: B006 - FastAPI copies it
    order: Annotated[Order, Query(description="`desc`: the newest first")] = "asc",
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="at most so many")] = 100,
) -> TimelinePage:
    """A ticket's history with those of the tickets that were merged into it: messages, notes, deliveries, events, by their time.
    What has a place keeps it; of two writers' facts that cross on their way the later may come to stand before one that was read.
    """
    spot = _spot(cursor, order)
    async with db.transaction(room.parts.engine) as conn:
        root = await _ticket(conn, await looking(conn, caller), ticket_id)
        members = [part for part, _ in await reading.parts(conn, root)]
        types = types_of(frozenset(kind)) if kind else None
        found = await reading.timeline(conn, members, types, spot, limit + 1, newest_first=order == "desc")
        rows = found[:limit]
        items = await tell_entries(conn, room.parts.keys, rows)
        names = await names_of(conn, (), *(named for item in items for named in _named(item.data)))
    more = make_cursor(_spot_of(rows[-1], order)) if len(found) > limit else None
    return TimelinePage(ticket_id=root, items=items, next_cursor=more, names=names)


@router.get("/v1/desk/customers/{customer_id}")
async def get_customer(customer_id: CustomerId, room: TheRoom, caller: Staff) -> CustomerCard:
    """A customer's card: who they are, tickets of all channels, orders, satisfaction, what is promised, who else they may be."""
    async with db.transaction(room.parts.engine) as conn:
        look = await looking(conn, caller)
        erased = bool(await erasure.erased(conn, [customer_id]))
        if erased and not look.viewer.outside:
            raise Problem(410, "customer-erased", "This customer was erased.")
        root = await reading.onward(conn, customer_id)
        family = await reading.family(conn, root)
        ids = list({root: None} | {record.id: None for record in family})
        if erased or not await _may_see(conn, look, ids, known=bool(family)):
            raise Problem(404, "customer-not-found", "There is no such customer, or desk has not heard of them yet.")
        found = await listing.page(
            conn, Filter(customer_ids=tuple(ids)), look.sight, None, "opened", "desc", None, TICKETS_SHOWN + 1
        )
        lines = found[:TICKETS_SHOWN]
        more = len(found) > TICKETS_SHOWN
        tickets = await tell_lines(conn, room.parts.keys, lines)
        names = await names_of(conn, lines)
        card = await tell_card(conn, room.parts.keys, look.sight, root, family, ids)
        if look.viewer.outside:  # who else they may be is of others
            card = card.model_copy(update={"suggestions": []})
    cursor = make_cursor(ListCursor("opened", "desc", lines[-1].number, lines[-1].number)) if more else None
    return card.model_copy(update={"asked_for": customer_id, "tickets": tickets, "tickets_cursor": cursor, "names": names})


async def _ticket(conn: AsyncConnection, look: Looking, ticket_id: str) -> str:
    """The ticket as which this one goes on, where it may be seen. Raises Problem 404."""
    root = await reading.goes_on_as(conn, ticket_id)
    if root is None or not await reading.may_see(conn, root, look.sight):
        raise Problem(404, "ticket-not-found", "There is no such ticket, or desk has not heard of it yet.")
    return root


async def _may_see(conn: AsyncConnection, look: Looking, customer_ids: list[str], *, known: bool) -> bool:
    """Whether there is such a customer: for a partner's agents only whoever has a ticket of theirs."""
    if look.sight.partner_id is None and known:
        return True
    return await reading.in_sight(conn, customer_ids, look.sight)


def _named(data: dict[str, object]) -> list[tuple[str, str]]:
    """Whom and what an event names, that has a name; where a ticket was sent on to, and through which queues it rose."""
    named = [(kind, value) for kind, field in NAMING if isinstance(value := data.get(field), str)]
    kind, sent_to, path = data.get("to_kind"), data.get("to_id"), data.get("path")
    if kind in ("queue", "agent", "partner") and isinstance(sent_to, str):
        named.append((str(kind), sent_to))
    return named + [("queue", str(queue_id)) for queue_id in (path if isinstance(path, list) else ())]


def _spot_of(row: EntryRow, order: Order) -> SpotCursor:
    return SpotCursor(order, row.at, row.id)


def _spot(cursor: str | None, order: Order) -> Spot | None:
    told = read_cursor(cursor, SpotCursor)
    if told is None:
        return None
    if told.order != order or not 0 <= told.id <= LARGEST:
        raise unreadable()
    return Spot(in_utc(told.at), told.id)
