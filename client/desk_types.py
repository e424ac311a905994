"""What desk takes and answers: its OpenAPI document as types, under the document's names."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

import msgspec

from .exchange import Instant
from .intake_types import Channel

Sort = Literal["updated", "opened", "priority", "due"]
Order = Literal["asc", "desc"]
Spam = Literal["without", "with", "only"]
Status = Literal["new", "open", "pending", "on_hold", "resolved", "closed"]
Direction = Literal["ltr", "rtl"]
Kind = Literal["message", "note", "delivery", "event"]
ViewKind = Literal["personal", "team", "shared"]
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
Names = dict[str, dict[str, str]]


class TicketFilter(TypedDict, total=False):
    """Tickets of which all of this is true; of several values of one field any, of tags all. `owner` is an agent's id, `me`, or
    `none`.
    """

    status: list[Status]
    queue_id: list[str]
    team_id: list[str]
    owner: list[str]
    channel: list[Channel]
    language: list[str]
    priority: list[int]
    vip: bool | None
    plan: list[str]
    topic: list[str]
    product: list[str]
    tag: list[str]
    inbox: list[str]
    customer_id: list[str]
    opened_after: Instant | None
    opened_before: Instant | None
    updated_after: Instant | None
    updated_before: Instant | None
    due_before: Instant | None
    breached: bool | None
    spam: Spam


class TicketLine(TypedDict):
    """A ticket as listed. Subject and name are None where nothing was said, or whoever said it was erased."""

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
    opened_at: Instant
    updated_at: Instant
    waiting_since: Instant | None
    due_at: Instant | None
    breached: bool


class TicketPage(msgspec.Struct, frozen=True):
    """A page of tickets, and how the queues, teams … on it are called."""

    items: list[TicketLine]
    next_cursor: str | None
    names: Names


class PromiseShown(TypedDict):
    """A clock of sla's."""

    clock_id: str
    target: str
    cycle: int
    policy_id: str
    state: str | None
    deadline: Instant | None
    remaining_us: int | None
    breached: bool
    done_late: bool


class PartShown(TypedDict):
    """A ticket that was merged into the one shown."""

    ticket_id: str
    number: int


class TicketShown(TicketLine):
    """A ticket; `asked_for` is another one where that was merged into it. `version` is what `Routing.edit_ticket` edits."""

    version: int
    fields: dict[str, str]
    asked_for: str
    merged: list[PartShown]
    promises: list[PromiseShown]
    incomplete: bool
    names: Names


class EntryShown(TypedDict):
    """One event of a ticket's history."""

    id: int
    ticket_id: str
    event_id: str
    type: str
    kind: Kind
    writer: str
    at: Instant
    direction: Direction
    data: dict[str, Any]
    personal: dict[str, Any] | None
    erased: bool
    unreadable: bool


class TimelinePage(msgspec.Struct, frozen=True):
    """A page of a ticket's history."""

    ticket_id: str
    items: list[EntryShown]
    next_cursor: str | None
    names: Names


class Mark(TypedDict):
    """From where to where a word stands that was looked for, in characters of the text."""

    start: int
    end: int


class SnippetShown(TypedDict):
    """A piece of a text with what was found in it."""

    event_id: str
    kind: Kind
    at: Instant
    text: str
    direction: Direction
    marks: list[Mark]


class HitShown(TypedDict):
    """A ticket on which all words stand."""

    ticket: TicketLine
    snippet: SnippetShown | None


class SearchPage(msgspec.Struct, frozen=True):
    """A page of tickets found, those that were opened last first."""

    items: list[HitShown]
    next_cursor: str | None
    names: Names


class CountShown(TypedDict):
    """How many tickets a view has; `capped`: at least so many."""

    view_id: str
    tickets: int
    capped: bool


class CountsShown(TypedDict):
    """Of each view that was asked for and may be seen."""

    counts: list[CountShown]


class ViewBody(TypedDict, total=False):
    """A view to be saved."""

    name: Required[str]
    kind: ViewKind
    team_id: str | None
    filter: TicketFilter
    sort: Sort
    order: Order | None
    columns: list[Column]


class ViewShown(TypedDict):
    """A saved view. `version` is what an edit gives as `if_match`."""

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
    changed_at: Instant


class ViewsPage(msgspec.Struct, frozen=True):
    """A page of views, by name."""

    items: list[ViewShown]
    next_cursor: str | None
