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
from services.routing.domain.queues import lane
from services.routing.domain.work import Work
from shared.events.config import QueueConfigured

_Entry = tuple[int, datetime, int, int, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """This ticket is to be offered to this agent."""

    ticket_id: str
    agent_id: str


@dataclass(slots=True)
class _Lane:
    queue: QueueConfigured
    entries: list[_Entry]
    members: frozenset[str]


@dataclass(slots=True)
class _Pass:
    now: datetime
    agents: dict[str, Agent]
    given: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, _Lane] = field(default_factory=dict)

    def entry(self, agent: Agent, queue: QueueConfigured) -> _Entry:
        """Where the agent stands: by strategy, then idle time, then how many this pass gave already, then the hash."""
        idle_since, stable = turn_order(agent)
        return standing(agent, queue), idle_since, self.given.get(agent.id, 0), stable, agent.id


def match(waiting: Sequence[Work], agents: Iterable[Agent], queues: Mapping[str, QueueConfigured], now: datetime) -> list[Pair]:
    """Pairs in the order in which they are to be offered; each ticket at most once, nobody above capacity."""
    ongoing = _Pass(now, {agent.id: agent for agent in agents if agent.ready})
    pairs: list[Pair] = []
    for work in sorted(waiting, key=place_in_line):
        if not ongoing.agents:
            break
        queue = queues.get(work.visit.queue_id) if work.visit else None
        if queue is None or work.offer is not None:
            continue
        agent = _next_agent(ongoing, work, queue)
        if agent is not None:
            _give(ongoing, agent, work)
            pairs.append(Pair(work.id, agent.id))
    return pairs


def place_in_line(work: Work) -> tuple[float, str]:
    """By rank; the id decides between equals. What does not wait stands last."""
    rank = work.rank
    return (math.inf if rank is None else rank), work.id


def _next_agent(ongoing: _Pass, work: Work, queue: QueueConfigured) -> Agent | None:
    here = _lane(ongoing, work, queue)
    barred = {passed.agent_id for passed in work.visit.passed if passed.until > ongoing.now} if work.visit else set()
    preferred = ongoing.agents.get(work.visit.preferred) if work.visit and work.visit.preferred else None
    willing = preferred is not None and preferred.id in here.members and preferred.id not in barred
    if preferred is not None and willing and has_room(preferred, work.channel):
        return preferred
    return _next_in_turn(ongoing, here, work, barred)


def _next_in_turn(ongoing: _Pass, here: _Lane, work: Work, barred: set[str]) -> Agent | None:
    put_back: list[_Entry] = []
    found: Agent | None = None
    while here.entries and found is None:
        entry = heapq.heappop(here.entries)
        agent = ongoing.agents.get(entry[-1])
        if agent is None or not has_room(agent, work.channel):
            continue  # this pass only ever adds load, so there will be no room later either
        now = ongoing.entry(agent, here.queue)
        if entry != now:
            heapq.heappush(here.entries, now)
        elif agent.id in barred:
            put_back.append(entry)
        else:
            put_back.append(entry)
            found = agent
    for entry in put_back:
        heapq.heappush(here.entries, entry)
    return found


def _lane(ongoing: _Pass, work: Work, queue: QueueConfigured) -> _Lane:
    name = lane(queue, work)
    known = ongoing.lanes.get(name)
    if known is None:
        language = work.ticket.intake.language
        entries = [
            ongoing.entry(agent, queue)
            for agent in ongoing.agents.values()
            if eligible(agent, queue, language) and has_room(agent, work.channel)
        ]
        heapq.heapify(entries)
        known = ongoing.lanes[name] = _Lane(queue, entries, frozenset(entry[-1] for entry in entries))
    return known


def _give(ongoing: _Pass, agent: Agent, work: Work) -> None:
    loaded = load(agent, work.channel, units_of(work.channel, agent), ongoing.now)
    ongoing.given[agent.id] = ongoing.given.get(agent.id, 0) + 1
    if loaded.ready:
        ongoing.agents[agent.id] = loaded
    else:
        del ongoing.agents[agent.id]
