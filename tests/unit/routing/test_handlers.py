"""Every fact that may come is taken, and a decision that fails changes nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.routing.domain import lifecycle, offers
from services.routing.domain.changes import Crew
from services.routing.domain.match import place_in_line
from services.routing.domain.work import Work
from services.routing.handlers import (
    CUSTOMER_HANDLERS,
    HANDLERS,
    INBOX_HANDLERS,
    TICKET_HANDLERS,
    Case,
    Context,
    CustomerCase,
)
from services.routing.promising import BREACH_HANDLERS, CLOCK_HANDLERS, WARNING_HANDLERS
from shared.conditions import Test
from shared.events import topics
from shared.events.base import Event, Fact
from shared.events.codec import decode
from shared.events.message import MessageReceived
from shared.events.ticket import SpamMarked, SpamUnmarked, TicketOpened, TicketPrioritised, TicketResolved
from shared.events.topics import FACT_BY_TYPE
from shared.ticket import IllegalFact
from tests.contract.examples import type_of
from tests.unit.routing.story import a_message, a_queue, an_agent, at, by_intake, turn, waiting

FOLDER = Path(__file__).parents[3] / "shared" / "events" / "examples"
TAKEN = sorted(path for path in FOLDER.glob("*.json") if FACT_BY_TYPE[type_of(path.name)] in HANDLERS)
READ = (topics.TICKETS, topics.CONFIG, topics.CUSTOMERS, topics.SLA_CLOCKS, topics.SLA_WARNINGS, topics.SLA_BREACHES)


def take(event: Event[Fact], case: Case, context: Context) -> None:
    """Hand the event to whichever table of handlers takes it."""
    kind = type(event.data)
    if kind in TICKET_HANDLERS:
        after, drafts = TICKET_HANDLERS[kind](context, case, event, event.time)
        assert after.work.id == case.work.id
        assert all(draft.cause == event.id for draft in drafts)
    elif kind in CUSTOMER_HANDLERS:
        CUSTOMER_HANDLERS[kind](None, CustomerCase(), event, event.time)
    elif kind in INBOX_HANDLERS:
        assert INBOX_HANDLERS[kind](None, None, event, event.time) == (event.data, ())
    else:
        {**CLOCK_HANDLERS, **WARNING_HANDLERS, **BREACH_HANDLERS}[kind](None, {}, event, event.time)


@pytest.mark.parametrize("path", TAKEN, ids=lambda path: path.stem)
def test_every_example_of_the_contract_is_taken(path: Path) -> None:
    event = decode(path.read_bytes())
    agent = an_agent()
    crew = Crew({agent.id: agent})
    work = Work(id=event.key) if isinstance(event.data, TicketOpened) else waiting(event.key)
    take(event, Case(work, crew), Context((a_queue(),), crew))


def test_every_handled_fact_is_on_a_topic_that_routing_reads() -> None:
    assert {FACT_BY_TYPE[type_of(path.name)] for path in TAKEN} == set(HANDLERS)
    read = {fact for topic in READ for fact in topic.facts}
    assert set(HANDLERS) <= read


def test_a_fact_that_cannot_be_true_changes_no_agent() -> None:
    agent = an_agent()
    crew = Crew({agent.id: agent})
    opened_twice = by_intake("t-1", 9, TicketOpened(number=1, customer_id="c", channel="email", inbox="help"), at(9))
    with pytest.raises(IllegalFact):
        take(opened_twice, Case(waiting(), crew), Context((a_queue(),), crew))
    assert (crew.agents, crew.changed) == ({agent.id: agent}, set())


def test_a_ticket_that_spam_opened_waits_in_no_queue_whatever_its_sender_writes_and_waits_when_it_is_none_after_all() -> None:
    crew, said = Crew({}), []
    case, context = Case(Work(id="t-1"), crew), Context((a_queue(),), crew)
    told: list[Fact] = [
        TicketOpened(number=1, customer_id="c", channel="email", inbox="help"),
        SpamMarked(by="provider", score_millis=9100),
        MessageReceived(message_id="m-1", customer_id="c", channel="email", inbox="help", provider="smtp"),
        MessageReceived(message_id="m-2", customer_id="c", channel="email", inbox="help", provider="smtp"),
        SpamUnmarked(by="rule"),
    ]
    waits = []
    for n, fact in enumerate(told, start=1):
        event = by_intake("t-1", n, fact, at(n))
        case, drafts = TICKET_HANDLERS[type(fact)](context, case, event, event.time)
        said += [draft.data.TYPE for draft in drafts]
        waits.append(case.work.visit is not None)
    assert waits == [True, False, False, False, True]
    assert said == ["ticket.queued.v1", "ticket.left_queue.v1", "ticket.queued.v1"]


def test_a_ticket_that_a_later_message_makes_urgent_goes_before_the_others_and_its_owner_is_told() -> None:
    raised, agent = TicketPrioritised(priority=4, previous=2, rule_id="urgent"), an_agent()
    crew = Crew({agent.id: agent})
    context = Context((a_queue(),), crew)
    older, newer = waiting("t-1"), waiting("t-2")
    case, drafts = TICKET_HANDLERS[TicketPrioritised](context, Case(newer, crew), by_intake("t-2", 3, raised, at(9)), at(9))
    assert (case.work.ticket.priority, drafts, case.notices) == (4, [], ())
    assert case.work.visit == newer.visit, "its place is by its priority"
    assert sorted([older, case.work], key=place_in_line) == [case.work, older]
    dealt = turn(older, agent, now=at(5))
    offer = offers.make(dealt, agent, a_queue())
    offers.accept(dealt, offer.id, agent.id, a_queue())
    case, _ = TICKET_HANDLERS[TicketPrioritised](context, Case(dealt.work, crew), by_intake("t-1", 3, raised, at(9)), at(9))
    assert [(notice.agent_id, notice.kind) for notice in case.notices] == [("dana", "ticket.prioritised")]


def test_a_message_that_makes_a_rested_ticket_urgent_brings_it_to_the_queue_for_what_is_urgent() -> None:
    urgent = a_queue("urgent", position=1, when=Test(field="priority", op="at_least", value=3))
    context = Context((urgent, a_queue("support", position=2)), Crew({}))
    deciding = turn(waiting("t-1"), now=at(5))
    lifecycle.leave(deciding, "resolved")
    deciding.say(TicketResolved())
    case = Case(deciding.work, context.crew)
    for n, fact in enumerate((TicketPrioritised(priority=4, previous=2), a_message("t-1", 4, at(9)).data), start=3):
        case, _ = TICKET_HANDLERS[type(fact)](context, case, by_intake("t-1", n, fact, at(9)), at(9))
    assert case.work.visit is not None
    assert case.work.visit.queue_id == "urgent"
