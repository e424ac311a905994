"""Desk: lists of tickets, what is found by words, one ticket with its history, one customer with theirs, saved views.

Methods are named as the operations of docs/generated/openapi-desk.json. All raise ProblemError and NoAnswer.
"""

from __future__ import annotations

from collections.abc import Sequence

from .desk_customer_types import CustomerCard
from .desk_types import (
    CountsShown,
    Kind,
    Order,
    SearchPage,
    Sort,
    Spam,
    Status,
    TicketPage,
    TicketShown,
    TimelinePage,
    ViewBody,
    ViewShown,
    ViewsPage,
)
from .exchange import Instant
from .intake_types import Channel
from .service import Service, at


class Desk(Service):
    """What consoles read. `if_match` is the version that is edited."""

    async def list_tickets(
        self,
        status: Sequence[Status] | None = None,
        queue_id: Sequence[str] | None = None,
        team_id: Sequence[str] | None = None,
        owner: Sequence[str] | None = None,
        channel: Sequence[Channel] | None = None,
        language: Sequence[str] | None = None,
        priority: Sequence[int] | None = None,
        vip: bool | None = None,
        plan: Sequence[str] | None = None,
        topic: Sequence[str] | None = None,
        product: Sequence[str] | None = None,
        tag: Sequence[str] | None = None,
        inbox: Sequence[str] | None = None,
        customer_id: Sequence[str] | None = None,
        opened_after: Instant | None = None,
        opened_before: Instant | None = None,
        updated_after: Instant | None = None,
        updated_before: Instant | None = None,
        due_before: Instant | None = None,
        breached: bool | None = None,
        spam: Spam | None = None,
        view: str | None = None,
        sort: Sort | None = None,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> TicketPage:
        """Tickets of which all of this is true; with `view` what a saved view asks for, and this over it."""
        asked: dict[str, object] = {name: value for name, value in locals().items() if name != "self"}
        return await self._get(TicketPage, at("/v1/desk/tickets", **asked))

    async def search_tickets(
        self,
        q: str,
        status: Sequence[Status] | None = None,
        queue_id: Sequence[str] | None = None,
        team_id: Sequence[str] | None = None,
        owner: Sequence[str] | None = None,
        channel: Sequence[Channel] | None = None,
        language: Sequence[str] | None = None,
        priority: Sequence[int] | None = None,
        vip: bool | None = None,
        plan: Sequence[str] | None = None,
        topic: Sequence[str] | None = None,
        product: Sequence[str] | None = None,
        tag: Sequence[str] | None = None,
        inbox: Sequence[str] | None = None,
        customer_id: Sequence[str] | None = None,
        opened_after: Instant | None = None,
        opened_before: Instant | None = None,
        updated_after: Instant | None = None,
        updated_before: Instant | None = None,
        due_before: Instant | None = None,
        breached: bool | None = None,
        spam: Spam | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> SearchPage:
        """Tickets on which all of these words stand, among those of which the rest is true."""
        asked: dict[str, object] = {name: value for name, value in locals().items() if name != "self"}
        return await self._get(SearchPage, at("/v1/desk/search", **asked))

    async def count_views(self, view_id: Sequence[str] | None = None) -> CountsShown:
        """How many tickets saved views have, counted up to a thousand each."""
        return await self._get(CountsShown, at("/v1/desk/counts", view_id=view_id))

    async def get_ticket(self, ticket_id: str) -> TicketShown:
        """A ticket with its promises. One that was merged into another is answered with that."""
        return await self._get(TicketShown, at("/v1/desk/tickets/{}", ticket_id))

    async def get_timeline(
        self,
        ticket_id: str,
        kind: Sequence[Kind] | None = None,
        order: Order | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> TimelinePage:
        """A ticket's history: messages, notes, deliveries, events, by the time of each."""
        path = at("/v1/desk/tickets/{}/timeline", ticket_id, kind=kind, order=order, cursor=cursor, limit=limit)
        return await self._get(TimelinePage, path)

    async def get_customer(self, customer_id: str) -> CustomerCard:
        """A customer's card."""
        return await self._get(CustomerCard, at("/v1/desk/customers/{}", customer_id))

    async def list_views(self, cursor: str | None = None, limit: int | None = None) -> ViewsPage:
        """One's own views, those of one's teams and those of all, by name."""
        return await self._get(ViewsPage, at("/v1/desk/views", cursor=cursor, limit=limit))

    async def create_view(self, body: ViewBody, idempotency_key: str | None = None) -> ViewShown:
        """Save a view."""
        return await self._post(ViewShown, "/v1/desk/views", body, idempotency_key)

    async def get_view(self, view_id: str) -> ViewShown:
        """A view."""
        return await self._get(ViewShown, at("/v1/desk/views/{}", view_id))

    async def put_view(self, view_id: str, body: ViewBody, if_match: int | None = None) -> ViewShown:
        """Change a view. It stays whose it was."""
        return await self._put(ViewShown, at("/v1/desk/views/{}", view_id), body, if_match)

    async def delete_view(self, view_id: str, if_match: int | None = None) -> None:
        """Remove a view."""
        await self._delete(at("/v1/desk/views/{}", view_id), if_match)
