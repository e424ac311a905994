"""Facts about promises, all said by sla. Topics `sla-clocks`, `sla-warnings`, `sla-breaches`; key is the ticket's id.

`clock_id` is the same for all facts of one clock; `cycle` counts the times a target of this kind started on the ticket.
Each fact is a transition; `dedup_key` is stable, so that a pager opens and closes one alarm.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.events.base import Channel, Fact, Moment, Priority
from shared.events.config import TargetKind


class ClockFact(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """What every fact about a clock says: which promise, under which policy and calendar versions, for whom."""

    clock_id: str
    target: TargetKind
    cycle: int
    policy_id: str
    policy_version: int
    dedup_key: str
    channel: Channel
    priority: Priority
    calendar_id: str | None = None
    calendar_version: int | None = None
    scope: Literal["customer", "team", "agent"] = "customer"
    queue_id: str | None = None
    team_id: str | None = None
    agent_id: str | None = None
    partner_id: str | None = None
    customer_tier: str | None = None


class ClockStarted(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """A promise runs (again, or with another deadline after a change of priority, plan, policy or calendar)."""

    TYPE: ClassVar[str] = "clock.started.v1"
    started_at: Moment
    deadline: Moment
    target_us: int
    reason: Literal["opened", "message", "retargeted", "reopened", "queued", "assigned"] = "opened"


class ClockPaused(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """The promise does not run; `remaining_us` of the target is left."""

    TYPE: ClassVar[str] = "clock.paused.v1"
    remaining_us: int
    reason: Literal["pending", "on_hold", "resolved"]


class ClockResumed(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """The promise runs on, with a new deadline."""

    TYPE: ClassVar[str] = "clock.resumed.v1"
    deadline: Moment
    remaining_us: int


class ClockMet(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """The promise was kept: fulfilled at `met_at`, before its deadline."""

    TYPE: ClassVar[str] = "clock.met.v1"
    met_at: Moment
    elapsed_us: int
    deadline: Moment


class ClockCancelled(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """There is no longer anything to promise."""

    TYPE: ClassVar[str] = "clock.cancelled.v1"
    reason: Literal["spam", "merged", "withdrawn", "closed", "retargeted", "answered_elsewhere"]


ClockFacts = ClockStarted | ClockPaused | ClockResumed | ClockMet | ClockCancelled


class SlaWarned(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """The share `at_percent` of the target is used up. The event's time is the instant at which it was."""

    TYPE: ClassVar[str] = "sla.warned.v1"
    at_percent: int
    deadline: Moment
    remaining_us: int
    severity: Literal["info", "warning"] = "warning"
    published_late_us: int = 0
    unconfirmed: bool = False


WarningFacts = SlaWarned


class SlaBreached(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """The promise was broken, at its deadline: that is the event's time. `published_late_us` is how late we said so."""

    TYPE: ClassVar[str] = "sla.breached.v1"
    deadline: Moment
    target_us: int
    severity: Literal["error", "critical"] = "error"
    published_late_us: int = 0
    unconfirmed: bool = False


class SlaBreachRetracted(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """A fact that arrived later proves the breach wrong."""

    TYPE: ClassVar[str] = "sla.breach_retracted.v1"
    deadline: Moment
    cause_event_id: str


class SlaBreachCleared(ClockFact, frozen=True, kw_only=True, omit_defaults=True):
    """What was promised was done at last, `over_us` after the deadline."""

    TYPE: ClassVar[str] = "sla.breach_cleared.v1"
    deadline: Moment
    fulfilled_at: Moment
    over_us: int
    elapsed_us: int


BreachFacts = SlaBreached | SlaBreachRetracted | SlaBreachCleared
