"""Estimates of waits: what other systems would say of the same, when nothing can be said, and what estimates were worth."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain import estimates
from services.routing.domain.estimates import ESTIMATORS, FEWEST_HANDLED, Estimate, Place, Queue, Seen, Silence
from services.routing.domain.scores import Score, score
from shared.events.config import EstimatorName
from tests.unit.routing.story import a_queue, at, waiting

NOW = at(10_000)


def seen(waits: Sequence[tuple[float, float]] = (), handled: Sequence[float] = (), left: Sequence[float] = ()) -> Seen:
    """After starts (seconds ago, wait) in that order, handled tickets, and those who left after so long."""
    state = Seen()
    for ago, waited in waits:
        state = estimates.started(state, waited, at(10_000 - ago))
    for seconds in handled:
        state = estimates.handled(state, seconds)
    for waited in left:
        state = estimates.abandoned(state, waited)
    return state


def said(name: EstimatorName, state: Seen, queue: Queue | None = None, place: Place | None = None) -> Estimate:
    return ESTIMATORS[name](state, queue or Queue(servers=1), place or Place(), NOW)


def test_the_last_ten_are_weighted_from_ten_for_the_newest_to_one() -> None:
    a, b, c = 30.0, 60.0, 240.0
    three = seen([(90, c), (60, b), (30, a)])
    assert said("weighted_last_ten", three).seconds == pytest.approx((10 * a + 9 * b + 8 * c) / 27)
    twelve = seen([(120 - n, float(n)) for n in range(12)])
    weighted = sum(weight * waited for weight, waited in zip(range(10, 0, -1), range(11, 1, -1), strict=True))
    assert said("weighted_last_ten", twelve).seconds == pytest.approx(weighted / 55)


def test_what_began_more_than_ten_minutes_ago_says_nothing_about_now() -> None:
    state = seen([(601, 500.0), (599, 20.0)])
    assert said("weighted_last_ten", state).seconds == pytest.approx(20.0)
    assert said("weighted_last_ten", seen([(601, 500.0)])).silence == "nothing_started_lately"


def test_the_running_mean_is_nine_tenths_of_what_it_was_less_what_was_waited_already() -> None:
    state = seen([(60, 100.0), (30, 40.0)])
    assert said("running_mean", state).seconds == pytest.approx(0.9 * 100 + 0.1 * 40)
    assert said("running_mean", state, place=Place(0, 60.0)).seconds == pytest.approx(34.0)
    assert said("running_mean", state, place=Place(0, 100.0)).seconds == 0.0


def test_the_handling_of_those_ahead_is_shared_among_the_agents() -> None:
    state = seen(handled=[180.0])
    assert said("handling_ahead", state, Queue(servers=6, free=2), Place(8)).seconds == pytest.approx(180.0)
    assert said("handling_ahead", state, Queue(servers=6, free=9), Place(8)).seconds == 0.0


def test_a_place_in_the_line_costs_the_time_until_an_agent_is_free_or_somebody_ahead_leaves() -> None:
    state = seen(handled=[60.0] * FEWEST_HANDLED)
    assert said("queue_length", state, Queue(servers=3), Place(2)).seconds == pytest.approx(3 * 20)
    # Two waits of 100 seconds, one of them given up: a patience of 200 seconds.
    impatient = seen([(60, 100.0)], [60.0] * FEWEST_HANDLED, left=[100.0])
    assert impatient.patience_seconds == pytest.approx(200.0)
    expected = sum(1 / (3 / 60 + ahead / 200) for ahead in range(3))
    assert said("queue_length", impatient, Queue(servers=3), Place(2)).seconds == pytest.approx(expected)


def test_the_head_of_the_line_and_the_last_one_tell_how_long_it_takes_now() -> None:
    queue = Queue(servers=2, oldest_waits_seconds=90.0)
    assert said("head_of_line", Seen(), queue, Place(3)).seconds == 90.0
    assert said("head_of_line", Seen(), queue, Place(3, 70.0)).seconds == pytest.approx(20.0)
    assert said("last_started", seen([(60, 50.0), (5, 70.0)])).seconds == 70.0


SILENT: list[tuple[EstimatorName, Seen, Queue, Silence]] = [
    ("head_of_line", Seen(), Queue(servers=1), "nobody_ahead"),
    ("last_started", Seen(), Queue(servers=1), "nothing_started"),
    ("queue_length", seen(handled=[60.0] * 30), Queue(servers=0), "nobody_serves"),
    ("queue_length", seen(handled=[60.0] * 29), Queue(servers=1), "too_few_handled"),
    ("weighted_last_ten", Seen(), Queue(servers=1), "nothing_started"),
    ("running_mean", Seen(), Queue(servers=1), "nothing_started"),
    ("handling_ahead", seen(handled=[60.0]), Queue(servers=0), "nobody_serves"),
    ("handling_ahead", Seen(), Queue(servers=1), "too_few_handled"),
]


@pytest.mark.parametrize(("name", "state", "queue", "why"), SILENT)
def test_who_cannot_say_says_why(name: EstimatorName, state: Seen, queue: Queue, why: Silence) -> None:
    estimate = said(name, state, queue)
    assert (estimate.seconds, estimate.silence) == (None, why)


WAITS = st.floats(0, 5_000)


@given(
    st.lists(st.tuples(st.floats(0, 900), WAITS), max_size=15),
    st.lists(st.floats(1, 5_000), max_size=40),
    st.lists(WAITS, max_size=5),
    st.integers(0, 20),
    st.integers(0, 50),
    WAITS,
)
def test_every_estimator_gives_seconds_between_its_bounds_or_a_reason(
    waits: list[tuple[float, float]], handling: list[float], left: list[float], servers: int, ahead: int, waited: float
) -> None:
    state, queue = seen(waits, handling, left), Queue(servers=servers, oldest_waits_seconds=waited)
    for name, estimate in ((name, said(name, state, queue, Place(ahead, waited))) for name in ESTIMATORS):
        assert estimate.estimator == name
        assert (estimate.seconds is None) == (estimate.silence is not None)
        if estimate.seconds is not None:
            assert estimate.seconds >= 0
        if estimate.least_seconds is not None and estimate.most_seconds is not None and estimate.seconds is not None:
            assert 0 <= estimate.least_seconds <= estimate.seconds <= estimate.most_seconds


def test_the_place_counts_those_in_the_same_queue_who_come_first() -> None:
    billing, sales = a_queue("billing"), a_queue("sales")
    line = [
        waiting("young", queue=billing, time=at(30)),
        waiting("old", queue=billing, time=at(10)),
        waiting("urgent", queue=billing, priority=4, time=at(40)),
        waiting("elsewhere", queue=sales, time=at(1)),
    ]
    assert [estimates.position(line, name) for name in ("urgent", "old", "young", "elsewhere")] == [1, 2, 3, 1]
    assert estimates.position(line, "gone") is None


def test_a_score_holds_estimates_against_what_happened() -> None:
    right = Estimate(estimator="queue_length", seconds=60.0, least_seconds=30.0, most_seconds=90.0)
    wrong = Estimate(estimator="queue_length", seconds=100.0, least_seconds=90.0, most_seconds=110.0)
    silent = Estimate(estimator="queue_length", silence="nobody_serves")
    told = [(right, 70.0), (wrong, 60.0), (wrong, None), (silent, 60.0)]
    total = sum((score(estimate, waited) for estimate, waited in told), start=Score())
    assert (total.scored, total.unknown, total.silent) == (2, 1, 1)
    assert total.mean_absolute_error_seconds == pytest.approx((10 + 40) / 2)
    assert total.bias_seconds == pytest.approx((-10 + 40) / 2)
    assert total.root_mean_square_error_seconds == pytest.approx(((100 + 1600) / 2) ** 0.5)
    assert total.coverage == pytest.approx(1 / 2)


def test_of_nothing_a_score_says_nothing() -> None:
    nothing = Score()
    assert nothing.mean_absolute_error_seconds is None
    assert nothing.bias_seconds is None
    assert nothing.coverage is None


@given(st.lists(st.tuples(WAITS, WAITS), min_size=1), st.integers(0, 50))
def test_scores_add_up_however_they_are_split(pairs: list[tuple[float, float]], cut: int) -> None:
    each = [score(Estimate(estimator="head_of_line", seconds=seconds), waited) for seconds, waited in pairs]
    first, second = sum(each[:cut], start=Score()), sum(each[cut:], start=Score())
    assert first + second == sum(reversed(each), start=Score())
