"""Confidence intervals of a simulated queue, by the method of batch means (Law, Simulation Modeling and Analysis, 9.5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from simulator.virtual.results import Contact, Results, busy_seconds

BATCHES = 20
QUANTILE = 2.861  # of Student's t with 19 degrees of freedom: 99 % lie within
BEFORE_AND_AFTER = 1  # batches at the beginning, when the house fills, and at the end, when not all is done


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true mean lies, 99 times of 100."""

    mean: float
    half: float

    def holds(self, value: float) -> bool:
        """Whether it may be this."""
        return abs(value - self.mean) <= self.half


@dataclass(frozen=True, slots=True)
class Measured:
    """A simulated queue in steady state. Waits are of all contacts, those that were abandoned too."""

    waited: Interval
    wait_seconds: Interval
    service_level: Interval
    occupancy: Interval
    abandoned: Interval


def measure(results: Results, agents: int, within_seconds: float = 20.0) -> Measured:
    """The figures of a run of one line with so many agents, who are always there."""
    width = results.seconds / (BATCHES + 2 * BEFORE_AND_AFTER)
    batches: list[list[Contact]] = [[] for _ in range(BATCHES)]
    for contact in results.contacts:
        number = int(contact.arrived / width) - BEFORE_AND_AFTER
        if 0 <= number < BATCHES:
            batches[number].append(contact)
    starts = [(BEFORE_AND_AFTER + number) * width for number in range(BATCHES)]
    return Measured(
        waited=_interval([fmean(_wait(one) > 0 for one in batch) for batch in batches]),
        wait_seconds=_interval([fmean(map(_wait, batch)) for batch in batches]),
        service_level=_interval([fmean(_answered(one) and _wait(one) <= within_seconds for one in batch) for batch in batches]),
        occupancy=_interval(
            [
                busy_seconds(_touching(results.contacts, begins, begins + width), begins, begins + width) / (agents * width)
                for begins in starts
            ]
        ),
        abandoned=_interval([fmean(not _answered(one) for one in batch) for batch in batches]),
    )


def _wait(contact: Contact) -> float:
    assert contact.waited is not None, "the run ended before the last batch did"
    return contact.waited


def _answered(contact: Contact) -> bool:
    return contact.outcome == "answered"


def _touching(contacts: Sequence[Contact], begins: float, ends: float) -> list[Contact]:
    """Those on whom somebody may have worked between these instants."""
    return [one for one in contacts if one.arrived < ends and (one.done is None or one.done > begins)]


def _interval(means: Sequence[float]) -> Interval:
    return Interval(fmean(means), QUANTILE * stdev(means) / sqrt(len(means)))
