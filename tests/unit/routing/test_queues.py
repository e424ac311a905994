"""Which queue takes a ticket."""

from __future__ import annotations

import pytest

from services.routing.domain.lifecycle import NO_QUEUE, place
from services.routing.domain.queues import WrongQueue, check_queue, choose, in_order
from shared.conditions import All, AnyOf, Test
from shared.events.config import QueueConfigured
from tests.unit.routing.story import START, a_queue, opened, said, turn

HEBREW = Test(field="language", op="in", value=("he", "ar"))
URGENT = Test(field="priority", op="at_least", value=4)


def test_the_first_queue_by_position_whose_condition_holds_takes_the_ticket() -> None:
    queues = in_order(
        [
            a_queue("rest", position=9),
            a_queue("urgent", position=1, when=URGENT),
            a_queue("hebrew", position=2, when=HEBREW),
        ]
    )
    taken = {
        name: queue.id
        for name, work in {
            "hebrew": opened(language="he"),
            "urgent hebrew": opened(language="he", priority=4),
            "english": opened(),
        }.items()
        if (queue := choose(queues, work)) is not None
    }
    assert taken == {"hebrew": "hebrew", "urgent hebrew": "urgent", "english": "rest"}


def test_a_ticket_that_no_rule_takes_asks_for_people_once_and_is_placed_when_a_rule_is_there() -> None:
    deciding = turn(opened())
    place(deciding, [a_queue(when=URGENT)], "opened", START)
    place(deciding, [], "opened", START)
    assert said(deciding) == ["action.required"]
    asked = deciding.work
    place(deciding, [a_queue()], "opened", START)
    assert (asked.attention, deciding.work.attention) == (NO_QUEUE, None)
    assert deciding.work.visit is not None


@pytest.mark.parametrize(
    ("queue", "field"),
    [
        (a_queue(when=Test(field="colour", op="equals", value="red")), "when.field"),
        (a_queue(when=All(of=(HEBREW, AnyOf(of=(Test(field="vip", op="in", value=True),))))), "when.of[1].of[0].value"),
        (a_queue(required_skills={"billing": 11}), "required_skills.billing"),
    ],
)
def test_a_queue_that_could_never_work_is_refused_with_the_place_of_the_fault(queue: QueueConfigured, field: str) -> None:
    with pytest.raises(WrongQueue) as refused:
        check_queue(queue)
    assert refused.value.field == field
