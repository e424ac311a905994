"""Open time against an implementation that walks the wall clock minute by minute, and the laws it obeys."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.business_time import deadline, elapsed, intervals
from shared.events.config import CalendarConfigured, DatedHours, OpenHours
from tests.counts import examples

MINUTE = timedelta(minutes=1)
Hours = tuple[OpenHours, ...]


def open_minutes(when: CalendarConfigured, begin: datetime, count: int) -> list[bool]:
    """For each minute from `begin` on whether it is open, by walking the wall clock. Slow, and plain."""
    zone = ZoneInfo(when.zone)
    walk = begin - timedelta(days=3)
    doors: list[tuple[datetime, datetime]] = []
    day = walk.date() - timedelta(days=1)
    while day <= (begin + count * MINUTE).date() + timedelta(days=1):
        doors += [_door(day, entry) for entry in _hours_on(when, day)]
        day += timedelta(days=1)
    latest = datetime.min  # noqa: DTZ901 - the furthest that the wall clock has been
    found: list[bool] = []
    while walk < begin + count * MINUTE:
        latest = max(latest, walk.astimezone(zone).replace(tzinfo=None))
        if walk >= begin:
            found.append(any(opens <= latest < closes for opens, closes in doors))
        walk += MINUTE
    return found


def _hours_on(when: CalendarConfigured, day: date) -> Hours:
    for entry in when.dates:
        if entry.on == day:
            return entry.hours
    if any(day in holidays.country_holidays(code) for code in when.holidays_of):
        return ()
    return when.weekly[day.weekday()]


def _door(day: date, entry: OpenHours) -> tuple[datetime, datetime]:
    midnight = datetime.combine(day, time())
    opens, closes = (timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (entry.opens, entry.closes))
    return midnight + opens, midnight + (closes if closes > opens else closes + timedelta(days=1))


clocks = st.integers(0, 24 * 4 - 1).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@st.composite
def day_hours(draw: st.DrawFn) -> Hours:
    """Up to three openings of a day that do not overlap, the last one perhaps into the next day."""
    marks = sorted(draw(st.lists(clocks, max_size=6, unique=True)))
    found = [OpenHours(opens=a, closes=b) for a, b in zip(marks[::2], marks[1::2], strict=False)]
    if len(marks) % 2:
        found.append(OpenHours(opens=marks[-1], closes=draw(st.sampled_from(["24:00", "00:00", marks[0]]))))
    return tuple(entry for entry in found if entry.opens != entry.closes)


ZONES = [
    "Asia/Jerusalem",
    "Europe/Bucharest",
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Asia/Beirut",
]
# the days around which clocks change, holidays fall and years begin
STARTS = [
    "2026-03-26",
    "2026-03-28",
    "2026-10-24",
    "2026-12-31",
    "2026-11-29",
    "2026-04-04",
    "2026-03-07",
    "2026-06-10",
]


@st.composite
def calendars(draw: st.DrawFn) -> tuple[CalendarConfigured, datetime]:
    """A calendar, and an instant near which something is the matter with it."""
    begin = datetime.fromisoformat(draw(st.sampled_from(STARTS)) + "T00:00:00+00:00") + draw(st.integers(0, 48 * 60)) * MINUTE
    dates = {begin.date() + timedelta(days=n): draw(day_hours()) for n in draw(st.sets(st.integers(-1, 3), max_size=2))}
    when = CalendarConfigured(
        id="any",
        version=1,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        zone=draw(st.sampled_from(ZONES)),
        weekly=(*draw(st.lists(day_hours(), min_size=6, max_size=6)), (OpenHours(opens="08:00", closes="08:15"),)),
        dates=tuple(DatedHours(on=day, hours=found) for day, found in dates.items()),
        holidays_of=draw(st.sampled_from([(), ("RO",), ("IL",), ("RO", "IL")])),
    )
    return when, begin


@settings(max_examples=examples(60), deadline=None)
@given(calendars(), st.integers(1, 3 * 24 * 60))
def test_open_time_is_what_walking_minute_by_minute_finds(given_: tuple[CalendarConfigured, datetime], count: int) -> None:
    when, begin = given_
    minutes = open_minutes(when, begin, count)
    end = begin + count * MINUTE
    assert elapsed(when, begin, end) == sum(minutes) * MINUTE
    inside = list(intervals(when, begin, end))
    assert [any(a <= begin + n * MINUTE < b for a, b in inside) for n in range(count)] == minutes
    if any(minutes):
        last_open = max(n for n, is_open in enumerate(minutes) if is_open)
        assert deadline(when, begin, sum(minutes) * MINUTE) == begin + (last_open + 1) * MINUTE


instants = st.datetimes(
    datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip
durations = st.timedeltas(timedelta(0), timedelta(days=5)) | st.timedeltas(timedelta(0), timedelta(hours=3))


@settings(max_examples=examples(100), deadline=None)
@given(calendars(), instants, durations)
def test_a_deadline_is_the_earliest_instant_by_which_the_time_elapsed(
    given_: tuple[CalendarConfigured, datetime], start: datetime, duration: timedelta
) -> None:
    when, _ = given_
    due = deadline(when, start, duration)
    assert elapsed(when, start, due) == duration
    if duration:
        assert elapsed(when, start, due - timedelta(microseconds=1)) == duration - timedelta(microseconds=1)


@settings(max_examples=examples(100), deadline=None)
@given(calendars(), instants, instants, instants)
def test_elapsed_time_adds_up_and_never_runs_backwards(
    given_: tuple[CalendarConfigured, datetime], a: datetime, b: datetime, c: datetime
) -> None:
    when, _ = given_
    a, b, c = sorted((a, b, c))
    assert elapsed(when, a, b) + elapsed(when, b, c) == elapsed(when, a, c) == -elapsed(when, c, a)
    assert timedelta(0) <= elapsed(when, a, b) <= b - a
    assert sum((end - start for start, end in intervals(when, a, c)), timedelta(0)) == elapsed(when, a, c)
    assert deadline(when, deadline(when, a, timedelta(hours=2)), timedelta(hours=3)) == deadline(when, a, timedelta(hours=5))
