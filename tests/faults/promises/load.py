"""Promises about what agents carry: never above capacity at any moment of the log, and the tables say what the log says.

What an agent carries follows from the tickets: a live offer and an owned ticket on which somebody has to work take units;
one that waits for the customer or a third party takes none. Whoever is in wrap-up for a ticket carries it still, whoever is
asked to take it over carries it already, and an expert what the question says. A transaction says all its facts at one instant,
and the transactions about one agent follow each other, so the instants order what concerns an agent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from shared.events.base import Channel, Event, Fact, event_id
from shared.events.people import AgentEnrolled, AgentLoadChanged
from shared.events.ticket import (
    TicketAbsorbed,
    TicketAssigned,
    TicketPended,
    TicketPutOnHold,
    TicketQueued,
    TicketReleased,
    TicketReopened,
    TicketResolved,
)
from shared.events.work import (
    ConsultEnded,
    ConsultRequested,
    OfferAccepted,
    TicketOffered,
    TransferEnded,
    TransferOffered,
    WrapUpCompleted,
    WrapUpStarted,
)
from shared.ticket import awaits_answer
from tests.faults.index import Index
from tests.faults.log import Record
from tests.faults.promises.work import OfferEnd

# What a ticket of a channel takes of an agent, never more than all of it, and how many of one channel at once unless
# configured: it is said nowhere on the log, so it is written down here a second time.
UNITS: Mapping[Channel, int] = {"phone": 5, "video": 5, "in_person": 5, "chat": 3, "whatsapp": 3, "telegram": 3, "line": 3}
OTHER_UNITS = 2
LIMITS: Mapping[Channel, int] = {"phone": 1, "video": 1, "in_person": 1}


@dataclass(frozen=True, slots=True)
class Change:
    """A ticket that an agent begins or ceases to carry: one unit of work more or less. `owned`: not only offered; `beside`: as a
    question, which is none of a channel.
    """

    at: datetime
    ticket_id: str
    channel: Channel
    units: int
    owned: int
    beside: bool = False


@dataclass(slots=True)
class Carried:
    """What an agent carries."""

    units: int = 0
    owned: int = 0
    by_channel: Counter[str] = field(default_factory=Counter)

    def take(self, change: Change) -> None:
        """Carry a ticket more, or less, or own what was offered."""
        self.units += change.units
        self.owned += change.owned
        if change.units and not change.beside:
            self.by_channel[change.channel] += 1 if change.units > 0 else -1


class Agents:
    """What was configured of each agent, and what changed what they carry, in its order."""

    def __init__(self, index: Index) -> None:
        self._enrolled: dict[str, list[tuple[datetime, AgentEnrolled]]] = defaultdict(list)
        for said in index.said(AgentEnrolled):
            self._enrolled[said.key].append((said.event.time, said.fact))
        self._loads = {said.event.id: said.event.time for said in index.said(AgentLoadChanged)}
        self.changes: dict[str, list[Change]] = defaultdict(list)
        for key, records in index.by_ticket.items():
            _Carrier(key, index.tickets[key].intake.channel, self).follow(records)
        for changes in self.changes.values():
            changes.sort(key=lambda change: (change.at, change.units > 0))

    def configured(self, agent_id: str, at: datetime) -> AgentEnrolled:
        """As in force at that instant."""
        versions = self._enrolled.get(agent_id, [])
        place = bisect_right(versions, at, key=lambda version: version[0])
        return versions[max(place, 1) - 1][1] if versions else AgentEnrolled()

    def woken_by(self, event: Event[Fact], agent_id: str) -> datetime | None:
        """When this fact of the customer put a resting ticket back on its owner's desk; None when it did not."""
        return self._loads.get(event_id(event.id, AgentLoadChanged.TYPE, agent_id))


@lru_cache(maxsize=1)
def agents_of(index: Index) -> Agents:
    """What the log says of agents, put in order once."""
    return Agents(index)


