"""Whatever happens in whatever order: one owner, one offer, nobody above capacity, every visit ends once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.routing.domain import commands, lifecycle, offers
from services.routing.domain.agents import Agent, change_state
from services.routing.domain.match import match
from services.routing.domain.work import Turn, Work, hear
from shared.events.base import Draft, Fact
from shared.events.people import AgentState
from shared.events.ticket import TicketAssigned, TicketClosed, TicketLeftQueue, TicketQueued
from shared.events.work import OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded, TicketOffered
from shared.ticket import CommandRefused
from tests.counts import examples
from tests.unit.routing.story import BACK_OFF, START, a_message, a_queue, an_agent, by_intake, opened

TICKETS = [f"t-{n}" for n in range(4)]
AGENTS = ["dana", "noa"]
STATES: tuple[AgentState, ...] = ("available", "break", "offline")


class Contact(RuleBasedStateMachine):
    """A small house, worked on at random."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = a_queue()
        self.now: datetime = START
        self.works: dict[str, Work] = {}
        self.agents: dict[str, Agent] = {name: an_agent(name, capacity_units=5) for name in AGENTS}
        self.seq: Counter[str] = Counter()
        self.said: list[Draft[Fact]] = []

    def turn(self, ticket_id: str) -> Turn:
        return Turn(self.works[ticket_id], f"cause {self.now}", self.now, dict(self.agents))

    def take(self, turn: Turn) -> None:
        self.works[turn.work.id] = turn.work
        self.agents.update(turn.changed)
        self.said.extend(turn.drafts)

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        for ticket_id in self.works:
            turn = self.turn(ticket_id)
            offers.expire(turn, BACK_OFF)
            self.take(turn)

    @rule(ticket_id=st.sampled_from(TICKETS))
    def the_customer_writes(self, ticket_id: str) -> None:
        if ticket_id not in self.works:
            self.works[ticket_id] = opened(ticket_id, time=self.now)
            self.seq[ticket_id] = 2
            turn = self.turn(ticket_id)
            lifecycle.place(turn, [self.queue], "opened", self.now)
        else:
            self.seq[ticket_id] += 1
            event = a_message(ticket_id, self.seq[ticket_id], self.now)
            self.works[ticket_id] = hear(self.works[ticket_id], event)
            turn = self.turn(ticket_id)
            lifecycle.customer_wrote(turn, [self.queue], self.now)
        self.take(turn)

    @rule()
    def tickets_are_matched(self) -> None:
        for pair in match(list(self.works.values()), self.agents.values(), {"support": self.queue}, self.now):
            turn = self.turn(pair.ticket_id)
            offers.make(turn, self.agents[pair.agent_id], self.queue)
            self.take(turn)

    @rule(ticket_id=st.sampled_from(TICKETS), accepted=st.booleans())
    def an_offer_is_answered(self, ticket_id: str, accepted: bool) -> None:
        work = self.works.get(ticket_id)
        if work is None or work.offer is None:
            return
        turn = self.turn(ticket_id)
        if not accepted:
            offers.decline(turn, work.offer.id, work.offer.agent_id, None, BACK_OFF)
        elif work.offer.expires_at > self.now:
            offers.accept(turn, work.offer.id, work.offer.agent_id, self.queue)
        self.take(turn)

    @rule(ticket_id=st.sampled_from(TICKETS), what=st.sampled_from(["resolve", "pend", "hold", "reopen", "release"]))
    def a_supervisor_acts(self, ticket_id: str, what: str) -> None:
        if ticket_id not in self.works:
            return
        turn, actor = self.turn(ticket_id), commands.Actor("rina", supervisor=True)
        try:
            if what == "resolve":
                commands.resolve(turn, actor, None)
            elif what == "pend":
                commands.pend(turn, actor)
            elif what == "hold":
                commands.put_on_hold(turn, actor, None)
            elif what == "reopen":
                commands.reopen(turn, actor, [self.queue], None)
            else:
                commands.give_back(turn, actor, [self.queue], self.now)
        except (CommandRefused, commands.NotYours):
            return
        self.take(turn)

    @rule(agent_id=st.sampled_from(AGENTS), state=st.sampled_from(STATES))
    def an_agent_comes_or_goes(self, agent_id: str, state: AgentState) -> None:
        self.agents[agent_id], _ = change_state(self.agents[agent_id], state, self.now)
        for ticket_id, work in list(self.works.items()):
            if state != "available" and work.offer is not None and work.offer.agent_id == agent_id:
                turn = self.turn(ticket_id)
                offers.rescind(turn, "agent_left")
                self.take(turn)

    @rule(ticket_id=st.sampled_from(TICKETS))
    def intake_closes(self, ticket_id: str) -> None:
        work = self.works.get(ticket_id)
        if work is None or work.ticket.status == "closed":
            return
        self.seq[ticket_id] += 1
        event = by_intake(ticket_id, self.seq[ticket_id], TicketClosed(reason="requested"), self.now)
        self.works[ticket_id] = hear(work, event)
        turn = self.turn(ticket_id)
        lifecycle.take_out(turn, "resolved")
        self.take(turn)

    @invariant()
    def each_agent_carries_what_is_theirs_and_never_too_much(self) -> None:
        for agent in self.agents.values():
            owned = [work for work in self.works.values() if work.owner == agent.id and work.units]
            held = [work.offer.units for work in self.works.values() if work.offer and work.offer.agent_id == agent.id]
            assert agent.used_units == sum(work.units for work in owned) + sum(held)
            assert agent.used_units <= agent.capacity_units
            assert agent.tickets == len(owned)
            assert sum(agent.by_channel.values()) == len(owned) + len(held)

    @invariant()
    def each_visit_ends_once_or_still_waits(self) -> None:
        facts = [(draft.key, draft.data) for draft in self.said]
        begun = Counter((key, fact.visit) for key, fact in facts if isinstance(fact, TicketQueued))
        ended = Counter((key, fact.visit) for key, fact in facts if isinstance(fact, TicketAssigned | TicketLeftQueue))
        waiting = Counter((work.id, work.visit.number) for work in self.works.values() if work.visit)
        assert begun == ended + waiting
        assert set(begun.values()) <= {1}

    @invariant()
    def each_offer_ends_once_or_is_live(self) -> None:
        facts = [draft.data for draft in self.said]
        made = Counter(fact.offer_id for fact in facts if isinstance(fact, TicketOffered))
        over = OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded
        ended = Counter(fact.offer_id for fact in facts if isinstance(fact, over))
        live = Counter(work.offer.id for work in self.works.values() if work.offer)
        assert made == ended + live
        assert set(made.values()) <= {1}

    @invariant()
    def no_customer_is_forgotten(self) -> None:
        for work in self.works.values():
            resting = work.ticket.status in ("pending", "on_hold", "resolved", "closed")
            assert resting or work.owner is not None or work.visit is not None


TestContact = Contact.TestCase
TestContact.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
