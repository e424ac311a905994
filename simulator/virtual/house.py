"""The engine's state in memory: what a database is to the service. It decides nothing; the engine does, on the few it is shown.

When nothing is fresh, nobody who waits could be offered to anybody: the engine saw to that. So a ticket that begins to wait is
matched with the first of those agents who are alike, and an agent who has room again with the first of each lane; more are
shown until more could change nothing. What comes out is what matching all with all would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.routing.domain import offers
from services.routing.domain.agents import Agent
from services.routing.domain.match import Pair, match
from services.routing.domain.queues import in_order
from services.routing.domain.work import Turn, Work
from shared.events.base import Draft, Fact
from shared.events.codec import encode_data
from shared.events.config import QueueConfigured
from simulator.virtual.balance import Balance
from simulator.virtual.lines import Bench, Lines

FIRST_OF_A_LANE = 2
WIDER = 4


def nowhere(_said: bytes) -> None:
    """Where what is said goes, when nobody listens."""


@dataclass(slots=True)
class House:
    """Tickets and agents. Whoever has `take`n or `seat`ed something calls `offer` afterwards. `record` is given all that was
    said, in order, a line each.
    """

    queues: Sequence[QueueConfigured]
    now: datetime
    record: Callable[[bytes], object] = nowhere
    works: dict[str, Work] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    offered_to: dict[str, dict[str, None]] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    balance: Balance = field(default_factory=Balance)
    _bench: Bench = field(default_factory=Bench)
    _fresh_tickets: dict[str, None] = field(default_factory=dict)
    _fresh_agents: dict[str, None] = field(default_factory=dict)
    _by_id: dict[str, QueueConfigured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The queues in their order."""
        self.queues = in_order(self.queues)
        self._by_id = {queue.id: queue for queue in self.queues}

    def queue_of(self, work: Work) -> QueueConfigured:
        """Where it waits."""
        assert work.visit is not None
        return self._by_id[work.visit.queue_id]

    def turn(self, work: Work, cause: str) -> Turn:
        """A decision about a ticket, to be taken now."""
        return Turn(work, cause, self.now, self.agents)

    def take(self, turn: Turn) -> None:
        """A decision stands. Raises Unbalanced."""
        work, before = turn.work, self.works.get(turn.work.id)
        self.balance.heard(before, turn, self.agents)
        self.say(turn.drafts)
        self.works[work.id] = work
        for agent in turn.changed.values():
            self.seat(agent)
        if before is not None and before.offer is not None and before.offer is not work.offer:
            self.offered_to[before.offer.agent_id].pop(work.id, None)
        if work.offer is not None:
            self.offered_to.setdefault(work.offer.agent_id, {})[work.id] = None
        self._stand(before, work)

    def say(self, drafts: Sequence[Draft[Fact]]) -> None:
        """These are facts now."""
        if drafts and self.record is not nowhere:
            now = self.now.isoformat()
            for draft in drafts:
                self.record(f"{now} {draft.key} {draft.data.TYPE} ".encode() + encode_data(draft.data) + b"\n")

    def seat(self, agent: Agent) -> None:
        """An agent is so by now."""
        before = self.agents.get(agent.id)
        self.agents[agent.id] = agent
        self._bench.put(agent)
        was_there = before is not None and before.ready and before.profile is agent.profile
        if agent.ready and (not was_there or before is None or agent.used_units < before.used_units):
            self._fresh_agents[agent.id] = None

    def look_again(self, ticket_id: str) -> None:
        """Somebody who let it go may be asked again."""
        if ticket_id in self.works and self._waits(self.works[ticket_id]):
            self._fresh_tickets[ticket_id] = None

    def forget(self, ticket_id: str) -> None:
        """It is over. Neither waits nor is owned."""
        work = self.works.pop(ticket_id)
        assert work.visit is None
        assert work.owner is None

    def offer(self) -> list[Turn]:
        """Offer what can be offered. Returns what was decided, which stands already."""
        turns = []
        for pair in self._pairs():
            work = self.works[pair.ticket_id]
            turn = self.turn(work, offers.id_of(work, pair.agent_id))
            offers.make(turn, self.agents[pair.agent_id], self.queue_of(work))
            self.take(turn)
            turns.append(turn)
        return turns

    def _stand(self, before: Work | None, work: Work) -> None:
        """In line, or out of it."""
        if not self._waits(work):
            self.lines.drop(work.id)
            self._fresh_tickets.pop(work.id, None)
            return
        self.lines.put(work)
        if before is None or before.visit is not work.visit or before.offer is not None:
            self._fresh_tickets[work.id] = None

    def _waits(self, work: Work) -> bool:
        return work.visit is not None and work.offer is None

    def _pairs(self) -> list[Pair]:
        """What matching all with all would give."""
        works = {ticket_id: self.works[ticket_id] for ticket_id in self._fresh_tickets}
        fresh = {agent_id: self.agents[agent_id] for agent_id in self._fresh_agents if self.agents[agent_id].ready}
        self._fresh_tickets, self._fresh_agents = {}, {}
        agents = fresh | self._who_could_take(works.values()) if works else fresh
        if not agents or not self.lines:
            return []
        width = FIRST_OF_A_LANE
        while fresh:
            shown = list(self.lines.first(width))
            line = works | {ticket_id: self.works[ticket_id] for ids, _ in shown for ticket_id in ids}
            pairs = match(list(line.values()), agents.values(), self._by_id, self.now)
            if self._settled(shown, {pair.ticket_id for pair in pairs}):
                return pairs
            width *= WIDER
        return match(list(works.values()), agents.values(), self._by_id, self.now)

    def _who_could_take(self, works: Collection[Work]) -> dict[str, Agent]:
        """Of those who are alike as many as tickets ask, and one more for each who let one of them go; and whom they prefer."""
        visits = [work.visit for work in works if work.visit is not None]
        of_each = sum(1 + len(visit.passed) for visit in visits)
        preferred = [visit.preferred for visit in visits if visit.preferred in self.agents]
        return {agent_id: self.agents[agent_id] for agent_id in (*self._bench.first(of_each), *preferred) if agent_id}

    def _settled(self, shown: Sequence[tuple[list[str], bool]], paired: set[str]) -> bool:
        """Whether those further back in their lanes get nothing: somebody before them, whom anybody may be asked for, did not."""
        return all(not more or any(id_ not in paired and self._plain(id_) for id_ in ids) for ids, more in shown)

    def _plain(self, ticket_id: str) -> bool:
        visit = self.works[ticket_id].visit
        return visit is not None and not visit.passed and visit.preferred is None