@dataclass(slots=True)
class _Carrier:
    """Follows one ticket through its facts, and notes who carries it from when to when."""

    ticket_id: str
    channel: Channel
    agents: Agents
    offered: dict[str, tuple[str, int]] = field(default_factory=dict)
    owner: str | None = None
    units: int = 0
    resting: bool = False
    after: dict[str, int] = field(default_factory=dict)
    asked: dict[str, tuple[str, int]] = field(default_factory=dict)

    def follow(self, records: list[Record]) -> None:
        wakers = [r.event for r in records if awaits_answer(r.event.data) or isinstance(r.event.data, TicketAbsorbed)]
        mine = [r.event for r in records if r.event.writer == "routing"]
        for n, event in enumerate(mine):
            self._hear(event, mine[n + 1] if n + 1 < len(mine) else None)
            self._wake(wakers, event.time, mine[n + 1].time if n + 1 < len(mine) else None)

    def _hear(self, event: Event[Fact], following: Event[Fact] | None) -> None:
        fact = event.data
        match fact:
            case TicketOffered():
                units = self._units(fact.agent_id, event.time)
                self.offered[fact.offer_id] = (fact.agent_id, units)
                self._note(fact.agent_id, event.time, units, 0)
            case OfferAccepted():
                pass  # the assignment that follows says it
            case _ if isinstance(fact, OfferEnd):
                agent_id, units = self.offered.pop(fact.offer_id, (fact.agent_id, 0))
                self._note(agent_id, event.time, -units, 0)
            case TicketAssigned():
                self._assigned(fact, event.time)
            case TicketQueued():
                self.resting = False
            case TicketResolved():
                self.resting = True
            case TicketPended() | TicketPutOnHold():
                self.resting = True
                self._rest(event.time)
            case TicketReleased():
                self._rest(event.time)
                self.owner = None
            case TicketReopened():
                released = following is not None and isinstance(following.data, TicketReleased) and following.time == event.time
                if not released:
                    self._resume(event.time)
            case _:
                self._besides(fact, event.time)

    def _assigned(self, fact: TicketAssigned, at: datetime) -> None:
        self.owner, self.units = fact.agent_id, 0
        if fact.offer_id is not None:
            _, self.units = self.offered.pop(fact.offer_id, (fact.agent_id, 0))
            self._note(fact.agent_id, at, 0, 1)
        elif not self.resting:
            self._resume(at)

    def _besides(self, fact: Fact, at: datetime) -> None:
        match fact:
            case WrapUpStarted():
                self.after[fact.agent_id] = 0
            case WrapUpCompleted():
                self._note(fact.agent_id, at, -self.after.pop(fact.agent_id, 0), 0)
            case TransferOffered():
                self._ask(fact.transfer_id, fact.to_agent_id, self._units(fact.to_agent_id, at), at)
            case ConsultRequested():
                self._ask(fact.consult_id, fact.expert_id or "", fact.units, at, beside=True)
            case TransferEnded() | ConsultEnded():
                beside = isinstance(fact, ConsultEnded)
                agent_id, units = self.asked.pop(fact.consult_id if isinstance(fact, ConsultEnded) else fact.transfer_id, ("", 0))
                self._note(agent_id, at, -units, 0, beside=beside)
            case _:
                pass

    def _ask(self, name: str, agent_id: str, units: int, at: datetime, *, beside: bool = False) -> None:
        self.asked[name] = agent_id, units
        self._note(agent_id, at, units, 0, beside=beside)

    def _wake(self, wakers: list[Event[Fact]], since: datetime, until: datetime | None) -> None:
        """A message of the customer put it back on its owner's desk, between one fact of routing and the next; or at the instant
        of the next, where routing heard both together: of a call that wakes and ends, the wrap-up is told of the same instant.
        """
        for event in wakers if self.owner is not None and not self.units else ():
            at = self.agents.woken_by(event, self.owner or "")
            if at is not None and since < at and (until is None or at <= until):
                self._resume(at)

    def _rest(self, at: datetime) -> None:
        if self.owner is not None and self.units:
            kept = self.owner in self.after
            if kept:
                self.after[self.owner] = self.units
            self._note(self.owner, at, 0 if kept else -self.units, -1)
        self.units = 0

    def _resume(self, at: datetime) -> None:
        self.resting = False
        if self.owner is not None and not self.units:
            kept = self.after.get(self.owner, 0)
            self.units = kept or self._units(self.owner, at)
            if kept:
                self.after[self.owner] = 0
            self._note(self.owner, at, 0 if kept else self.units, 1)

    def _units(self, agent_id: str, at: datetime) -> int:
        return min(UNITS.get(self.channel, OTHER_UNITS), max(self.agents.configured(agent_id, at).capacity_units, 1))

    def _note(self, agent_id: str, at: datetime, units: int, owned: int, *, beside: bool = False) -> None:
        if units or owned:
            self.agents.changes[agent_id].append(Change(at, self.ticket_id, self.channel, units, owned, beside))


def capacity(index: Index) -> Iterator[str]:
    """No agent gets more than there is room for: neither units nor tickets of one channel, at any moment of the log."""
    if index.history.clock_moved:
        return
    agents = agents_of(index)
    for agent_id, changes in agents.changes.items():
        carried = Carried()
        for change in changes:
            carried.take(change)
            if change.units <= 0:
                continue
            enrolled = agents.configured(agent_id, change.at)
            if carried.units > enrolled.capacity_units:
                yield f"{agent_id} got ticket {change.ticket_id} and carries {carried.units} of {enrolled.capacity_units} units"
            most = enrolled.channel_limits.get(change.channel, LIMITS.get(change.channel))
            if most is not None and carried.by_channel[change.channel] > most:
                yield f"{agent_id} has {carried.by_channel[change.channel]} of channel {change.channel}, at most {most}"


def load(index: Index) -> Iterator[str]:
    """What routing holds of an agent, and what it says on the agents' log, is what the tickets come to."""
    if index.history.clock_moved:
        return
    agents = agents_of(index)
    for row in index.tables.agents:
        carried = Carried()
        for change in agents.changes.get(row.agent_id, ()):
            carried.take(change)
        by_channel = {channel: n for channel, n in carried.by_channel.items() if n}
        told = (carried.units, carried.owned, by_channel)
        if told != (row.used_units, row.tickets, dict(row.by_channel)):
            yield f"{row.agent_id} carries {told} by the log, {(row.used_units, row.tickets, dict(row.by_channel))} in the table"
    yield from _said(index, agents)


def _said(index: Index, agents: Agents) -> Iterator[str]:
    """Each `agent.load_changed` against what the tickets come to at its instant; of one instant the last counts."""
    last: dict[str, dict[datetime, int]] = defaultdict(dict)
    for said in index.said(AgentLoadChanged):
        last[said.key][said.event.time] = said.fact.tickets
    for agent_id, told in last.items():
        changes = iter(agents.changes.get(agent_id, ()))
        change, owned = next(changes, None), 0
        for at in sorted(told):
            while change is not None and change.at <= at:
                owned += change.owned
                change = next(changes, None)
            if owned != told[at]:
                yield f"{agent_id} was said to have {told[at]} tickets at {at.isoformat()}; by their own facts it is {owned}"
