"""A house whose queues change while it is worked on: what is foreseen happens, once, and all that must hold goes on holding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from services.routing.domain import escalating, lifecycle
from services.routing.domain.configuration import Configuration, Key, Part
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.foresight import Foresight
from services.routing.domain.queues import WrongQueue, check_queue, choose, in_order
from services.routing.domain.work import Turn, Work
from shared.conditions import All, AnyOf, Condition, Test
from shared.events.config import QueueConfigured, RoutingStep
from tests.counts import examples
from tests.unit.routing.at_random import WRAP_UP_SECONDS
from tests.unit.routing.deeds import RULES
from tests.unit.routing.story import a_queue, turn
from tests.unit.routing.test_balance import Balanced

IDS = ("support", "second", "north", "extra")
WHENS: tuple[Condition, ...] = (
    All(),
    AnyOf(),
    Test(field="priority", op="at_least", value=4),
    Test(field="is_reopened", op="equals", value=True),
    Test(field="channel", op="equals", value="email"),
)
STEPS = st.lists(
    st.builds(
        RoutingStep,
        after_seconds=st.sampled_from([0, 20, 40]),
        to_queue_id=st.sampled_from(IDS),
        share_percent=st.none() | st.integers(10, 90),
        over_wait_seconds=st.none() | st.sampled_from([30, 300]),
    ),
    max_size=2,
)
QUEUE = st.fixed_dictionaries(
    {
        "id": st.sampled_from(IDS),
        "position": st.integers(0, 5),
        "when": st.sampled_from(WHENS),
        "steps": STEPS,
        "tier": st.integers(1, 3),
        "due_lead_seconds": st.none() | st.just(60),
        "partner_id": st.sampled_from([None, None, "north"]),
        "prefer_last_agent_seconds": st.none() | st.just(30),
    }
)
SECONDS = st.sampled_from([10.0, 100.0, 1000.0])


def configured(told: Sequence[Mapping[str, Any]], version: int) -> tuple[QueueConfigured, ...]:
    """The queues as they may be in force: steps lead to queues that are there, and are right."""
    there, queues = {one["id"] for one in told}, []
    for one in told:
        leading = (step for step in one["steps"] if step.to_queue_id in there)
        steps = tuple(sorted(leading, key=lambda step: step.after_seconds))
        plain = msgspec.structs.replace(a_queue(wrap_up_seconds=WRAP_UP_SECONDS), config_version=version, **{**one, "steps": ()})
        try:
            check_queue(queue := msgspec.structs.replace(plain, steps=steps))
        except WrongQueue:
            queue = plain
        queues.append(queue)
    return in_order(queues)


def whole(queues: Sequence[QueueConfigured]) -> Configuration:
    parts: dict[Key, Part] = {Key("rule", one.id): one for one in RULES}
    return Configuration(parts | {Key("queue", queue.id): queue for queue in queues})


class Changing(Balanced):
    """Now and then other queues are in force."""

    version = 1

    @rule(
        told=st.lists(QUEUE, min_size=1, max_size=4, unique_by=lambda one: one["id"]),
        comers=st.dictionaries(st.sampled_from(IDS), SECONDS),
        wait=st.none() | SECONDS,
    )
    def queues_change(self, told: Sequence[Mapping[str, Any]], comers: Mapping[str, float], wait: float | None) -> None:
        self.version += 1
        after = configured(told, self.version)
        here = [one for one in self.works.values() if one.visit is not None or one.attention == lifecycle.NO_QUEUE]
        if any(self._stranded(one, after) for one in here):
            return
        of_comers = {queue_id: Foreseen(seconds, "queue_length") for queue_id, seconds in comers.items()}
        waits = {one.id: Foreseen(wait, "queue_length") for one in here} if wait is not None else {}
        looking = Foresight(whole(self.queues), whole(after), {}, self.now, of_comers)
        looking.look(here, {}, waits)
        self.queues = after
        for one in here:
            self.attempt(one.id, partial(_settled, queues=after, of_comers=of_comers, wait=waits.get(one.id)))
        moved = {one.id: place for one in here if (place := _place(self.works[one.id])) not in (None, _place(one))}
        placed = {one.id for one in here if one.visit is None} & moved.keys()
        effects = looking.effects()
        assert {move.ticket_id: move.to_queue_id for move in effects.moved.first} == {
            one: place for one, place in moved.items() if one not in placed
        }
        assert set(effects.placed.ticket_ids) == placed
        for one in here:
            again = turn(self.works[one.id], now=self.now)
            lifecycle.settle(again, after)
            assert again.drafts == [], "what was done once is not done again"

    def _stranded(self, one: Work, after: Sequence[QueueConfigured]) -> bool:
        """Such a change is refused."""
        there = {queue.id for queue in after}
        return one.visit is not None and one.visit.queue_id not in there and choose(after, one) is None

    @invariant()
    def no_customer_is_forgotten(self) -> None:
        """Whom no queue takes is for people to look at."""
        for one in self.works.values():
            lost = one.ticket.active and one.ticket.status == "new" and one.visits == 0 and not one.ticket.spam
            assert not lost or one.attention == lifecycle.NO_QUEUE


def _settled(deciding: Turn, queues: Sequence[QueueConfigured], of_comers: Mapping[str, Foreseen], wait: Foreseen | None) -> None:
    """As the ticker does it, and rules after it."""
    deciding.waits = of_comers
    lifecycle.settle(deciding, queues, None, wait)
    lifecycle.place_at_last(deciding, queues, lifecycle.age_of(deciding.work, deciding.now))
    if deciding.to_judge:
        escalating.by_rule(deciding, queues, RULES)


def _place(work: Work) -> str | None:
    return work.visit.queue_id if work.visit is not None else None


TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)
