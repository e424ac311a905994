"""Work after a contact: it has a limit, keeps what the ticket took, and says how it went."""

from __future__ import annotations

import pytest

from services.routing.domain import afterwards, commands, lifecycle, moves, offers, timers, wrapping
from services.routing.domain.agents import Agent, has_room
from services.routing.domain.changes import Crew
from services.routing.domain.commands import Actor
from services.routing.domain.work import Turn, Work, hear
from services.routing.handlers import TICKET_HANDLERS, Case, Context
from shared.events.base import Channel
from shared.events.call import CallEnded
from shared.events.ticket import TicketLabelled
from shared.events.work import WrapUpCompleted, WrapUpStarted
from tests.unit.routing.story import BACK_OFF, a_message, a_queue, an_agent, at, by_intake, fact, said, turn, waiting

QUEUE = a_queue(wrap_up_seconds=60)
QUEUES = (QUEUE, a_queue("other", position=2))
DANA, RINA = Actor("dana"), Actor("rina", supervisor=True)


def owned(channel: Channel = "email", now: float = 30) -> Turn:
    """Dana has a ticket since second 5."""
    deciding = turn(waiting(queue=QUEUE, channel=channel), an_agent("dana"), now=at(5))
    offer = offers.make(deciding, an_agent("dana"), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    return Turn(deciding.work, "k", at(now), {**deciding.changed, "noa": an_agent("noa")})


def later(deciding: Turn, now: float) -> Turn:
    return Turn(deciding.work, f"at {now}", at(now), {**deciding.known, **deciding.changed})


def resolved() -> Turn:
    """Dana resolved it at second 30."""
    deciding = owned()
    commands.resolve(deciding, DANA, "answered", QUEUES)
    return deciding


def test_whoever_resolves_is_in_wrap_up_which_keeps_what_the_ticket_took_until_they_are_through() -> None:
    deciding = resolved()
    assert said(deciding) == ["ticket.resolved", "wrap_up.started", "agent.load_changed", "ticket.released"]
    started = fact(deciding, WrapUpStarted)
    assert started == WrapUpStarted(agent_id="dana", ends_by=at(90))
    dana = deciding.changed["dana"]
    assert (deciding.work.owner, dana.used_units, dana.tickets, deciding.work.due_at) == (None, 2, 0, at(90))
    done = later(deciding, 50)
    afterwards.wrap_up(done, DANA, "refunded", "delivery.late", "parcels")
    completed, labelled = fact(done, WrapUpCompleted), fact(done, TicketLabelled)
    assert completed == WrapUpCompleted(agent_id="dana", wrap_up_us=20_000_000, code="refunded")
    assert labelled == TicketLabelled(topic="delivery.late", product="parcels", by_agent_id="dana")
    assert (done.work.labels.topic, done.work.ticket.topic) == ("delivery.late", "delivery.late")
    assert (done.changed["dana"].used_units, done.work.due_at) == (0, None)


def test_a_wrap_up_that_nobody_completes_ends_at_its_limit_once_however_late_it_is_looked_at() -> None:
    early = later(resolved(), 89.9)
    timers.fire(early, QUEUES)
    assert said(early) == []
    late = later(resolved(), 300)
    timers.fire(late, QUEUES)
    completed = fact(late, WrapUpCompleted)
    assert completed == WrapUpCompleted(agent_id="dana", wrap_up_us=60_000_000, timed_out=True)
    assert late.changed["dana"].used_units == 0
    again = later(late, 301)
    timers.fire(again, QUEUES)
    assert said(again) == []
    with pytest.raises(wrapping.NoWrapUp):
        afterwards.wrap_up(again, DANA, None)


def test_a_queue_that_gives_no_time_has_no_wrap_up_nor_has_who_did_not_let_it_go_themselves() -> None:
    none = owned()
    commands.resolve(none, DANA, None, [a_queue()])
    by_supervisor = owned()
    commands.resolve(by_supervisor, RINA, None, QUEUES)
    closed = owned()
    lifecycle.take_out(closed, "resolved")
    for deciding in (none, by_supervisor, closed):
        assert "wrap_up.started" not in said(deciding)
        assert deciding.changed["dana"].used_units == 0


def test_whoever_sends_a_ticket_on_is_in_wrap_up_for_it_while_it_waits_or_another_has_it() -> None:
    sent = owned()
    moves.transfer(sent, DANA, QUEUES, "queue", "other", None, BACK_OFF)
    assert (sent.changed["dana"].used_units, sent.work.visit is not None) == (2, True)
    handed = owned()
    moves.hand_to(handed, DANA, QUEUES, "noa", None)
    assert (handed.changed["dana"].used_units, handed.changed["noa"].used_units) == (2, 2)
    assert {holding.kind for holding in handed.work.holdings} == {"owner", "wrap_up"}


def hung_up(deciding: Turn, outcome: str = "completed") -> tuple[Work, Agent, list[str]]:
    """The call on dana's ticket ends at second 40."""
    event = by_intake("t-1", 3, CallEnded(call_id="k", outcome=outcome), at(40))  # type: ignore[arg-type]
    crew = Crew(dict(deciding.known))
    case, drafts = TICKET_HANDLERS[CallEnded](Context(QUEUES, crew), Case(deciding.work, crew), event, at(40))
    return case.work, crew.agents["dana"], [draft.data.TYPE for draft in drafts]


def test_when_a_call_ends_its_agent_is_in_wrap_up_and_gets_no_other_call_until_it_is_over() -> None:
    work, dana, types = hung_up(owned("phone"))
    assert types == ["wrap_up.started.v1"]
    assert (work.owner, work.units, dana.used_units) == ("dana", 5, 5)
    resolving = Turn(work, "k2", at(50), {"dana": dana})
    commands.resolve(resolving, DANA, None, QUEUES)
    assert said(resolving) == ["ticket.resolved", "agent.load_changed", "ticket.released"], "it is the same wrap-up"
    assert not has_room(resolving.changed["dana"], "phone")
    over = later(resolving, 100)
    timers.fire(over, QUEUES)
    assert fact(over, WrapUpCompleted) == WrapUpCompleted(agent_id="dana", wrap_up_us=60_000_000, timed_out=True)
    assert has_room(over.changed["dana"], "phone")
    assert hung_up(owned("phone"), "failed")[2] == []


def test_a_ticket_that_rests_during_its_wrap_up_is_taken_up_again_with_what_it_kept() -> None:
    work, dana, _ = hung_up(owned("phone"))
    pending = Turn(work, "k2", at(50), {"dana": dana})
    commands.pend(pending, DANA)
    assert (pending.work.units, pending.changed["dana"].used_units, pending.changed["dana"].tickets) == (0, 5, 0)
    woken = Turn(hear(pending.work, a_message("t-1", 4, at(60))), "k3", at(60), pending.changed)
    lifecycle.customer_wrote(woken, QUEUES, at(60))
    assert (woken.work.owner, woken.work.units, woken.changed["dana"].used_units) == ("dana", 5, 5)
    over = later(woken, 200)
    timers.fire(over, QUEUES)
    assert said(over) == ["wrap_up.completed"], "the ticket still takes what it takes"
    assert over.work.units == 5


def test_whoever_gets_the_ticket_again_is_no_longer_after_it() -> None:
    deciding = Turn(hear(resolved().work, a_message("t-1", 3, at(40))), "k2", at(40), resolved().changed)
    lifecycle.customer_wrote(deciding, QUEUES, at(40))
    offer = offers.make(deciding, deciding.changed.get("dana") or deciding.known["dana"], QUEUE)
    assert deciding.changed["dana"].used_units == 4
    accepting = later(deciding, 45)
    offers.accept(accepting, offer.id, "dana", QUEUE)
    assert said(accepting) == ["wrap_up.completed", "offer.accepted", "ticket.assigned", "agent.load_changed"]
    assert (accepting.changed["dana"].used_units, accepting.work.besides.wrap_ups) == (2, ())


def test_a_supervisor_ends_another_s_wrap_up_and_an_agent_only_their_own() -> None:
    with pytest.raises(wrapping.NoWrapUp):
        afterwards.wrap_up(later(resolved(), 40), Actor("noa"), None, of_agent_id="dana")
    deciding = later(resolved(), 40)
    afterwards.wrap_up(deciding, RINA, None, of_agent_id="dana")
    assert said(deciding) == ["wrap_up.completed", "agent.load_changed"]
