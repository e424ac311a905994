"""How a ticket's clocks look at an instant, for people. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.sla.domain.clocks import Clock, Counting, clock_id, elapse
from services.sla.domain.policies import Terms
from services.sla.domain.story import Story
from shared.events.config import TargetKind


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """One clock. Microseconds of the target's own time; `remaining_us` is below nothing once the promise is broken.

    `kept` is None while it is open. `breach_published` tells whether the breach was said on its topic yet.
    """

    clock_id: str
    target: TargetKind
    cycle: int
    state: str
    reason: str
    started_at: datetime
    target_us: int
    elapsed_us: int
    remaining_us: int
    deadline: datetime | None
    ended_at: datetime | None
    breached_at: datetime | None
    breach_published: bool
    warned_at_percent: list[int]
    kept: bool | None


def look(story: Story, terms: Terms, now: datetime) -> list[ClockView]:
    """The clocks as they stand at `now`, in the order in which they started."""
    return [_view(story, terms, clock, now) for clock in sorted(story.standing.clocks, key=lambda c: (c.started_at, c.target))]


def _view(story: Story, terms: Terms, clock: Clock, now: datetime) -> ClockView:
    clock = elapse(clock, now, story.standing.whose)
    target = terms.target(clock.target)
    running = clock.state == "running" and target is not None
    counted = Counting(terms.hours(target)).used(clock.since, now) if running and target is not None else 0
    told = story.told_of(clock)
    return ClockView(
        clock_id=clock_id(story.ticket_id, clock.target, clock.cycle),
        target=clock.target,
        cycle=clock.cycle,
        state=clock.state,
        reason=clock.stopped or clock.begun,
        started_at=clock.started_at,
        target_us=clock.target_us,
        elapsed_us=clock.used_us + counted,
        remaining_us=clock.target_us - clock.used_us - counted,
        deadline=None if clock.state == "paused" and clock.breach is None else clock.deadline,
        ended_at=clock.ended_at,
        breached_at=clock.breach.at if clock.breach else None,
        breach_published=told.breach_at is not None,
        warned_at_percent=[percent for percent, target_us in told.warned if target_us == clock.target_us],
        kept=False if clock.breach else True if clock.state == "fulfilled" else None,
    )
