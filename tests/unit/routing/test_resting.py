"""A ticket that waits for its customer or a third party until a time, and then comes back by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing.domain import commands, lifecycle, offers, recalling, resting, timers
from services.routing.domain.agents import Agent
from services.routing.domain.commands import Actor
from services.routing.domain.resting import WrongTime
from services.routing.domain.work import Turn
from shared.events.ticket import TicketPended, TicketPutOnHold, TicketReopened
from tests.unit.routing.story import a_queue, an_agent, at, busy, fact, said, turn, waiting

QUEUE = a_queue()
DANA = Actor("dana")


def rested(until: datetime | None, *, on_hold: bool = False) -> Turn:
    """Dana took it at second 5, and lets it rest at second 10."""
    deciding = turn(waiting(queue=QUEUE), an_agent("dana"), now=at(5))
    offer = offers.make(deciding, an_agent("dana"), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    deciding = Turn(deciding.work, "rest", at(10), {**deciding.known, **deciding.changed})
    if on_hold:
        commands.put_on_hold(deciding, DANA, "bank", until)
    else:
        commands.pend(deciding, DANA, until)
    return deciding


def later(before: Turn, now: float, dana: Agent | None = None) -> Turn:
    known = {**before.known, **before.changed, **({"dana": dana} if dana is not None else {})}
    return Turn(before.work, f"at {now}", at(now), known)


@pytest.mark.parametrize("on_hold", [False, True])
def test_at_its_time_it_is_back_at_work_with_its_owner_who_is_told(on_hold: bool) -> None:
    deciding = rested(at(100), on_hold=on_hold)
    told = fact(deciding, TicketPutOnHold if on_hold else TicketPended)
    assert isinstance(told, TicketPutOnHold | TicketPended)
    assert told.until == at(100)
    assert (deciding.work.due_at, deciding.work.units) == (at(100), 0)
    early = later(deciding, 99)
    timers.fire(early, [QUEUE])
    assert said(early) == []
    due = later(deciding, 100)
    timers.fire(due, [QUEUE])
    assert fact(due, TicketReopened) == TicketReopened(reason=resting.DUE)
    assert (due.work.owner, due.work.ticket.status, due.work.units > 0, due.work.due_at) == ("dana", "open", True, None)
    assert [(notice.agent_id, notice.kind) for notice in due.notices] == [("dana", "ticket.due")]


@pytest.mark.parametrize("dana", [an_agent("dana", state="break"), busy(an_agent("dana"), 10)])
def test_where_its_owner_is_away_or_full_it_waits_as_new_as_that_and_for_them_first(dana: Agent) -> None:
    due = later(rested(at(100)), 100, dana)
    timers.fire(due, [QUEUE])
    visit = due.work.visit
    assert visit is not None
    assert (due.work.owner, visit.age_from, visit.preferred) == (None, at(100), "dana")


def test_who_writes_before_has_it_back_and_the_time_means_nothing_then() -> None:
    deciding = rested(at(100))
    woken = later(deciding, 50)
    woken.say(TicketReopened(agent_id="dana"))
    lifecycle.customer_wrote(woken, [QUEUE], at(50))
    assert (woken.work.owner, woken.work.due_at) == ("dana", None)
    due = later(woken, 100)
    timers.fire(due, [QUEUE])
    assert said(due) == []


def test_a_rest_without_an_end_has_none_also_after_one_that_had() -> None:
    deciding = later(rested(at(100)), 20)
    commands.put_on_hold(deciding, DANA, None)
    assert (deciding.work.ticket.status, deciding.work.due_at) == ("on_hold", None)


@pytest.mark.parametrize("until", [at(10), at(-5), at(10) + resting.FURTHEST + timedelta(seconds=1)])
def test_it_cannot_come_back_before_it_rests_nor_in_another_age(until: datetime) -> None:
    with pytest.raises(WrongTime):
        rested(until)


def test_after_a_restore_it_comes_back_as_it_was_said() -> None:
    state = recalling.Told(rested(None).work)
    change = recalling.CHANGES[TicketPended]
    told = rested(at(100))
    [event] = [told._own(draft.data) for draft in told.drafts if isinstance(draft.data, TicketPended)]
    assert change(recalling.Known(), state, event).work.due_at == at(100)
