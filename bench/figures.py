"""What is measured, and what it comes to: repeats of product and baseline, medians, spread, ratio, goal, verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Literal

Verdict = Literal["met", "missed", "no goal"]
Repeat = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on the product's median, or on its ratio to the baseline."""

    of: Literal["value", "ratio"]
    sense: Literal["at least", "at most"]
    bound: float

    def holds(self, value: float) -> bool:
        """Whether a figure keeps the bound; exactly on it does."""
        return value >= self.bound if self.sense == "at least" else value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.sense == "at least" else "≤"
        return f"{sign} {self.bound:g}{' ×' if self.of == 'ratio' else ''}"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some repeats, and the lowest and highest of them."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises statistics.StatisticsError when there are no values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one bench. `unit` names what the values are in; `goals` may be empty."""

    bench: str
    what: str
    unit: str
    product: tuple[float, ...]
    baseline_name: str = ""
    baseline: tuple[float, ...] = ()
    goals: tuple[Goal, ...] = ()

    @property
    def ratio(self) -> Spread | None:
        """Product to baseline, pair by pair: a pair is measured back to back, so what disturbs one disturbs both."""
        if not self.baseline:
            return None
        return Spread.of([mine / other for mine, other in zip(self.product, self.baseline, strict=True)])

    @property
    def verdict(self) -> Verdict:
        """Whether the medians keep all goals."""
        if not self.goals:
            return "no goal"
        return "met" if all(goal.holds(self._figure(goal)) for goal in self.goals) else "missed"

    def _figure(self, goal: Goal) -> float:
        ratio = self.ratio
        if goal.of == "value":
            return median(self.product)
        if ratio is None:
            raise ValueError(f"'{self.what}' has a goal for its ratio and no baseline")
        return ratio.median


@dataclass(frozen=True, slots=True)
class Column:
    """How one key of the repeats becomes a line."""

    key: str
    what: str
    unit: str
    goals: tuple[Goal, ...] = ()


def lines(
    bench: str, columns: Sequence[Column], product: Sequence[Repeat], baseline: Sequence[Repeat] = (), baseline_name: str = ""
) -> list[Line]:
    """A line for each column, from the repeats of both sides."""
    return [
        Line(
            bench=bench,
            what=column.what,
            unit=column.unit,
            product=tuple(repeat[column.key] for repeat in product),
            baseline_name=baseline_name,
            baseline=tuple(repeat[column.key] for repeat in baseline),
            goals=column.goals,
        )
        for column in columns
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed (nearest rank). Raises ValueError."""
    if not values:
        raise ValueError("no values were measured")
    return sorted(values)[max(ceil(share * len(values)), 1) - 1]
