"""What stands between an agent and a ticket: the judgement by which tickets are matched is the one that is shown."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.agents import Agent, Profile
from services.routing.domain.match import decide
from services.routing.domain.steps import asked
from services.routing.domain.tracing import NAMED
from services.routing.domain.verdicts import Verdict, missing_skills, verdict
from services.routing.domain.work import Passed, Work
from shared.events.base import Channel
from shared.events.config import QueueConfigured, RoutingStep, Strategy
from shared.events.people import AgentState
from tests.unit.routing.story import a_queue, an_agent, at, busy, waiting

NOW = at(50)
QUEUE = a_queue(team_ids=("a",), required_skills={"billing": 3}, skill_by_language=True)
FIT = an_agent("dana", team_ids=("a",), skills={"billing": 3}, languages=("he",))


def judged(agent: Agent, work: Work, queue: QueueConfigured = QUEUE, preferred: Agent | None = None) -> Verdict:
    assert work.visit is not None
    return verdict(agent, work, work.visit, asked(queue, work, work.visit, NOW), NOW, preferred=preferred)


def with_profile(**changes: object) -> Agent:
    return msgspec.structs.replace(FIT, profile=msgspec.structs.replace(FIT.profile, **changes))


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (FIT, "fits"),
        (with_profile(active=False), "not_active"),
        (msgspec.structs.replace(FIT, state="break"), "break"),
        (msgspec.structs.replace(FIT, state="offline"), "offline"),
        (msgspec.structs.replace(FIT, state="wrap_up"), "wrap_up"),
        (msgspec.structs.replace(FIT, state="missed"), "missed"),
        (with_profile(partner_id="northern"), "other_partner"),
        (with_profile(team_ids=("b",)), "other_team"),
        (with_profile(skills={"billing": 2}), "missing_skill"),
        (with_profile(languages=("ro",)), "missing_language"),
        (busy(FIT, 9), "at_capacity"),
        (with_profile(channel_limits={"email": 0}), "channel_full"),
    ],
)
def test_the_first_thing_in_the_way_is_named(agent: Agent, expected: Verdict) -> None:
    assert judged(agent, waiting(queue=QUEUE, language="he")) == expected


def test_who_let_it_go_or_is_not_the_one_it_is_kept_for_is_told_so() -> None:
    queue = msgspec.structs.replace(QUEUE, prefer_last_agent_seconds=100)
    work = waiting(queue=queue, language="he", preferred="noa")
    noa = msgspec.structs.replace(FIT, id="noa")
    assert judged(FIT, work, queue, preferred=noa) == "kept_for_another"
    assert judged(noa, work, queue, preferred=noa) == "fits"
    assert judged(FIT, work, queue, preferred=msgspec.structs.replace(noa, state="offline")) == "fits"
    assert work.visit is not None
    visit = msgspec.structs.replace(work.visit, passed=(Passed("dana", at(51)), Passed("noa", at(51))))
    gone = msgspec.structs.replace(work, visit=visit)
    assert judged(FIT, gone, queue, preferred=noa) == "let_it_go"


def test_somebody_who_is_not_there_is_told_so_before_all_else() -> None:
    work = waiting(queue=QUEUE)
    assert work.visit is not None
    here = asked(QUEUE, work, work.visit, NOW)
    assert verdict(FIT, work, work.visit, here, NOW, present=False) == "not_present"


def test_the_levels_that_are_missing_are_told() -> None:
    assert missing_skills(with_profile(skills={"billing": 2}), QUEUE) == {"billing": 3}
    assert missing_skills(FIT, QUEUE) == {}


STATES: tuple[AgentState, ...] = get_args(AgentState)
SKILLS = st.dictionaries(st.sampled_from(("billing", "cards")), st.integers(1, 5))
TEAMS = st.sets(st.sampled_from(("a", "b"))).map(lambda teams: tuple(sorted(teams)))


@st.composite
def agents(draw: st.DrawFn) -> list[Agent]:
    return [
        Agent(
            id=f"a-{n}",
            profile=Profile(
                display_name="",
                team_ids=draw(TEAMS),
                skills=draw(SKILLS),
                languages=draw(st.sampled_from(((), ("he",)))),
                channel_limits=draw(st.sampled_from(({}, {"email": 0}))),
                partner_id=draw(st.sampled_from((None, None, "p"))),
            ),
            state=draw(st.sampled_from((*STATES, "available", "available"))),
            state_since=at(0),
            idle_since=at(draw(st.integers(0, 3))),
            used_units=draw(st.sampled_from((0, 5, 9))),
        )
        for n in range(draw(st.integers(0, 5)))
    ]


@st.composite
def queues(draw: st.DrawFn) -> QueueConfigured:
    plain = a_queue(team_ids=draw(TEAMS), required_skills=draw(SKILLS), skill_by_language=draw(st.booleans()))
    return msgspec.structs.replace(
        plain,
        strategy=draw(st.sampled_from(get_args(Strategy))),
        steps=draw(st.sampled_from(((), (RoutingStep(after_seconds=20, any_agent=True),)))),
        prefer_last_agent_seconds=draw(st.sampled_from((None, 40, 100))),
    )


CHANNELS: tuple[Channel, ...] = ("email", "phone")
PREFERRED = st.sampled_from((None, "a-0", "a-1"))


@given(agents(), queues(), st.sampled_from(CHANNELS), PREFERRED, st.sets(st.sampled_from(("a-0", "a-2"))))
def test_a_ticket_goes_to_somebody_whose_verdict_is_that_they_fit_and_waits_only_where_nobody_s_is(
    crew: list[Agent], queue: QueueConfigured, channel: Channel, preferred: str | None, declined: set[str]
) -> None:
    work = waiting(queue=queue, channel=channel, language="he", preferred=preferred)
    assert work.visit is not None
    visit = msgspec.structs.replace(work.visit, passed=tuple(Passed(agent_id, at(60)) for agent_id in sorted(declined)))
    work = msgspec.structs.replace(work, visit=visit)
    decided = decide([work], crew, {queue.id: queue}, NOW)
    keeper = next((agent for agent in crew if agent.id == preferred), None)
    fitting = {agent.id for agent in crew if judged(agent, work, queue, preferred=keeper) == "fits"}
    assert {pair.agent_id for pair in decided.pairs} <= fitting
    assert bool(decided.pairs) == bool(fitting)


@given(agents(), queues())
def test_what_was_seen_counts_everybody_and_names_the_first(crew: list[Agent], queue: QueueConfigured) -> None:
    works = [waiting(f"t-{n}", queue=queue, language="he", time=at(n)) for n in range(3)]
    decided = decide(works, crew, {queue.id: queue}, NOW)
    assert set(decided.looked) == {pair.lane for pair in decided.pairs}
    for lane, looked in decided.looked.items():
        assert sum(looked.verdicts.values()) == len(crew)
        assert len(looked.candidates) <= 2 * NAMED
        assert (looked.queue_version, looked.strategy) == (queue.version, queue.strategy)
        first = next(pair for pair in decided.pairs if pair.lane == lane)
        assert (looked.candidates[0].agent_id, looked.candidates[0].verdict) == (first.agent_id, "fits")
        assert msgspec.json.encode(looked)


def test_however_many_there_are_only_the_first_are_named() -> None:
    crew = [*(an_agent(f"yes-{n}") for n in range(100)), *(an_agent(f"no-{n}", state="break") for n in range(100))]
    queue = a_queue()
    [looked] = decide([waiting()], crew, {queue.id: queue}, NOW).looked.values()
    assert looked.verdicts == {"fits": 100, "break": 100}
    assert [candidate.verdict for candidate in looked.candidates] == ["fits"] * NAMED + ["break"] * NAMED
