"""How long those who wait are told that they will: by which estimator, when again, and what it was worth. Pure.

A queue is told of by the estimator that it names, or by those that were right most, the best of them first that can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from services.routing.domain import estimates
from services.routing.domain.estimates import ESTIMATORS, NOT_WAITED_SECONDS, Estimate, Place, Queue, Seen
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.scores import Score, score
from shared.events.base import Channel
from shared.events.config import EstimatorName, QueueConfigured

# Whose customers wait there and then; who writes a mail does not.
WAITED_ON: tuple[Channel, ...] = ("phone", "video", "in_person", "chat", "whatsapp", "telegram", "line")
FEWEST_SCORED = 30
# Before there are scores: what holds whatever the queue is like, then what the theory finds best where its model holds.
UNTRIED: tuple[EstimatorName, ...] = (
    "head_of_line",
    "queue_length",
    "weighted_last_ten",
    "last_started",
    "running_mean",
    "handling_ahead",
)
NOTHING_SEEN_OF_IT = Seen()
NOTICED_SHARE = 0.1
NOTICED_SECONDS = 5.0
Outcome = Literal["assigned", "abandoned", "spam", "merged", "cancelled", "callback", "partner", "transferred", "resolved"]


@dataclass(frozen=True, slots=True)
class Line:
    """A queue as a pass finds it. `order`: which estimators are asked, the first that can say is told. `waiting` may be more than
    were looked at.
    """

    queue: QueueConfigured
    seen: Seen = NOTHING_SEEN_OF_IT
    order: tuple[EstimatorName, ...] = UNTRIED
    servers: int = 0
    free: int = 0
    waiting: int = 0
    oldest_waits_seconds: float | None = None

    @property
    def now(self) -> Queue:
        """As estimators look at it."""
        return Queue(servers=self.servers, free=self.free, oldest_waits_seconds=self.oldest_waits_seconds)


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a ticket that waits: its place, and seconds still to wait; None is "cannot say"."""

    place: int
    seconds: float | None = None
    estimator: EstimatorName | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A ticket that waits, since when, and what was said of it last; None: nothing yet. `heard`: that was published."""

    ticket_id: str
    queue_id: str
    place: int
    since: datetime
    told: Told | None = None
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A visit to a queue that ended, and how."""

    ticket_id: str
    queue_id: str
    at: datetime
    waited_seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Saying:
    """What is to be said of a ticket now. `first`: what each estimator says, where it was not asked before."""

    ticket: Standing
    told: Told
    first: Mapping[EstimatorName, Estimate] | None = None


@dataclass(slots=True)
class Answered:
    """Visits of one queue that ended within a minute: those answered, of them `within` the promised seconds; those abandoned, of
    them `late`, after these.
    """

    answered: int = 0
    within: int = 0
    abandoned: int = 0
    late: int = 0

    def add(self, ended: Ended, promised_seconds: int) -> None:
        """One visit more; those that ended otherwise do not count."""
        kept = ended.waited_seconds <= promised_seconds
        if ended.outcome == "assigned":
            self.answered += 1
            self.within += kept
        elif ended.outcome == "abandoned":
            self.abandoned += 1
            self.late += not kept

    @property
    def share(self) -> float | None:
        """Answered within the promise ÷ answered and those who had to leave after it; None where there were none of either."""
        total = self.answered + self.late
        return self.within / total if total else None


def order_of(configured: EstimatorName | None, scores: Mapping[EstimatorName, Score]) -> tuple[EstimatorName, ...]:
    """Which estimators a queue asks, in order: the one it names; else those that were tried often enough by their error in waits,
    and then those that were not.
    """
    if configured is not None:
        return (configured,)
    errors = {name: one.relative_error for name, one in scores.items() if one.scored >= FEWEST_SCORED}
    known = {name: error for name, error in errors.items() if error is not None}
    tried = sorted(known, key=lambda name: (known[name], UNTRIED.index(name)))
    return (*tried, *(name for name in UNTRIED if name not in known))


