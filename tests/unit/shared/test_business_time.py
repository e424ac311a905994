"""Open time and deadlines in a table of cases, and the calendars that are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.business_time import WrongCalendar, check, deadline, elapsed, intervals
from shared.events.config import CalendarConfigured, DatedHours, OpenHours

MINUTE = timedelta(minutes=1)
Hours = tuple[OpenHours, ...]


def hours(*spans: str) -> Hours:
    """Hours written `09:00-17:00`."""
    return tuple(OpenHours(opens=span[:5], closes=span[6:]) for span in spans)


def calendar(
    *weekday_spans: str,
    zone: str = "UTC",
    weekend: Hours = (),
    dates: tuple[DatedHours, ...] = (),
    holidays_of: tuple[str, ...] = (),
) -> CalendarConfigured:
    """A calendar with the same hours from Monday to Friday."""
    return CalendarConfigured(
        id="office",
        version=1,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        zone=zone,
        weekly=(hours(*weekday_spans),) * 5 + (weekend,) * 2,
        dates=dates,
        holidays_of=holidays_of,
    )


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


OFFICE = calendar("09:00-17:00")
LUNCH = calendar("09:00-12:30", "13:15-17:00")
NIGHT = calendar("22:00-06:00")
LATE = calendar("16:00-24:00")
JERUSALEM = calendar("00:00-24:00", zone="Asia/Jerusalem", weekend=hours("00:00-24:00"))
BUCHAREST = calendar("00:00-24:00", zone="Europe/Bucharest", weekend=hours("00:00-24:00"))
BUCHAREST_NIGHT = calendar("22:00-06:00", zone="Europe/Bucharest", weekend=hours("22:00-06:00"))
IN_THE_GAP = calendar("03:30-05:00", zone="Europe/Bucharest", weekend=hours("03:30-05:00"))
GAP_ONLY = calendar("03:15-03:45", zone="Europe/Bucharest", weekend=hours("03:15-03:45"))
ROMANIA = calendar("09:00-17:00", zone="Europe/Bucharest", holidays_of=("RO",))
EXTRA = calendar("09:00-17:00", dates=(DatedHours(on=date(2026, 3, 7), hours=hours("10:00-14:00"), name="inventory"),))
CLOSED = calendar("09:00-17:00", dates=(DatedHours(on=date(2026, 3, 4), name="outing"),))
OPEN_ON_A_HOLIDAY = calendar(
    "09:00-17:00",
    zone="Europe/Bucharest",
    holidays_of=("RO",),
    dates=(DatedHours(on=date(2026, 12, 1), hours=hours("10:00-12:00")),),
)

# 2026-03-02 is a Monday. Clocks change in Bucharest on 29 March (03:00 to 04:00) and 25 October (04:00 to 03:00) 2026,
# in Jerusalem on 27 March (02:00 to 03:00) and 25 October (02:00 to 01:00) 2026.
CASES = [
    ("the next day goes on to the second", OFFICE, "UTC", "2026-03-02T16:59:31", 60, "2026-03-03T09:59:31"),
    ("a Friday goes on on Monday", OFFICE, "UTC", "2026-03-06T16:30:00", 60, "2026-03-09T09:30:00"),
    ("the end is at closing, not at the next opening", OFFICE, "UTC", "2026-03-02T16:00:00", 60, "2026-03-02T17:00:00"),
    ("before opening counts from opening", OFFICE, "UTC", "2026-03-02T03:00:00", 1, "2026-03-02T09:01:00"),
    ("a weekend counts from Monday", OFFICE, "UTC", "2026-03-07T12:00:00", 30, "2026-03-09T09:30:00"),
    ("lunch is left out", LUNCH, "UTC", "2026-03-02T12:00:00", 60, "2026-03-02T13:45:00"),
    ("lunch is waited for", LUNCH, "UTC", "2026-03-02T12:45:00", 5, "2026-03-02T13:20:00"),
    ("a night shift goes over midnight", NIGHT, "UTC", "2026-03-02T23:30:00", 120, "2026-03-03T01:30:00"),
    ("Friday's night shift ends on Saturday", NIGHT, "UTC", "2026-03-07T05:00:00", 90, "2026-03-09T22:30:00"),
    ("Monday begins without a night shift of Sunday", NIGHT, "UTC", "2026-03-09T02:00:00", 1, "2026-03-09T22:01:00"),
    ("24:00 is the end of the day", LATE, "UTC", "2026-03-02T23:00:00", 90, "2026-03-03T16:30:00"),
    ("Jerusalem in spring", JERUSALEM, "Asia/Jerusalem", "2026-03-27T00:00:00", 23 * 60, "2026-03-28T00:00:00"),
    ("Jerusalem in autumn", JERUSALEM, "Asia/Jerusalem", "2026-10-25T00:00:00", 25 * 60, "2026-10-26T00:00:00"),
    ("Bucharest in spring", BUCHAREST, "Europe/Bucharest", "2026-03-29T00:00:00", 23 * 60, "2026-03-30T00:00:00"),
    ("Bucharest in autumn", BUCHAREST, "Europe/Bucharest", "2026-10-25T00:00:00", 25 * 60, "2026-10-26T00:00:00"),
    ("a short night", BUCHAREST_NIGHT, "Europe/Bucharest", "2026-03-28T22:00:00", 7 * 60, "2026-03-29T06:00:00"),
    ("a long night", BUCHAREST_NIGHT, "Europe/Bucharest", "2026-10-24T22:00:00", 9 * 60, "2026-10-25T06:00:00"),
    ("a skipped opening", IN_THE_GAP, "Europe/Bucharest", "2026-03-29T00:00:00", 30, "2026-03-29T04:30:00"),
    ("a skipped opening and closing", GAP_ONLY, "Europe/Bucharest", "2026-03-29T00:00:00", 10, "2026-03-30T03:25:00"),
    ("a holiday is closed", ROMANIA, "Europe/Bucharest", "2026-11-27T16:30:00", 60, "2026-12-02T09:30:00"),
    ("dated hours go before a holiday", OPEN_ON_A_HOLIDAY, "Europe/Bucharest", "2026-11-27T16:30:00", 60,
     "2026-12-01T10:30:00"),
    ("an extra Saturday is open", EXTRA, "UTC", "2026-03-06T16:30:00", 60, "2026-03-07T10:30:00"),
    ("a closed date is left out", CLOSED, "UTC", "2026-03-03T16:30:00", 60, "2026-03-05T09:30:00"),
    ("New Year's night is one", calendar("22:00-06:00"), "UTC", "2026-12-31T23:00:00", 120, "2027-01-01T01:00:00"),
    ("no calendar is always open", None, "UTC", "2026-03-07T23:59:59", 60, "2026-03-08T00:59:59"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "when", "zone", "start", "minutes", "due"), CASES, ids=[case[0] for case in CASES])
def test_a_deadline_is_where_the_table_says_and_so_much_time_elapsed(
    name: str, when: CalendarConfigured | None, zone: str, start: str, minutes: int, due: str
) -> None:
    begin, duration = at(start, zone), timedelta(minutes=minutes)
    found = deadline(when, begin, duration)
    assert found == at(due, zone), name
    assert found.tzinfo is UTC
    assert elapsed(when, begin, found) == duration


def test_intervals_are_joined_over_midnight_and_new_year_and_cut_at_both_ends() -> None:
    always = calendar("00:00-24:00", weekend=hours("00:00-24:00"))
    begin, end = at("2026-12-30T10:00:00"), at("2027-01-02T11:00:00")
    assert list(intervals(always, begin, end)) == [(begin, end)]
    assert list(intervals(None, begin, end)) == [(begin, end)]
    assert list(intervals(LUNCH, at("2026-03-02T10:00:00"), at("2026-03-02T14:00:00"))) == [
        (at("2026-03-02T10:00:00"), at("2026-03-02T12:30:00")),
        (at("2026-03-02T13:15:00"), at("2026-03-02T14:00:00")),
    ]
    assert list(intervals(OFFICE, end, begin)) == []


def test_an_hour_that_is_shown_twice_opens_once() -> None:
    twice = calendar("03:30-03:45", zone="Europe/Bucharest", weekend=hours("03:30-03:45"))
    day = at("2026-10-25T00:00:00", "Europe/Bucharest")
    assert list(intervals(twice, day, day + timedelta(days=1))) == [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 45, tzinfo=UTC))
    ]


def test_a_date_that_a_zone_never_had_is_never_open() -> None:
    apia = calendar("09:00-17:00", zone="Pacific/Apia")
    assert elapsed(apia, at("2011-12-29T17:00:00", "Pacific/Apia"), at("2011-12-31T00:00:00", "Pacific/Apia")) == 0 * MINUTE


def test_a_zone_that_changes_at_midnight_has_no_hole() -> None:
    beirut = calendar("00:00-24:00", zone="Asia/Beirut", weekend=hours("00:00-24:00"))
    for day in ("2026-03-28", "2026-10-24"):
        begin = at(f"{day}T00:00:00", "Asia/Beirut")
        assert elapsed(beirut, begin, begin.astimezone(UTC) + timedelta(days=3)) == timedelta(days=3)


def test_a_microsecond_is_counted() -> None:
    start = at("2026-03-02T16:59:59.999999")
    assert deadline(OFFICE, start, timedelta(microseconds=2)) == at("2026-03-03T09:00:00.000001")
    assert elapsed(OFFICE, start, at("2026-03-03T09:00:00.000001")) == timedelta(microseconds=2)


def test_elapsed_backwards_is_negative() -> None:
    assert elapsed(OFFICE, at("2027-03-02T10:00:00"), at("2026-03-02T10:00:00")) < timedelta(0)
    assert elapsed(OFFICE, at("2026-03-03T10:00:00"), at("2026-03-02T16:00:00")) == -120 * MINUTE
    assert elapsed(None, at("2026-03-02T10:00:00"), at("2026-03-02T09:00:00")) == -60 * MINUTE


def test_a_deadline_of_no_time_is_the_start_even_when_closed() -> None:
    assert deadline(OFFICE, at("2026-03-07T12:00:00"), timedelta(0)) == at("2026-03-07T12:00:00")


def test_a_negative_duration_and_a_time_without_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        deadline(OFFICE, at("2026-03-02T10:00:00"), -MINUTE)
    naive = datetime(2026, 3, 2, 10)  # noqa: DTZ001 - that is what is refused
    for ask in (lambda: deadline(None, naive, MINUTE), lambda: elapsed(OFFICE, naive, at("2026-03-02T10:00:00"))):
        with pytest.raises(ValueError, match="zone"):
            ask()
    with pytest.raises(ValueError, match="1900"):
        elapsed(OFFICE, at("1800-03-02T10:00:00"), at("2026-03-02T10:00:00"))


WRONG: list[tuple[str, Callable[[], CalendarConfigured]]] = [
    ("weekly", calendar),
    ("weekly", lambda: calendar(dates=(DatedHours(on=date(2026, 3, 2)),))),
    ("zone", lambda: calendar("09:00-17:00", zone="Europe/Atlantis")),
    ("zone", lambda: calendar("09:00-17:00", zone="../../etc/passwd")),
    ("zone", lambda: calendar("09:00-17:00", zone="")),
    ("holidays_of[0]", lambda: calendar("09:00-17:00", holidays_of=("XX",))),
    ("holidays_of[1]", lambda: calendar("09:00-17:00", holidays_of=("RO", "US-QQ"))),
    ("weekly[0][0].opens", lambda: calendar("9:00 -17:00")),
    ("weekly[0][0].opens", lambda: calendar("24:00-17:00")),
    ("weekly[0][1].closes", lambda: calendar("09:00-12:00", "13:00-25:00")),
    ("weekly[0][0].closes", lambda: calendar("09:00-09:00")),
    ("weekly[0]", lambda: calendar("09:00-13:00", "12:00-17:00")),
    ("weekly[0]", lambda: calendar("20:00-06:00", "22:00-23:00")),
    (
        "dates[0].hours[0].closes",
        lambda: calendar(dates=(DatedHours(on=date(2026, 3, 2), hours=hours("09:00-xx:00")),)),
    ),
    ("dates[1].on", lambda: calendar("09:00-17:00", dates=(DatedHours(on=date(2026, 3, 2)),) * 2)),
]


@pytest.mark.parametrize(("path", "make"), WRONG)
def test_a_calendar_that_cannot_be_counted_with_is_refused_with_its_place(
    path: str, make: Callable[[], CalendarConfigured]
) -> None:
    wrong = make()
    with pytest.raises(WrongCalendar) as refused:
        check(wrong)
    assert refused.value.path == path
    assert refused.value.reason
    with pytest.raises(WrongCalendar):
        elapsed(wrong, at("2026-03-02T10:00:00"), at("2026-03-02T11:00:00"))


def test_a_night_shift_that_wraps_into_the_next_days_morning_hours_is_one_opening() -> None:
    both = calendar("05:00-12:00", "22:00-05:30")
    check(both)
    assert list(intervals(both, at("2026-03-02T20:00:00"), at("2026-03-03T13:00:00"))) == [
        (at("2026-03-02T22:00:00"), at("2026-03-03T12:00:00"))
    ]


def test_a_calendar_that_never_opens_again_has_no_deadline() -> None:
    once = calendar(dates=(DatedHours(on=date(2026, 3, 2), hours=hours("09:00-10:00")),))
    assert deadline(once, at("2026-03-01T00:00:00"), 60 * MINUTE) == at("2026-03-02T10:00:00")
    with pytest.raises(WrongCalendar, match="weekly"):
        deadline(once, at("2026-03-01T00:00:00"), 61 * MINUTE)


def test_hours_that_lie_inside_a_night_shift_end_nothing() -> None:
    both = calendar("01:00-02:00", "22:00-06:00")
    assert list(intervals(both, at("2026-03-02T20:00:00"), at("2026-03-03T13:00:00"))) == [
        (at("2026-03-02T22:00:00"), at("2026-03-03T06:00:00"))
    ]
