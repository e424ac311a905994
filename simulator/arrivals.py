"""When contacts come, how long they take and how long people wait: drawn from a seeded random, the same for the same seed.

Arrivals are a Poisson process whose rate follows the day, handling is lognormal (Brown et al., "Statistical Analysis of a
Telephone Call Center", JASA 100, 2005); the process is made by thinning (Lewis, Shedler, 1979).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat
from math import inf, log, sqrt
from random import Random
from typing import Protocol

# What comes in each hour of a working day, in parts of a thousand.
WORKING_DAY = (3, 2, 1, 1, 2, 5, 15, 45, 85, 105, 110, 100, 80, 75, 80, 75, 65, 50, 35, 25, 18, 12, 7, 4)
DAY_SECONDS = 86_400.0


class Draw(Protocol):
    """A distribution of seconds."""

    def draw(self, random: Random) -> float:
        """One of them."""


@dataclass(frozen=True, slots=True)
class Always:
    """The same each time."""

    seconds: float

    def draw(self, random: Random) -> float:
        """These seconds."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory, as queueing theory likes it."""

    mean_seconds: float

    def draw(self, random: Random) -> float:
        """One."""
        return random.expovariate(1.0 / self.mean_seconds)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """As handling times are. `spread` is the standard deviation, in means."""

    mean_seconds: float
    spread: float = 1.0

    def draw(self, random: Random) -> float:
        """One."""
        variance = log(1.0 + self.spread**2)
        return random.lognormvariate(log(self.mean_seconds) - variance / 2, sqrt(variance))


@dataclass(frozen=True, slots=True)
class Profile:
    """How many come a second, step by step from second 0 on; when the steps are over, nobody comes any more."""

    per_second: tuple[float, ...]
    step_seconds: float = inf

    @classmethod
    def of(cls, contacts: float, shape: tuple[float, ...] = WORKING_DAY, seconds: float = DAY_SECONDS) -> Profile:
        """So many in all, on the average, spread over the seconds as the shape says."""
        step = seconds / len(shape)
        return cls(tuple(contacts * part / sum(shape) / step for part in shape), step)

    @property
    def seconds(self) -> float:
        """How long somebody comes."""
        return len(self.per_second) * self.step_seconds

    def at(self, second: float) -> float:
        """How many come a second by then."""
        step = int(second / self.step_seconds)
        return self.per_second[step] if step < len(self.per_second) else 0.0


def arrivals(random: Random, profile: Profile) -> Iterator[float]:
    """The seconds at which somebody comes, in order."""
    peak, second = max(profile.per_second), 0.0
    while peak > 0:
        second += random.expovariate(peak)
        if second >= profile.seconds:
            return
        if random.random() * peak < profile.at(second):
            yield second


def paced(random: Random, contacts: int, per_second: float, day_seconds: float | None = None) -> Iterator[float]:
    """When the contacts of a run are due, for ever: evenly; or as in a working day that is over in so many seconds, which brings
    about `contacts` of them, and those that are asked for beyond it when it is over.
    """
    if day_seconds is None:
        yield from (number / per_second for number in count())
    else:
        yield from arrivals(random, Profile.of(contacts, seconds=day_seconds))
        yield from repeat(day_seconds)
