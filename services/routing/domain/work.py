"""A ticket as routing holds it: the shared fold, its visit to a queue, its live offer, what it takes of its owner.

`Turn` is one decision in the making: it starts from what is known, collects what is said and changed, and lives for one
call. Nothing that it was given is altered, so a decision that fails leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from services.routing.domain.agents import Agent
from services.routing.domain.besides import NOTHING, Besides, Holding
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.labels import Labels
from services.routing.domain.order import Worth, rank
from shared import ticket as tickets
from shared.events.base import NOTHING_SEEN, Channel, Direction, Draft, Event, Fact, Position, Sealed
from shared.events.people import AgentLoadChanged, Unreachable
from shared.events.ticket import TicketOpened
from shared.ticket import Ticket

OfferEnd = Literal["accepted", "declined", "expired", "rescinded"]
CameAs = Literal["opened", "reopened", "transferred", "escalated", "released", "overflowed", "returned"]
NoticeValue = str | int | bool | None
# Where both sides have to be there at once: somebody else goes on when the agent is gone.
LIVE: frozenset[Channel] = frozenset({"chat"})


class Passed(msgspec.Struct, frozen=True):
    """An agent who let an offer of this visit go, and until when the ticket is not offered to that agent again."""

    agent_id: str
    until: datetime


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A stay in a queue. `age_from` is what the place counts from.

    As filed under a version of the queues: `lane` groups what the same agents can take, `worth` and `due_from`
    make its place (`order.rank`); at `file_again_at` the lane is another. `filed_under` below nothing: placed under the version
    that this would be above it, and to be filed as soon as may be.
    """

    queue_id: str
    lane: str = ""
    worth: Worth = Worth()
    due_from: datetime | None = None
    filed_under: int = 0
    file_again_at: datetime | None = None
    number: int
    entered_at: datetime
    age_from: datetime
    preferred: str | None = None
    passed: tuple[Passed, ...] = ()


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A live offer. `idle_before` and `given_before` are the agent's turn before it, given back when the offer is taken back."""

    id: str
    agent_id: str
    queue_id: str
    visit: int
    offered_at: datetime
    expires_at: datetime
    units: int
    idle_before: datetime
    given_before: datetime | None = None
    step: int = 0


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Subject and name as they were sealed, for the event named."""

    event_id: str
    sealed: Sealed

    @classmethod
    def of(cls, event: Event[TicketOpened]) -> Opening | None:
        """That of a ticket's first fact; None where it carries nothing personal."""
        sealed = event.data.personal
        return cls(event_id=event.id, sealed=sealed) if sealed is not None else None


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer is entitled to now, where it changed since the ticket was opened."""

    vip: bool | None = None
    plan: str | None = None
    tier: str | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket and what routing does with it: `seen` is the last fact of intake applied, `units` its owner's load. `erased`: its
    customer was forgotten. `unreachable`: the channels on which the customer cannot be written to now, and why. `age_from` is
    what its last place in a queue counted from; `path` the queues through which it rose to its `tier`, `rules` those that raised
    it. `resolved`: it was, once. `came_as`: why it was queued last, other than as before (`queues.came_as`).
    """

    id: str
    ticket: Ticket = Ticket()
    seen: Position = NOTHING_SEEN
    labels: Labels = Labels()
    entitlement: Entitlement = Entitlement()
    direction: Direction = "ltr"
    opening: Opening | None = None
    visits: int = 0
    visit: Visit | None = None
    offer: Offer | None = None
    offers: int = 0
    accepted_offer_id: str | None = None
    units: int = 0
    last_agent_id: str | None = None
    attention: str | None = None
    erased: bool = False
    unreachable: Mapping[str, Unreachable] = {}
    age_from: datetime | None = None
    tier: int = 1
    path: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    transfers: int = 0
    resolved: bool = False
    came_as: CameAs = "opened"
    besides: Besides = NOTHING

    @property
    def owner(self) -> str | None:
        """The agent who owns it now."""
        return self.ticket.routing.agent_id

    @property
    def looked_at_for(self) -> str | None:
        """Why people have to look at it: it is quarantined, or no queue takes it."""
        return "spam" if self.ticket.spam and self.ticket.status != "closed" else self.attention

    @property
    def channel(self) -> Channel:
        """The channel on which it was opened."""
        return self.ticket.intake.channel

    @property
    def sealed_under(self) -> str:
        """Under whose key what is written on it is sealed: of whoever it was opened for, so that it is theirs also when it
        turns out that they are somebody else than those with whom they were merged.
        """
        return self.opening.sealed.customer_id if self.opening is not None else self.ticket.intake.customer_id

    @property
    def vip(self) -> bool:
        """Whether the customer is a VIP, as far as it is known now."""
        return self.ticket.intake.vip if self.entitlement.vip is None else self.entitlement.vip

    @property
    def rank(self) -> int | None:
        """Its place among those that wait (`order.rank`); None when it does not."""
        visit = self.visit
        if visit is None:
            return None
        return rank(visit.age_from, self.ticket.priority, self.vip, visit.worth, visit.due_from)

    @property
    def sent(self) -> bool:
        """Whether somebody sent it where it waits, or a rule of escalation or a step did: the queues' rules do not take it from
        there.
        """
        return self.came_as in ("transferred", "escalated", "overflowed")

    @property
    def awaits_callback(self) -> bool:
        """Whether it comes back to a queue when its customer is to be called."""
        callback = self.besides.callback
        if callback is None or callback.due_at is None or self.visit is not None or self.owner is not None:
            return False
        return self.ticket.active and not self.ticket.spam and not self.ticket.intake.withdrawn

    @property
    def rests(self) -> bool:
        """Whether it waits for its customer or a third party."""
        return self.ticket.status in ("pending", "on_hold") and not self.ticket.spam and not self.ticket.intake.withdrawn

    @property
    def due_at(self) -> datetime | None:
        """When time changes something about it, other than its offer and what its queue asks."""
        if self.besides is NOTHING:
            return None
        callback = self.besides.callback if self.awaits_callback else None
        returns = (callback.due_at if callback is not None else None, self.besides.rests_until if self.rests else None)
        return min((*self.besides.ends, *(at for at in returns if at is not None)), default=None)

    @property
    def live_agent_id(self) -> str | None:
        """The owner, of a conversation for which that agent has to be there."""
        return self.owner if self.units and self.channel in LIVE else None

    @property
    def agents(self) -> set[str]:
        """Who owns it, is offered it, or has something to do with it besides."""
        named = {self.owner, self.offer.agent_id if self.offer is not None else None}
        return {agent_id for agent_id in named if agent_id is not None} | self.besides.agents

    @property
    def holdings(self) -> list[Holding]:
        """All that it takes of agents."""
        offered = [Holding(self.offer.agent_id, self.offer.units, "offer")] if self.offer is not None else []
        owned = [Holding(self.owner, self.units, "owner")] if self.owner is not None else []
        return [holding for holding in (*offered, *owned, *self.besides.holdings) if holding.units]


