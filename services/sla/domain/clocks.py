"""One clock: how much of a promise is used up, when it runs out, and what became of it.

A clock counts open time of its calendar while it runs. What is reached exactly at the deadline is kept; the promise is
broken the moment after, and that it was broken is said to have happened at the deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from shared import business_time
from shared.events.base import NOTHING_SEEN, Channel, Position, Priority, derived_id
from shared.events.config import CalendarConfigured, TargetKind
from shared.ticket import Status

State = Literal["running", "paused", "fulfilled", "cancelled"]
Begun = Literal["opened", "message", "retargeted", "reopened"]
Stopped = Literal["pending", "on_hold", "resolved", "spam", "merged", "withdrawn", "closed", "retargeted", "answered_elsewhere"]
PAUSES: dict[Status, Stopped] = {"pending": "pending", "on_hold": "on_hold", "resolved": "resolved"}

_MICROSECOND = timedelta(microseconds=1)


class Dimensions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose ticket it is at an instant: what facts about its clocks carry."""

    channel: Channel = "other"
    priority: Priority = 2
    queue_id: str | None = None
    team_id: str | None = None
    agent_id: str | None = None
    partner_id: str | None = None
    customer_tier: str | None = None


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """The instant at which so many percent of the target are used up."""

    percent: int
    at: datetime


class Breach(msgspec.Struct, frozen=True, omit_defaults=True):
    """A promise broken: when, how much was used then, and whose ticket it was."""

    at: datetime
    used_us: int
    whose: Dimensions


class Clock(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One promise on one ticket. Microseconds of open time.

    `used_us` is what was used before `since`, where the present stretch began. `ahead` are the warnings still to come in
    this stretch, `passed` those gone by. `deadline` is that of the last stretch. `asked` is the message that a
    next_response answers.
    """

    target: TargetKind
    cycle: int
    target_us: int
    started_at: datetime
    begun: Begun
    state: State
    since: datetime
    deadline: datetime
    used_us: int = 0
    ahead: tuple[Mark, ...] = ()
    passed: tuple[Mark, ...] = ()
    stopped: Stopped | None = None
    ended_at: datetime | None = None
    breach: Breach | None = None
    asked: Position = NOTHING_SEEN

    @property
    def place(self) -> tuple[TargetKind, int]:
        """Which clock of its ticket it is."""
        return self.target, self.cycle

    @property
    def live(self) -> bool:
        """Whether there is still something to fulfil."""
        return self.state in ("running", "paused")

    @property
    def remaining_us(self) -> int:
        """What is left of the target at the beginning of this stretch; never below nothing."""
        return max(0, self.target_us - self.used_us)


def clock_id(ticket_id: str, target: TargetKind, cycle: int) -> str:
    """The same for all facts of one clock."""
    return derived_id("clock", ticket_id, target, str(cycle))


@dataclass(frozen=True, slots=True)
class Counting:
    """How a target is counted: by which hours, and at which shares it warns."""

    hours: CalendarConfigured | None
    warn_at_percent: tuple[int, ...] = ()

    def used(self, since: datetime, until: datetime) -> int:
        """Open microseconds between two instants; none when they are the wrong way round."""
        return max(0, business_time.elapsed(self.hours, since, until) // _MICROSECOND)

    def after(self, since: datetime, used_us: int) -> datetime:
        """The instant by which so much open time has passed."""
        return business_time.deadline(self.hours, since, max(0, used_us) * _MICROSECOND)


def start(
    counting: Counting,
    target: TargetKind,
    cycle: int,
    seconds: int,
    at: datetime,
    begun: Begun,
    asked: Position = NOTHING_SEEN,
) -> Clock:
    """A clock that runs from `at` on."""
    clock = Clock(
        target=target,
        cycle=cycle,
        target_us=seconds * 1_000_000,
        started_at=at,
        begun=begun,
        state="running",
        since=at,
        deadline=at,
        asked=asked,
    )
    return _run(clock, counting, at)


def elapse(clock: Clock, until: datetime, whose: Dimensions) -> Clock:
    """The clock as it stands just before something happens at `until`: warnings gone by, the deadline missed."""
    if clock.state != "running":
        return clock
    missed = clock.breach is None and clock.deadline < until
    if not missed and not (clock.ahead and clock.ahead[0].at < until):
        return clock
    return msgspec.structs.replace(
        clock,
        passed=clock.passed + tuple(mark for mark in clock.ahead if mark.at < until),
        ahead=tuple(mark for mark in clock.ahead if mark.at >= until),
        breach=Breach(clock.deadline, max(clock.target_us, clock.used_us), whose) if missed else clock.breach,
    )


def pause(clock: Clock, counting: Counting, at: datetime, why: Stopped) -> Clock:
    """The clock stands from `at` on, or goes on standing for another reason."""
    return _stop(clock, counting, at, "paused", why)


def resume(clock: Clock, counting: Counting, at: datetime) -> Clock:
    """The clock runs from `at` on, with what was left."""
    return _run(clock, counting, at)


def fulfil(clock: Clock, counting: Counting, at: datetime) -> Clock:
    """What was promised was done at `at`."""
    return msgspec.structs.replace(_stop(clock, counting, at, "fulfilled", None), ended_at=at)


def cancel(clock: Clock, counting: Counting, at: datetime, why: Stopped) -> Clock:
    """There is nothing to promise any longer."""
    return msgspec.structs.replace(_stop(clock, counting, at, "cancelled", why), ended_at=at)


def retarget(clock: Clock, counting: Counting, at: datetime, seconds: int) -> Clock:
    """Another target from `at` on, less what was used already; a promise that is broken stays as it was.

    When more than the new target is used already, the deadline is `at`: before that nobody had promised it.
    """
    if clock.breach is not None:
        return clock
    running = clock.state == "running"
    used = clock.used_us + (counting.used(clock.since, at) if running else 0)
    changed = msgspec.structs.replace(clock, target_us=seconds * 1_000_000, used_us=used, since=at, passed=(), begun="retargeted")
    return _run(changed, counting, at) if running else changed


def bring_forward(clock: Clock, counting: Counting, at: datetime, by_us: int) -> Clock:
    """So much more is used at `at`, for an older promise came in; a promise that is broken stays as it was."""
    if clock.breach is not None:
        return clock
    running = clock.state == "running"
    used = clock.used_us + by_us + (counting.used(clock.since, at) if running else 0)
    changed = msgspec.structs.replace(clock, used_us=used, since=at, passed=(), begun="retargeted")
    return _run(changed, counting, at) if running else changed


def _run(clock: Clock, counting: Counting, at: datetime) -> Clock:
    gone_by = {mark.percent for mark in clock.passed}
    percents = [percent for percent in sorted(counting.warn_at_percent) if percent not in gone_by]
    broken = clock.breach is not None
    return msgspec.structs.replace(
        clock,
        state="running",
        stopped=None,
        ended_at=None,
        since=at,
        deadline=clock.deadline if broken else counting.after(at, clock.target_us - clock.used_us),
        ahead=() if broken else tuple(_mark(clock, counting, at, percent) for percent in percents),
    )


def _mark(clock: Clock, counting: Counting, at: datetime, percent: int) -> Mark:
    return Mark(percent, counting.after(at, clock.target_us * percent // 100 - clock.used_us))


def _stop(clock: Clock, counting: Counting, at: datetime, state: State, why: Stopped | None) -> Clock:
    used = counting.used(clock.since, at) if clock.state == "running" else 0
    return msgspec.structs.replace(clock, state=state, stopped=why, used_us=clock.used_us + used, since=at, ahead=())
