"""What a change of the configuration would do, foreseen; and that it does this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.routing.domain import escalating, lifecycle, offers
from services.routing.domain.agents import eligible
from services.routing.domain.configuration import SHAPES, Change, Configuration, Key, Part, abilities_of
from services.routing.domain.escalating import Promised
from services.routing.domain.foresight import NAMED, Effects, Foresight, Loss, Move, Tickets
from services.routing.domain.work import Work
from shared.conditions import AnyOf, Test
from shared.events.config import AgentConfigured, QueueConfigured, RoutingStep, RuleConfigured
from shared.events.ticket import TicketLeftQueue, TicketQueued
from tests.counts import examples
from tests.unit.routing.story import START, a_queue, an_agent, at, opened, said, turn, waiting

HEBREW = Test(field="language", op="equals", value="he")
URGENT = Test(field="priority", op="at_least", value=4)
NEVER = AnyOf()
KIND_OF = {shape: kind for kind, shape in SHAPES.items()}


def key_of(part: Part) -> Key:
    return Key(KIND_OF[type(part)], part.id)


def config_of(*parts: Part) -> Configuration:
    return Configuration({key_of(part): part for part in parts})


def an_agent_s(agent_id: str = "dana", **able: Any) -> AgentConfigured:
    abilities = abilities_of(an_agent(agent_id, **able).profile)
    return AgentConfigured(id=agent_id, version=1, effective_from=START, display_name=agent_id.title(), abilities=abilities)


def inactive(agent: AgentConfigured) -> AgentConfigured:
    assert agent.abilities is not None
    return msgspec.structs.replace(agent, abilities=msgspec.structs.replace(agent.abilities, active=False))


def a_rule(when: Any = URGENT, to_tier: int | None = None) -> RuleConfigured:
    return RuleConfigured(id="up", version=1, effective_from=START, kind="escalate", position=1, when=when, to_tier=to_tier)


def foreseen(
    before: Configuration,
    works: Iterable[Work],
    *parts: Part,
    gone: Iterable[Part] = (),
    promised: Mapping[str, Promised] | None = None,
) -> Effects:
    """What these parts would do, made or changed, and those that are gone."""
    changes = [Change(key_of(part), before.parts.get(key_of(part)), part) for part in parts]
    after = before.after([*changes, *(Change(key_of(part), part, None) for part in gone)])
    looking = Foresight(before, after, {}, at(60))
    looking.look(works, promised or {})
    return looking.effects()


HOUSE = config_of(a_queue(position=5), an_agent_s("dana", skills={"billing": 3}), an_agent_s("noa"))


def test_where_nothing_changes_nothing_comes_of_it() -> None:
    assert foreseen(HOUSE, [waiting("a"), waiting("b")]) == Effects(waiting=2)


def test_tickets_that_another_queue_takes_now_would_go_there() -> None:
    works = [waiting("a", language="he"), waiting("b")]
    effects = foreseen(HOUSE, works, a_queue("hebrew", position=1, when=HEBREW))
    assert effects.moved.count == 1
    assert effects.moved.first == (Move(ticket_id="a", from_queue_id="support", to_queue_id="hebrew"),)


def test_who_was_sent_where_it_waits_stays_and_what_is_offered_too() -> None:
    sent = msgspec.structs.replace(waiting("a", language="he"), came_as="transferred")
    offering = turn(waiting("b", language="he"), an_agent())
    offers.make(offering, an_agent(), a_queue())
    effects = foreseen(HOUSE, [sent, offering.work], a_queue("hebrew", position=1, when=HEBREW))
    assert effects.moved.count == 0


def test_where_no_queue_is_another_nobody_moves_though_a_label_or_a_step_would_send_them_elsewhere_since() -> None:
    sending = msgspec.structs.replace(a_queue(position=5), steps=(RoutingStep(after_seconds=30, to_queue_id="north"),))
    before = config_of(sending, a_queue("hebrew", position=1, when=HEBREW), a_queue("north", position=9), an_agent_s())
    works = [waiting("a", language="he", queue=sending), waiting("b", queue=sending)]
    for change in (a_rule(NEVER), an_agent_s("noa")):
        assert foreseen(before, works, change).moved.count == 0
    assert foreseen(before, works, msgspec.structs.replace(sending, position=6)).moved.count == 2


def test_the_tickets_of_a_queue_that_is_gone_go_on_by_the_rules_and_those_that_find_none_are_named() -> None:
    hebrew = a_queue("hebrew", position=1, when=HEBREW)
    english = a_queue("english", position=2, when=Test(field="language", op="equals", value="en"))
    before = config_of(hebrew, english, a_queue("last", position=9, when=HEBREW), *HOUSE.parts.values())
    before = before.after([Change(Key("queue", "support"), a_queue(), None)])
    works = [waiting("a", queue=hebrew, language="he"), waiting("b", queue=english)]
    effects = foreseen(before, works, gone=[hebrew, english])
    assert [(move.ticket_id, move.to_queue_id) for move in effects.moved.first] == [("a", "last")]
    assert (effects.stranded, effects.unmatchable) == (Tickets(1, ("b",)), Tickets(1, ("b",)))


def test_a_ticket_that_no_queue_took_is_taken() -> None:
    lost = turn(opened("a", language="he"))
    lifecycle.place(lost, [], "opened", START)
    effects = foreseen(config_of(), [lost.work], a_queue("hebrew", when=HEBREW))
    assert (effects.waiting, effects.placed) == (0, Tickets(1, ("a",)))


def test_a_rule_that_is_made_raises_who_waits_also_by_what_is_promised() -> None:
    second = a_queue("second", position=9, tier=2, when=URGENT)
    before = HOUSE.after([Change(Key("queue", "second"), None, second)])
    works = [waiting("a", priority=4), waiting("b")]
    effects = foreseen(before, works, a_rule())
    assert effects.moved.first == (Move(ticket_id="a", from_queue_id="support", to_queue_id="second", rule_id="up"),)
    breached = a_rule(Test(field="sla_breached", op="equals", value=True))
    everything = before.after([Change(Key("queue", "second"), second, a_queue("second", position=9, tier=2))])
    effects = foreseen(everything, works, breached, promised={"b": Promised(breached=True)})
    assert [move.ticket_id for move in effects.moved.first] == ["b"]


@pytest.mark.parametrize(
    ("change", "matchable", "unmatchable", "losing"),
    [
        (a_queue(position=5, required_skills={"billing": 2}), 0, 0, {"noa": 2}),
        (a_queue(position=5, required_skills={"billing": 9}), 0, 2, {"dana": 2, "noa": 2}),
        (a_queue(position=5, partner_id="p"), 0, 2, {"dana": 2, "noa": 2}),
        (a_queue(position=5, skill_by_language=True), 0, 0, {}),
        (inactive(an_agent_s("noa")), 0, 0, {"noa": 2}),
        (an_agent_s("new"), 0, 0, {}),
    ],
)
def test_who_can_take_what_waits_is_told_of_before_and_after(
    change: Part, matchable: int, unmatchable: int, losing: dict[str, int]
) -> None:
    works = [waiting("a"), waiting("b", language="he")]
    effects = foreseen(HOUSE, works, change)
    assert (effects.matchable.count, effects.unmatchable.count) == (matchable, unmatchable)
    assert {loss.agent_id: loss.tickets for loss in effects.agents_losing.first} == losing
    back = foreseen(HOUSE.after([Change(key_of(change), None, change)]), works, HOUSE.parts.get(key_of(change), change))
    assert (back.matchable.count, back.unmatchable.count) == (unmatchable, matchable)


def test_a_language_that_somebody_speaks_now_is_asked_of_them_alone() -> None:
    house = config_of(a_queue(skill_by_language=True), an_agent_s("dana"), an_agent_s("noa"))
    effects = foreseen(house, [waiting("a", language="he")], an_agent_s("noa", languages=("he",)))
    assert effects.agents_losing.first == (Loss("dana", 1),)


def test_steps_that_a_ticket_reached_count() -> None:
    rings = msgspec.structs.replace(
        a_queue(required_skills={"billing": 9}), steps=(RoutingStep(after_seconds=30, required_skills={}),)
    )
    house = config_of(rings, an_agent_s())
    works = [waiting("early", queue=rings, time=START), waiting("late", queue=rings, time=at(50))]
    assert foreseen(house, works, a_queue(required_skills={"billing": 9})).unmatchable == Tickets(1, ("early",))


def test_an_offer_to_who_cannot_take_the_ticket_any_more_is_told() -> None:
    offering = turn(waiting("a"), an_agent())
    offers.make(offering, an_agent(), a_queue())
    effects = foreseen(HOUSE, [offering.work], a_queue(position=5, required_skills={"billing": 9}))
    assert effects.offers_misplaced == Tickets(1, ("a",))
    assert foreseen(HOUSE, [offering.work], inactive(an_agent_s("noa"))).offers_misplaced == Tickets()


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    works = [waiting(f"t-{n:03}", language="he") for n in range(NAMED + 5)]
    effects = foreseen(HOUSE, works, a_queue("hebrew", position=1, when=HEBREW, required_skills={"rare": 1}))
    assert (effects.moved.count, len(effects.moved.first)) == (NAMED + 5, NAMED)
    assert effects.unmatchable == Tickets(NAMED + 5, tuple(work.id for work in works[:NAMED]))


QUEUES = st.lists(
    st.builds(
        lambda n, position, when, tier, skill: a_queue(
            f"q{n}", position=position, when=when, tier=tier, required_skills={"billing": skill} if skill else {}
        ),
        st.integers(0, 4),
        st.integers(0, 3),
        st.sampled_from([None, HEBREW, URGENT, NEVER]),
        st.integers(1, 3),
        st.integers(0, 3),
    ),
    max_size=4,
    unique_by=lambda queue: queue.id,
)
RULES = st.lists(st.builds(a_rule, st.sampled_from([HEBREW, URGENT]), st.none() | st.integers(2, 3)), max_size=1)
STORIES = st.lists(
    st.tuples(st.sampled_from(["he", "en"]), st.sampled_from([2, 4]), st.booleans(), st.integers(0, 9)), min_size=1, max_size=6
)


@settings(max_examples=examples(400))
@given(QUEUES, QUEUES, RULES, STORIES)
def test_what_is_foreseen_happens(
    before: list[QueueConfigured], after: list[QueueConfigured], rules: list[RuleConfigured], stories: list[Any]
) -> None:
    was = config_of(*before, an_agent_s("dana", skills={"billing": 2}), an_agent_s("noa"))
    becomes = config_of(*after, *rules, an_agent_s("dana", skills={"billing": 2}), an_agent_s("noa"))
    works = []
    for n, (language, priority, sent, pick) in enumerate(stories):
        placing = turn(opened(f"t-{n}", language=language, priority=priority))
        lifecycle.place(placing, was.queues, "opened", START)
        if sent and before and placing.work.visit is not None:
            lifecycle.leave(placing, "transferred")
            lifecycle.enter(placing, before[pick % len(before)], "transferred", START)
        works.append(placing.work)
    looking = Foresight(was, becomes, {}, at(60))
    looking.look(works, {})
    happened = [carried_out(work, becomes) for work in works]
    effects = looking.effects()
    waited = {work.id: work.visit.queue_id for work in works if work.visit is not None}
    waits = {work.id: work.visit.queue_id for work in happened if work.visit is not None}
    moved = {ticket_id: queue_id for ticket_id, queue_id in waits.items() if waited.get(ticket_id, queue_id) != queue_id}
    assert {move.ticket_id: move.to_queue_id for move in effects.moved.first} == moved
    assert set(effects.stranded.ticket_ids) == waited.keys() - waits.keys()
    assert set(effects.placed.ticket_ids) == waits.keys() - waited.keys()
    able = {work.id: somebody_can(work, becomes) for work in happened if work.id in waited}
    could = {work.id: somebody_can(work, was) for work in works if work.id in waited}
    assert set(effects.matchable.ticket_ids) == {one for one in waited if able[one] and not could[one]}
    assert set(effects.unmatchable.ticket_ids) == {one for one in waited if could[one] and not able[one]}


def carried_out(work: Work, becomes: Configuration) -> Work:
    """The ticket after the ticker was there."""
    queues = [msgspec.structs.replace(queue, config_version=2) for queue in becomes.queues]
    settling = turn(work, now=at(60))
    lifecycle.settle(settling, queues)
    lifecycle.place_at_last(settling, queues, START)
    if work.visit is not None:
        escalating.by_rule(settling, queues, becomes.rules)
    return settling.work


def somebody_can(work: Work, configuration: Configuration) -> bool:
    queue = next((queue for queue in configuration.queues if work.visit is not None and queue.id == work.visit.queue_id), None)
    agents = [msgspec.structs.replace(an_agent(name), profile=profile) for name, profile in configuration.profiles.items()]
    return queue is not None and any(eligible(agent, queue, "en") for agent in agents)


def test_a_ticket_that_is_moved_leaves_its_queue_and_waits_in_the_other_with_its_age_and_agent() -> None:
    hebrew = msgspec.structs.replace(a_queue("hebrew", position=0, when=HEBREW), config_version=7)
    here = msgspec.structs.replace(a_queue(), config_version=7)
    settling = turn(waiting("a", language="he", time=at(-90), preferred="dana"), now=at(60))
    lifecycle.settle(settling, [hebrew, here])
    assert said(settling) == ["ticket.left_queue", "ticket.queued"]
    left, queued = (draft.data for draft in settling.drafts)
    assert isinstance(left, TicketLeftQueue)
    assert isinstance(queued, TicketQueued)
    assert (left.queue_id, left.reason) == ("support", "transferred")
    assert (queued.queue_id, queued.reason, queued.age_from, queued.visit) == ("hebrew", "returned", at(-90), 2)
    visit = settling.work.visit
    assert visit is not None
    assert (visit.preferred, visit.filed_under, settling.work.came_as, settling.to_judge) == ("dana", 7, "opened", True)
    again = turn(settling.work, now=at(70))
    lifecycle.settle(again, [hebrew, here])
    assert again.drafts == []


def test_what_is_filed_again_for_its_step_stays_though_a_label_would_send_it_elsewhere_since() -> None:
    here = msgspec.structs.replace(a_queue(), config_version=7)
    hebrew = msgspec.structs.replace(a_queue("hebrew", position=0, when=HEBREW), config_version=7)
    work = waiting("a", language="he", queue=here)
    settling = turn(work, now=at(60))
    lifecycle.settle(settling, [hebrew, here])
    assert settling.drafts == []
    assert settling.work.visit is not None
    assert settling.work.visit.queue_id == "support"


def test_of_a_queue_that_is_gone_a_ticket_that_nobody_takes_is_for_people_to_look_at() -> None:
    settling = turn(waiting("a"), now=at(60))
    lifecycle.settle(settling, [])
    assert said(settling) == ["ticket.left_queue", "action.required"]
    assert (settling.work.visit, settling.work.attention) == (None, lifecycle.NO_QUEUE)


def test_a_ticket_that_waits_for_the_first_time_is_moved_to_where_it_is_foreseen_and_to_no_queue_of_reopened_ones() -> None:
    again = a_queue("again", position=0, when=Test(field="is_reopened", op="equals", value=True))
    before, after = config_of(a_queue(), again), config_of(again, a_queue("other", position=1), a_queue(position=2))
    looking = Foresight(before, after, {}, at(60))
    looking.look([waiting("a")], {})
    [move] = looking.effects().moved.first
    moved = carried_out(waiting("a"), after)
    assert moved.visit is not None
    assert moved.visit.queue_id == move.to_queue_id == "other"


def test_a_ticket_that_waits_for_the_first_time_is_no_reopened_one_where_it_is_moved() -> None:
    reopened = Test(field="is_reopened", op="equals", value=True)
    fresh = msgspec.structs.replace(a_queue("again", position=0, when=reopened), config_version=7)
    settling = turn(waiting("a"), now=at(60))
    lifecycle.settle(settling, [fresh, msgspec.structs.replace(a_queue(), config_version=7)])
    assert settling.drafts == []
    back = turn(msgspec.structs.replace(waiting("a"), came_as="reopened"), now=at(60))
    lifecycle.settle(back, [fresh, msgspec.structs.replace(a_queue(), config_version=7)])
    assert said(back) == ["ticket.left_queue", "ticket.queued"]
