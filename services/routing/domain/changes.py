"""All that a transaction changes, gathered from its decisions, to be written with one statement per table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.routing.domain.agents import Agent
from services.routing.domain.timeline import Entry
from services.routing.domain.tracing import Reason
from services.routing.domain.work import EndedOffer, Notice, Offer, Turn, Work
from shared.events.base import Draft, Fact


@dataclass(slots=True)
class Changes:
    """What is to be written. Of a ticket or an agent changed several times the last one counts. `to_judge`: tickets at which
    rules are to look.
    """

    works: dict[str, Work] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    made: dict[str, tuple[str, Offer]] = field(default_factory=dict)
    ended: list[EndedOffer] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    drafts: list[Draft[Fact]] = field(default_factory=list)
    reasons: Sequence[Reason] = ()
    to_judge: set[str] = field(default_factory=set)

    def add(self, turn: Turn) -> None:
        """One decision more."""
        self.works[turn.work.id] = turn.work
        self.agents.update(turn.changed)
        self.made.update({offer.id: (turn.work.id, offer) for offer in turn.made})
        self.ended.extend(turn.ended)
        self.notices.extend(turn.notices)
        self.drafts.extend(turn.drafts)
        if turn.to_judge:
            self.to_judge.add(turn.work.id)

    @property
    def worth_matching(self) -> bool:
        """Whether a ticket waits, or an agent has room, that may not have before."""
        waits = any(work.visit is not None and work.offer is None for work in self.works.values())
        return waits or any(agent.ready for agent in self.agents.values())


@dataclass(slots=True)
class Crew:
    """The agents that one batch of facts concerns, shared by its tickets: a decision about one counts for the next."""

    agents: dict[str, Agent]
    changed: set[str] = field(default_factory=set)

    def take(self, changed: Mapping[str, Agent]) -> None:
        """A decision stands: these agents are now so."""
        self.agents.update(changed)
        self.changed.update(changed)

    def of(self, ids: Iterable[str]) -> dict[str, Agent]:
        """These agents, as they are now."""
        return {agent_id: self.agents[agent_id] for agent_id in ids}
