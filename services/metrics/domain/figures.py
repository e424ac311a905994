"""From sums of cells to figures: periods, means, ratios, levels, quantiles. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from services.metrics.domain.cells import EPOCH, Measure, quantile
from services.metrics.shapes import Count, Level, Mean, Metric, Ratio, TimePer, TimeShare

Period = Literal["hour", "day", "total"]
Group = tuple[str, ...]
MAX_PERIODS = 2_000
HOUR = timedelta(hours=1)


class TooManyPeriods(ValueError):
    """More periods than one answer may hold."""


class NotWholeHours(ValueError):
    """The zone's days do not begin at a whole hour of UTC, and figures are kept by such hours."""


class Bounds(NamedTuple):
    """The periods as hours since 1970: where each starts, where the last ends, and from which hour on cells are read."""

    starts: tuple[int, ...]
    end: int
    first: int


class Summed(NamedTuple):
    """One row of sums, as the store reads it."""

    measure: Measure
    period: int
    bin: int
    n: int
    total_us: int
    group: Group


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `value` is None where there is nothing to divide by. Durations are seconds."""

    start: datetime
    end: datetime
    group: Group
    value: float | None
    count: int
    out_of: int | None = None
    quantiles: dict[str, float] = field(default_factory=dict)
    beside: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Sum:
    n: dict[Measure, int] = field(default_factory=lambda: defaultdict(int))
    total_us: dict[Measure, int] = field(default_factory=lambda: defaultdict(int))
    bins: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    states: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, row: Summed, state: str) -> None:
        self.n[row.measure] += row.n
        self.total_us[row.measure] += row.total_us
        self.bins[row.bin] += row.n
        self.states[state] += row.n


def bounds(start: datetime, end: datetime, period: Period, zone: ZoneInfo, metric: Metric) -> Bounds:
    """The periods from `start` (down to its hour) to `end` (up to its hour). Days are the zone's, of 23 or 25 hours too.

    Raises TooManyPeriods, NotWholeHours.
    """
    first = (start - EPOCH) // HOUR
    last = -((EPOCH - end) // HOUR)
    if period == "hour":
        if last - first > MAX_PERIODS:
            raise TooManyPeriods
        starts = list(range(first, last))
    elif period == "day":
        starts = _days(first, last, zone)
    else:
        starts = [first]
    return Bounds(tuple(starts), last, 0 if isinstance(metric.made_of, Level) else first)


def _days(first: int, last: int, zone: ZoneInfo) -> list[int]:
    starts = [first]
    day = (EPOCH + first * HOUR).astimezone(zone).date()
    while True:
        day += timedelta(days=1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone) - EPOCH
        if midnight % HOUR:
            raise NotWholeHours
        hour = midnight // HOUR
        if hour >= last:
            return starts
        if len(starts) >= MAX_PERIODS:
            raise TooManyPeriods
        starts.append(hour)


def figures(metric: Metric, rows: Iterable[Summed], at: Bounds, percents: Sequence[int], *, grouped: bool) -> list[Figure]:
    """The figures of each period and group, in their order. For a level, `rows` carry the state as the last of their group.

    `percents` are the quantiles wanted. Without groups every period has its figure, also where nothing happened.
    """
    sums: dict[tuple[int, Group], _Sum] = defaultdict(_Sum)
    level = isinstance(metric.made_of, Level)
    for row in rows:
        group, state = (row.group[:-1], row.group[-1]) if level else (row.group, "")
        sums[row.period, group].add(row, state)
    groups: list[Group] = sorted({group for _, group in sums}) if grouped else [()]
    if level:
        sums = _accumulated(sums, groups, len(at.starts))
    ends = (*at.starts[1:], at.end)
    return [
        _figure(metric, sums[period, group], start, end, group, percents)
        for period, (start, end) in enumerate(zip(at.starts, ends, strict=True))
        for group in groups
        if (period, group) in sums or not grouped
    ]


def _accumulated(sums: dict[tuple[int, Group], _Sum], groups: Iterable[Group], periods: int) -> dict[tuple[int, Group], _Sum]:
    """What was there before, plus all that came and went until the end of each period."""
    levels: dict[tuple[int, Group], _Sum] = defaultdict(_Sum)
    for group in groups:
        running: dict[str, int] = defaultdict(int)
        for period in range(-1, periods):
            for state, n in sums[period, group].states.items() if (period, group) in sums else ():
                running[state] += n
            levels[period, group].states.update(running)
    return levels


def _figure(metric: Metric, total: _Sum, start: int, end: int, group: Group, percents: Sequence[int]) -> Figure:
    begins, ends = EPOCH + start * HOUR, EPOCH + end * HOUR
    match metric.made_of:
        case Count(of):
            count = sum(total.n[measure] for measure in of)
            return Figure(begins, ends, group, float(count), count)
        case Level(_, states):
            count = sum(total.states[state] for state in states)
            beside = {state: n for state, n in sorted(total.states.items()) if n or state in states}
            return Figure(begins, ends, group, float(count), count, beside=beside)
        case Ratio(above, below):
            count, out_of = sum(total.n[one] for one in above), sum(total.n[one] for one in below)
            return Figure(begins, ends, group, count / out_of if out_of else None, count, out_of)
        case Mean(of):
            count = total.n[of]
            mean = total.total_us[of] / count / 1e6 if count else None
            return Figure(begins, ends, group, mean, count, quantiles=_quantiles(total.bins, percents) if count else {})
        case TimePer(summed, per):
            count, spent_us = total.n[per], sum(total.total_us[one] for one in summed)
            return Figure(begins, ends, group, spent_us / count / 1e6 if count else None, count)
        case TimeShare(above, below):
            part_us, whole_us = (sum(total.total_us[one] for one in some) for some in (above, below))
            share = part_us / whole_us if whole_us else None
            return Figure(begins, ends, group, share, part_us // 1_000_000, whole_us // 1_000_000)


def _quantiles(bins: dict[int, int], percents: Sequence[int]) -> dict[str, float]:
    found = {f"p{percent}": quantile(bins, percent) for percent in percents}
    return {name: value / 1e6 for name, value in found.items() if value is not None}
