"""How long a ticket is still going to wait: named estimators, each of which gives seconds or says why it cannot.

What they look at is small: what was seen of a queue so far (`Seen`, a fold of its visits), and how it stands (`Queue`). Sources:
Ibrahim, Whitt, "Real-Time Delay Estimation Based on Delay History" (M&SOM 11(3), 2009) for `head_of_line`, `last_started` and
`queue_length`, and "… in Overloaded Multiserver Queues with Abandonments" (Management Science 55(10), 2009) for the rate of those
who leave; Salesforce's Omni-Channel for `weighted_last_ten`, its former Chat for `running_mean`, Genesys Engage's Stat Server
for `handling_ahead`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from math import sqrt
from typing import Literal

import msgspec

from services.routing.domain.match import place_in_line
from services.routing.domain.work import Work
from shared.events.config import EstimatorName

LAST = 10
LAST_WITHIN = timedelta(minutes=10)
FEWEST_HANDLED = 30
NOT_WAITED_SECONDS = 1e-3
MEMORY = 1_000  # visits, after which an older one counts less and less
FORMER_SHARE = 0.9
EIGHTY_PERCENT = 1.2816  # standard deviations about the mean that hold four of five, were it normal

Silence = Literal["nobody_serves", "too_few_handled", "nobody_ahead", "nothing_started", "nothing_started_lately"]


class Start(msgspec.Struct, frozen=True):
    """A visit that an agent ended, when, and how long it had waited."""

    at: datetime
    waited_seconds: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one queue. Means forget: the older a visit, the less it counts once there were `MEMORY` of them.

    `recent` are the last ten starts, the newest first; `ended` visits and what share of them was abandoned.
    """

    recent: tuple[Start, ...] = ()
    mean_wait_seconds: float | None = None
    handled: int = 0
    handle_seconds: float = 0.0
    ended: int = 0
    waited_seconds: float = 0.0
    abandoned: float = 0.0

    @property
    def patience_seconds(self) -> float | None:
        """The mean patience, were it exponential: all that was waited for each who left, since those who were answered did not
        show theirs. None while nobody left, or none who waited.
        """
        return self.waited_seconds / self.abandoned if self.abandoned and self.waited_seconds > NOT_WAITED_SECONDS else None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it stands. `servers`: how many of its tickets the agents who are there can have at once, `free` how many more
    than they have; `oldest_waits_seconds` is how long its head waits already, None where nobody does.
    """

    servers: int
    free: int = 0
    oldest_waits_seconds: float | None = None


class Place(msgspec.Struct, frozen=True):
    """Where somebody stands: behind how many, and after what wait."""

    ahead: int = 0
    waited_seconds: float = 0.0


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimator says: seconds still to wait, and between which four of five should lie; or why it cannot say."""

    estimator: EstimatorName
    seconds: float | None = None
    least_seconds: float | None = None
    most_seconds: float | None = None
    silence: Silence | None = None


def started(seen: Seen, waited_seconds: float, at: datetime) -> Seen:
    """After an agent ended a visit."""
    former = seen.mean_wait_seconds
    mean = waited_seconds if former is None else FORMER_SHARE * former + (1 - FORMER_SHARE) * waited_seconds
    seen = msgspec.structs.replace(seen, recent=(Start(at, waited_seconds), *seen.recent[: LAST - 1]), mean_wait_seconds=mean)
    return _ended(seen, waited_seconds, 0.0)


def abandoned(seen: Seen, waited_seconds: float) -> Seen:
    """After somebody left before an agent came."""
    return _ended(seen, waited_seconds, 1.0)


def handled(seen: Seen, seconds: float) -> Seen:
    """After an agent was through with a ticket, that took so long."""
    number = seen.handled + 1
    return msgspec.structs.replace(seen, handled=number, handle_seconds=_mean(seen.handle_seconds, seconds, number))


def _ended(seen: Seen, waited_seconds: float, left: float) -> Seen:
    number = seen.ended + 1
    return msgspec.structs.replace(
        seen,
        ended=number,
        waited_seconds=_mean(seen.waited_seconds, waited_seconds, number),
        abandoned=_mean(seen.abandoned, left, number),
    )


def _mean(former: float, value: float, number: int) -> float:
    return former + (value - former) / min(number, MEMORY)


def position(waiting: Sequence[Work], ticket_id: str) -> int | None:
    """The ticket's place among those that wait in its queue, 1 for the next; None when it does not wait. The next agent may
    still take another, for whom it has the skill.
    """
    own = next((work for work in waiting if work.id == ticket_id and work.visit is not None), None)
    if own is None or own.visit is None:
        return None
    queue_id, place = own.visit.queue_id, place_in_line(own)
    beside = (work for work in waiting if work.visit is not None and work.visit.queue_id == queue_id)
    return 1 + sum(place_in_line(work) < place for work in beside)


def head_of_line(seen: Seen, queue: Queue, place: Place, _now: datetime) -> Estimate:
    """As long as the head of the queue waits already. Asks nothing of the model, so it holds with skills and priorities too."""
    if queue.oldest_waits_seconds is None or place.ahead == 0:
        return Estimate(estimator="head_of_line", silence="nobody_ahead")
    return _as_it_went("head_of_line", queue.oldest_waits_seconds, seen, queue, place)


