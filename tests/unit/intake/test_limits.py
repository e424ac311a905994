"""How a minute is given away: so much and no more, in parts, and anew when it is over."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.limits import MINUTE, Given, Minute, free_of, give

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
OVER, RUNNING = NOW, NOW + timedelta(seconds=20)  # ends of minutes


@pytest.mark.parametrize(
    ("ends_at", "before", "needed", "per_minute", "count", "lasts_seconds"),
    [
        (OVER, 0, 1, 5, 1, 60),  # the first begins a minute
        (OVER, 99, 1, 5, 1, 60),  # what was before it does not count
        (RUNNING, 4, 1, 5, 1, 20),  # the last one
        (RUNNING, 5, 1, 5, 0, 20),  # one too many
        (RUNNING, 9, 1, 5, 0, 20),  # the limit was higher before
        (OVER, 0, 1, 100, 5, 60),  # more than is needed, because the next will be asked for soon
        (RUNNING, 97, 1, 100, 3, 20),  # of that only what is left
        (OVER, 0, 7, 100, 7, 60),
        (RUNNING, 4, 6, 5, 6, 80),  # a list that is too long by five of five in a minute: a minute longer
        (OVER, 0, 500, 100, 500, 300),
    ],
)
def test_what_is_given_and_until_when(
    ends_at: datetime, before: int, needed: int, per_minute: int, count: int, lasts_seconds: int
) -> None:
    kept = 0 if ends_at == OVER else before
    expected = Given(Minute(NOW + timedelta(seconds=lasts_seconds), kept + count), count)
    assert give(Minute(ends_at, before), needed, per_minute, NOW) == expected


@given(
    per_minute=st.integers(1, 300),
    asked=st.lists(st.tuples(st.integers(1, 3), st.floats(0, 30)), max_size=60),
)
def test_never_more_than_the_limit_comes_in_a_minute_but_for_what_the_last_needed(
    per_minute: int, asked: list[tuple[int, float]]
) -> None:
    minute, now, begun, came = Minute(NOW, 0), NOW, NOW, 0
    for needed, seconds in asked:
        now += timedelta(seconds=seconds)
        if now >= minute.ends_at:
            begun, came = now, 0
        minute, count = give(minute, needed, per_minute, now)
        came += count
        assert came == minute.given
        assert count in (0, *range(needed, max(needed, per_minute // 20) + 1))
        assert came < per_minute + 3
        assert minute.ends_at - begun >= max(MINUTE, MINUTE * came / per_minute) - timedelta(microseconds=100)


@pytest.mark.parametrize(("per_minute", "free"), [(1, 0), (10, 0), (20, 1), (120, 6), (1000, 50)])
def test_what_a_process_lets_in_without_asking_is_a_twentieth(per_minute: int, free: int) -> None:
    assert free_of(per_minute) == free
