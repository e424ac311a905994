"""What routing said, told again after a restore, comes to where it stood; what it had not answered is answered then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from hypothesis import settings
from hypothesis.stateful import invariant

from services.routing.domain.agents import Agent
from services.routing.domain.recalling import Debt, Known, Told, owed, settle, told
from services.routing.domain.recounting import recount
from services.routing.domain.work import Turn, Work
from shared.events.base import Draft, Event, Fact, Position
from shared.events.call import CallEnded, CallReceived
from shared.events.ticket import TicketOpened, TicketQueued, TicketReleased, TicketResolved
from tests.counts import examples
from tests.unit.routing.at_random import QUEUES, TICKETS, Contact
from tests.unit.routing.story import START, a_message, a_queue, an_agent, at, by_intake, said

QUEUE = a_queue()
OPENED = TicketOpened(number=100_001, customer_id="c-1", channel="email", inbox="help", language="en")


def by_routing(ticket_id: str, seq: int, fact: Fact, time: datetime, seen: int) -> Event[Fact]:
    return Event(f"r-{ticket_id}-{seq}", fact.TYPE, "routing", Position(1, seq), ticket_id, time, fact, Position(1, seen))


def again(events: list[Event[Fact]], *agents: Agent) -> tuple[Work, Debt]:
    """A ticket told from its beginning."""
    state, debt = Told(Work(id=events[0].key)), Debt()
    for event in events:
        state = told(Known({queue.id: queue for queue in QUEUES}, {agent.id: agent for agent in agents}), state, event)
        debt = owed(debt, event)
    return state.work, debt


def settled(events: list[Event[Fact]], *agents: Agent) -> Turn:
    """A ticket told again, counted and brought to where its facts leave it, a minute after the start."""
    work, debt = again(events, *agents)
    works, carrying = recount([work], {agent.id: agent for agent in agents})
    turn = Turn(works[work.id], "restored", at(60), carrying)
    settle(turn, [QUEUE], debt)
    return turn


class Retold(Contact):
    """The small house worked on at random; whatever it does, its facts told again come to the same house."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[str, list[Event[Fact]]] = {ticket_id: [] for ticket_id in TICKETS}

    def decided(self, work: Work, agents: Mapping[str, Agent], drafts: Sequence[Draft[Fact]]) -> None:
        events, told_by_intake = self.log[work.id], self.told[work.id]
        events += told_by_intake[sum(event.writer == "intake" for event in events) :]
        written = sum(event.writer == "routing" for event in events)
        own = [draft.data for draft in drafts if draft.key == work.id]
        events += [by_routing(work.id, written + n, f, self.now, len(told_by_intake)) for n, f in enumerate(own, start=1)]
        super().decided(work, agents, drafts)

    @invariant()
    def told_again_it_is_the_same_house(self) -> None:
        known = [again(self.log[ticket_id], *self.agents.values()) for ticket_id in self.works]
        works, agents = recount([work for work, _ in known], self.agents)
        for ticket_id, work in self.works.items():
            assert outline(works[ticket_id]) == outline(work)
        for agent_id, agent in self.agents.items():
            mine = agents[agent_id]
            assert (mine.used_units, mine.tickets, mine.by_channel) == (agent.used_units, agent.tickets, agent.by_channel)
        for work, debt in known:
            turn = Turn(works[work.id], "restored", self.now, agents)
            settle(turn, QUEUES, debt)
            assert said(turn) == [], "nothing was left to do"


def outline(work: Work) -> Work:
    """A ticket without what is not on the log: who is preferred, who let it go until when, how long agents were idle."""
    visit = msgspec.structs.replace(work.visit, preferred=None, passed=()) if work.visit else None
    offer = msgspec.structs.replace(work.offer, idle_before=START, given_before=None) if work.offer else None
    return msgspec.structs.replace(work, visit=visit, offer=offer)


TestRetold = Retold.TestCase
TestRetold.settings = settings(max_examples=examples(40), stateful_step_count=30, deadline=None)


def test_a_ticket_that_routing_never_heard_of_waits_in_its_queue() -> None:
    turn = settled([by_intake("t-1", 1, OPENED, START), a_message("t-1", 2, START)])
    assert said(turn) == ["ticket.queued"]


def test_a_message_that_routing_had_not_seen_when_it_resolved_brings_the_ticket_back() -> None:
    events = [
        by_intake("t-1", 1, OPENED, START),
        a_message("t-1", 2, START),
        a_message("t-1", 3, at(5)),
        by_routing("t-1", 1, TicketResolved(agent_id="rina"), at(6), seen=2),
    ]
    turn = settled(events)
    assert said(turn) == ["ticket.queued"]


def test_a_ticket_whose_release_is_on_the_log_without_its_queue_waits_again() -> None:
    queued = TicketQueued(queue_id="support", visit=1, reason="opened", age_from=START)
    events = [
        by_intake("t-1", 1, OPENED, START),
        a_message("t-1", 2, START),
        by_routing("t-1", 1, queued, START, seen=2),
        by_routing("t-1", 2, TicketReleased(agent_id="dana", reason="supervisor"), at(6), seen=2),
    ]
    work, debt = again(events)
    assert (work.owner, debt.unplaced is not None) == (None, True)


def test_a_caller_who_left_while_routing_was_lost_leaves_the_queue() -> None:
    call = CallReceived(call_id="k", customer_id="c-1", inbox="help", provider="twilio", provider_ref="CA1")
    ended = CallEnded(call_id="k", outcome="abandoned")
    queued = TicketQueued(queue_id="support", visit=1, reason="opened", age_from=START)
    events = [
        by_intake("t-1", 1, msgspec.structs.replace(OPENED, channel="phone"), START),
        by_intake("t-1", 2, call, START),
        by_routing("t-1", 1, queued, START, seen=2),
        by_intake("t-1", 3, ended, at(9)),
    ]
    turn = settled(events)
    assert (said(turn), turn.work.visit) == (["ticket.left_queue"], None)
    left = [*events, *(by_routing("t-1", 2, draft.data, at(10), seen=3) for draft in turn.drafts)]
    assert said(settled(left)) == [], "and does not come back at the next restore"


def test_what_an_agent_carries_is_never_more_than_there_is_room_for() -> None:
    dana = an_agent("dana", capacity_units=2)
    events = {n: [by_intake(f"t-{n}", 1, OPENED, START), a_message(f"t-{n}", 2, START)] for n in (1, 2)}
    owned = []
    for n in (1, 2):
        work = again(events[n])[0]
        routing = msgspec.structs.replace(work.ticket.routing, agent_id="dana")
        owned.append(msgspec.structs.replace(work, ticket=msgspec.structs.replace(work.ticket, routing=routing)))
    counted, agents = recount(owned, {"dana": dana})
    assert [counted[f"t-{n}"].units for n in (1, 2)] == [2, 0]
    assert agents["dana"].used_units == 2
