"""A small house that is worked on at random: whatever may be done to a ticket is done, in whatever order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.routing.domain import commands, lifecycle, offers, timers
from services.routing.domain.agents import Agent, change_state
from services.routing.domain.changes import Crew
from services.routing.domain.match import match
from services.routing.domain.work import Turn, Work
from services.routing.handlers import TICKET_HANDLERS, Case, Context
from shared.events.base import Channel, Draft, Event, Fact
from shared.events.call import CallbackRequested, CallEnded
from shared.events.config import QueueConfigured, RoutingStep
from shared.events.message import MessageReceived
from shared.events.people import AgentState
from shared.events.ticket import TicketClosed, TicketOpened
from tests.unit.routing.deeds import DEEDS, OTHERS, REFUSALS, RULES
from tests.unit.routing.story import BACK_OFF, START, a_queue, an_agent, by_intake

CHANNELS: dict[str, Channel] = {"t-0": "email", "t-1": "email", "t-2": "phone", "t-3": "chat"}
TICKETS = list(CHANNELS)
AGENTS = ["dana", "noa", "omar"]
STATES: tuple[AgentState, ...] = ("available", "break", "offline")
GRACE = timedelta(seconds=30)
RINA = commands.Actor("rina", supervisor=True)
WRAP_UP_SECONDS = 60


def _sends(to_queue_id: str, after_seconds: int, share: int | None = None) -> RoutingStep:
    return RoutingStep(after_seconds=after_seconds, to_queue_id=to_queue_id, share_percent=share)


QUEUES: tuple[QueueConfigured, ...] = (
    a_queue("support", position=1, wrap_up_seconds=WRAP_UP_SECONDS, consult_units=1, steps=(_sends("north", 0, share=50),)),
    a_queue("second", position=2, tier=2, consult_seconds=100, steps=(_sends("support", 40),)),
    a_queue("north", position=3, partner_id="north"),
)


class Contact(RuleBasedStateMachine):
    """Four tickets on three channels, three agents of whom one works for a partner, three queues on two tiers."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = START
        self.queues = QUEUES
        self.works: dict[str, Work] = {}
        self.agents: dict[str, Agent] = {name: an_agent(name, capacity_units=5) for name in AGENTS[:2]}
        self.agents["omar"] = an_agent("omar", capacity_units=6, partner_id="north")
        self.told: dict[str, list[Event[Fact]]] = defaultdict(list)
        self.said: list[Draft[Fact]] = []
        self.turns: Counter[str] = Counter()

    def decided(self, work: Work, agents: Mapping[str, Agent], drafts: Sequence[Draft[Fact]]) -> None:
        """A decision stands."""
        self.works[work.id] = work
        self.agents.update(agents)
        self.said.extend(drafts)

    def hear(self, ticket_id: str, fact: Fact) -> None:
        """Intake says it, and it is taken as the consumer takes it."""
        event = by_intake(ticket_id, len(self.told[ticket_id]) + 1, fact, self.now)
        self.told[ticket_id].append(event)
        crew = Crew(dict(self.agents))
        case = Case(self.works.get(ticket_id) or Work(id=ticket_id), crew)
        after, drafts = TICKET_HANDLERS[type(fact)](Context(self.queues, crew, rules=RULES), case, event, self.now)
        self.decided(after.work, crew.of(crew.changed), drafts)

    def attempt(self, ticket_id: str, act: Callable[[Turn], object]) -> None:
        """Do it, where there is such a ticket and it is not refused."""
        if ticket_id not in self.works:
            return
        self.turns[ticket_id] += 1
        turn = Turn(self.works[ticket_id], f"{ticket_id} {self.turns[ticket_id]}", self.now, dict(self.agents))
        try:
            act(turn)
        except REFUSALS:
            return
        self.decided(turn.work, turn.changed, turn.drafts)

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        for ticket_id in list(self.works):
            self.attempt(ticket_id, lambda turn: offers.expire(turn, BACK_OFF))
            self.attempt(ticket_id, lambda turn: timers.fire(turn, self.queues))
            self.attempt(ticket_id, lambda turn: lifecycle.lose(turn, self.queues, GRACE))
            self.attempt(ticket_id, lambda turn: lifecycle.settle(turn, self.queues))

    @rule(ticket_id=st.sampled_from(TICKETS))
    def the_customer_writes(self, ticket_id: str) -> None:
        written = MessageReceived(
            message_id=f"m-{ticket_id}-{len(self.told[ticket_id])}",
            customer_id="c-1",
            channel="email",
            inbox="help",
            provider="x",
        )
        if ticket_id not in self.works:
            channel = CHANNELS[ticket_id]
            self.hear(ticket_id, TicketOpened(number=1, customer_id="c-1", channel=channel, inbox="help", language="en"))
        self.hear(ticket_id, written)

    @rule()
    def tickets_are_matched(self) -> None:
        queues = {queue.id: queue for queue in self.queues}
        for pair in match(list(self.works.values()), self.agents.values(), queues, self.now):
            visit, agent = self.works[pair.ticket_id].visit, self.agents[pair.agent_id]
            assert visit is not None
            self.attempt(pair.ticket_id, partial(offers.make, agent=agent, queue=queues[visit.queue_id]))

    @rule(ticket_id=st.sampled_from(TICKETS), accepted=st.booleans())
    def an_offer_is_answered(self, ticket_id: str, accepted: bool) -> None:
        work = self.works.get(ticket_id)
        offer = work.offer if work is not None else None
        if offer is None or (accepted and offer.expires_at <= self.now):
            return
        queue = next((queue for queue in self.queues if queue.id == offer.queue_id), None)
        if accepted:
            self.attempt(ticket_id, lambda turn: offers.accept(turn, offer.id, offer.agent_id, queue))
        else:
            self.attempt(ticket_id, lambda turn: offers.decline(turn, offer.id, offer.agent_id, None, BACK_OFF))

    @rule(
        ticket_id=st.sampled_from(TICKETS), what=st.sampled_from(sorted(DEEDS)), other=st.sampled_from(AGENTS), own=st.booleans()
    )
    def the_holder_or_a_supervisor_acts(self, ticket_id: str, what: str, other: str, own: bool) -> None:
        work = self.works.get(ticket_id)
        actor = commands.Actor(work.owner) if own and work and work.owner else RINA
        self.attempt(ticket_id, lambda turn: DEEDS[what](turn, actor, self.queues, other))

    @rule(ticket_id=st.sampled_from(TICKETS), what=st.sampled_from(sorted(OTHERS)), other=st.sampled_from(AGENTS))
    def others_act(self, ticket_id: str, what: str, other: str) -> None:
        self.attempt(ticket_id, lambda turn: OTHERS[what](turn, RINA, self.queues, other))

    @rule(agent_id=st.sampled_from(AGENTS), state=st.sampled_from(STATES))
    def an_agent_comes_or_goes(self, agent_id: str, state: AgentState) -> None:
        self.agents[agent_id], _ = change_state(self.agents[agent_id], state, self.now)
        for ticket_id, work in list(self.works.items()):
            if state != "available" and work.offer is not None and work.offer.agent_id == agent_id:
                self.attempt(ticket_id, lambda turn: offers.rescind(turn, "agent_left"))

    @rule(ticket_id=st.sampled_from(TICKETS), seconds=st.integers(0, 60))
    def the_customer_would_rather_be_called(self, ticket_id: str, seconds: int) -> None:
        if ticket_id in self.works:
            not_before = self.now + timedelta(seconds=seconds) if seconds else None
            self.hear(ticket_id, CallbackRequested(not_before=not_before))

    @rule(talked=st.booleans())
    def the_call_ends(self, talked: bool) -> None:
        if "t-2" in self.works:
            self.hear("t-2", CallEnded(call_id="k", outcome="completed" if talked else "abandoned"))

    @rule(ticket_id=st.sampled_from(TICKETS))
    def intake_closes(self, ticket_id: str) -> None:
        work = self.works.get(ticket_id)
        if work is not None and work.ticket.status != "closed":
            self.hear(ticket_id, TicketClosed(reason="requested"))
