"""Arrivals, handling and pace: drawn by the seed, and with the shape that was asked for."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from random import Random

import pytest

from simulator.arrivals import WORKING_DAY, Always, Draw, Exponential, Lognormal, Profile, arrivals, paced

CONTACTS = 20_000


def test_a_day_brings_about_so_many_and_each_hour_its_share() -> None:
    seconds = list(arrivals(Random("day"), Profile.of(CONTACTS)))
    assert len(seconds) == pytest.approx(CONTACTS, abs=4 * CONTACTS**0.5)
    assert all(earlier <= later for earlier, later in pairwise(seconds))
    hours = Counter(int(second // 3600) for second in seconds)
    for hour, part in enumerate(WORKING_DAY):
        expected = CONTACTS * part / sum(WORKING_DAY)
        assert hours[hour] == pytest.approx(expected, abs=4.5 * max(expected, 1) ** 0.5)


def test_between_two_arrivals_of_a_steady_stream_the_time_is_exponential() -> None:
    seconds = list(islice(arrivals(Random("steady"), Profile((0.5,))), CONTACTS))
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(2.0, rel=0.03)
    assert variance == pytest.approx(4.0, rel=0.08)


def test_where_nobody_comes_nobody_comes() -> None:
    assert list(arrivals(Random(1), Profile((0.0, 0.0), 60.0))) == []
    assert all(60 <= second < 120 for second in arrivals(Random(1), Profile((0.0, 5.0, 0.0), 60.0)))


@pytest.mark.parametrize(("draw", "spread"), [(Lognormal(300.0, 1.2), 1.2), (Exponential(300.0), 1.0), (Always(300.0), 0.0)])
def test_handling_has_the_mean_and_the_spread_that_was_asked_for(draw: Draw, spread: float) -> None:
    random = Random("handling")
    values = [draw.draw(random) for _ in range(CONTACTS)]
    mean = sum(values) / CONTACTS
    deviation = (sum((value - mean) ** 2 for value in values) / CONTACTS) ** 0.5
    assert mean == pytest.approx(300.0, rel=0.04)
    assert deviation / mean == pytest.approx(spread, rel=0.15, abs=1e-9)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    first, again, other = (list(arrivals(Random(seed), Profile.of(200))) for seed in ("a", "a", "b"))
    assert first == again
    assert first != other


def test_a_run_is_even_unless_it_is_to_be_a_day() -> None:
    assert list(islice(paced(Random(1), 4, 2.0), 4)) == [0.0, 0.5, 1.0, 1.5]
    times = list(islice(paced(Random(1), 1_000, 20.0, day_seconds=60.0), 1_200))
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert times[-1] == 60.0
    morning = sum(second < 60.0 * 6 / 24 for second in times)
    midday = sum(60.0 * 9 / 24 <= second < 60.0 * 15 / 24 for second in times)
    assert morning < 50 < 400 < midday
