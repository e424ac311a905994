"""What those who wait are told: by which estimator, when again, and how it is held against what happened."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.estimates import FEWEST_HANDLED, Estimate, Place, Seen
from services.routing.domain.scores import Score, score
from services.routing.domain.waiting import (
    FEWEST_SCORED,
    UNTRIED,
    Answered,
    Ended,
    Line,
    Outcome,
    Scores,
    Standing,
    Told,
    all_said,
    newcomer,
    noticeable,
    order_of,
    saw,
    scored,
    tell,
    tellings,
)
from shared.events.config import EstimatorName
from tests.unit.routing.story import a_queue, at

BUSY = Seen(handled=FEWEST_HANDLED, handle_seconds=60.0)
LINE = Line(a_queue(), BUSY, servers=3, waiting=5, oldest_waits_seconds=90.0)


def ended(outcome: Outcome = "assigned", waited: float = 10.0, *, seconds: float = 0.0, ticket: str = "t") -> Ended:
    return Ended(ticket, "support", at(seconds), waited, outcome)


def worth(error: float, waited: float = 100.0, number: int = FEWEST_SCORED) -> Score:
    one = score(Estimate(estimator="head_of_line", seconds=waited + error), waited)
    return sum([one] * number, start=Score())


def test_a_queue_asks_the_estimator_that_it_names_and_no_other() -> None:
    assert order_of("running_mean", {"queue_length": worth(1)}) == ("running_mean",)


def test_otherwise_those_that_were_right_most_are_asked_first_and_those_that_are_not_tried_last() -> None:
    scores: dict[EstimatorName, Score] = {
        "weighted_last_ten": worth(-20),
        "queue_length": worth(10),
        "last_started": worth(1, number=FEWEST_SCORED - 1),
    }
    assert order_of(None, scores) == (
        "queue_length",
        "weighted_last_ten",
        "head_of_line",
        "last_started",
        "running_mean",
        "handling_ahead",
    )
    assert order_of(None, {}) == UNTRIED


def test_errors_count_by_the_waits_they_were_made_of() -> None:
    scores: dict[EstimatorName, Score] = {"running_mean": worth(5, waited=10), "queue_length": worth(50, waited=1000)}
    assert order_of(None, scores)[0] == "queue_length"


@given(st.dictionaries(st.sampled_from(UNTRIED), st.tuples(st.floats(-50, 50), st.integers(0, 60))))
def test_every_estimator_is_asked_once_whatever_the_scores(given_scores: dict[EstimatorName, tuple[float, int]]) -> None:
    order = order_of(None, {name: worth(error, number=number) for name, (error, number) in given_scores.items()})
    assert sorted(order) == sorted(UNTRIED)


def test_visits_count_in_the_order_in_which_they_ended() -> None:
    later, earlier = ended(waited=50, seconds=9, ticket="a"), ended(waited=20, seconds=3, ticket="b")
    seen = saw(Seen(), [later, ended("abandoned", 70, seconds=5), ended("transferred", 999), earlier], [60.0, 0.0])
    assert [start.waited_seconds for start in seen.recent] == [50, 20]
    assert (seen.ended, seen.handled) == (3, 2)
    assert seen.abandoned == pytest.approx(1 / 3)
    assert seen.handle_seconds > 0


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 500)), unique_by=lambda pair: pair[0]), st.integers(0, 20))
def test_what_is_seen_is_the_same_in_whatever_batches_it_comes(visits: list[tuple[int, float]], cut: int) -> None:
    every = sorted((ended(waited=waited, seconds=seconds) for seconds, waited in visits), key=lambda one: one.at)
    assert saw(Seen(), reversed(every)) == saw(saw(Seen(), every[:cut]), every[cut:])


def test_the_first_that_can_say_is_told_and_all_that_was_said_is_kept_once() -> None:
    front = Standing("t", "support", 1, at(0))
    saying = tell(LINE, front, at(30))
    assert saying is not None
    assert saying.first is not None
    assert saying.first["head_of_line"].silence == "nobody_ahead"
    assert (saying.told.estimator, saying.told.place) == ("queue_length", 1)
    again = tell(LINE, replace(front, place=4, told=saying.told, heard=True), at(40))
    assert again is not None
    assert again.first is None
    assert (again.told.estimator, again.told.seconds) == ("head_of_line", 50.0)


def test_where_the_named_estimator_cannot_say_nobody_says_anything() -> None:
    saying = tell(replace(LINE, order=("weighted_last_ten",)), Standing("t", "support", 2, at(0)), at(1))
    assert saying is not None
    assert (saying.told.seconds, saying.told.estimator) == (None, None)


def test_what_was_heard_and_is_no_news_is_not_said_again_and_what_was_not_heard_is() -> None:
    ticket = Standing("t", "support", 4, at(0), Told(4, 61.0, "head_of_line"), heard=True)
    assert tell(LINE, ticket, at(30)) is None
    unheard = tell(LINE, replace(ticket, heard=False), at(30))
    assert unheard is not None
    assert unheard.told == ticket.told


@pytest.mark.parametrize(
    ("before", "after", "noticed"),
    [
        (Told(3, 60.0), Told(2, 60.0), True),
        (Told(30, 60.0), Told(27, 60.0), False),
        (Told(30, 60.0), Told(26, 60.0), True),
        (Told(3, 60.0), Told(3, 54.0), False),
        (Told(3, 60.0), Told(3, 53.0), True),
        (Told(3, 10.0), Told(3, 5.1), False),
        (Told(3, None), Told(3, None), False),
        (Told(3, None), Told(3, 1.0), True),
        (Told(3, 1.0), Told(3, None), True),
    ],
)
def test_a_tenth_is_noticed(before: Told, after: Told, noticed: bool) -> None:
    assert noticeable(before, after) is noticed


@given(st.integers(1, 2000))
def test_who_moves_up_from_far_back_is_told_seldom(place: int) -> None:
    told, news = Told(place), 0
    for here in range(place - 1, 0, -1):
        if noticeable(told, Told(here)):
            told, news = Told(here), news + 1
    assert told.place == 1 or place == 1
    assert news <= 70


def test_whoever_comes_where_nobody_waits_and_somebody_is_free_waits_not_at_all() -> None:
    idle = replace(LINE, waiting=0, free=1, oldest_waits_seconds=None)
    assert newcomer(idle, at(0)) is not None
    assert newcomer(idle, at(0)).seconds == 0.0  # type: ignore[union-attr]
    busy = newcomer(replace(idle, free=0), at(0))
    assert busy is not None
    assert busy.estimator == "queue_length"
    assert busy.seconds == pytest.approx(20.0)
    assert newcomer(Line(a_queue()), at(0)) is None


def test_tickets_of_queues_that_nobody_knows_are_left_out() -> None:
    here, elsewhere = Standing("a", "support", 1, at(0)), Standing("b", "gone", 1, at(0))
    assert [one.ticket.ticket_id for one in tellings({"support": LINE}, [here, elsewhere], at(1))] == ["a"]


def test_what_was_said_is_scored_only_where_an_agent_came() -> None:
    given_then = all_said(LINE, Place(4, 0.0), at(0))
    came, left = scored(given_then, 100.0), scored(given_then, None)
    assert (came["head_of_line"].scored, came["head_of_line"].error_us) == (1, -10_000_000)
    assert (left["head_of_line"].scored, left["head_of_line"].unknown) == (0, 1)
    assert came["weighted_last_ten"].silent == left["weighted_last_ten"].silent == 1
    total = Scores()
    total.add("support", came)
    total.add("support", left)
    total.add("other", came)
    assert total.in_queue("support")["head_of_line"].unknown == 1
    assert total.in_queue("support")["weighted_last_ten"].share_silent == 1.0


@pytest.mark.parametrize(("said", "waited", "near"), [(60, 30, 1), (60, 29, 0), (500, 400, 1), (501, 400, 0), (0, 30, 1)])
def test_near_is_within_half_a_minute_or_a_quarter_of_the_wait(said: float, waited: float, near: int) -> None:
    assert score(Estimate(estimator="head_of_line", seconds=said), waited).near == near


def test_the_service_level_is_of_those_answered_and_those_who_left_late() -> None:
    # The golden vector of the variants: 1000 answered, 860 of them in time; 60 abandoned, 40 of them late.
    now = Answered()
    for waited, outcome, number in ((5, "assigned", 860), (25, "assigned", 140), (9, "abandoned", 20), (30, "abandoned", 40)):
        for _ in range(number):
            now.add(ended(outcome, waited), 20)  # type: ignore[arg-type]
    now.add(ended("transferred", 500), 20)
    assert now.share == pytest.approx(0.8269, abs=1e-4)
    assert Answered().share is None


def test_said_of_many_a_place_costs_no_more_for_each_of_them() -> None:
    """The sums are shared: of 20,000 in line, each adds one step."""
    line = replace(
        LINE, order=("queue_length",), seen=msgspec.structs.replace(BUSY, ended=10, waited_seconds=50.0, abandoned=0.5)
    )
    said = tellings(
        {"support": line}, [Standing(str(n), "support", n, at(0), Told(n), heard=True) for n in range(1, 20_001)], at(1)
    )
    assert len(said) == 20_000
    seconds = [one.told.seconds or 0.0 for one in said]
    assert seconds == sorted(seconds)
    expected = sum(1 / (3 / 60 + ahead / 100) for ahead in range(5000))
    assert seconds[4999] == pytest.approx(expected)