def last_started(seen: Seen, queue: Queue, place: Place, _now: datetime) -> Estimate:
    """As long as the last one waited whom an agent took."""
    if not seen.recent:
        return Estimate(estimator="last_started", silence="nothing_started")
    return _as_it_went("last_started", seen.recent[0].waited_seconds, seen, queue, place)


def queue_length(seen: Seen, queue: Queue, place: Place, _now: datetime) -> Estimate:
    """The time in which all ahead are gone: with n of them each step takes 1/(sμ + iθ), i = n … 0, as agents become free or
    somebody ahead loses patience. The best there is in a queue that all agents serve alike.
    """
    if queue.servers < 1:
        return Estimate(estimator="queue_length", silence="nobody_serves")
    if seen.handled < FEWEST_HANDLED:
        return Estimate(estimator="queue_length", silence="too_few_handled")
    leave = 1.0 / seen.patience_seconds if seen.patience_seconds else 0.0
    mean, deviation = _draining(queue.servers / seen.handle_seconds, leave).until_gone(place.ahead)
    return _between("queue_length", mean, deviation)


def weighted_last_ten(seen: Seen, _queue: Queue, place: Place, now: datetime) -> Estimate:
    """The mean of the last ten of the last ten minutes, the newest weighted ten, the oldest one."""
    recent = [start for start in seen.recent if now - start.at <= LAST_WITHIN]
    if not recent:
        return Estimate(estimator="weighted_last_ten", silence="nothing_started_lately" if seen.recent else "nothing_started")
    weights = range(LAST, LAST - len(recent), -1)
    weighted = sum(weight * start.waited_seconds for weight, start in zip(weights, recent, strict=True))
    return _left_of("weighted_last_ten", weighted / sum(weights), place)


def running_mean(seen: Seen, _queue: Queue, place: Place, _now: datetime) -> Estimate:
    """Nine tenths of what it was, one tenth of the last wait."""
    if seen.mean_wait_seconds is None:
        return Estimate(estimator="running_mean", silence="nothing_started")
    return _left_of("running_mean", seen.mean_wait_seconds, place)


def handling_ahead(seen: Seen, queue: Queue, place: Place, _now: datetime) -> Estimate:
    """The handling of those for whom no agent is free, shared among the agents. Unlike its model it says nothing where nobody
    serves or nothing was handled, instead of taking a ten-thousandth of an agent and 90 seconds.
    """
    if queue.servers < 1:
        return Estimate(estimator="handling_ahead", silence="nobody_serves")
    if not seen.handled:
        return Estimate(estimator="handling_ahead", silence="too_few_handled")
    ahead = max(place.ahead - queue.free, 0)
    return Estimate(estimator="handling_ahead", seconds=seen.handle_seconds * ahead / queue.servers)


class _Draining:
    """How long it takes until all ahead are gone: the sums for each number of them, made once for all who stand in the line."""

    def __init__(self, freed: float, leave: float) -> None:
        self._freed = freed
        self._leave = leave
        self._sums: list[tuple[float, float]] = [(0.0, 0.0)]

    def until_gone(self, ahead: int) -> tuple[float, float]:
        """Mean and standard deviation, in seconds."""
        while len(self._sums) < ahead + 2:
            step = 1.0 / (self._freed + (len(self._sums) - 1) * self._leave)
            total, squares = self._sums[-1]
            self._sums.append((total + step, squares + step * step))
        total, squares = self._sums[ahead + 1]
        return total, sqrt(squares)


# Remembers sums only: what is asked gives what is answered.
_draining = lru_cache(maxsize=16)(_Draining)


def _as_it_went(name: EstimatorName, total: float, seen: Seen, queue: Queue, place: Place) -> Estimate:
    """The next wait is as the observed one, give or take those who came and those who were served meanwhile."""
    left = max(total - place.waited_seconds, 0.0)
    if queue.servers < 1 or seen.handled < FEWEST_HANDLED:
        return Estimate(estimator=name, seconds=left)
    between_two = seen.handle_seconds / queue.servers
    return _between(name, left, sqrt(2.0 * total * between_two + 2.0 * between_two * between_two))


def _left_of(name: EstimatorName, total: float, place: Place) -> Estimate:
    return Estimate(estimator=name, seconds=max(total - place.waited_seconds, 0.0))


def _between(name: EstimatorName, mean: float, deviation: float) -> Estimate:
    margin = EIGHTY_PERCENT * deviation
    return Estimate(estimator=name, seconds=mean, least_seconds=max(mean - margin, 0.0), most_seconds=mean + margin)


Estimator = Callable[[Seen, Queue, Place, datetime], Estimate]
ESTIMATORS: dict[EstimatorName, Estimator] = {
    "head_of_line": head_of_line,
    "last_started": last_started,
    "queue_length": queue_length,
    "weighted_last_ten": weighted_last_ten,
    "running_mean": running_mean,
    "handling_ahead": handling_ahead,
}
