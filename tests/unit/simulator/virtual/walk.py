"""Everything that can happen to a house, step by step, on the pure engine; after each step what must always hold is looked at.

`House` keeps books beside the engine and refuses a step that breaks them; here they are counted again from the tickets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import msgspec

from services.routing.domain import commands, lifecycle, offers, timers
from services.routing.domain.agents import Agent, change_state, has_room
from services.routing.domain.match import match
from services.routing.domain.queues import last_of
from services.routing.domain.work import Work, hear
from shared.events.base import Channel, Event, Fact, Position, Priority
from shared.events.message import MessageReceived
from shared.events.people import AgentState
from shared.events.ticket import TicketClosed, TicketOpened
from simulator.virtual.agenda import START
from tests.unit.routing.deeds import DEEDS, OTHERS, REFUSALS
from tests.unit.simulator.virtual.possible import KINDS, MAY_BE, WHAT, Heard
from tests.unit.simulator.virtual.small_house import AGENTS, QUEUES, STAFF

TICKETS = 10
BACK_OFF = timedelta(seconds=60)
CHANNELS: tuple[Channel, ...] = ("phone", "chat", "email")
LANGUAGES = ("he", "ro")
STATES: tuple[AgentState, ...] = ("available", "available", "available", "available", "break", "offline", "wrap_up")
CAPACITIES = (0, 3, 5, 6, 10)
GRACE = timedelta(seconds=30)
STEPS_A_DEED, STEPS_A_KIND = 1_500, 6_000  # in so many, on average, everything is done and said at least once
TO_AN_AGENT = ("hand over", "assign")  # where somebody is asked about a ticket, it goes to them
OF_WHICH_THE_RAREST = 5  # of so many that are possible what was done least is done

RINA = commands.Actor("rina", supervisor=True)


@dataclass
class Walk:
    """A small house. The steps take what they are about as numbers, so that chance or Hypothesis may choose."""

    house: Heard = field(default_factory=lambda: Heard(QUEUES, START))
    steps: int = 0
    opened: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    _over: set[str] = field(default_factory=set)
    _seq: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """All agents are there."""
        for name, profile in STAFF.items():
            agent = Agent(id=name, profile=profile, state="available", state_since=START, idle_since=START)
            self.house.seat(agent)

    def ticket(self, number: int) -> Work | None:
        """One of those that are open."""
        ids = list(self.house.works)
        return self.house.works[ids[number % len(ids)]] if ids else None

    def customer_comes(self, kind: int, language: int, priority: Priority) -> None:
        """A ticket is opened and placed, unless there are enough of them."""
        if len(self.house.works) >= TICKETS:
            return
        self.opened += 1
        ticket_id, channel = f"t-{self.opened}", CHANNELS[kind % len(CHANNELS)]
        opening = TicketOpened(
            number=self.opened,
            customer_id="c-1",
            channel=channel,
            inbox="help",
            language=LANGUAGES[language % len(LANGUAGES)],
            priority=priority,
        )
        work = self._heard(self._heard(Work(id=ticket_id), opening), self._message(ticket_id, channel))
        turn = self.house.turn(work, ticket_id)
        lifecycle.place(turn, self.house.queues, "opened", self.house.now)
        self.house.take(turn)

    def customer_writes(self, number: int) -> None:
        """Once more about the same."""
        work = self.ticket(number)
        if work is not None:
            turn = self.house.turn(self._heard(work, self._message(work.id, work.channel)), self._cause())
            lifecycle.customer_wrote(turn, self.house.queues, self.house.now)
            self.house.take(turn)

    def customer_leaves(self, number: int) -> None:
        """Out of the queue, for good."""
        work = self.ticket(number)
        if work is not None and work.visit is not None:
            turn = self.house.turn(work, self._cause())
            lifecycle.leave(turn, "abandoned")
            self.house.take(turn)
            self._forget(work.id)

    def intake_closes(self, number: int) -> None:
        """Whatever it was, it is over."""
        work = self.ticket(number)
        if work is not None:
            turn = self.house.turn(self._heard(work, TicketClosed(reason="requested")), self._cause())
            lifecycle.take_out(turn, "resolved")
            self.house.take(turn)
            self._forget(work.id)

    def tickets_are_matched(self) -> None:
        """The engine's pass. What is offered when it is shown a few is what it offers when it is shown all."""
        for work in self.house.works.values():
            if work.visit is not None and work.visit.passed:
                self.house.look_again(work.id)  # time may have passed, and who let it go may be asked again
        queues = {queue.id: queue for queue in self.house.queues}
        every = match(list(self.house.works.values()), self.house.agents.values(), queues, self.house.now)
        offered = [(turn.work.id, turn.made[0].agent_id) for turn in self.house.offer()]
        assert offered == [(pair.ticket_id, pair.agent_id) for pair in every]

    def offer_is_answered(self, number: int, accepted: bool) -> None:
        """By the agent who has it; too late, if it is."""
        work = self._with_offer(number)
        if work is None or work.offer is None:
            return
        turn = self.house.turn(work, self._cause())
        late = work.offer.expires_at <= self.house.now
        if not accepted:
            offers.decline(turn, work.offer.id, work.offer.agent_id, None, BACK_OFF)
        else:
            try:
                offers.accept(turn, work.offer.id, work.offer.agent_id, self.house.queue_of(work))
            except offers.OfferGone:
                assert late
                return
            assert not late
        self.house.take(turn)

    def time_passes(self, seconds: int) -> None:
        """Offers that nobody answered by then expire, what was to end by then ends, chats whose agent is gone go back."""
        self.house.now += timedelta(seconds=seconds)
        for work in list(self.house.works.values()):
            turn = self.house.turn(work, self._cause())
            offers.expire(turn, BACK_OFF)
            timers.fire(turn, self.house.queues)
            lifecycle.lose(turn, self.house.queues, GRACE)
            if turn.work is not work:
                self.house.take(turn)
            if work.id in self._over:
                self._forget(work.id)

    def somebody_acts(self, number: int, what: str, by_owner: bool, other: int = 0) -> None:
        """The owner or a supervisor, or somebody else; what may not be done is refused."""
        work = self.ticket(number)
        if work is not None:
            self._act(work, what, by_owner, AGENTS[other % len(AGENTS)])

    def somebody_fitting_acts(self, number: int, what: str, by_owner: bool, other: int = 0) -> None:
        """Like `somebody_acts`, on a ticket on which it may be done, and with an agent who is free for it, where there is one:
        by chance alone what needs several things to be so would hardly ever be done.
        """
        works = [work for work in self.house.works.values() if MAY_BE[what](work)]
        if what in TO_AN_AGENT:
            works = [work for work in works if self._free_experts(work)] or works
        if works:
            work = works[number % len(works)]
            free = [name for name, agent in self.house.agents.items() if self._is_free(agent, work)]
            meant = self._free_experts(work) or free or AGENTS
            self._act(work, what, by_owner, meant[other % len(meant)])

    def _free_experts(self, work: Work) -> list[str]:
        """Who is asked about the ticket and could have it."""
        return [one.expert_id for one in work.besides.consults if self._is_free(self.house.agents[one.expert_id], work)]

    def _is_free(self, agent: Agent, work: Work) -> bool:
        """Whether it could be the agent's, as far as room and partners go."""
        queue = last_of(self.house.queues, work)
        theirs = agent.profile.partner_id == (queue.partner_id if queue is not None else None)
        return theirs and agent.state == "available" and agent.id != work.owner and has_room(agent, work.channel)

    def _act(self, work: Work, what: str, by_owner: bool, other: str) -> None:
        turn, actor = self.house.turn(work, self._cause()), RINA
        if by_owner and work.owner is not None:
            actor = commands.Actor(work.owner)
        deed = DEEDS.get(what) or OTHERS[what]
        try:
            deed(turn, actor, self.house.queues, other)
        except REFUSALS:
            self.refused[what] += 1
            return
        if turn.work is not work:
            self.done[what] += 1
            self.house.take(turn)

    def agent_changes_state(self, number: int, state: AgentState) -> None:
        """What was offered goes to the next, unless the agent is there."""
        agent, _ = change_state(self.house.agents[AGENTS[number % len(AGENTS)]], state, self.house.now)
        self.house.seat(agent)
        for ticket_id in list(self.house.offered_to.get(agent.id, ())) if state != "available" else ():
            turn = self.house.turn(self.house.works[ticket_id], self._cause())
            offers.rescind(turn, "agent_left")
            self.house.take(turn)

    def capacity_changes(self, number: int, capacity: int) -> None:
        """Up or down, whatever the agent carries."""
        agent = self.house.agents[AGENTS[number % len(AGENTS)]]
        profile = msgspec.structs.replace(agent.profile, capacity_units=CAPACITIES[capacity % len(CAPACITIES)])
        self.house.seat(msgspec.structs.replace(agent, profile=profile))

    def by_chance(self, random: Random) -> None:
        """One step or other."""
        self.steps += 1
        number, other = random.randrange(1 << 16), random.randrange(1 << 16)
        match random.randrange(20):
            case 0 | 1 | 2:
                self.customer_comes(number, other, random.choice((1, 2, 2, 3, 4)))
            case 3:
                self.customer_writes(number)
            case 4:
                self.customer_leaves(number)
            case 5:
                self.intake_closes(number)
            case 6 | 7 | 8 | 9:
                self.tickets_are_matched()
            case 10 | 11:
                self.offer_is_answered(number, other % 3 > 0)
            case 12:
                self.time_passes(1 + other % 45)
            case 13:
                self.somebody_acts(number, random.choice(WHAT), other % 2 == 0, other // 2)
            case 14 | 15 | 16 | 17:
                self._something_is_done(random, number, other)
            case 18:
                self.agent_changes_state(number, random.choice(STATES))
            case _:
                if other % 3 == 0:
                    self.capacity_changes(number, other // 3)
                else:
                    self.somebody_acts(number, "resolve", True)

    def rare(self) -> list[str]:
        """What was done or said too seldom for a walk so long to say much of it."""
        few = [f"{what}: {self.done[what]} times done" for what in WHAT if self.done[what] < self.steps // STEPS_A_DEED]
        said = self.house.said
        return few + [f"{kind}: {said[kind]} times said" for kind in KINDS if said[kind] < self.steps // STEPS_A_KIND]

    def _something_is_done(self, random: Random, number: int, other: int) -> None:
        possible = [what for what in WHAT if any(map(MAY_BE[what], self.house.works.values()))]
        if possible:
            drawn = (random.choice(possible) for _ in range(OF_WHICH_THE_RAREST))
            self.somebody_fitting_acts(number, min(drawn, key=self.done.__getitem__), other % 8 > 0, other // 8)

    def look(self) -> None:
        """One owner, one live offer, nobody above what they can carry but by a lower capacity, each visit ends once."""
        works = self.house.works.values()
        for agent in self.house.agents.values():
            mine = [(work, holding) for work in works for holding in work.holdings if holding.agent_id == agent.id]
            assert agent.used_units == sum(holding.units for _, holding in mine)
            assert agent.tickets == sum(holding.kind == "owner" for _, holding in mine)
            assert agent.by_channel == dict(Counter(work.channel for work, holding in mine if holding.kind != "consult"))
            offered = {work.id for work in works if work.offer is not None and work.offer.agent_id == agent.id}
            assert set(self.house.offered_to.get(agent.id, ())) == offered
        waiting = {work.id for work in works if work.visit is not None}
        balance = self.house.balance
        assert balance.offered == balance.answered + balance.left.total() + len(waiting)
        assert set(balance.waiting) == waiting
        assert len(self.house.lines) == sum(work.visit is not None and work.offer is None for work in works)
        for work in works:
            assert not (work.owner and work.visit), "it waits while somebody has it"
            resting = work.ticket.status in ("pending", "on_hold", "resolved", "closed") or work.ticket.spam
            held = work.owner is not None or work.visit is not None or work.awaits_callback
            assert resting or held or work.id in self._over, "a customer is forgotten"

    def _forget(self, ticket_id: str) -> None:
        """It is over, once nobody is in wrap-up for it any more; unless it began again meanwhile."""
        work = self.house.works[ticket_id]
        self._over.discard(ticket_id)
        if work.visit is not None or work.owner is not None:
            return
        if work.besides.wrap_ups:
            self._over.add(ticket_id)
        else:
            self.house.forget(ticket_id)

    def _with_offer(self, number: int) -> Work | None:
        ringing = [work for work in self.house.works.values() if work.offer is not None]
        return ringing[number % len(ringing)] if ringing else None

    def _cause(self) -> str:
        return f"step {self.steps}"

    def _message(self, ticket_id: str, channel: Channel) -> Fact:
        number = self._seq.get(ticket_id, 0)
        return MessageReceived(
            message_id=f"m-{ticket_id}-{number}", customer_id="c-1", channel=channel, inbox="help", provider="virtual"
        )

    def _heard(self, work: Work, fact: Fact) -> Work:
        seq = self._seq[work.id] = self._seq.get(work.id, 0) + 1
        event = Event(f"{work.id}-{seq}", fact.TYPE, "intake", Position(1, seq), work.id, self.house.now, fact)
        return hear(work, event)
