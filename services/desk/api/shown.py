"""What the API answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from services.desk.api.asking import TicketFilter
from services.desk.domain.filters import Order, Sort
from services.desk.domain.timeline import Kind
from services.desk.domain.views import ViewKind
from shared.events.base import Direction

Names = dict[str, dict[str, str]]
Column = Literal[
    "number",
    "subject",
    "customer_name",
    "status",
    "queue_id",
    "team_id",
    "agent_id",
    "partner_id",
    "channel",
    "inbox",
    "language",
    "priority",
    "vip",
    "plan",
    "tier",
    "topic",
    "product",
    "tags",
    "opened_at",
    "updated_at",
    "waiting_since",
    "due_at",
    "breached",
]


class TicketLine(BaseModel):
    """A ticket as listed. Subject and name are null where nothing was said, or whoever said it was erased. `queue_id`: where it
    waits, or came from; `due_at`: of the next promise that runs; `waiting_since`: the oldest message that nothing has answered.
    """

    ticket_id: str
    number: int
    customer_id: str
    customer_name: str | None
    subject: str | None
    subject_direction: Direction
    status: str
    spam: bool
    queue_id: str | None
    team_id: str | None
    agent_id: str | None
    partner_id: str | None
    channel: str
    inbox: str
    language: str
    direction: str
    priority: int
    vip: bool
    plan: str | None
    tier: str | None
    topic: str | None
    product: str | None
    tags: list[str]
    opened_at: datetime
    updated_at: datetime
    waiting_since: datetime | None
    due_at: datetime | None
    breached: bool


class TicketPage(BaseModel):
    """A page of tickets; `next_cursor` is null on the last. `names` are those of queues, teams … on it, by `kind:id` and language
    (`*`: any).
    """

    items: list[TicketLine]
    next_cursor: str | None
    names: Names


class PromiseShown(BaseModel):
    """A clock of sla's: when it is due, or what is left of it while it is paused; `done_late`: done after it was broken."""

    clock_id: str
    target: str
    cycle: int
    policy_id: str
    state: str | None
    deadline: datetime | None
    remaining_us: int | None
    breached: bool
    done_late: bool


class PartShown(BaseModel):
    """A ticket that was merged into the one shown."""

    ticket_id: str
    number: int


class TicketShown(TicketLine):
    """A ticket. One that was merged into another is shown as that, and `asked_for` is the one in the URL. `incomplete`: something
    that was said of it could not be taken yet, and operations were told. `version` is that of what people edit, `fields` are the
    house's own.
    """

    version: int
    fields: dict[str, str]
    asked_for: str
    merged: list[PartShown]
    promises: list[PromiseShown]
    incomplete: bool
    names: Names


class EntryShown(BaseModel):
    """One event. `data` is what the log says in clear, `personal` what was sealed; null where there is none, its person was
    `erased`, or it is `unreadable`. `ticket_id` is another than the one asked for where that was merged into it.
    """

    id: int
    ticket_id: str
    event_id: str
    type: str
    kind: Kind
    writer: str
    at: datetime
    direction: Direction
    data: dict[str, Any]
    personal: dict[str, Any] | None
    erased: bool
    unreadable: bool


class TimelinePage(BaseModel):
    """A page of a ticket's history, by the time of its facts; `next_cursor` is null on the last."""

    ticket_id: str
    items: list[EntryShown]
    next_cursor: str | None
    names: Names


class Mark(BaseModel):
    """From where to where a word stands that was looked for, in characters of the text."""

    start: int
    end: int


class SnippetShown(BaseModel):
    """A piece of a text with what was found in it: of which event, and how it runs."""

    event_id: str
    kind: Kind
    at: datetime
    text: str
    direction: Direction
    marks: list[Mark]


class HitShown(BaseModel):
    """A ticket on which all words stand. Without a snippet where they are what is known of its customer, or its number."""

    ticket: TicketLine
    snippet: SnippetShown | None


class SearchPage(BaseModel):
    """Tickets found, those that were opened last first; `next_cursor` is null on the last page."""

    items: list[HitShown]
    next_cursor: str | None
    names: Names


class CountShown(BaseModel):
    """How many tickets a view has; `capped`: at least so many."""

    view_id: str
    tickets: int
    capped: bool


class CountsShown(BaseModel):
    """Of each view that was asked for and may be seen."""

    counts: list[CountShown]


class ViewShown(BaseModel):
    """A saved view. `version` is its ETag."""

    view_id: str
    version: int
    kind: ViewKind
    owner: str
    team_id: str | None
    name: str
    filter: TicketFilter
    sort: Sort
    order: Order | None
    columns: list[Column]
    changed_at: datetime


class ViewsPage(BaseModel):
    """A page of views by name; `next_cursor` is null on the last."""

    items: list[ViewShown]
    next_cursor: str | None
