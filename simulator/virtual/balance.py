"""The books of a virtual house, kept beside the engine from what it says: each decision is checked against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.routing.domain.agents import Agent
from services.routing.domain.work import Turn, Work
from shared.events.ticket import TicketAssigned, TicketLeftQueue, TicketQueued


class Unbalanced(AssertionError):
    """The engine broke what must always hold: two live offers, more than an agent can carry, a visit that is lost."""


@dataclass(slots=True)
class Balance:
    """Visits to queues, live offers, and what each agent carries. Every visit that was begun was answered, or left, or waits."""

    offered: int = 0
    answered: int = 0
    left: Counter[str] = field(default_factory=Counter)
    waiting: dict[str, int] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)
    carried: Counter[str] = field(default_factory=Counter)

    def heard(self, before: Work | None, turn: Turn, agents: Mapping[str, Agent]) -> None:
        """Enter one decision; `agents` are as before it. Raises Unbalanced."""
        self._visits(turn)
        self._offers(turn)
        self._loads(before, turn, agents)

    def _visits(self, turn: Turn) -> None:
        for draft in turn.drafts:
            fact = draft.data
            if isinstance(fact, TicketQueued):
                self.offered += 1
                if draft.key in self.waiting:
                    raise Unbalanced(f"{draft.key} was queued while it waits")
                self.waiting[draft.key] = fact.visit
            elif isinstance(fact, TicketLeftQueue):
                self.left[fact.reason] += 1
                self._ends(draft.key, fact.visit)
            elif isinstance(fact, TicketAssigned) and fact.visit is not None:
                self.answered += 1
                self._ends(draft.key, fact.visit)
        visit = turn.work.visit
        if self.waiting.get(turn.work.id) != (visit.number if visit else None):
            raise Unbalanced(f"{turn.work.id} waits without having been queued, or was queued and does not wait")
        if self.offered != self.answered + self.left.total() + len(self.waiting):
            ended = f"{self.answered} answered, {self.left.total()} left, {len(self.waiting)} wait"
            raise Unbalanced(f"of {self.offered} visits {ended}")

    def _ends(self, ticket_id: str, visit: int) -> None:
        if self.waiting.pop(ticket_id, None) != visit:
            raise Unbalanced(f"visit {visit} of {ticket_id} ended, which had not begun")

    def _offers(self, turn: Turn) -> None:
        ticket_id, offer = turn.work.id, turn.work.offer
        live = {self.live.pop(ticket_id)} if ticket_id in self.live else set()
        live |= {made.id for made in turn.made}
        live -= {ended.offer_id for ended in turn.ended}
        if live != ({offer.id} if offer else set()):
            raise Unbalanced(f"{ticket_id} has the live offers {sorted(live)}, and is held to have {offer}")
        if offer is not None:
            self.live[ticket_id] = offer.id

    def _loads(self, before: Work | None, turn: Turn, agents: Mapping[str, Agent]) -> None:
        took, takes = _takes(before) if before is not None else {}, _takes(turn.work)
        self.carried.subtract(took)
        self.carried.update(takes)
        for agent_id in {*took, *takes, *turn.changed}:
            was = agents[agent_id]
            agent, carries = turn.changed.get(agent_id, was), self.carried[agent_id]
            if agent.used_units != carries:
                raise Unbalanced(f"{agent.id} is held to carry {agent.used_units} units and carries {carries}")
            if carries > max(agent.capacity_units, was.used_units):
                raise Unbalanced(f"{agent.id} carries {carries} of {agent.capacity_units} units")


def _takes(work: Work) -> dict[str, int]:
    """What a ticket takes of whom."""
    takes = Counter[str]()
    for holding in work.holdings:
        takes[holding.agent_id] += holding.units
    return takes
