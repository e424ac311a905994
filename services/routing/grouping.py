"""Commands on several tickets, decided one after the other on what the ones before left, and written together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import acting
from services.routing.domain.agents import Agent
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.work import Turn, Work
from services.routing.store import config, desk, estimates
from shared.clock import clock
from shared.events.config import QueueConfigured
from shared.outbox import Outbox

Queues = Sequence[QueueConfigured]
Decide = Callable[[Turn, Queues], Mapping[str, object]]


class NoSuchTicket(LookupError):
    """Routing does not know this ticket (yet)."""


@dataclass(slots=True)
class Group:
    """Commands being decided: tickets and agents as those so far left them. One that is refused leaves no trace."""

    works: dict[str, Work]
    agents: dict[str, Agent]
    queues: Queues
    now: datetime
    waits: Mapping[str, Foreseen]
    turns: list[Turn] = field(default_factory=list)
    worth_matching: bool = False

    @classmethod
    async def load(
        cls, conn: AsyncConnection, ticket_ids: Collection[str], concerns: Collection[str], shelf: config.QueueShelf
    ) -> Group:
        """The tickets under lock, then the agents whom they and the commands (`concerns`) are about, each in order."""
        works, version = await desk.works_and_queues(conn, ticket_ids)
        queues = await shelf.of(conn, version)
        agents = await desk.agents(conn, desk.concerned(works.values()) | set(concerns))
        waits = await estimates.foreseen_where_asked(conn, queues)
        return cls(works, agents, queues, await clock(conn), waits)

    def decide(self, ticket_id: str, cause: str, decide: Decide, traceparent: str | None) -> Mapping[str, object]:
        """One command. Raises what `decide` raises, NoSuchTicket."""
        work = self.works.get(ticket_id)
        if work is None:
            raise NoSuchTicket
        turn = Turn(work, cause, self.now, self.agents, waits=self.waits)
        body = decide(turn, self.queues)
        if turn.work is not work or turn.changed:
            self._keep(turn, traceparent)
        return body

    async def write(self, conn: AsyncConnection, outbox: Outbox) -> None:
        """Say and save what was decided."""
        if self.turns:
            await acting.write(conn, outbox, self.turns, self.now, wake=self.worth_matching)

    def _keep(self, turn: Turn, traceparent: str | None) -> None:
        turn.drafts = [replace(draft, traceparent=traceparent) for draft in turn.drafts]
        waits = turn.work.visit is not None and turn.work.offer is None
        self.worth_matching |= waits or any(_has_more_room(agent, self.agents) for agent in turn.changed.values())
        self.works[turn.work.id] = turn.work
        self.agents.update(turn.changed)
        self.turns.append(turn)


def _has_more_room(agent: Agent, before: Mapping[str, Agent]) -> bool:
    """Whether the agent may take something now that did not fit before."""
    known = before.get(agent.id)
    return agent.ready and (known is None or not known.ready or agent.used_units < known.used_units)
