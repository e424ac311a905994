"""Who waits, lane by lane and in order, and which agents are ready, those who are alike in order of their turn.

In memory what routing's indexes are in the database: the first few are found without looking at the others.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import json

from services.routing.domain.agents import Agent, Profile, turn_order
from services.routing.domain.match import place_in_line
from services.routing.domain.work import Work

InLine = tuple[Any, ...]
InTurn = tuple[datetime, int, str]
Alike = tuple[int, int, tuple[tuple[str, int], ...]]


@dataclass(slots=True)
class Lines:
    """The tickets that wait without an offer."""

    _lanes: dict[str, list[InLine]] = field(default_factory=dict)
    _where: dict[str, tuple[str, InLine]] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._where)

    def put(self, work: Work) -> None:
        """It waits, at the place that is its by now."""
        assert work.visit is not None
        where = work.visit.lane, place_in_line(work)
        if self._where.get(work.id) == where:
            return
        self.drop(work.id)
        self._where[work.id] = where
        insort(self._lanes.setdefault(where[0], []), where[1])

    def drop(self, ticket_id: str) -> None:
        """It does not wait, or no longer."""
        where = self._where.pop(ticket_id, None)
        if where is not None:
            line = self._lanes[where[0]]
            del line[bisect_left(line, where[1])]
            if not line:
                del self._lanes[where[0]]

    def first(self, of_each: int) -> Iterator[tuple[list[str], bool]]:
        """The ids of the first of each lane, and whether there are more."""
        for line in self._lanes.values():
            yield [place[-1] for place in line[:of_each]], len(line) > of_each

    def ahead(self, ticket_id: str) -> int:
        """How many are before it in its lane."""
        lane, place = self._where[ticket_id]
        return bisect_left(self._lanes[lane], place)

    def head(self, lane: str) -> str | None:
        """The id of the first in a lane."""
        line = self._lanes.get(lane)
        return line[0][-1] if line else None


@dataclass(slots=True)
class Bench:
    """The agents who are ready. Alike are those who can do the same and carry the same: of them the first in turn is as good as
    any, whatever the engine prefers.
    """

    _alike: dict[Alike, list[InTurn]] = field(default_factory=dict)
    _where: dict[str, tuple[Alike, InTurn]] = field(default_factory=dict)
    _kinds: dict[bytes, int] = field(default_factory=dict)
    _kind_of: dict[str, tuple[Profile, int]] = field(default_factory=dict)

    def put(self, agent: Agent) -> None:
        """The agent is so by now, ready or not."""
        self._drop(agent.id)
        if not agent.ready:
            return
        alike = self._kind(agent), agent.used_units, tuple(sorted(agent.by_channel.items()))
        in_turn = *turn_order(agent), agent.id
        self._where[agent.id] = alike, in_turn
        insort(self._alike.setdefault(alike, []), in_turn)

    def first(self, of_each: int) -> Iterator[str]:
        """The ids of the first of all who are alike."""
        for bench in self._alike.values():
            for in_turn in bench[:of_each]:
                yield in_turn[2]

    def _drop(self, agent_id: str) -> None:
        where = self._where.pop(agent_id, None)
        if where is not None:
            bench = self._alike[where[0]]
            del bench[bisect_left(bench, where[1])]
            if not bench:
                del self._alike[where[0]]

    def _kind(self, agent: Agent) -> int:
        """A number for all that the engine may look at in a profile."""
        known = self._kind_of.get(agent.id)
        if known is not None and known[0] is agent.profile:
            return known[1]
        kind = self._kinds.setdefault(json.encode(agent.profile.enrolled()), len(self._kinds))
        self._kind_of[agent.id] = agent.profile, kind
        return kind
