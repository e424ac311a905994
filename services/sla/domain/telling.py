"""What is said of clocks: the facts that lead from what was published before to how things stand now. Pure.

Whatever way a ticket's facts come in, what was published ends in agreement with them: a breach that a late fact
disproves is retracted, one that it brings to light is published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from services.sla.domain.clocks import Clock, Dimensions, clock_id
from services.sla.domain.policies import Terms
from services.sla.domain.story import Story, Told
from shared.events.base import Draft, Event, Fact
from shared.events.config import TargetKind
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
    SlaWarned,
)

MOST_URGENT = 4
_MICROSECOND = timedelta(microseconds=1)
Place = tuple[TargetKind, int]
ClockFactT = TypeVar("ClockFactT", bound=ClockFact)


def hear(story: Story, event: Event[Fact], terms: Terms, now: datetime) -> tuple[Story, list[Draft[Fact]]]:
    """The story with one more fact, and what is to be said about it. Raises IllegalFact as the ticket does."""
    heard = story.hear(event, terms)
    if heard.standing.clocks is story.standing.clocks:  # also where nothing was heard
        return heard, []
    teller = _Teller(heard, terms, now, _noted(story), cause=event.id)
    at = next(moment.at for moment in reversed(heard.moments) if moment.source == event.writer)
    drafts = list(teller.changes(story, at))
    return msgspec.structs.replace(heard, told=teller.kept()), drafts


def ring(
    story: Story, terms: Terms, now: datetime, through: datetime, *, unconfirmed: bool = False
) -> tuple[Story, list[Draft[Fact]]]:
    """What time alone brought about up to `through`, which is not after `now`; the story unchanged when nothing."""
    teller = _Teller(story, terms, now, _noted(story), cause="", unconfirmed=unconfirmed)
    drafts = list(teller.overdue(through))
    return (msgspec.structs.replace(story, told=teller.kept()), drafts) if drafts else (story, [])


def tell_overdue(story: Story, terms: Terms, now: datetime) -> tuple[Story, list[Draft[Fact]]]:
    """What the facts show of warnings and breaches, and was not told: when what was told came from elsewhere."""
    teller = _Teller(story, terms, now, _noted(story), cause=f"told again at {now.isoformat()}")
    drafts = [draft for clock in story.standing.clocks for draft in teller.agreed(clock)]
    return msgspec.structs.replace(story, told=teller.kept()), drafts


def next_due(story: Story) -> datetime | None:
    """The next instant at which time alone will bring something about; None when there is none."""
    instants = []
    for clock in story.standing.clocks:
        if clock.state != "running":
            continue
        told = story.told_of(clock)
        instants += [mark.at for mark in clock.ahead if (mark.percent, clock.target_us) not in told.warned]
        if clock.breach is None and told.breach_at is None:
            instants.append(clock.deadline)
    return min(instants, default=None)


def _noted(story: Story) -> dict[Place, Told]:
    return {told.place: told for told in story.told}


def _micros(duration: timedelta) -> int:
    return max(0, duration // _MICROSECOND)


def _same_end(old: Clock, new: Clock) -> bool:
    """Whether what stopped the clock was said already: a pause with what is left, an end with whether it was kept."""
    if (old.state, old.stopped, old.ended_at) != (new.state, new.stopped, new.ended_at):
        return False
    if new.state == "paused":
        return old.remaining_us == new.remaining_us
    return new.state != "fulfilled" or (old.used_us, old.breach) == (new.used_us, new.breach)


@dataclass(slots=True)
class _Teller:
    """Says facts about one ticket's clocks, and notes in `noted` what was told."""

    story: Story
    terms: Terms
    now: datetime
    noted: dict[Place, Told]
    cause: str
    unconfirmed: bool = False

    def kept(self) -> tuple[Told, ...]:
        """What was told of the clocks that are still kept."""
        kept = {clock.place for clock in self.story.standing.clocks}
        return tuple(told for place, told in self.noted.items() if place in kept and (told.breach_at or told.warned))

    def changes(self, before: Story, at: datetime) -> Iterator[Draft[Fact]]:
        """From how things stood to how they stand, after a fact of the time `at`."""
        old = {clock.place: clock for clock in before.standing.clocks}
        for clock in self.story.standing.clocks:
            previous = old.get(clock.place)
            if previous == clock:
                continue
            yield from self._begun(previous, clock, at)
            yield from self._broken(clock)
            yield from self._stopped(previous, clock, at)
        yield from self._vanished(old, at)

    def agreed(self, clock: Clock) -> Iterator[Draft[Fact]]:
        """What brings what was told of a clock into agreement with how it stands."""
        yield from self._broken(clock)

    def overdue(self, through: datetime) -> Iterator[Draft[Fact]]:
        """Warnings and breaches up to `through`."""
        for clock in self.story.standing.clocks:
            if clock.state != "running":
                continue
            for mark in clock.ahead:
                if mark.at <= through:
                    yield from self._warned(clock, mark.percent, mark.at)
            if clock.breach is None and clock.deadline <= through:
                yield from self._breached(clock, clock.deadline, self.story.standing.whose)

    def _begun(self, old: Clock | None, new: Clock, at: datetime) -> Iterator[Draft[Fact]]:
        if old is None or (new.target_us != old.target_us and new.live):
            started = self._fact(
                ClockStarted, new, started_at=new.started_at, deadline=new.deadline, target_us=new.target_us, reason=new.begun
            )
            yield self._draft(new, started, at)
        elif new.state == "running" and (old.state != "running" or new.deadline != old.deadline):
            yield self._draft(new, self._fact(ClockResumed, new, deadline=new.deadline, remaining_us=new.remaining_us), at)

    def _stopped(self, old: Clock | None, new: Clock, at: datetime) -> Iterator[Draft[Fact]]:
        if old is not None and _same_end(old, new):
            return
        if new.state == "paused":
            yield self._draft(new, self._fact(ClockPaused, new, remaining_us=new.remaining_us, reason=new.stopped), at)
        elif new.state == "cancelled":
            yield self._draft(new, self._fact(ClockCancelled, new, reason=new.stopped), at)
        elif new.state == "fulfilled" and new.ended_at is not None:
            yield self._draft(new, self._fulfilled(new, new.ended_at), new.ended_at)

    def _fulfilled(self, clock: Clock, at: datetime) -> ClockFact:
        if clock.breach is None:
            return self._fact(ClockMet, clock, met_at=at, elapsed_us=clock.used_us, deadline=clock.deadline)
        over = max(0, clock.used_us - clock.breach.used_us)
        return self._fact(
            SlaBreachCleared,
            clock,
            deadline=clock.breach.at,
            fulfilled_at=at,
            over_us=over,
            elapsed_us=clock.used_us,
        )

    def _broken(self, clock: Clock) -> Iterator[Draft[Fact]]:
        """Warnings gone by and the deadline missed, as the facts show; and back with a breach that they disprove."""
        if clock.live:
            for mark in clock.passed:
                yield from self._warned(clock, mark.percent, mark.at)
        told = self._told(clock)
        stands = clock.breach.at if clock.breach else clock.deadline if clock.state == "running" else None
        if told.breach_at is not None and told.breach_at != stands:
            yield from self._retracted(clock, told.breach_at)
        if clock.breach is not None:
            yield from self._breached(clock, clock.breach.at, clock.breach.whose)

    def _vanished(self, old: dict[Place, Clock], at: datetime) -> Iterator[Draft[Fact]]:
        """Cycles that the facts, told in their right order, never began."""
        for clock in old.values():
            last = self.story.standing.last(clock.target)
            if last is not None and clock.cycle <= last.cycle:
                continue
            told = self._told(clock)
            if told.breach_at is not None:
                yield from self._retracted(clock, told.breach_at)
            if clock.live:
                yield self._draft(clock, self._fact(ClockCancelled, clock, reason="answered_elsewhere"), at)

    def _warned(self, clock: Clock, percent: int, at: datetime) -> Iterator[Draft[Fact]]:
        told = self._told(clock)
        if (percent, clock.target_us) in told.warned:
            return
        self._note(clock, msgspec.structs.replace(told, warned=(*told.warned, (percent, clock.target_us))))
        target = self.terms.target(clock.target)
        last = target is None or percent >= max(target.warn_at_percent)
        warned = self._fact(
            SlaWarned,
            clock,
            at_percent=percent,
            deadline=clock.deadline,
            remaining_us=clock.target_us - clock.target_us * percent // 100,
            severity="warning" if last else "info",
            published_late_us=_micros(self.now - at),
            unconfirmed=self.unconfirmed,
        )
        yield self._draft(clock, warned, at, f"{percent} of {clock.target_us} at {at.isoformat()}")

    def _breached(self, clock: Clock, deadline: datetime, whose: Dimensions) -> Iterator[Draft[Fact]]:
        told = self._told(clock)
        if told.breach_at == deadline:
            return
        self._note(clock, msgspec.structs.replace(told, breach_at=deadline))
        breached = self._fact(
            SlaBreached,
            clock,
            whose,
            deadline=deadline,
            target_us=clock.target_us,
            severity="critical" if whose.priority == MOST_URGENT else "error",
            published_late_us=_micros(self.now - deadline),
            unconfirmed=self.unconfirmed,
        )
        yield self._draft(clock, breached, deadline, f"at {deadline.isoformat()} {self.cause}")

    def _retracted(self, clock: Clock, deadline: datetime) -> Iterator[Draft[Fact]]:
        self._note(clock, msgspec.structs.replace(self._told(clock), breach_at=None))
        yield self._draft(clock, self._fact(SlaBreachRetracted, clock, deadline=deadline, cause_event_id=self.cause), self.now)

    def _told(self, clock: Clock) -> Told:
        return self.noted.get(clock.place) or Told(*clock.place)

    def _note(self, clock: Clock, told: Told) -> None:
        self.noted[clock.place] = told

    def _dedup_key(self, clock: Clock) -> str:
        return f"{self.story.ticket_id}/{clock.target}/{clock.cycle}"

    def _draft(self, clock: Clock, fact: ClockFact, at: datetime, cause: str = "") -> Draft[Fact]:
        """Each clock of a ticket says a type at most once for one cause."""
        return Draft(key=self.story.ticket_id, data=fact, cause=f"{self._dedup_key(clock)} {cause or self.cause}", time=at)

    def _fact(self, kind: type[ClockFactT], clock: Clock, whose: Dimensions | None = None, **more: Any) -> ClockFactT:
        promise = self.terms.promise
        whose = whose or self.story.standing.whose
        return kind(
            clock_id=clock_id(self.story.ticket_id, clock.target, clock.cycle),
            target=clock.target,
            cycle=clock.cycle,
            policy_id=promise.policy_id,
            policy_version=promise.policy_version,
            dedup_key=self._dedup_key(clock),
            channel=whose.channel,
            priority=whose.priority,
            calendar_id=promise.calendar_id,
            calendar_version=promise.calendar_version,
            queue_id=whose.queue_id,
            team_id=whose.team_id,
            agent_id=whose.agent_id,
            partner_id=whose.partner_id,
            customer_tier=whose.customer_tier,
            **more,
        )
