"""What a metric is: names, unit, formula, source, and how it is made of which measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.metrics.domain.cells import Measure

Unit = Literal["tickets", "contacts", "offers", "seconds", "share", "per_ticket"]
TICKET_DIMENSIONS = ("channel", "queue", "team", "agent", "priority", "language", "partner")
PROMISE_DIMENSIONS = ("channel", "queue", "team", "agent", "priority", "partner", "policy", "target")


@dataclass(frozen=True, slots=True)
class Count:
    """How many observations."""

    of: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Mean:
    """Sum of the durations over their number; with quantiles."""

    of: Measure


@dataclass(frozen=True, slots=True)
class Ratio:
    """Observations above over observations below."""

    above: tuple[Measure, ...]
    below: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class TimePer:
    """Sum of the durations of several over the number of one of them."""

    of: tuple[Measure, ...]
    per: Measure


@dataclass(frozen=True, slots=True)
class TimeShare:
    """Sum of the durations above over that of those below; both are told in whole seconds."""

    above: tuple[Measure, ...]
    below: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """How many there were at the end of each period: the sum of all that went in and came out until then.

    `states` make up the figure; the other states are shown beside it.
    """

    of: Measure
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `version` counts up when its formula changes, so that figures of two formulas are never mixed."""

    id: str
    names: dict[str, str]
    unit: Unit
    formula: str
    made_of: Count | Mean | Ratio | Level | TimePer | TimeShare
    dimensions: tuple[str, ...] = TICKET_DIMENSIONS
    version: int = 1
    source: str = "glossary of customer service"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures to read."""
        match self.made_of:
            case Count(of):
                return of
            case TimePer(of, per):
                return tuple(dict.fromkeys((*of, per)))
            case Ratio(above, below) | TimeShare(above, below):
                return tuple(dict.fromkeys(above + below))
            case Mean(of) | Level(of):
                return (of,)
