"""What sla takes and answers: its OpenAPI document as types, under the document's names."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, Required, TypedDict

import msgspec

from .exchange import Instant


class Hours(TypedDict):
    """Open from `opens` to `closes`, HH:MM; 24:00 is the end of the day, closing before opening is on the next day."""

    opens: str
    closes: str


class Dated(TypedDict, total=False):
    """A date with hours of its own; none at all means closed."""

    on: Required[date]
    hours: list[Hours]
    name: str


class Calendar(TypedDict, total=False):
    """Business hours: `weekly` has seven entries, Monday first; `holidays_of` are ISO codes such as IL or US-CA."""

    zone: Required[str]
    weekly: Required[list[list[Hours]]]
    dates: list[Dated]
    effective_from: Instant | None
    holidays_of: list[str]


class Target(TypedDict, total=False):
    """What is promised, in seconds by priority (`"1"` to `"4"`)."""

    kind: Required[
        Literal[
            "first_response",
            "next_response",
            "periodic_update",
            "resolution",
            "requester_wait",
            "agent_work",
            "accept",
            "in_team",
            "with_agent",
            "answer",
        ]
    ]
    seconds: Required[dict[str, int]]
    hours: Literal["business", "calendar"]
    on_reopen: Literal["resume", "restart"]
    pause_on: list[Literal["pending", "on_hold"]]
    warn_at_percent: list[int]


class Policy(TypedDict, total=False):
    """To which tickets what is promised: `when` is a condition tree, {} takes everything; the first by `position` applies."""

    name: Required[str]
    position: Required[int]
    targets: Required[list[Target]]
    apply_to_open: bool
    calendar_id: str | None
    effective_from: Instant | None
    scope: Literal["customer", "team", "agent"]
    when: dict[str, Any]


class ClockOut(TypedDict):
    """One clock. Microseconds of its own (business or calendar) time; `kept` is None while it is open."""

    clock_id: str
    target: str
    cycle: int
    state: str
    reason: str
    started_at: Instant
    target_us: int
    elapsed_us: int
    remaining_us: int
    deadline: Instant | None
    ended_at: Instant | None
    breached_at: Instant | None
    breach_published: bool
    warned_at_percent: list[int]
    kept: bool | None


class TicketOut(TypedDict):
    """A ticket's promise and its clocks as of an instant; no policy, no clocks."""

    ticket_id: str
    as_of: Instant
    status: str
    policy_id: str | None
    policy_version: int | None
    calendar_id: str | None
    calendar_version: int | None
    clocks: list[ClockOut]


class ListedOut(TypedDict):
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
    started_at: Instant
    target_us: int
    deadline: Instant
    ended_at: Instant | None
    breached_at: Instant | None


class PageOut(msgspec.Struct, frozen=True):
    """A page of clocks."""

    as_of: Instant
    items: list[ListedOut]
    next_cursor: str | None
