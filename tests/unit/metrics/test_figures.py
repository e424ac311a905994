"""From sums to figures: periods, means, shares, levels."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.metrics.definitions import BY_ID
from services.metrics.domain.cells import EPOCH, bin_of
from services.metrics.domain.figures import Bounds, NotWholeHours, Period, Summed, TooManyPeriods, bounds, figures

JERUSALEM = ZoneInfo("Asia/Jerusalem")
VOLUME, BACKLOG, FRT, RATE = (BY_ID[name] for name in ("ticket_volume", "backlog", "first_response_time", "sla_compliance"))
HOUR = timedelta(hours=1)


def between(start: datetime, end: datetime, period: Period, zone: ZoneInfo = JERUSALEM) -> list[int]:
    """The lengths of the periods, in hours."""
    at = bounds(start, end, period, zone, VOLUME)
    return [end - start for start, end in zip(at.starts, (*at.starts[1:], at.end), strict=True)]


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 26), 24), (date(2026, 3, 27), 23), (date(2026, 10, 25), 25)],
)
def test_a_day_is_the_zones_and_has_23_or_25_hours_when_the_clock_changes(day: date, hours: int) -> None:
    start, end = (datetime.combine(one, time(), JERUSALEM) for one in (day, day + timedelta(days=1)))
    assert between(start.astimezone(UTC), end.astimezone(UTC), "day") == [hours]


def test_days_begin_at_the_zones_midnight_and_the_first_and_last_may_be_parts() -> None:
    assert between(datetime(2026, 1, 1, 20, 30, tzinfo=UTC), datetime(2026, 1, 3, 0, 10, tzinfo=UTC), "day") == [2, 24, 3]


def test_from_is_rounded_down_and_to_is_rounded_up_to_the_hour() -> None:
    start, end = datetime(2026, 1, 1, 9, 59, tzinfo=UTC), datetime(2026, 1, 1, 11, 0, 1, tzinfo=UTC)
    assert between(start, end, "hour") == [1, 1, 1]
    assert between(start, end, "total") == [3]


def test_a_zone_off_the_whole_hour_has_no_days_here() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(NotWholeHours):
        bounds(start, start + timedelta(days=2), "day", ZoneInfo("Asia/Kolkata"), VOLUME)


@pytest.mark.parametrize(("period", "days"), [("hour", 100), ("day", 3000)])
def test_more_periods_than_an_answer_may_hold_are_refused(period: Period, days: int) -> None:
    start = datetime(2016, 1, 1, tzinfo=UTC)
    with pytest.raises(TooManyPeriods):
        bounds(start, start + timedelta(days=days), period, ZoneInfo("UTC"), VOLUME)


def test_a_mean_is_the_sum_over_the_number_whatever_the_bins() -> None:
    rows = [
        Summed("first_response", 0, bin_of(10_000_000), 1, 10_000_000, ("email",)),
        Summed("first_response", 0, bin_of(50_000_000), 3, 150_000_000, ("email",)),
    ]
    (figure,) = figures(FRT, rows, Bounds((0,), 1, 0), (50, 95), grouped=True)
    assert (figure.value, figure.count, figure.group) == (40.0, 4, ("email",))
    assert figure.quantiles["p50"] == pytest.approx(50, rel=0.01)
    assert figure.quantiles["p95"] == pytest.approx(50, rel=0.01)


def test_a_share_of_nothing_is_null_and_not_zero() -> None:
    (figure,) = figures(RATE, [], Bounds((0,), 1, 0), (), grouped=False)
    assert (figure.value, figure.count, figure.out_of) == (None, 0, 0)


def test_compliance_is_kept_over_kept_and_broken() -> None:
    rows = [Summed("commitment_kept", 0, 0, 9, 0, ()), Summed("commitment_broken", 0, 0, 1, 0, ())]
    (figure,) = figures(RATE, rows, Bounds((0,), 1, 0), (), grouped=False)
    assert (figure.value, figure.count, figure.out_of) == (0.9, 9, 10)


def test_without_groups_every_period_has_its_figure_also_when_nothing_happened() -> None:
    rows = [Summed("opened", 1, 0, 2, 0, ())]
    found = figures(VOLUME, rows, Bounds((5, 6, 7), 8, 5), (), grouped=False)
    assert [figure.value for figure in found] == [0.0, 2.0, 0.0]
    assert [figure.start for figure in found] == [EPOCH + hour * HOUR for hour in (5, 6, 7)]


def test_with_groups_only_those_that_have_something_are_told() -> None:
    rows = [Summed("opened", 1, 0, 2, 0, ("sms",)), Summed("opened", 0, 0, 1, 0, ("email",))]
    found = figures(VOLUME, rows, Bounds((5, 6), 7, 5), (), grouped=True)
    assert [(figure.start, figure.group) for figure in found] == [(EPOCH + 5 * HOUR, ("email",)), (EPOCH + 6 * HOUR, ("sms",))]
    assert figures(VOLUME, [], Bounds((5,), 6, 5), (), grouped=True) == []


def test_a_level_carries_on_from_what_was_there_before_and_shows_the_resting_beside_it() -> None:
    rows = [
        Summed("backlog", -1, 0, 3, 0, ("email", "open")),
        Summed("backlog", 0, 0, -1, 0, ("email", "open")),
        Summed("backlog", 0, 0, 1, 0, ("email", "pending")),
        Summed("backlog", 1, 0, 2, 0, ("email", "new")),
    ]
    found = figures(BACKLOG, rows, Bounds((5, 6), 7, 0), (), grouped=True)
    assert [figure.count for figure in found] == [2, 4]
    assert found[1].beside == {"new": 2, "open": 2, "pending": 1}


def test_a_level_without_anything_is_zero() -> None:
    assert [figure.count for figure in figures(BACKLOG, [], Bounds((5, 6), 7, 0), (), grouped=False)] == [0, 0]
