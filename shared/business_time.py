"""Business time: how much open time lies between two instants, and when so much of it will have passed. Pure.

Hours are what a clock on the wall of the calendar's zone shows; what is counted is the real time that passes while
open, so a day on which the clock changes counts 23 or 25 hours. Doors open, and close, the first time that the wall
clock shows the hour or has passed it: an hour that is skipped in spring opens at the change, one that is repeated in
autumn opens once. Hours belong to the date on which they open, so a night shift that began before a holiday runs to its
end. Dated hours go before holidays, holidays before the week. Everything is exact to the microsecond; `None` as
calendar is always open.

Open time is kept per calendar and year as sorted intervals with a running total: a question costs two searches.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays

from shared.events.config import CalendarConfigured, OpenHours

Interval = tuple[datetime, datetime]

FIRST_YEAR, LAST_YEAR = 1900, 2500
HORIZON_YEARS = 100  # an answer further away than this is a mistake in the calendar or in the target

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_CLOCK = re.compile(r"^([01][0-9]|2[0-3]):([0-5][0-9])$|^24:00$")


class WrongCalendar(ValueError):
    """A calendar that cannot be counted with: `path` says where, e.g. `weekly[0][1].closes`, `reason` what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Year:
    """Open time of one UTC year, in microseconds since 1970: disjoint intervals in order, and the total before each."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    before: tuple[int, ...]
    total: int

    def until(self, at: int) -> int:
        """Open microseconds of this year before `at`."""
        index = bisect_right(self.starts, at) - 1
        if index < 0:
            return 0
        return self.before[index] + min(at, self.ends[index]) - self.starts[index]

    def reached(self, total: int) -> int:
        """The earliest instant before which `total` open microseconds of this year lie (at least one, at most all)."""
        index = bisect_right(self.before, total - 1) - 1
        return self.starts[index] + total - self.before[index]


def elapsed(calendar: CalendarConfigured | None, a: datetime, b: datetime) -> timedelta:
    """Open time from `a` to `b`; negative when `b` is the earlier.

    Raises WrongCalendar as `check` does, ValueError for a time without zone or outside the years 1900 to 2500.
    """
    if calendar is None:
        return _micros(b) * _MICROSECOND - _micros(a) * _MICROSECOND
    return (_open_until(calendar, a, b) - _open_until(calendar, a, a)) * _MICROSECOND


def deadline(calendar: CalendarConfigured | None, start: datetime, duration: timedelta) -> datetime:
    """The earliest instant (UTC) by which `duration` of open time has passed since `start`; `start` itself for none.

    Raises WrongCalendar as `check` does and when there is no such instant within a hundred years, ValueError for a
    negative duration, a time without zone or outside the years 1900 to 2500.
    """
    wanted = duration // _MICROSECOND
    if wanted < 0:
        raise ValueError(f"a duration cannot be negative, but was {duration}")
    if wanted == 0:
        return _moment(_micros(start))
    if calendar is None:
        return _moment(_micros(start) + wanted)
    first = _utc_year(start)
    wanted += _year(calendar, first).until(_micros(start))
    for year in range(first, min(first + HORIZON_YEARS, LAST_YEAR) + 1):
        table = _year(calendar, year)
        if wanted <= table.total:
            return _moment(table.reached(wanted))
        wanted -= table.total
    raise WrongCalendar("weekly", f"is not open for {duration} in the {HORIZON_YEARS} years after {start.isoformat()}")


def intervals(calendar: CalendarConfigured | None, a: datetime, b: datetime) -> Iterator[Interval]:
    """The open intervals (start, end), UTC, in order, between `a` and `b`; cut at both, none of them empty or touching.

    Raises, when first asked for an interval, as `elapsed` does.
    """
    first, last = _micros(a), _micros(b)
    if calendar is None:
        if first < last:
            yield _moment(first), _moment(last)
        return
    pending: tuple[int, int] | None = None
    for start, end in _pieces(calendar, a, b):
        if pending is not None and pending[1] == start:
            pending = (pending[0], end)
            continue
        if pending is not None:
            yield _moment(pending[0]), _moment(pending[1])
        pending = (start, end)
    if pending is not None:
        yield _moment(pending[0]), _moment(pending[1])


@lru_cache(maxsize=256)
def check(calendar: CalendarConfigured) -> None:
    """Refuse a calendar that cannot be counted with, or that never opens. Raises WrongCalendar."""
    _check_zone(calendar.zone)
    if len(calendar.weekly) != 7:
        raise WrongCalendar("weekly", f"needs seven days, Monday first, but has {len(calendar.weekly)}")
    for index, hours in enumerate(calendar.weekly):
        _check_hours(f"weekly[{index}]", hours)
    for index, dated in enumerate(calendar.dates):
        _check_hours(f"dates[{index}].hours", dated.hours)
        if any(other.on == dated.on for other in calendar.dates[:index]):
            raise WrongCalendar(f"dates[{index}].on", f"{dated.on} is there twice; put all its hours into one entry")
    for index, code in enumerate(calendar.holidays_of):
        _check_country(f"holidays_of[{index}]", code)
    if not any(calendar.weekly) and not any(dated.hours for dated in calendar.dates):
        raise WrongCalendar("weekly", "the calendar never opens; give at least one day hours")


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongCalendar("zone", f"'{zone}' is no zone of the IANA database, such as Europe/Bucharest") from None


def _check_hours(path: str, hours: tuple[OpenHours, ...]) -> None:
    spans: list[tuple[int, int]] = []
    for index, entry in enumerate(hours):
        for name, clock in (("opens", entry.opens), ("closes", entry.closes)):
            if not _CLOCK.match(clock):
                raise WrongCalendar(f"{path}[{index}].{name}", f"'{clock}' is no time from 00:00 to 24:00 as HH:MM")
        if entry.opens == "24:00":
            raise WrongCalendar(f"{path}[{index}].opens", "24:00 only closes; write 00:00 on the next day")
        if entry.opens == entry.closes:
            raise WrongCalendar(f"{path}[{index}].closes", "closes when it opens; a whole day is written 00:00 to 24:00")
        spans.append(_span(entry))
    for (_, end), (start, _) in pairwise(sorted(spans)):
        if start < end:
            raise WrongCalendar(path, "has hours that overlap; join them into one")


def _check_country(path: str, code: str) -> None:
    country, _, subdivision = code.partition("-")
    try:
        holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError:
        raise WrongCalendar(path, f"no holidays are known for '{code}'; give an ISO 3166 code such as IL, RO or US-CA") from None


def _pieces(calendar: CalendarConfigured, a: datetime, b: datetime) -> Iterator[tuple[int, int]]:
    """Open intervals between `a` and `b`; one that lies across a New Year comes as two that touch."""
    first, last = _micros(a), _micros(b)
    for number in range(_utc_year(a), _utc_year(b) + 1):
        year = _year(calendar, number)
        for index in range(max(bisect_right(year.starts, first) - 1, 0), len(year.starts)):
            start, end = max(year.starts[index], first), min(year.ends[index], last)
            if year.starts[index] >= last:
                return
            if start < end:
                yield start, end


def _open_until(calendar: CalendarConfigured, since: datetime, at: datetime) -> int:
    """Open microseconds from the beginning of the year of `since` to `at`."""
    since_year, at_year = _utc_year(since), _utc_year(at)
    whole = sum(_year(calendar, year).total for year in range(since_year, at_year))
    whole -= sum(_year(calendar, year).total for year in range(at_year, since_year))
    return whole + _year(calendar, at_year).until(_micros(at))


@lru_cache(maxsize=1024)
def _year(calendar: CalendarConfigured, year: int) -> _Year:
    check(calendar)
    first, last = _micros(datetime(year, 1, 1, tzinfo=UTC)), _micros(datetime(year + 1, 1, 1, tzinfo=UTC))
    cut = ((max(start, first), min(end, last)) for start, end in _joined(_opened(calendar, year)))
    spans = [(start, end) for start, end in cut if start < end]
    totals = list(accumulate((end - start for start, end in spans), initial=0))
    return _Year(
        starts=tuple(start for start, _ in spans),
        ends=tuple(end for _, end in spans),
        before=tuple(totals[:-1]),
        total=totals[-1],
    )


def _opened(calendar: CalendarConfigured, year: int) -> Iterator[tuple[int, int]]:
    """Each opening that may touch the UTC year: two days more on each side, for zones and night shifts."""
    zone = ZoneInfo(calendar.zone)
    dated = {entry.on: entry.hours for entry in calendar.dates}
    closed = [_holidays_of(code) for code in calendar.holidays_of]
    day = date(year, 1, 1) - 2 * _DAY
    while day <= date(year + 1, 1, 2):
        hours = dated.get(day)
        if hours is None:
            hours = () if any(day in known for known in closed) else calendar.weekly[day.weekday()]
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the wall clock, before it has a zone
        for entry in hours:
            opens, closes = _span(entry)
            yield (
                _first_shown(midnight + timedelta(minutes=opens), zone),
                _first_shown(midnight + timedelta(minutes=closes), zone),
            )
        day += _DAY


def _holidays_of(code: str) -> holidays.HolidayBase:
    country, _, subdivision = code.partition("-")
    return holidays.country_holidays(country, subdiv=subdivision or None)


def _joined(spans: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The union of `spans` as disjoint intervals in order: a night shift may reach into hours of the next day."""
    pending: tuple[int, int] | None = None
    for start, end in sorted(spans):
        if pending is None or start > pending[1]:
            if pending is not None:
                yield pending
            pending = (start, end)
        else:
            pending = (pending[0], max(pending[1], end))
    if pending is not None:
        yield pending


