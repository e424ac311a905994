"""Who gets what."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.agents import Agent, abilities, eligible, has_room, load, needs, units_of
from services.routing.domain.match import Pair, match, place_in_line
from services.routing.domain.work import Passed, Work
from shared.events.base import Channel
from shared.events.config import QueueConfigured, Strategy
from shared.events.people import AgentState
from tests.unit.routing.story import a_queue, an_agent, at, busy, waiting

NOW = at(600)


def pairs(works: Sequence[Work], agents: Sequence[Agent], *queues: QueueConfigured) -> list[tuple[str, str]]:
    known = {queue.id: queue for queue in queues or (a_queue(),)}
    return [(pair.ticket_id, pair.agent_id) for pair in match(works, agents, known, NOW)]


def passed_by(work: Work, agent_id: str, until: float) -> Work:
    assert work.visit is not None
    visit = msgspec.structs.replace(work.visit, passed=(Passed(agent_id, at(until)),))
    return msgspec.structs.replace(work, visit=visit)


def test_the_longest_idle_agent_gets_the_ticket() -> None:
    agents = [an_agent("noa", idle_since=at(30)), an_agent("dana", idle_since=at(10)), an_agent("omar", idle_since=at(20))]
    assert pairs([waiting()], agents) == [("t-1", "dana")]


def test_the_higher_priority_goes_first_then_the_older() -> None:
    works = [
        waiting("young", time=at(9)),
        waiting("old", time=at(1)),
        waiting("urgent", priority=4, time=at(10)),
    ]
    agents = [an_agent("dana", idle_since=at(1)), an_agent("noa", idle_since=at(2))]
    assert pairs(works, agents) == [("urgent", "dana"), ("old", "noa"), ("young", "dana")]


def test_tickets_that_come_together_are_spread_over_the_agents() -> None:
    works = [waiting(f"t-{n}", time=at(n)) for n in range(4)]
    agents = [an_agent("dana", idle_since=at(1)), an_agent("noa", idle_since=at(2))]
    assert [agent for _, agent in pairs(works, agents)] == ["dana", "noa", "dana", "noa"]


def test_nobody_is_offered_more_than_there_is_room_for() -> None:
    works = [waiting(f"t-{n}") for n in range(9)]
    assert len(pairs(works, [an_agent(capacity_units=7)])) == 3


def test_nobody_gets_two_callers_at_once() -> None:
    works = [waiting(f"t-{n}", channel="phone") for n in range(2)]
    assert len(pairs(works, [an_agent(capacity_units=100)])) == 1
    assert len(pairs(works, [an_agent(capacity_units=100, channel_limits={"phone": 2})])) == 2


def test_a_capacity_smaller_than_what_a_call_takes_still_takes_one_call() -> None:
    assert pairs([waiting(channel="phone")], [an_agent(capacity_units=3)]) == [("t-1", "dana")]
    assert pairs([waiting(channel="phone")], [busy(an_agent(capacity_units=3), 1)]) == []


def test_team_skill_level_language_and_partner_are_required() -> None:
    queue = a_queue(team_ids=("hebrew",), required_skills={"billing": 3}, skill_by_language=True, partner_id="northern")
    fit = an_agent("dana", team_ids=("hebrew",), skills={"billing": 3}, languages=("he",), partner_id="northern")
    work = waiting(queue=queue, language="he")
    unfit = [
        msgspec.structs.replace(fit, id=f"no-{field}", profile=msgspec.structs.replace(fit.profile, **{field: value}))
        for field, value in {
            "team_ids": ("sales",),
            "skills": {"billing": 2},
            "languages": ("en",),
            "partner_id": None,
            "active": False,
        }.items()
    ]
    assert pairs([work], unfit, queue) == []
    assert pairs([work], [*unfit, fit], queue) == [("t-1", "dana")]


def test_a_language_that_nobody_who_serves_the_queue_speaks_is_asked_of_nobody() -> None:
    queue = a_queue(skill_by_language=True, required_skills={"billing": 3})
    agents = [an_agent("dana", skills={"billing": 3}, languages=("he",)), an_agent("noa", languages=("de",))]
    work = waiting(queue=queue, language="de")
    queues = {queue.id: queue}
    assert match([work], agents, queues, NOW) == []
    assert match([work], agents, queues, NOW, {("another", "de"), (queue.id, "fr")}) == []
    assert match([work], agents, queues, NOW, {(queue.id, "de")}) == [Pair("t-1", "dana")]


def test_only_the_available_are_asked() -> None:
    states: tuple[AgentState, ...] = ("offline", "break", "wrap_up", "missed")
    assert pairs([waiting()], [an_agent(state, state=state) for state in states]) == []


def test_who_let_it_go_is_not_asked_again_until_the_back_off_is_over() -> None:
    agents = [an_agent("dana", idle_since=at(1)), an_agent("noa", idle_since=at(2))]
    assert pairs([passed_by(waiting(), "dana", 601)], agents) == [("t-1", "noa")]
    assert pairs([passed_by(waiting(), "dana", 601)], agents[:1]) == []
    assert pairs([passed_by(waiting(), "dana", 600)], agents) == [("t-1", "dana")]


def test_a_ticket_that_comes_back_goes_to_the_one_who_had_it_last_when_there_is_room() -> None:
    agents = [an_agent("dana", idle_since=at(1)), an_agent("noa", idle_since=at(2))]
    work = waiting(preferred="noa")
    assert pairs([work], agents) == [("t-1", "noa")]
    assert pairs([work], [agents[0], busy(agents[1], 9)]) == [("t-1", "dana")]


CHANNELS: tuple[Channel, ...] = ("email", "phone", "chat", "sms")
TEAMS = ("a", "b", "c")
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Work], list[Agent], dict[str, QueueConfigured]]:
    queues = {
        f"q{n}": msgspec.structs.replace(
            a_queue(f"q{n}", position=n, team_ids=tuple(draw(st.sets(st.sampled_from(TEAMS), max_size=2)))),
            strategy=draw(st.sampled_from(STRATEGIES)),
            ageing_seconds=draw(st.sampled_from((None, 20))),
        )
        for n in range(draw(st.integers(1, 3)))
    }
    works = [
        waiting(
            f"t-{n}",
            queue=queues[draw(st.sampled_from(sorted(queues)))],
            channel=draw(st.sampled_from(CHANNELS)),
            priority=draw(st.sampled_from((1, 2, 3, 4))),
            time=at(draw(st.integers(0, 50))),
        )
        for n in range(draw(st.integers(0, 12)))
    ]
    agents = [
        an_agent(
            f"a-{n}",
            team_ids=tuple(draw(st.sets(st.sampled_from(TEAMS)))),
            capacity_units=draw(st.integers(0, 12)),
            idle_since=at(draw(st.integers(0, 5))),
        )
        for n in range(draw(st.integers(0, 6)))
    ]
    return works, agents, queues


SKILLS = st.dictionaries(st.sampled_from(("billing", "cards")), st.integers(1, 10))
PARTNERS = st.sampled_from((None, "northern", "southern"))


@given(SKILLS, SKILLS, st.sets(st.sampled_from(("he", "ro"))), st.sampled_from(("he", "ro", "und")), st.booleans(), PARTNERS)
def test_needs_are_just_what_makes_a_member_of_the_team_eligible(
    skills: dict[str, int], required: dict[str, int], spoken: set[str], language: str, counts: bool, partner: str | None
) -> None:
    queue = a_queue(required_skills=required, skill_by_language=counts, partner_id=partner)
    agent = an_agent("dana", skills=skills, languages=tuple(spoken), partner_id=partner)
    assert eligible(agent, queue, language) == (set(needs(queue, language)) <= abilities(agent.profile))


@given(PARTNERS, PARTNERS)
def test_the_agents_of_one_partner_lack_what_the_queue_of_another_needs(ours: str | None, theirs: str | None) -> None:
    able = set(needs(a_queue(partner_id=theirs), "en")) <= abilities(an_agent("dana", partner_id=ours).profile)
    assert able == (theirs in (None, ours))


@given(worlds())
def test_no_pass_breaks_a_rule_or_leaves_a_ticket_waiting_that_could_be_served(
    world: tuple[list[Work], list[Agent], dict[str, QueueConfigured]],
) -> None:
    works, agents, queues = world
    offered = {pair.ticket_id: pair.agent_id for pair in match(works, agents, queues, NOW)}
    loads = slow_loads(works, agents, queues, offered)
    for work in works:
        assert work.visit is not None
        queue = queues[work.visit.queue_id]
        free = [agent for agent in loads.values() if eligible(agent, queue, "en") and has_room(agent, work.channel)]
        assert work.id in offered or not free


def slow_loads(
    works: Sequence[Work], agents: Sequence[Agent], queues: dict[str, QueueConfigured], offered: dict[str, str]
) -> dict[str, Agent]:
    """The agents after all offers, counted by hand; refuses an offer to somebody who may not or cannot take it."""
    loads = {agent.id: agent for agent in agents}
    for work in sorted(works, key=place_in_line):
        if work.id not in offered:
            continue
        assert work.visit is not None
        agent = loads[offered[work.id]]
        assert eligible(agent, queues[work.visit.queue_id], "en")
        assert has_room(agent, work.channel)
        loads[agent.id] = load(agent, work.channel, units_of(work.channel, agent), NOW)
    return loads


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_read_changes_nothing(
    world: tuple[list[Work], list[Agent], dict[str, QueueConfigured]], shuffler: Random
) -> None:
    works, agents, queues = world
    before = match(works, agents, queues, NOW)
    shuffler.shuffle(works)
    shuffler.shuffle(agents)
    assert match(works, agents, queues, NOW) == before
