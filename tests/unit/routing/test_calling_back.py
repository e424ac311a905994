"""Called back instead of waiting: out of the queue, back at its time where it stood, and nobody is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing.domain import calling_back, commands, lifecycle, offers, timers
from services.routing.domain.agents import change_state
from services.routing.domain.changes import Crew
from services.routing.domain.commands import Actor
from services.routing.domain.resting import WrongTime
from services.routing.domain.work import Turn, Work, hear
from services.routing.handlers import TICKET_HANDLERS, Case, Context
from shared.events.base import Draft, Fact
from shared.events.call import CallbackRequested, CallEnded
from shared.events.ticket import TicketLeftQueue, TicketQueued
from tests.unit.routing.story import a_message, a_queue, an_agent, at, by_intake, fact, said, turn, waiting

QUEUE = a_queue()
RINA = Actor("rina", supervisor=True)
GRACE = timedelta(seconds=30)


def happens(work: Work, seq: int, told: Fact, now: float) -> tuple[Work, list[Draft[Fact]]]:
    """What routing makes of a fact of intake."""
    crew = Crew({})
    event = by_intake("t-1", seq, told, at(now))
    case, drafts = TICKET_HANDLERS[type(told)](Context((QUEUE,), crew), Case(work, crew), event, at(now))
    return case.work, list(drafts)


def wished(not_before: datetime | None = None) -> tuple[Work, list[Draft[Fact]]]:
    """A caller who waits since second 0 would rather be called, at second 20, and hangs up."""
    work, drafts = happens(waiting(channel="phone", queue=QUEUE), 3, CallbackRequested(not_before=not_before), 20)
    after, more = happens(work, 4, CallEnded(call_id="k", outcome="abandoned"), 21)
    assert not more, "who is called back has abandoned nothing"
    return after, drafts


def test_it_leaves_its_queue_and_comes_back_at_its_time_with_its_age() -> None:
    work, [left] = wished(at(3600))
    assert left.data == TicketLeftQueue(queue_id="support", visit=1, reason="callback", waited_us=20_000_000, returns_at=at(3600))
    assert (work.visit, work.awaits_callback, work.due_at) == (None, True, at(3600))
    timers.fire(early := turn(work, now=at(3599)), [QUEUE])
    assert said(early) == []
    timers.fire(due := turn(work, now=at(3601)), [QUEUE])
    queued = fact(due, TicketQueued)
    assert isinstance(queued, TicketQueued)
    assert (queued.visit, queued.reason, queued.age_from) == (2, "returned", at(0))
    assert due.work.due_at is None
    timers.fire(again := turn(due.work, now=at(3602)), [QUEUE])
    assert said(again) == []


def test_without_a_time_it_keeps_its_place_and_only_the_customer_does_not_wait() -> None:
    work, drafts = wished()
    assert [draft.data.TYPE for draft in drafts] == ["ticket.left_queue.v1", "ticket.queued.v1"]
    assert work.visit is not None
    assert (work.visit.number, work.visit.age_from) == (2, at(0))


def test_who_hung_up_before_the_wish_was_heard_is_called_all_the_same() -> None:
    work, _ = happens(waiting(channel="phone", queue=QUEUE), 3, CallEnded(call_id="k", outcome="abandoned"), 20)
    assert work.visit is None
    work, drafts = happens(work, 4, CallbackRequested(not_before=at(100)), 21)
    assert [draft.data.TYPE for draft in drafts] == ["ticket.queued.v1", "ticket.left_queue.v1"]
    assert (work.awaits_callback, work.due_at) == (True, at(100))


def test_another_time_takes_the_place_of_the_first() -> None:
    work, _ = wished(at(3600))
    work, _ = happens(work, 5, CallbackRequested(not_before=at(7200)), 30)
    assert work.due_at == at(7200)


def test_what_is_written_meanwhile_waits_at_once_and_what_is_resolved_or_closed_does_not_come_back() -> None:
    work, _ = wished(at(3600))
    writing = turn(hear(work, a_message("t-1", 5, at(50))), now=at(50))
    lifecycle.customer_wrote(writing, [QUEUE], at(50))
    assert (writing.work.visit is not None, writing.work.due_at) == (True, None)
    commands.resolve(resolving := turn(work, now=at(50)), RINA, None)
    assert (resolving.work.awaits_callback, resolving.work.due_at) == (False, None)
    commands.mark_spam(marking := turn(work, now=at(50)), RINA)
    assert marking.work.due_at is None


def test_an_agent_says_it_for_the_customer_and_not_of_what_somebody_has() -> None:
    deciding = turn(waiting(queue=QUEUE), an_agent("dana"), now=at(20))
    assert calling_back.request(deciding, RINA, [QUEUE], at(60)) == at(60)
    assert said(deciding) == ["callback.requested", "ticket.left_queue"]
    requested = fact(deciding, CallbackRequested)
    assert requested == CallbackRequested(customer_id="c-1", not_before=at(60), by_agent_id="rina")
    with pytest.raises(calling_back.NothingWaits):
        calling_back.request(owned(), RINA, [QUEUE], None)


@pytest.mark.parametrize("days", [366.001, 36_500])
def test_a_time_at_which_nobody_would_remember_it_is_refused(days: float) -> None:
    deciding = turn(waiting(queue=QUEUE), an_agent("dana"), now=at(20))
    with pytest.raises(WrongTime):
        calling_back.request(deciding, RINA, [QUEUE], at(20) + timedelta(days=days))
    assert (said(deciding), deciding.work.visit is not None) == ([], True)
    assert calling_back.request(deciding, RINA, [QUEUE], at(20) + timedelta(days=366)) == at(20) + timedelta(days=366)


def owned(channel: str = "chat") -> Turn:
    """Dana has a conversation since second 5."""
    deciding = turn(waiting(queue=QUEUE, channel=channel), an_agent("dana"), now=at(5))  # type: ignore[arg-type]
    offer = offers.make(deciding, an_agent("dana"), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    return Turn(deciding.work, "k", at(10), dict(deciding.changed))


def gone(channel: str, now: float, *, back: bool = False) -> Turn:
    """Dana's connection is lost at second 10; perhaps she is back at 20."""
    deciding = owned(channel)
    dana, _ = change_state(deciding.known["dana"], "offline", at(10), "presence_lost")
    if back:
        dana, _ = change_state(dana, "available", at(20))
    losing = Turn(deciding.work, "lost", at(now), {"dana": dana})
    lifecycle.lose(losing, [QUEUE], GRACE)
    return losing


def test_a_chat_whose_agent_does_not_come_back_waits_where_it_stood_and_mail_stays() -> None:
    lost = gone("chat", 40)
    assert said(lost) == ["agent.load_changed", "ticket.released", "ticket.queued"]
    queued = fact(lost, TicketQueued)
    assert isinstance(queued, TicketQueued)
    assert (queued.reason, queued.age_from, lost.changed["dana"].used_units) == ("returned", at(0), 0)
    for stays in (gone("chat", 39), gone("chat", 40, back=True), gone("email", 4000)):
        assert (said(stays), stays.work.owner) == ([], "dana")
