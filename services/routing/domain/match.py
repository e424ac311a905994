"""Who gets what: waiting tickets by their place in line; for each, the next agent in turn who can take it.

Tickets that the same agents can take form a lane. Each lane has its own heap of agents in the order of their turn,
built once per pass, so a decision costs the logarithm of the number of agents and not their number.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from services.routing.domain.agents import Agent, Spoken, has_room, load, turn_order, units_of
from services.routing.domain.choice import standing
from services.routing.domain.steps import Asked, asked
from services.routing.domain.tracing import NAMED, Candidate, How, Looked, named
from services.routing.domain.verdicts import Verdict, in_the_way, is_kept, let_go
from services.routing.domain.work import Visit, Work
from shared.events.config import QueueConfigured

_Entry = tuple[int, datetime, int, int, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """This ticket is to be offered to this agent; found in this lane, in this way."""

    ticket_id: str
    agent_id: str
    lane: str = field(default="", compare=False)
    how: How = field(default="next_in_turn", compare=False)


@dataclass(slots=True)
class Decided:
    """The pairs in the order in which they are to be offered; the tickets that are kept for who had them last; and what was seen
    in each lane in which somebody was found.
    """

    pairs: list[Pair] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    looked: dict[str, Looked] = field(default_factory=dict)


@dataclass(slots=True)
class _Lane:
    """A lane in this pass. `others` are who cannot take its tickets, counted by `verdicts`; `first` were first in turn when the
    first of its tickets was given.
    """

    here: Asked
    work: Work
    entries: list[_Entry]
    members: frozenset[str]
    verdicts: Counter[Verdict]
    others: list[Candidate]
    first: list[_Entry] | None = None

    def looked(self) -> Looked:
        """What is told of it."""
        queue = self.here.queue
        fitting = (
            Candidate(agent_id=agent_id, verdict="fits", standing=stands, idle_since=idle_since)
            for stands, idle_since, _, _, agent_id in self.first or ()
        )
        return Looked(
            queue_id=queue.id,
            queue_version=queue.version,
            step=self.here.step,
            strategy=queue.strategy,
            channel=self.work.channel,
            language=self.work.ticket.intake.language if queue.skill_by_language else None,
            verdicts={"fits": len(self.members), **self.verdicts},
            candidates=named(fitting, self.others),
        )


@dataclass(slots=True)
class _Pass:
    now: datetime
    agents: dict[str, Agent]
    ready: set[str]
    given: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, _Lane] = field(default_factory=dict)

    def entry(self, agent: Agent, queue: QueueConfigured) -> _Entry:
        """Where the agent stands: by strategy, then idle time, then how many this pass gave already, then the hash."""
        idle_since, stable = turn_order(agent)
        return standing(agent, queue), idle_since, self.given.get(agent.id, 0), stable, agent.id

    def give(self, agent: Agent, work: Work) -> None:
        """The agent is offered the ticket."""
        loaded = load(agent, work.channel, units_of(work.channel, agent), self.now)
        self.given[agent.id] = self.given.get(agent.id, 0) + 1
        self.agents[agent.id] = loaded
        if not loaded.ready:
            self.ready.discard(agent.id)


def match(
    waiting: Sequence[Work],
    agents: Iterable[Agent],
    queues: Mapping[str, QueueConfigured],
    now: datetime,
    unspoken: Set[Spoken] = frozenset(),
) -> list[Pair]:
    """Pairs in the order in which they are to be offered; each ticket at most once, nobody above capacity. `unspoken`: languages
    that nobody who serves the queue speaks.
    """
    return decide(waiting, agents, queues, now, unspoken).pairs


def decide(
    waiting: Sequence[Work],
    agents: Iterable[Agent],
    queues: Mapping[str, QueueConfigured],
    now: datetime,
    unspoken: Set[Spoken] = frozenset(),
) -> Decided:
    """What `match` finds, with what it saw, and for which tickets it looks for nobody because they are kept."""
    present = {agent.id: agent for agent in agents}
    ongoing = _Pass(now, present, {agent.id for agent in present.values() if agent.ready})
    decided = Decided()
    for work in sorted(waiting, key=place_in_line):
        if not ongoing.ready:
            break
        visit = work.visit
        queue = queues.get(visit.queue_id) if visit else None
        if visit is None or queue is None or work.offer is not None:
            continue
        here = asked(queue, work, visit, now, unspoken)
        lane = _lane(ongoing, work, here)
        preferred = ongoing.agents.get(visit.preferred) if visit.preferred else None
        agent, how = _next_agent(ongoing, lane, work, visit, preferred)
        if agent is not None:
            ongoing.give(agent, work)
            decided.pairs.append(Pair(work.id, agent.id, here.lane, how))
        elif is_kept(here, visit, preferred, work.ticket.intake.language, now):
            decided.kept.add(work.id)
    decided.looked = {name: lane.looked() for name, lane in ongoing.lanes.items() if lane.first is not None}
    return decided


def place_in_line(work: Work) -> tuple[float, str]:
    """By rank; the id decides between equals. What does not wait stands last."""
    rank = work.rank
    return (math.inf if rank is None else rank), work.id


def _next_agent(ongoing: _Pass, lane: _Lane, work: Work, visit: Visit, preferred: Agent | None) -> tuple[Agent | None, How]:
    barred = let_go(visit, ongoing.now)
    agent = _before_others(lane, work, barred, preferred)
    how: How = "last_agent"
    if agent is None and is_kept(lane.here, visit, preferred, work.ticket.intake.language, ongoing.now):
        return None, how
    first = heapq.nsmallest(NAMED, lane.entries) if lane.first is None else lane.first
    if agent is None:
        agent, how = _next_in_turn(ongoing, lane, work, barred), "next_in_turn"
    lane.first = first if agent is not None else lane.first
    return agent, how


def _before_others(lane: _Lane, work: Work, barred: set[str], preferred: Agent | None) -> Agent | None:
    if preferred is None or preferred.id in barred or preferred.id not in lane.members:
        return None
    return preferred if has_room(preferred, work.channel) else None


def _next_in_turn(ongoing: _Pass, lane: _Lane, work: Work, barred: set[str]) -> Agent | None:
    put_back: list[_Entry] = []
    found: Agent | None = None
    while lane.entries and found is None:
        entry = heapq.heappop(lane.entries)
        agent = ongoing.agents[entry[-1]]
        if not has_room(agent, work.channel):
            continue  # this pass only ever adds load, so there will be no room later either
        now = ongoing.entry(agent, lane.here.queue)
        if entry != now:
            heapq.heappush(lane.entries, now)
        elif agent.id in barred:
            put_back.append(entry)
        else:
            put_back.append(entry)
            found = agent
    for entry in put_back:
        heapq.heappush(lane.entries, entry)
    return found


def _lane(ongoing: _Pass, work: Work, here: Asked) -> _Lane:
    known = ongoing.lanes.get(here.lane)
    if known is not None:
        return known
    language, verdicts = work.ticket.intake.language, Counter[Verdict]()
    entries: list[_Entry] = []
    others: list[Candidate] = []
    for agent in ongoing.agents.values():
        obstacle = in_the_way(agent, here.queue, language, work.channel)
        if obstacle is None:
            entries.append(ongoing.entry(agent, here.queue))
            continue
        verdicts[obstacle] += 1
        if len(others) < NAMED:
            others.append(Candidate(agent_id=agent.id, verdict=obstacle))
    heapq.heapify(entries)
    members = frozenset(entry[-1] for entry in entries)
    lane = ongoing.lanes[here.lane] = _Lane(here, work, entries, members, verdicts, others)
    return lane