def saw(seen: Seen, ended: Iterable[Ended], handled: Iterable[float] = ()) -> Seen:
    """The queue after these visits ended, and these tickets were handled, in so many seconds."""
    for one in sorted(ended, key=lambda one: (one.at, one.ticket_id)):
        if one.outcome == "assigned":
            seen = estimates.started(seen, one.waited_seconds, one.at)
        elif one.outcome == "abandoned":
            seen = estimates.abandoned(seen, one.waited_seconds)
    for seconds in handled:
        seen = estimates.handled(seen, max(seconds, NOT_WAITED_SECONDS))
    return seen


def all_said(line: Line, place: Place, now: datetime) -> dict[EstimatorName, Estimate]:
    """What each estimator says to somebody at this place."""
    return {name: estimate(line.seen, line.now, place, now) for name, estimate in ESTIMATORS.items()}


def said(line: Line, place: Place, now: datetime) -> Estimate | None:
    """What is told to somebody at this place; None where those who are asked cannot say."""
    answers = (ESTIMATORS[name](line.seen, line.now, place, now) for name in line.order)
    return next((one for one in answers if one.seconds is not None), None)


def newcomer(line: Line, now: datetime) -> Foreseen | None:
    """How long whoever comes now would wait: not at all, where nobody waits and somebody is free."""
    if line.waiting == 0 and line.free > 0:
        return Foreseen(0.0, line.order[0])
    estimate = said(line, Place(line.waiting), now)
    return Foreseen(estimate.seconds, estimate.estimator) if estimate is not None and estimate.seconds is not None else None


def tell(line: Line, ticket: Standing, now: datetime) -> Saying | None:
    """What is to be said of a ticket of this line; None where that is not news and was heard."""
    place = Place(ticket.place - 1, max((now - ticket.since).total_seconds(), 0.0))
    first = all_said(line, place, now) if ticket.told is None else None
    if first is not None:
        estimate = next((first[name] for name in line.order if first[name].seconds is not None), None)
    else:
        estimate = said(line, place, now)
    told = Told(ticket.place)
    if estimate is not None:
        told = replace(told, seconds=estimate.seconds, estimator=estimate.estimator)
    if ticket.told is not None and not noticeable(ticket.told, told):
        return None if ticket.heard else Saying(ticket, ticket.told)
    return Saying(ticket, told, first)


def noticeable(before: Told, after: Told) -> bool:
    """Whether it is worth while to say it again: the place or the seconds changed by more than a tenth, or it can be said now, or
    no longer. So the further back somebody stands, the seldomer they are told.
    """
    if abs(after.place - before.place) > NOTICED_SHARE * before.place:
        return True
    if before.seconds is None or after.seconds is None:
        return before.seconds is not after.seconds
    return abs(after.seconds - before.seconds) > max(NOTICED_SECONDS, NOTICED_SHARE * before.seconds)


def scored(given: Mapping[EstimatorName, Estimate], waited_seconds: float | None) -> dict[EstimatorName, Score]:
    """What the estimates were worth that were given when somebody began to wait; None: no agent ended the wait."""
    return {name: score(estimate, waited_seconds) for name, estimate in given.items()}


@dataclass(slots=True)
class Scores:
    """Scores by queue and estimator, added up."""

    of: dict[tuple[str, EstimatorName], Score] = field(default_factory=dict)

    def add(self, queue_id: str, more: Mapping[EstimatorName, Score]) -> None:
        """Those of one wait more."""
        for name, one in more.items():
            self.of[queue_id, name] = self.of.get((queue_id, name), Score()) + one

    def in_queue(self, queue_id: str) -> dict[EstimatorName, Score]:
        """Those of one queue."""
        return {name: one for (queue, name), one in self.of.items() if queue == queue_id}


def tellings(lines: Mapping[str, Line], standing: Sequence[Standing], now: datetime) -> list[Saying]:
    """What is to be said of all these tickets."""
    known = ((lines[ticket.queue_id], ticket) for ticket in standing if ticket.queue_id in lines)
    made = (tell(line, ticket, now) for line, ticket in known)
    return [saying for saying in made if saying is not None]
