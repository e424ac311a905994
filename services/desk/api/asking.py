"""What lists can be asked for: the filter of the API, of a saved view, and what the domain makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from services.desk.domain.filters import Filter, Order, Sort
from shared.events.base import Channel
from shared.ticket import Status

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
VALUES_CAP = 100


def _on_the_calendar(at: datetime) -> datetime:
    if not EARLIEST <= at <= LATEST:
        raise ValueError(f"must lie between {EARLIEST:%Y} and {LATEST:%Y}")
    return at


Instant = Annotated[AwareDatetime, AfterValidator(_on_the_calendar)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Words = Annotated[list[Word], Field(max_length=VALUES_CAP)]
Urgency = Annotated[int, Field(ge=1, le=4)]
Cursor = Annotated[str | None, Field(max_length=500, description="`next_cursor` of the page before")]


class TicketFilter(BaseModel):
    """Tickets of which all of this is true; of several values of one field any, of tags all. `owner` is an agent's id, `me`, or
    `none`. Tickets that were merged into others are listed as those.
    """

    model_config = ConfigDict(extra="forbid")

    status: Annotated[list[Status], Field(max_length=6)] = []
    queue_id: Words = []
    team_id: Words = []
    owner: Words = []
    channel: Annotated[list[Channel], Field(max_length=VALUES_CAP)] = []
    language: Words = []
    priority: Annotated[list[Urgency], Field(max_length=4)] = []
    vip: bool | None = None
    plan: Words = []
    topic: Words = []
    product: Words = []
    tag: Words = []
    inbox: Words = []
    customer_id: Words = []
    opened_after: Instant | None = None
    opened_before: Instant | None = None
    updated_after: Instant | None = None
    updated_before: Instant | None = None
    due_before: Instant | None = None
    breached: bool | None = None
    spam: Literal["without", "with", "only"] = "without"

    def wanted(self) -> Filter:
        """As the domain has it."""
        return Filter(
            statuses=tuple(self.status),
            queue_ids=tuple(self.queue_id),
            team_ids=tuple(self.team_id),
            owners=tuple(self.owner),
            channels=tuple(self.channel),
            languages=tuple(self.language),
            priorities=tuple(self.priority),
            vip=self.vip,
            plans=tuple(self.plan),
            topics=tuple(self.topic),
            products=tuple(self.product),
            tags=tuple(self.tag),
            inboxes=tuple(self.inbox),
            customer_ids=tuple(self.customer_id),
            opened_after=self.opened_after,
            opened_before=self.opened_before,
            updated_after=self.updated_after,
            updated_before=self.updated_before,
            due_before=self.due_before,
            breached=self.breached,
            spam={"without": False, "only": True, "with": None}[self.spam],
        )


FIELDS = frozenset(TicketFilter.model_fields)


class TicketQuery(TicketFilter):
    """A list. With `view` what a saved view asks for, and besides what is said here, which goes over it, field by field."""

    view: Annotated[str | None, Field(max_length=64, description="id of a saved view")] = None
    sort: Sort | None = None
    order: Order | None = None
    cursor: Cursor = None
    limit: Annotated[int, Field(ge=1, le=200, description="at most so many")] = 50


class SearchQuery(TicketFilter):
    """Words to be found, among the tickets that the rest asks for."""

    q: Annotated[str, Field(min_length=1, max_length=200, description="words; one that ends in * stands for all that begin so")]
    cursor: Cursor = None
    limit: Annotated[int, Field(ge=1, le=50, description="at most so many")] = 20


def together(view: TicketFilter, asked: TicketFilter) -> TicketFilter:
    """What a view asks for, with what is said besides over it."""
    said = asked.model_dump(include=set(FIELDS), exclude_defaults=True)
    return TicketFilter.model_validate({**view.model_dump(exclude_defaults=True), **said})
