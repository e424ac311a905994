"""Who gets what: waiting tickets by their place in line; for each, the next agent in turn who can take it.

Tickets that the same agents can take form a lane. Each lane has its own heap of agents in the order of their turn,
built once per pass, so a decision costs the logarithm of the number of agents and not their number.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.routing.domain.agents import Agent, eligible, has_room, load, turn_order, units_of
from services.routing.domain.choice import standing
from services.routing.domain.steps import Asked, asked
from services.routing.domain.work import Visit, Work
from shared.events.config import QueueConfigured
from shared.events.people import AgentState

_Entry = tuple[int, datetime, int, int, str]
# The states of an agent for whom a ticket is kept: there, and soon free.
COMES_SOON: frozenset[AgentState] = frozenset({"available", "wrap_up"})


@dataclass(frozen=True, slots=True)
class Pair:
    """This ticket is to be offered to this agent."""

    ticket_id: str
    agent_id: str


@dataclass(slots=True)
class Decided:
    """The pairs in the order in which they are to be offered; and the tickets that are kept for who had them last."""

    pairs: list[Pair] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Lane:
    queue: QueueConfigured
    entries: list[_Entry]
    members: frozenset[str]


@dataclass(slots=True)
class _Pass:
    now: datetime
    present: dict[str, Agent]
    agents: dict[str, Agent]
    given: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, _Lane] = field(default_factory=dict)

    def entry(self, agent: Agent, queue: QueueConfigured) -> _Entry:
        """Where the agent stands: by strategy, then idle time, then how many this pass gave already, then the hash."""
        idle_since, stable = turn_order(agent)
        return standing(agent, queue), idle_since, self.given.get(agent.id, 0), stable, agent.id


def match(waiting: Sequence[Work], agents: Iterable[Agent], queues: Mapping[str, QueueConfigured], now: datetime) -> list[Pair]:
    """Pairs in the order in which they are to be offered; each ticket at most once, nobody above capacity."""
    return decide(waiting, agents, queues, now).pairs


def decide(waiting: Sequence[Work], agents: Iterable[Agent], queues: Mapping[str, QueueConfigured], now: datetime) -> Decided:
    """What `match` finds, and for whom it found nobody because the ticket is kept."""
    present = {agent.id: agent for agent in agents}
    ongoing = _Pass(now, present, {agent.id: agent for agent in present.values() if agent.ready})
    decided = Decided()
    for work in sorted(waiting, key=place_in_line):
        if not ongoing.agents:
            break
        visit = work.visit
        queue = queues.get(visit.queue_id) if visit else None
        if visit is None or queue is None or work.offer is not None:
            continue
        here = asked(queue, work, visit, now)
        agent = _next_agent(ongoing, work, visit, here)
        if agent is not None:
            _give(ongoing, agent, work)
            decided.pairs.append(Pair(work.id, agent.id))
        elif here.kept:
            decided.kept.add(work.id)
    return decided


def place_in_line(work: Work) -> tuple[float, str]:
    """By rank; the id decides between equals. What does not wait stands last."""
    rank = work.rank
    return (math.inf if rank is None else rank), work.id


def _next_agent(ongoing: _Pass, work: Work, visit: Visit, here: Asked) -> Agent | None:
    lane = _lane(ongoing, work, here)
    barred = {passed.agent_id for passed in visit.passed if passed.until > ongoing.now}
    if visit.preferred is not None and visit.preferred not in barred:
        preferred = ongoing.agents.get(visit.preferred)
        if preferred is not None and preferred.id in lane.members and has_room(preferred, work.channel):
            return preferred
        if here.kept and _comes_soon(ongoing.present.get(visit.preferred), work, here.queue):
            return None
    return _next_in_turn(ongoing, lane, work, barred)


def _comes_soon(agent: Agent | None, work: Work, queue: QueueConfigured) -> bool:
    if agent is None or not agent.profile.active or agent.state not in COMES_SOON:
        return False
    return eligible(agent, queue, work.ticket.intake.language)


def _next_in_turn(ongoing: _Pass, lane: _Lane, work: Work, barred: set[str]) -> Agent | None:
    put_back: list[_Entry] = []
    found: Agent | None = None
    while lane.entries and found is None:
        entry = heapq.heappop(lane.entries)
        agent = ongoing.agents.get(entry[-1])
        if agent is None or not has_room(agent, work.channel):
            continue  # this pass only ever adds load, so there will be no room later either
        now = ongoing.entry(agent, lane.queue)
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
    if known is None:
        language = work.ticket.intake.language
        entries = [
            ongoing.entry(agent, here.queue)
            for agent in ongoing.agents.values()
            if eligible(agent, here.queue, language) and has_room(agent, work.channel)
        ]
        heapq.heapify(entries)
        known = ongoing.lanes[here.lane] = _Lane(here.queue, entries, frozenset(entry[-1] for entry in entries))
    return known


def _give(ongoing: _Pass, agent: Agent, work: Work) -> None:
    loaded = load(agent, work.channel, units_of(work.channel, agent), ongoing.now)
    ongoing.given[agent.id] = ongoing.given.get(agent.id, 0) + 1
    if loaded.ready:
        ongoing.agents[agent.id] = loaded
    else:
        del ongoing.agents[agent.id]
