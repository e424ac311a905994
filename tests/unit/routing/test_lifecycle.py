"""What happens to a ticket when the customer's side moves."""

from __future__ import annotations

import msgspec
import pytest

from services.routing.domain import commands, lifecycle, offers
from services.routing.domain.agents import Agent
from services.routing.domain.work import Turn, Work, hear
from shared.events.ticket import TicketLeftQueue, TicketQueued, TicketReleased
from tests.unit.routing.story import START, a_message, a_queue, an_agent, at, busy, fact, opened, said, turn, waiting

QUEUE = a_queue()
DANA = commands.Actor("dana")


def owned() -> tuple[Work, Agent]:
    """A ticket that dana owns since second 5."""
    deciding = turn(waiting(), an_agent(), now=at(5))
    offer = offers.make(deciding, an_agent(), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    return deciding.work, deciding.changed["dana"]


def rested(how: str) -> tuple[Work, Agent]:
    """The ticket of `owned`, put to rest by dana at second 20."""
    work, agent = owned()
    deciding = turn(work, agent, now=at(20))
    {
        "pended": lambda: commands.pend(deciding, DANA),
        "on hold": lambda: commands.put_on_hold(deciding, DANA, "bank"),
        "resolved": lambda: commands.resolve(deciding, DANA, None),
    }[how]()
    return deciding.work, deciding.changed["dana"]


def the_customer_writes(work: Work, agent: Agent, now: float = 100, seq: int = 3) -> Turn:
    deciding = turn(hear(work, a_message(work.id, seq, at(now))), agent, now=at(now + 0.1))
    lifecycle.customer_wrote(deciding, [QUEUE], at(now))
    return deciding


@pytest.mark.parametrize("how", ["pended", "on hold"])
def test_a_rested_ticket_takes_none_of_its_owner_until_the_customer_writes(how: str) -> None:
    work, agent = rested(how)
    assert (agent.used_units, agent.tickets, work.owner) == (0, 0, "dana")
    deciding = the_customer_writes(work, agent)
    assert said(deciding) == ["agent.load_changed"]
    assert deciding.work.ticket.status == "open"
    assert (deciding.changed["dana"].used_units, deciding.changed["dana"].tickets) == (2, 1)
    assert [(notice.agent_id, notice.kind) for notice in deciding.notices] == [("dana", "message.received")]


@pytest.mark.parametrize(("change", "reason"), [({"state": "break"}, "presence_lost"), ({"used_units": 9}, "transferred")])
def test_when_the_owner_is_away_or_full_the_ticket_waits_for_anybody_the_owner_preferred(
    change: dict[str, object], reason: str
) -> None:
    work, agent = rested("pended")
    deciding = the_customer_writes(work, msgspec.structs.replace(agent, **change))
    assert said(deciding) == ["ticket.released", "ticket.queued"]
    released, queued = fact(deciding, TicketReleased), fact(deciding, TicketQueued)
    assert isinstance(released, TicketReleased)
    assert isinstance(queued, TicketQueued)
    assert released.reason == reason
    assert (queued.reason, queued.visit, queued.age_from) == ("reopened", 2, at(100))
    assert deciding.work.visit is not None
    assert deciding.work.visit.preferred == "dana"


def test_a_message_after_a_resolve_puts_the_ticket_in_a_queue_again() -> None:
    work, agent = rested("resolved")
    assert (work.owner, agent.used_units) == (None, 0)
    deciding = the_customer_writes(work, agent)
    assert said(deciding) == ["ticket.queued"]
    assert deciding.work.ticket.status == "open"


def test_a_message_on_a_ticket_at_work_is_only_told_to_its_owner_and_one_that_waits_goes_on_waiting() -> None:
    work, agent = owned()
    deciding = the_customer_writes(work, msgspec.structs.replace(agent, state="offline"))
    assert said(deciding) == []
    assert [notice.kind for notice in deciding.notices] == ["message.received"]
    assert said(the_customer_writes(waiting(), agent)) == []


def test_a_caller_who_leaves_the_queue_is_abandoned_and_an_owned_one_is_not() -> None:
    deciding = turn(waiting(channel="phone"), now=at(45))
    lifecycle.leave(deciding, "abandoned")
    lifecycle.leave(deciding, "abandoned")
    left = fact(deciding, TicketLeftQueue)
    assert isinstance(left, TicketLeftQueue)
    assert (left.reason, left.waited_us, left.visit) == ("abandoned", 45_000_000, 1)
    work, agent = owned()
    assert said(turn(work, agent)) == []


def test_a_ticket_taken_out_leaves_its_queue_or_its_owner() -> None:
    queued = turn(waiting(), now=at(9))
    lifecycle.take_out(queued, "merged")
    assert said(queued) == ["ticket.left_queue"]
    work, agent = owned()
    taken = turn(work, agent, now=at(9))
    lifecycle.take_out(taken, "spam")
    assert said(taken) == ["agent.load_changed", "ticket.released"]
    assert taken.changed["dana"].used_units == 0


def test_a_ticket_that_comes_back_waits_again_with_its_age() -> None:
    deciding = turn(waiting(), now=at(9))
    lifecycle.take_out(deciding, "spam")
    lifecycle.came_back(deciding, [QUEUE], at(0))
    assert deciding.work.visit is not None
    assert (deciding.work.visit.number, deciding.work.visit.age_from) == (2, at(0))


def test_a_full_owner_who_finishes_something_has_room_again() -> None:
    work, agent = rested("pended")
    full = busy(agent, 10)
    assert not lifecycle.pick_up(turn(work, full), full)
    assert lifecycle.pick_up(turn(work, agent), agent)


def without_queue() -> Work:
    """A ticket that no rule took."""
    deciding = turn(opened())
    lifecycle.place(deciding, [], "opened", START)
    assert deciding.work.attention == lifecycle.NO_QUEUE
    return deciding.work


def test_a_ticket_that_no_rule_took_waits_as_soon_as_one_does() -> None:
    deciding = turn(without_queue(), now=at(60))
    lifecycle.place_at_last(deciding, [QUEUE], START)
    assert (said(deciding), deciding.work.attention) == (["ticket.queued"], None)
    again = turn(deciding.work, now=at(61))
    lifecycle.place_at_last(again, [QUEUE], START)
    assert said(again) == []


def test_a_ticket_that_no_rule_took_and_that_was_resolved_waits_nowhere() -> None:
    resolving = turn(without_queue(), now=at(60))
    commands.resolve(resolving, commands.Actor("lea", supervisor=True), None)
    deciding = turn(resolving.work, now=at(61))
    lifecycle.place_at_last(deciding, [QUEUE], START)
    assert (said(deciding), deciding.work.visit, deciding.work.attention) == ([], None, None)