@dataclass(frozen=True, slots=True)
class Notice:
    """What an agent's live stream is told. Ids and figures only: no personal data rests in the stream."""

    agent_id: str
    kind: str
    payload: Mapping[str, NoticeValue]


@dataclass(frozen=True, slots=True)
class EndedOffer:
    """An offer that is no longer live, and how it ended."""

    offer_id: str
    outcome: OfferEnd


@dataclass(slots=True)
class Turn:
    """One decision about one ticket. `cause` names what made it happen (an event's id, a command's key). `to_judge`: rules are to
    look at the ticket when all is known. `waits`: how long whoever comes to a queue would wait, where a queue asks for it.
    """

    work: Work
    cause: str
    now: datetime
    known: Mapping[str, Agent]
    changed: dict[str, Agent] = field(default_factory=dict)
    drafts: list[Draft[Fact]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    made: list[Offer] = field(default_factory=list)
    ended: list[EndedOffer] = field(default_factory=list)
    to_judge: bool = False
    waits: Mapping[str, Foreseen] = field(default_factory=dict)

    def agent(self, agent_id: str) -> Agent | None:
        """The agent as this decision has it so far."""
        return self.changed.get(agent_id) or self.known.get(agent_id)

    def put(self, agent: Agent) -> None:
        """This decision changes the agent."""
        self.changed[agent.id] = agent

    def set(self, **changes: object) -> None:
        """This decision changes the ticket."""
        self.work = msgspec.structs.replace(self.work, **changes)

    def beside(self, **changes: object) -> None:
        """This decision changes what goes on with the ticket besides."""
        after = msgspec.structs.replace(self.work.besides, **changes)
        if after != self.work.besides:
            self.set(besides=NOTHING if after == NOTHING else after)

    def say(self, fact: Fact, *, person: str | None = None, personal: msgspec.Struct | None = None) -> None:
        """Say a fact on the ticket's log, and hold it for true at once. Several of a type have causes, so ids, of their own."""
        before = sum(type(draft.data) is type(fact) and draft.key == self.work.id for draft in self.drafts)
        cause = f"{self.cause} {before}" if before else self.cause
        self.drafts.append(Draft(key=self.work.id, data=fact, cause=cause, person=person, personal=personal))
        self.set(ticket=tickets.apply(self.work.ticket, self._own(fact)))

    def tell(self, agent_id: str, kind: str, **payload: NoticeValue) -> None:
        """Tell an agent's live stream."""
        intake = self.work.ticket.intake
        self.notices.append(Notice(agent_id, kind, {"ticket_id": self.work.id, "number": intake.number, **payload}))

    def say_load(self, agent: Agent) -> None:
        """Say on the agents' log how much the agent carries now; once, however often it changes in this decision."""
        said = [draft for draft in self.drafts if not (draft.key == agent.id and isinstance(draft.data, AgentLoadChanged))]
        self.drafts = [*said, load_changed(agent, self.cause)]

    def _own(self, fact: Fact) -> Event[Fact]:
        return Event(
            id="",
            type=fact.TYPE,
            writer="routing",
            position=NOTHING_SEEN,
            key=self.work.id,
            time=self.now,
            data=fact,
            seen=self.work.seen,
        )


def load_changed(agent: Agent, cause: str) -> Draft[Fact]:
    """How much the agent carries now."""
    fact = AgentLoadChanged(used_units=agent.used_units, capacity_units=agent.capacity_units, tickets=agent.tickets)
    return Draft(key=agent.id, data=fact, cause=cause)


def hear(work: Work, event: Event[Fact]) -> Work:
    """The ticket after a fact of intake. Raises shared.ticket.IllegalFact."""
    return msgspec.structs.replace(work, ticket=tickets.apply(work.ticket, event), seen=max(work.seen, event.position))


def microseconds(since: datetime, until: datetime) -> int:
    """From one instant to another, never negative."""
    delta = until - since
    return max((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds, 0)