def _span(entry: OpenHours) -> tuple[int, int]:
    """Minutes after midnight of opening and closing; closing before opening is on the next day."""
    opens, closes = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (entry.opens, entry.closes))
    return opens, closes if closes > opens else closes + 24 * 60


def _first_shown(wall: datetime, zone: ZoneInfo) -> int:
    """The first instant at which the clock on the wall shows `wall`, or has passed it, being put forward."""
    at = wall.replace(tzinfo=zone).astimezone(UTC)  # of a time that is shown twice, the first
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return _micros(at)
    before, after = _micros(wall.replace(tzinfo=zone, fold=1).astimezone(UTC)), _micros(at)
    while after - before > 1:  # find the instant of the change: the clock is behind `wall` before it, ahead of it after
        middle = (before + after) // 2
        if _moment(middle).astimezone(zone).replace(tzinfo=None) < wall:
            before = middle
        else:
            after = middle
    return after


def _utc_year(at: datetime) -> int:
    year = at.astimezone(UTC).year if at.tzinfo is not None else 0
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"business time is counted for times with a zone from {FIRST_YEAR} to {LAST_YEAR}, not {at}")
    return year


def _micros(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError(f"a time needs a zone, but {at.isoformat()} has none")
    return (at - _EPOCH) // _MICROSECOND


def _moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
