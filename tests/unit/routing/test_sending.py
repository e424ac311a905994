"""Steps that send tickets on: a share of them, or those who would wait too long; once, and for a reason that is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain import calling_back, lifecycle, offers, recalling
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.queues import WrongQueue, check_queue
from services.routing.domain.recalling import Known, Told
from services.routing.domain.sending import LOTS, lot_of, sent_on
from services.routing.domain.work import Turn, Work
from shared.events.base import Draft, Event, Fact, Position
from shared.events.config import QueueConfigured, RoutingStep
from shared.events.ticket import SentOn, TicketLeftQueue, TicketQueued
from tests.unit.routing.story import a_queue, an_agent, at, opened, said, turn, waiting

NORTH = a_queue("north", position=2, partner_id="p-north")
SOUTH = a_queue("south", position=3, partner_id="p-south")


def sends(to: str = "north", *, after: int = 0, share: int | None = None, over: int | None = None) -> RoutingStep:
    return RoutingStep(after_seconds=after, to_queue_id=to, share_percent=share, over_wait_seconds=over)


def ours(*steps: RoutingStep) -> QueueConfigured:
    return msgspec.structs.replace(a_queue("ours"), steps=steps)


def wait_of(seconds: float) -> dict[str, Foreseen]:
    return {"ours": Foreseen(seconds, "queue_length")}


def placed(queue: QueueConfigured, ticket_id: str = "t-1", waits: dict[str, Foreseen] | None = None) -> Turn:
    """A new ticket, placed where `queue` is the first that takes it."""
    deciding = turn(opened(ticket_id))
    deciding.waits = waits or {}
    lifecycle.place(deciding, (queue, NORTH, SOUTH), "opened", deciding.now)
    return deciding


def place_of(work: Work) -> str:
    assert work.visit is not None
    return work.visit.queue_id


def why(deciding: Turn) -> SentOn:
    [told] = [one.data.sent_on for one in deciding.drafts if isinstance(one.data, TicketQueued) and one.data.sent_on is not None]
    return told


IDS = [f"ticket-{n}" for n in range(4000)]


@pytest.mark.parametrize("percent", [1, 10, 30, 50, 99, 100])
def test_a_share_is_held_over_many_tickets(percent: int) -> None:
    queue = ours(sends(share=percent))
    sent = sum(sent_on(queue, ticket_id, [1], None) is not None for ticket_id in IDS)
    assert sent / len(IDS) == pytest.approx(percent / 100, abs=0.03)


@given(st.text(min_size=1), st.integers(1, 99), st.integers(1, 99))
def test_whom_a_share_takes_a_larger_one_takes_too_and_the_same_ticket_always_goes_the_same_way(
    ticket_id: str, one: int, other: int
) -> None:
    small, large = sorted((one, other))
    by_small, by_large = (sent_on(ours(sends(share=share)), ticket_id, [1], None) for share in (small, large))
    assert by_small is None or by_large is not None
    assert by_small == sent_on(ours(sends(share=small)), ticket_id, [1], None)
    assert 0 <= lot_of("ours", ticket_id) < LOTS


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda shares: sum(shares) <= 100))
def test_the_shares_of_a_queue_take_nothing_from_each_other(shares: list[int]) -> None:
    queue = ours(*(sends(f"q-{n}", share=share) for n, share in enumerate(shares)))
    numbers = range(1, len(shares) + 1)
    # One ticket for each lot, so that shares are held to the last one.
    one_of_each = {lot_of("ours", ticket_id): ticket_id for ticket_id in IDS}
    assert len(one_of_each) == LOTS
    found = Counter(sent[0] for ticket_id in one_of_each.values() if (sent := sent_on(queue, ticket_id, numbers, None)))
    assert found == {f"q-{n}": share for n, share in enumerate(shares)}


def test_the_lots_of_two_queues_say_nothing_of_each_other() -> None:
    here = {ticket_id for ticket_id in IDS if lot_of("ours", ticket_id) < 50}
    both = sum(lot_of("other", ticket_id) < 50 for ticket_id in here)
    assert both / len(here) == pytest.approx(0.5, abs=0.05)


def test_what_is_sent_on_at_once_visits_both_queues_and_says_why() -> None:
    ticket_id = next(one for one in IDS if lot_of("ours", one) < 30)
    deciding = placed(ours(sends(share=30)), ticket_id)
    assert said(deciding) == ["ticket.queued", "ticket.left_queue", "ticket.queued"]
    left = next(one.data for one in deciding.drafts if isinstance(one.data, TicketLeftQueue))
    assert (left.reason, left.waited_us) == ("partner", 0)
    assert (place_of(deciding.work), deciding.work.visits) == ("north", 2)
    lot = lot_of("ours", ticket_id)
    assert why(deciding) == SentOn(from_queue_id="ours", step=1, queue_version=1, lot=lot, share_percent=30)


@pytest.mark.parametrize(
    ("waits", "place"),
    [(wait_of(301), "north"), (wait_of(300), "ours"), ({}, "ours"), ({"north": Foreseen(999, "queue_length")}, "ours")],
)
def test_who_would_wait_too_long_is_sent_on_and_nobody_where_that_cannot_be_said(waits: dict[str, Foreseen], place: str) -> None:
    deciding = placed(ours(sends(over=300)), waits=waits)
    assert place_of(deciding.work) == place
    if place == "north":
        assert (why(deciding).wait_seconds, why(deciding).estimator, why(deciding).lot) == (301, "queue_length", None)


def test_a_share_of_those_who_would_wait_too_long_needs_both() -> None:
    queue = ours(sends(share=50, over=60))
    ours_lot, theirs = (next(one for one in IDS if (lot_of("ours", one) < 50) is low) for low in (False, True))
    assert place_of(placed(queue, theirs, wait_of(90)).work) == "north"
    assert place_of(placed(queue, theirs, wait_of(30)).work) == "ours"
    assert place_of(placed(queue, ours_lot, wait_of(90)).work) == "ours"


def test_a_step_of_later_on_sends_on_when_it_is_reached_with_the_age_that_the_ticket_has() -> None:
    queue = ours(sends(after=60, over=120))
    work = waiting(queue=queue)
    assert work.visit is not None
    assert work.visit.file_again_at == at(60)
    for seconds, wait, place in ((59, 999.0, "ours"), (60, 120.0, "ours"), (60, 121.0, "north")):
        deciding = turn(work, now=at(seconds))
        lifecycle.settle(deciding, (queue, NORTH), wait=Foreseen(wait, "head_of_line"))
        assert place_of(deciding.work) == place
        assert deciding.work.visit is not None
        assert deciding.work.visit.age_from == at(0)


def test_what_is_offered_to_somebody_stays_until_they_have_had_their_time() -> None:
    queue, dana = ours(sends(after=10)), an_agent("dana")
    making = turn(waiting(queue=queue), dana, now=at(9))
    offer = offers.make(making, dana, queue)
    deciding = turn(making.work, now=at(11))
    lifecycle.settle(deciding, (queue, NORTH))
    assert deciding.drafts == []
    ended = turn(deciding.work, making.changed["dana"], now=offer.expires_at)
    offers.expire(ended, timedelta(seconds=60))
    later = turn(ended.work, now=offer.expires_at)
    lifecycle.settle(later, (queue, NORTH))
    assert place_of(later.work) == "north"


def test_no_steps_send_a_ticket_in_circles() -> None:
    there = msgspec.structs.replace(NORTH, steps=(sends("ours", share=99), sends("ours", after=5)))
    queue = ours(sends(over=1))
    deciding = turn(opened())
    deciding.waits = wait_of(100)
    lifecycle.place(deciding, (queue, there), "opened", deciding.now)
    assert place_of(deciding.work) == "north"
    later = turn(deciding.work, now=at(60))
    lifecycle.settle(later, (queue, there), wait=Foreseen(1000, "queue_length"))
    assert later.drafts == []


def test_what_comes_back_to_where_a_step_sent_it_is_not_sent_on_from_there() -> None:
    there = msgspec.structs.replace(NORTH, steps=(sends("ours", after=5),))
    queue = ours(sends(over=1))
    deciding = turn(opened())
    deciding.waits = wait_of(100)
    lifecycle.place(deciding, (queue, there), "opened", deciding.now)
    calling_back.spare(deciding, (queue, there), None)
    assert (place_of(deciding.work), deciding.work.visits) == ("north", 3)
    later = turn(deciding.work, now=at(60))
    lifecycle.settle(later, (queue, there))
    assert later.drafts == []


def test_what_was_sent_to_a_queue_that_is_gone_is_by_the_rules_where_it_waits_then_also_after_a_restore() -> None:
    new, newer = (msgspec.structs.replace(NORTH, id=name, config_version=n) for n, name in ((7, "new"), (8, "newer")))
    first = placed(ours(sends(over=1)), waits=wait_of(100))
    gone = turn(first.work, now=at(10))
    lifecycle.settle(gone, (new,))
    assert (place_of(gone.work), gone.work.came_as, gone.work.sent) == ("new", "opened", False)
    assert told_again([*first.drafts, *gone.drafts]).came_as == "opened"
    by_rule = turn(gone.work, now=at(20))
    lifecycle.settle(by_rule, (newer, msgspec.structs.replace(new, config_version=8)))
    assert place_of(by_rule.work) == "newer"


def test_a_queue_that_is_gone_gets_nothing() -> None:
    deciding = turn(opened())
    queue = ours(sends("nowhere", over=1))
    deciding.waits = wait_of(100)
    lifecycle.place(deciding, (queue,), "opened", deciding.now)
    assert place_of(deciding.work) == "ours"


def test_what_was_sent_on_is_so_after_a_restore() -> None:
    deciding = placed(ours(sends(over=1)), waits=wait_of(100))
    work = told_again(deciding.drafts)
    assert (place_of(work), work.came_as, work.sent) == ("north", "overflowed", True)


def told_again(drafts: Sequence[Draft[Fact]]) -> Work:
    """The ticket as the log tells of it."""
    state = Told(opened())
    for seq, draft in enumerate(drafts, 1):
        event = Event(
            id=str(seq), type=draft.data.TYPE, writer="routing", position=Position(1, seq), key="t-1", time=at(0), data=draft.data
        )
        state = recalling.told(Known({"north": NORTH}), state, event)
    return state.work


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ((sends("ours", share=10),), "steps[0].to_queue_id"),
        ((sends(share=0),), "steps[0].share_percent"),
        ((sends(share=101),), "steps[0].share_percent"),
        ((sends(share=60), sends("south", share=41)), "steps[1].share_percent"),
        ((sends(over=0),), "steps[0].over_wait_seconds"),
        ((sends(),), "steps[0].share_percent"),
        ((sends(share=100),), "steps[0].share_percent"),
        ((sends(after=60, over=10), sends("south", share=10)), "steps[1].after_seconds"),
        ((RoutingStep(after_seconds=9, any_agent=True, to_queue_id="north"),), "steps[0].to_queue_id"),
        ((RoutingStep(after_seconds=9, share_percent=10),), "steps[0].to_queue_id"),
    ],
)
def test_a_step_that_could_not_send_on_is_refused_with_its_place(steps: tuple[RoutingStep, ...], field: str) -> None:
    with pytest.raises(WrongQueue) as refused:
        check_queue(ours(*steps))
    assert refused.value.field == field


@pytest.mark.parametrize(
    "steps", [(sends(share=100, over=10),), (sends(share=30), sends("south", share=70)), (sends(after=600),), (sends(over=60),)]
)
def test_a_step_that_can_send_on_is_taken_also_between_others(steps: tuple[RoutingStep, ...]) -> None:
    check_queue(ours(*steps))
    skilled = msgspec.structs.replace(ours(*steps, RoutingStep(after_seconds=900, any_agent=True)), required_skills={"x": 1})
    check_queue(skilled)


def test_time_goes_on_for_who_waits_when_a_step_sends_nobody_on() -> None:
    queue = ours(sends(share=1), RoutingStep(after_seconds=60, any_agent=True))
    queue = msgspec.structs.replace(queue, required_skills={"x": 1})
    work = waiting(next(one for one in IDS if lot_of("ours", one) > 1), queue=queue)
    assert work.visit is not None
    assert work.visit.file_again_at == work.visit.entered_at + timedelta(seconds=60)
