"""What sla says about a ticket's promises, as far as agents are shown it: running until when, paused, kept, broken."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from shared.events.sla import (
    ClockCancelled,
    ClockMet,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    SlaBreachCleared,
    SlaBreached,
    SlaBreachRetracted,
    SlaWarned,
)

PromiseState = Literal["running", "paused", "met", "cancelled"]


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One clock. What is None was not said in this batch; three topics tell of it and may cross."""

    clock_id: str
    target: str
    cycle: int
    policy_id: str
    state: PromiseState | None = None
    deadline: datetime | None = None
    remaining_us: int | None = None
    warned_percent: int | None = None
    breached: bool | None = None


def heard_clock(promise: Promise, fact: ClockStarted | ClockPaused | ClockResumed | ClockMet | ClockCancelled) -> Promise:
    """After a fact about the clock."""
    match fact:
        case ClockStarted(deadline=deadline) | ClockResumed(deadline=deadline):
            return msgspec.structs.replace(promise, state="running", deadline=deadline, remaining_us=None)
        case ClockPaused(remaining_us=remaining):
            return msgspec.structs.replace(promise, state="paused", remaining_us=remaining)
        case ClockMet(deadline=deadline):
            return msgspec.structs.replace(promise, state="met", deadline=deadline, remaining_us=None)
        case _:
            return msgspec.structs.replace(promise, state="cancelled", remaining_us=None)


def heard_warning(promise: Promise, fact: SlaWarned) -> Promise:
    """After a warning."""
    return msgspec.structs.replace(promise, warned_percent=max(promise.warned_percent or 0, fact.at_percent))


def heard_breach(promise: Promise, fact: SlaBreached | SlaBreachRetracted | SlaBreachCleared) -> Promise:
    """After a breach, its clearing (it stays a breach) or its retraction."""
    return msgspec.structs.replace(promise, breached=not isinstance(fact, SlaBreachRetracted), deadline=fact.deadline)
