"""What sla promised on a ticket, as far as people are shown it: running until when, paused, kept, broken. Pure.

Two topics tell of a clock and may cross: whether it runs is said on `sla-clocks`, that it was broken, and that what was promised
was done at last, on `sla-breaches`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from shared.events.sla import (
    ClockCancelled,
    ClockFact,
    ClockMet,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    SlaBreachCleared,
    SlaBreached,
    SlaBreachRetracted,
)

NEVER = datetime.max.replace(tzinfo=UTC)
ClockState = Literal["running", "paused", "met", "cancelled"]


class Promise(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One clock. `done_late`: what was promised was done after it was broken. `remaining_us` is of a clock that is paused."""

    clock_id: str
    target: str
    cycle: int
    policy_id: str
    state: ClockState | None = None
    deadline: datetime | None = None
    remaining_us: int | None = None
    breached: bool = False
    done_late: bool = False

    @property
    def running(self) -> bool:
        """Whether its deadline is still ahead, or gone by with nothing done."""
        return self.state == "running" and not self.done_late

    @property
    def stands(self) -> bool:
        """Whether something is still promised: it runs, or is paused."""
        return self.running or self.state == "paused"


class Promises(msgspec.Struct, frozen=True, omit_defaults=True):
    """All clocks of a ticket, by their ids."""

    clocks: dict[str, Promise] = {}

    @property
    def due_at(self) -> datetime | None:
        """When the next one that runs is due."""
        return min((one.deadline for one in self.clocks.values() if one.running and one.deadline is not None), default=None)

    @property
    def breached(self) -> bool:
        """Whether one was broken, and not taken back."""
        return any(one.breached for one in self.clocks.values())

    @property
    def standing(self) -> list[Promise]:
        """What is still promised, the nearest first."""
        found = [one for one in self.clocks.values() if one.stands]
        return sorted(found, key=lambda one: (one.deadline or NEVER, one.target, one.cycle))


def heard(promises: Promises, fact: ClockFact) -> Promises:
    """After one more fact about a clock."""
    known = promises.clocks.get(fact.clock_id) or Promise(
        clock_id=fact.clock_id, target=fact.target, cycle=fact.cycle, policy_id=fact.policy_id
    )
    return Promises({**promises.clocks, fact.clock_id: msgspec.structs.replace(known, **_said(fact))})


def _said(fact: ClockFact) -> dict[str, object]:
    match fact:
        case ClockStarted() | ClockResumed():
            return {"state": "running", "deadline": fact.deadline, "remaining_us": None}
        case ClockPaused():
            return {"state": "paused", "remaining_us": fact.remaining_us}
        case ClockMet():
            return {"state": "met", "deadline": fact.deadline, "remaining_us": None}
        case ClockCancelled():
            return {"state": "cancelled", "remaining_us": None}
        case SlaBreached():
            return {"breached": True, "done_late": False}
        case SlaBreachCleared():
            return {"breached": True, "done_late": True}
        case SlaBreachRetracted():
            return {"breached": False, "done_late": False}
        case _:
            return {}
