"""Which of those who can take a ticket is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain import lifecycle, offers
from services.routing.domain.agents import NEVER_GIVEN, Agent, abilities, eligible, has_room, turn_order
from services.routing.domain.choice import counted, standing
from services.routing.domain.looking import Look
from services.routing.domain.match import Decided, Pair, match
from services.routing.domain.work import Work
from shared.events.config import QueueConfigured, Strategy
from tests.unit.routing.story import START, a_queue, an_agent, at, busy, opened, turn, waiting

NOW = at(600)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
SKILLS = st.dictionaries(st.sampled_from(("billing", "cards", "loans")), st.integers(1, 10))


def by(strategy: Strategy, **required: int) -> QueueConfigured:
    return msgspec.structs.replace(a_queue(required_skills=required), strategy=strategy)


def asked(queue: QueueConfigured, agents: Sequence[Agent], tickets: int = 1, preferred: str | None = None) -> list[str]:
    works = [waiting(f"t-{n}", queue=queue, time=at(n), preferred=preferred) for n in range(tickets)]
    return [pair.agent_id for pair in match(works, agents, {queue.id: queue}, NOW)]


def given_at(agent: Agent, when: datetime) -> Agent:
    return msgspec.structs.replace(agent, given_at=when)


def test_who_can_do_least_else_is_asked_so_that_rare_skills_stay_free() -> None:
    both = an_agent("both", idle_since=at(0), skills={"billing": 5, "cards": 5}, languages=("he",))
    one = an_agent("one", idle_since=at(50), skills={"billing": 5})
    assert asked(by("longest_idle", billing=5), [both, one]) == ["both"]
    assert asked(by("least_versatile", billing=5), [both, one]) == ["one"]


def test_the_best_skilled_is_asked_until_there_is_no_room_left() -> None:
    best = an_agent("best", idle_since=at(50), skills={"billing": 9, "cards": 1}, capacity_units=4)
    good = an_agent("good", idle_since=at(0), skills={"billing": 5, "cards": 10})
    assert asked(by("best_skill", billing=3), [best, good], tickets=3) == ["best", "best", "good"]
    assert asked(by("best_skill", billing=3, cards=1), [best, good]) == ["good"], "levels of all that is required together"


def test_who_carries_the_smallest_share_of_what_they_can_is_asked() -> None:
    half = busy(an_agent("half", idle_since=at(0), capacity_units=8), 4)
    third = busy(an_agent("third", idle_since=at(50), capacity_units=18), 6)
    assert asked(by("least_loaded"), [half, third], tickets=4) == ["third", "third", "half", "third"]


def test_who_was_given_something_longest_ago_is_asked_however_long_idle() -> None:
    first = given_at(an_agent("first", idle_since=at(500)), at(10))
    second = given_at(an_agent("second", idle_since=at(0)), at(20))
    assert asked(by("round_robin"), [first, second], tickets=2) == ["first", "second"]
    assert asked(by("longest_idle"), [first, second]) == ["second"]


def test_the_one_who_had_it_last_is_asked_first_whatever_the_strategy() -> None:
    agents = [an_agent("dana", idle_since=at(50), skills={"billing": 1, "cards": 9}), an_agent("noa", skills={"billing": 9})]
    for strategy in STRATEGIES:
        assert asked(by(strategy, billing=1), agents, preferred="dana") == ["dana"]


@pytest.mark.parametrize(("strategy", "preferred"), [("sticky", "noa"), ("longest_idle", None)])
def test_a_sticky_queue_prefers_who_served_the_customer_last(strategy: Strategy, preferred: str | None) -> None:
    placing = turn(opened())
    lifecycle.place(placing, [by(strategy)], "opened", START, None, "noa")
    assert placing.work.visit is not None
    assert placing.work.visit.preferred == preferred


@st.composite
def crews(draw: st.DrawFn) -> list[Agent]:
    return [
        msgspec.structs.replace(
            an_agent(
                f"a-{n}",
                idle_since=at(draw(st.integers(0, 3))),
                capacity_units=draw(st.integers(1, 12)),
                skills=draw(SKILLS),
                languages=tuple(draw(st.sets(st.sampled_from(("he", "ro"))))),
            ),
            used_units=draw(st.integers(0, 4)),
            given_at=at(draw(st.integers(0, 3))),
        )
        for n in range(draw(st.integers(0, 6)))
    ]


@given(crews(), st.sampled_from(STRATEGIES), SKILLS)
def test_of_those_who_can_take_it_nobody_who_stands_before_is_passed_over(
    agents: list[Agent], strategy: Strategy, required: dict[str, int]
) -> None:
    queue = by(strategy, **required)
    able = [agent for agent in agents if agent.ready and eligible(agent, queue, "en") and has_room(agent, "email")]
    turns = {agent.id: (standing(agent, queue), *turn_order(agent)) for agent in able}
    chosen = asked(queue, agents)
    assert bool(chosen) == bool(able)
    assert not chosen or turns[chosen[0]] == min(turns.values())


@given(crews(), SKILLS)
def test_whoever_has_more_of_what_is_counted_stands_before(agents: list[Agent], required: dict[str, int]) -> None:
    queue = by("best_skill", **required)
    words = set(counted(queue, "en"))
    able = [agent for agent in agents if eligible(agent, queue, "en")]
    scores = {len(words & abilities(agent.profile)) + standing(agent, queue) for agent in able}
    assert len(scores) <= 1, "the database counts the same order"


def test_an_offer_that_is_taken_back_gives_the_turn_back() -> None:
    agent = given_at(an_agent(), at(7))
    making = turn(waiting(), agent, now=NOW)
    offers.make(making, agent, a_queue())
    assert making.changed["dana"].given_at == NOW
    undoing = turn(making.work, making.changed["dana"], now=at(700))
    offers.rescind(undoing, "abandoned")
    assert (undoing.changed["dana"].given_at, undoing.changed["dana"].idle_since) == (at(7), agent.idle_since)
    assert an_agent("new").given_at == NEVER_GIVEN


def look_at(strategy: Strategy, *works: Work) -> Look:
    return Look(works, {work.id: by(strategy) for work in works})


def test_an_agent_before_whom_others_may_come_who_were_not_looked_at_settles_nothing() -> None:
    work = waiting()
    decided = Decided([Pair("t-1", "dana")])
    for strategy in STRATEGIES:
        look = look_at(strategy, work)
        look.saw({"noa", "omar"}, at_most=2)
        assert (look.unsettled(decided) == [work]) == (strategy not in ("longest_idle", "sticky"))
        look.saw({"dana"}, at_most=8)
        assert look.unsettled(decided) == []
        assert look.unsettled(Decided()) == [work]
        assert look.unsettled(Decided(kept={"t-1"})) == []


def test_where_idle_time_decides_each_ticket_is_to_have_an_agent_of_its_own() -> None:
    works = [waiting("t-1"), waiting("t-2")]
    pairs = [Pair("t-1", "dana"), Pair("t-2", "dana")]
    assert not look_at("longest_idle", *works).apart(pairs)
    assert look_at("best_skill", *works).apart(pairs)
