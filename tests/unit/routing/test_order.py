"""In which order tickets that wait are offered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.lifecycle import settle
from services.routing.domain.match import match, place_in_line
from services.routing.domain.order import NORMAL, Worth, rank
from services.routing.domain.work import Work
from shared.events.base import Priority
from shared.events.config import QueueConfigured
from tests.unit.routing.story import START, a_queue, an_agent, at, turn, waiting

PRIORITIES: tuple[Priority, ...] = get_args(Priority)
HIGHEST, LOWEST = max(PRIORITIES), min(PRIORITIES)
SECONDS = st.integers(0, 10_000_000)
PRIORITY = st.sampled_from(PRIORITIES)
WORTHS = st.builds(Worth, st.one_of(st.integers(1, 100_000), st.just(Worth().priority_seconds)), st.integers(0, 100_000))


def a_queue_that_ages(seconds: int | None, vip_bonus_seconds: int = 0) -> QueueConfigured:
    return msgspec.structs.replace(a_queue(), ageing_seconds=seconds, vip_bonus_seconds=vip_bonus_seconds)


def order(works: Sequence[Work]) -> list[str]:
    return [work.id for work in sorted(works, key=place_in_line)]


@given(PRIORITY, st.booleans(), WORTHS, SECONDS, SECONDS)
def test_of_two_of_the_same_priority_the_older_is_always_first(
    priority: Priority, vip: bool, worth: Worth, one: int, other: int
) -> None:
    ranks = rank(at(one), priority, vip, worth), rank(at(other), priority, vip, worth)
    assert (ranks[0] < ranks[1]) == (one < other)
    assert (ranks[0] == ranks[1]) == (one == other)


@given(st.booleans(), WORTHS, SECONDS, PRIORITY, PRIORITY)
def test_of_two_of_the_same_age_the_higher_priority_is_always_first(
    vip: bool, worth: Worth, age: int, one: Priority, other: Priority
) -> None:
    assert (rank(at(age), one, vip, worth) < rank(at(age), other, vip, worth)) == (one > other)


@given(st.integers(1, 100_000), st.integers(0, 100_000), PRIORITY, PRIORITY, st.booleans(), st.booleans(), SECONDS, SECONDS)
def test_nobody_is_overtaken_by_who_came_later_than_the_steps_between_them_are_worth(
    ageing: int, bonus: int, one: Priority, other: Priority, one_vip: bool, other_vip: bool, came: int, later: int
) -> None:
    worth = Worth(ageing, bonus)
    overtaken = rank(at(came + later), other, other_vip, worth) < rank(at(came), one, one_vip, worth)
    assert not overtaken or later < (HIGHEST - LOWEST) * ageing + bonus


@given(st.integers(1, 9999), st.integers(1, 9999), PRIORITY, PRIORITY, SECONDS, SECONDS, SECONDS)
def test_a_promise_overtakes_nobody_who_came_earlier_than_its_lead(
    ageing: int, lead: int, one: Priority, other: Priority, came: int, later: int, promised: int
) -> None:
    worth = Worth(ageing)
    pressing = rank(at(came + later), other, False, worth, due_from=at(came + later + promised - lead))
    overtaken = pressing < rank(at(came), one, False, worth)
    assert not overtaken or later < max((HIGHEST - LOWEST) * ageing, lead + ageing)


@given(PRIORITY, WORTHS, SECONDS, SECONDS)
def test_a_promise_brings_a_ticket_forward_and_never_back(priority: Priority, worth: Worth, came: int, due_from: int) -> None:
    pressing, plain = rank(at(came), priority, False, worth, at(due_from)), rank(at(came), priority, False, worth)
    assert pressing == min(plain, rank(at(due_from), NORMAL, False, worth))


@given(PRIORITY, PRIORITY, SECONDS, SECONDS)
def test_where_no_wait_is_worth_a_step_priority_is_strict(one: Priority, other: Priority, came: int, later: int) -> None:
    higher = rank(at(came), one, False, Worth()) < rank(at(later), other, False, Worth())
    assert higher == ((-one, came) < (-other, later))


@given(st.integers(1, 50_000), st.integers(1, 50_000), st.booleans(), SECONDS, SECONDS)
def test_normal_tickets_of_all_queues_stand_by_their_age(one: int, other: int, strict: bool, came: int, later: int) -> None:
    worth = Worth() if strict else Worth(other)
    ranks = rank(at(came), NORMAL, False, Worth(one)), rank(at(later), NORMAL, False, worth)
    assert (ranks[0] < ranks[1]) == (came < later)


@given(st.lists(st.tuples(PRIORITY, st.booleans(), st.integers(0, 500)), max_size=8), st.integers(1, 200), SECONDS)
def test_while_time_passes_nobody_s_place_gets_worse(came: list[tuple[Priority, bool, int]], ageing: int, passes: int) -> None:
    queue = a_queue_that_ages(ageing, 60)
    works = [
        waiting(f"t-{n}", queue=queue, priority=priority, vip=vip, time=at(seconds))
        for n, (priority, vip, seconds) in enumerate(came)
    ]
    agents = [an_agent(capacity_units=100)]
    offered = [
        [pair.ticket_id for pair in match(works, agents, {queue.id: queue}, at(seconds))] for seconds in (500, 500 + passes)
    ]
    assert offered[0] == offered[1] == order(works)


def test_the_lowest_priority_is_served_within_a_bounded_time_however_many_urgent_ones_come() -> None:
    queue = a_queue_that_ages(10)
    line = [waiting("lowest", queue=queue, priority=LOWEST, time=START)]
    served = []
    for second in range(1, 100):
        came = [waiting(f"urgent-{second}-{n}", queue=queue, priority=HIGHEST, time=at(second)) for n in (1, 2)]
        line = [*line, *came]
        pair = match(line, [an_agent(capacity_units=2)], {queue.id: queue}, at(second))[0]
        served.append(pair.ticket_id)
        line = [work for work in line if work.id != pair.ticket_id]
    before = served[: served.index("lowest")]
    assert {int(name.split("-")[1]) for name in before} <= set(range(1, 30)), "nobody who came three steps later or more"
    assert len(before) == 2 * 29


def test_a_vip_counts_as_having_waited_longer_and_no_more() -> None:
    queue = a_queue_that_ages(None, vip_bonus_seconds=60)
    works = [
        waiting("before the bonus", queue=queue, time=at(0)),
        waiting("within the bonus", queue=queue, time=at(50)),
        waiting("vip", queue=queue, vip=True, time=at(100)),
        waiting("higher", queue=queue, priority=3, time=at(200)),
    ]
    assert order(works) == ["higher", "before the bonus", "vip", "within the bonus"]


def test_a_ticket_that_waits_when_its_queue_begins_to_age_stands_where_the_queue_says() -> None:
    before = a_queue()
    old, urgent = waiting("old", time=at(0)), waiting("urgent", priority=4, time=at(100))
    assert order([old, urgent]) == ["urgent", "old"]
    ageing = msgspec.structs.replace(before, version=2, ageing_seconds=30)
    filed = []
    for work in (old, urgent):
        deciding = turn(work, now=at(200))
        settle(deciding, [ageing])
        assert deciding.drafts == []
        filed.append(deciding.work)
    assert order(filed) == ["old", "urgent"]
    assert [work.visit.filed_under for work in filed if work.visit] == [2, 2]


def test_where_promises_count_a_ticket_is_filed_once_more_with_what_is_promised() -> None:
    queue = msgspec.structs.replace(a_queue(), due_lead_seconds=600)
    works = [waiting("older", queue=queue, time=at(0)), waiting("promised", queue=queue, time=at(100))]
    assert [work.visit.filed_under for work in works if work.visit] == [-1, -1]
    deadlines = {"promised": at(500)}
    filed = []
    for work in works:
        deciding = turn(work, now=at(200))
        settle(deciding, [queue], deadlines.get(work.id))
        filed.append(deciding.work)
    assert order(filed) == ["promised", "older"]
    assert [work.visit.filed_under for work in filed if work.visit] == [1, 1]
    kept = turn(filed[1], now=at(300))
    settle(kept, [queue], None)
    assert order([filed[0], kept.work]) == ["older", "promised"], "a promise that was kept presses no more"
