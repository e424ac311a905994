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
from services.routing.domain.order import Worth, rank
from shared import ticket as tickets
from shared.events.base import NOTHING_SEEN, Channel, Direction, Draft, Event, Fact, Position, Sealed
from shared.events.people import AgentLoadChanged, Unreachable
from shared.events.ticket import TicketLabelled, TicketOpened
from shared.ticket import Ticket

OfferEnd = Literal["accepted", "declined", "expired", "rescinded"]
NoticeValue = str | int | bool | None


class Passed(msgspec.Struct, frozen=True):
    """An agent who let an offer of this visit go, and until when the ticket is not offered to that agent again."""

    agent_id: str
    until: datetime


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A stay in a queue. `age_from` is what the place counts from.

    As filed under a version of the queue: `lane` groups what the same agents can take, `worth` and `due_from`
    make its place (`order.rank`); at `file_again_at` the lane is another. `filed_under` 0: it is to be filed as soon as may be.
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


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What else rules may ask about."""

    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] = ()
    customer_tier: str | None = None
    partner_id: str | None = None
    follow_up_of: str | None = None


def labels_of(fact: TicketOpened) -> Labels:
    """The labels with which a ticket begins."""
    return Labels(
        topic=fact.topic,
        product=fact.product,
        tags=fact.tags,
        customer_tier=fact.customer_tier,
        partner_id=fact.partner_id,
        follow_up_of=fact.follow_up_of,
    )


def relabelled(labels: Labels, fact: TicketLabelled) -> Labels:
    """The labels afterwards: what the fact leaves out stays."""
    return msgspec.structs.replace(
        labels,
        topic=fact.topic or labels.topic,
        product=fact.product or labels.product,
        tags=labels.tags if fact.tags is None else fact.tags,
    )


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
    customer was forgotten. `unreachable`: the channels on which the customer cannot be written to now, and why.
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
    """One decision about one ticket. `cause` names what made it happen (an event's id, a command's key)."""

    work: Work
    cause: str
    now: datetime
    known: Mapping[str, Agent]
    changed: dict[str, Agent] = field(default_factory=dict)
    drafts: list[Draft[Fact]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    made: list[Offer] = field(default_factory=list)
    ended: list[EndedOffer] = field(default_factory=list)

    def agent(self, agent_id: str) -> Agent | None:
        """The agent as this decision has it so far."""
        return self.changed.get(agent_id) or self.known.get(agent_id)

    def put(self, agent: Agent) -> None:
        """This decision changes the agent."""
        self.changed[agent.id] = agent

    def set(self, **changes: object) -> None:
        """This decision changes the ticket."""
        self.work = msgspec.structs.replace(self.work, **changes)

    def say(self, fact: Fact, *, person: str | None = None, personal: msgspec.Struct | None = None) -> None:
        """Say a fact on the ticket's log, and hold it for true at once."""
        self.drafts.append(Draft(key=self.work.id, data=fact, cause=self.cause, person=person, personal=personal))
        self.set(ticket=tickets.apply(self.work.ticket, self._own(fact)))

    def tell(self, agent_id: str, kind: str, **payload: NoticeValue) -> None:
        """Tell an agent's live stream."""
        intake = self.work.ticket.intake
        self.notices.append(Notice(agent_id, kind, {"ticket_id": self.work.id, "number": intake.number, **payload}))

    def say_load(self, agent: Agent) -> None:
        """Say on the agents' log how much the agent carries now."""
        self.drafts.append(load_changed(agent, self.cause))

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
