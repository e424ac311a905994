"""What a queue asks of agents the longer a ticket waits, and that it only ever asks less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.routing.domain import lifecycle, offers
from services.routing.domain.agents import Agent, eligible
from services.routing.domain.match import decide, match
from services.routing.domain.queues import WrongQueue, check_queue
from services.routing.domain.steps import MOST_STEPS, asked, at_step, fault
from services.routing.domain.work import Passed, Work
from shared.events.config import QueueConfigured, RoutingStep
from shared.events.people import AgentState
from shared.events.ticket import TicketAssigned
from shared.events.work import TicketOffered
from tests.unit.routing.story import a_queue, an_agent, at, fact, turn, waiting

SKILLS = st.dictionaries(st.sampled_from(("billing", "cards", "loans")), st.integers(1, 10))
TEAMS = st.sets(st.sampled_from(("a", "b", "c"))).map(lambda teams: tuple(sorted(teams)))


def a_queue_with(*steps: RoutingStep, prefer: int | None = None, **asks: Any) -> QueueConfigured:
    return msgspec.structs.replace(a_queue(**asks), steps=steps, prefer_last_agent_seconds=prefer)


def after(
    seconds: int, skills: Mapping[str, int] | None = None, teams: Sequence[str] | None = None, *, anybody: bool = False
) -> RoutingStep:
    return RoutingStep(
        after_seconds=seconds,
        required_skills=None if skills is None else dict(skills),
        team_ids=None if teams is None else tuple(teams),
        any_agent=anybody,
    )


RINGS = a_queue_with(
    after(60, {"billing": 3}),
    after(120, {}, ["a", "b"]),
    after(300, anybody=True),
    team_ids=("a",),
    required_skills={"billing": 6, "cards": 2},
    skill_by_language=True,
)
CREW = {
    "expert": an_agent("expert", team_ids=("a",), skills={"billing": 9, "cards": 2}, languages=("he",)),
    "able": an_agent("able", team_ids=("a",), skills={"billing": 3}, languages=("he",)),
    "next door": an_agent("next door", team_ids=("b",), languages=("he",)),
    "anybody": an_agent("anybody"),
    "a partner's": an_agent("a partner's", team_ids=("a",), skills={"billing": 9, "cards": 9}, languages=("he",), partner_id="p"),
}


@pytest.mark.parametrize(
    ("seconds", "asked_for"),
    [
        (0, {"expert"}),
        (59.999, {"expert"}),
        (60, {"expert", "able"}),
        (120, {"expert", "able", "next door"}),
        (299, {"expert", "able", "next door"}),
        (300, {"expert", "able", "next door", "anybody"}),
        (9999, {"expert", "able", "next door", "anybody"}),
    ],
)
def test_each_step_widens_whom_a_ticket_may_be_offered_to(seconds: float, asked_for: set[str]) -> None:
    work = waiting(queue=RINGS, language="he")
    found = {agent.id for agent in CREW.values() if match([work], [agent], {RINGS.id: RINGS}, at(seconds))}
    assert found == asked_for


def test_the_offer_and_the_assignment_say_at_which_step_and_for_which_team() -> None:
    work = waiting(queue=RINGS, language="he")
    agent = CREW["next door"]
    making = turn(work, agent, now=at(130))
    offers.make(making, agent, RINGS)
    offered = fact(making, TicketOffered)
    assert isinstance(offered, TicketOffered)
    assert offered.step == 2
    taking = turn(making.work, making.changed[agent.id], now=at(140))
    offers.accept(taking, offered.offer_id, agent.id, RINGS)
    assigned = fact(taking, TicketAssigned)
    assert isinstance(assigned, TicketAssigned)
    assert (assigned.step, assigned.team_id) == (2, "b")


def test_tickets_of_different_steps_stand_in_different_lanes_and_are_filed_again_when_the_next_begins() -> None:
    work = waiting(queue=RINGS, language="he")
    lanes = []
    for seconds, next_at in ((0, at(60)), (60, at(120)), (150, at(300)), (301, None)):
        filing = turn(work, now=at(seconds))
        lifecycle.settle(filing, [RINGS])
        visit = filing.work.visit
        assert visit is not None
        assert visit.file_again_at == next_at
        lanes.append(visit.lane)
    assert len(set(lanes)) == 4
    assert lanes[0] == "support|email|he"
    assert lanes[3].startswith("support|email|*")


@pytest.mark.parametrize(
    ("queue", "field"),
    [
        (a_queue_with(after(0, anybody=True), required_skills={"x": 1}), "steps[0].after_seconds"),
        (a_queue_with(after(9, {"x": 1}), after(9, {}), required_skills={"x": 2}), "steps[1].after_seconds"),
        (a_queue_with(after(9, {"x": 3}), required_skills={"x": 2}), "steps[0].required_skills.x"),
        (a_queue_with(after(9, {"x": 0}), required_skills={"x": 2}), "steps[0].required_skills.x"),
        (a_queue_with(after(9, {}), after(10, {"x": 1}), required_skills={"x": 2}), "steps[1].required_skills.x"),
        (a_queue_with(after(9, None, ["b"]), team_ids=("a",)), "steps[0].team_ids"),
        (a_queue_with(after(9, None, ["b"])), "steps[0].team_ids"),
        (a_queue_with(after(9, anybody=True), after(10, None, ["a"]), team_ids=("a",)), "steps[1].team_ids"),
        (a_queue_with(after(9, anybody=True)), "steps[0]"),
        (a_queue_with(*(after(n, {"x": 20 - n}) for n in range(10, 10 + MOST_STEPS + 1)), required_skills={"x": 10}), "steps"),
    ],
)
def test_a_step_that_asks_more_or_changes_nothing_is_refused_with_its_place(queue: QueueConfigured, field: str) -> None:
    with pytest.raises(WrongQueue) as refused:
        check_queue(queue)
    assert refused.value.field == field


@st.composite
def stepped(draw: st.DrawFn) -> QueueConfigured:
    """A queue whose steps ask less and less; nearly always each changes something."""
    queue = a_queue_with(team_ids=draw(TEAMS), required_skills=draw(SKILLS), skill_by_language=draw(st.booleans()))
    steps: list[RoutingStep] = []
    seconds = 0
    for _ in range(draw(st.integers(1, 3))):
        before = at_step(msgspec.structs.replace(queue, steps=tuple(steps)), len(steps))
        seconds += draw(st.integers(1, 50))
        skills = {skill: draw(st.integers(1, level)) for skill, level in before.required_skills.items() if draw(st.booleans())}
        teams = draw(st.sampled_from((None, (), (*before.team_ids, "d"))) if before.team_ids else st.none())
        steps.append(after(seconds, draw(st.sampled_from((None, skills))), teams, anybody=draw(st.booleans())))
    return msgspec.structs.replace(queue, steps=tuple(steps))


@given(stepped(), TEAMS, SKILLS, st.sampled_from((None, "p")))
def test_whoever_may_be_asked_at_a_step_that_is_not_refused_may_be_asked_ever_after(
    queue: QueueConfigured, teams: tuple[str, ...], skills: dict[str, int], partner: str | None
) -> None:
    assume(fault(queue) is None)
    agent = an_agent(team_ids=teams, skills=skills, partner_id=partner)
    asked_at = [eligible(agent, at_step(queue, step), "he") for step in range(len(queue.steps) + 1)]
    assert asked_at == sorted(asked_at)
    assert partner is None or not any(asked_at)


@given(stepped(), st.integers(0, 200), st.integers(0, 200))
def test_between_two_filings_nothing_that_is_asked_changes(queue: QueueConfigured, one: int, other: int) -> None:
    assume(fault(queue) is None)
    filing = turn(waiting(queue=queue), now=at(one))
    lifecycle.settle(filing, [queue])
    visit = filing.work.visit
    assert visit is not None
    if one <= other and (visit.file_again_at is None or at(other) < visit.file_again_at):
        assert asked(queue, filing.work, visit, at(other)) == asked(queue, filing.work, visit, at(one))


KEPT = a_queue_with(prefer=30)


def kept_for(agent: Agent, seconds: float, work: Work | None = None) -> tuple[list[str], set[str]]:
    known = [agent, an_agent("noa")]
    decided = decide([work or waiting(queue=KEPT, preferred="dana")], known, {KEPT.id: KEPT}, at(seconds))
    return [pair.agent_id for pair in decided.pairs], decided.kept


@pytest.mark.parametrize("state", ["available", "wrap_up"])
def test_a_ticket_is_kept_for_who_had_it_last_while_they_are_there_and_no_longer_than_the_queue_says(state: AgentState) -> None:
    dana = msgspec.structs.replace(an_agent("dana", state=state), used_units=10)
    assert kept_for(dana, 29.9) == ([], {"t-1"})
    assert kept_for(dana, 30) == (["noa"], set())
    assert kept_for(an_agent("dana"), 5) == (["dana"], set())


@pytest.mark.parametrize("state", ["offline", "break", "missed"])
def test_a_ticket_is_not_kept_for_somebody_who_is_not_there(state: AgentState) -> None:
    assert kept_for(an_agent("dana", state=state), 5) == (["noa"], set())


def test_a_ticket_is_not_kept_for_somebody_who_let_it_go_or_cannot_take_it() -> None:
    work = waiting(queue=KEPT, preferred="dana")
    assert work.visit is not None
    visit = msgspec.structs.replace(work.visit, passed=(Passed("dana", at(60)),))
    assert kept_for(an_agent("dana"), 5, msgspec.structs.replace(work, visit=visit)) == (["noa"], set())
    assert kept_for(an_agent("dana", partner_id="p"), 5) == (["noa"], set())


def test_what_is_kept_stands_in_a_lane_of_its_own_until_it_is_for_everybody() -> None:
    work = waiting(queue=KEPT, preferred="dana")
    assert work.visit is not None
    assert (work.visit.lane, work.visit.file_again_at) == ("support|email|*|kept", at(30))
    anybody_s = waiting(queue=KEPT)
    assert anybody_s.visit is not None
    assert (anybody_s.visit.lane, anybody_s.visit.file_again_at) == ("support|email|*", None)
