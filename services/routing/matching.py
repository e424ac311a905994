"""The matching step: its own transaction, after those that made tickets wait or agents free.

One process matches at a time (an advisory lock of the transaction); the others are woken by the same NOTIFY and find
nothing left, or try again shortly. Rows that a command holds are left out and met in the next pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import acting
from services.routing.domain import lifecycle, offers
from services.routing.domain.agents import EVERYBODY, Agent
from services.routing.domain.match import Pair, match
from services.routing.domain.work import Turn, Work, load_changed
from services.routing.settings import RoutingSettings
from services.routing.store import config, desk, matching
from shared import db
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.events.config import QueueConfigured
from shared.service import Resources
from shared.telemetry import log

AGENTS_OF_A_TEAM = (64, 1024, 16_384)
FALLBACK_SECONDS = 1.0
BUSY_SECONDS = 0.02
BACK_OFF_SECONDS = 1.0
WITHOUT_QUEUE_AT_ONCE = 200

PASS_SECONDS = Histogram(
    "patchbay_match_seconds",
    "Time of a matching pass that offered something",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)
OFFERED = Counter("patchbay_offers", "Offers made")

Outcome = Literal["busy", "nothing", "offered"]


@dataclass(slots=True)
class Matcher:
    """Offers waiting tickets to free agents until cancelled. `wake` is set when there may be something to match."""

    parts: Resources
    settings: RoutingSettings
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        while True:
            try:
                pause = await self._passes()
            except db.DatabaseAway as error:
                log().warning("matching waits", error=type(error).__name__)
                pause = BACK_OFF_SECONDS
            try:
                await asyncio.wait_for(self.wake.wait(), pause)
            except TimeoutError:
                continue

    async def _passes(self) -> float:
        """Pass after pass while there is something to offer. Returns how long to sleep unless woken, in seconds."""
        self.wake.clear()
        while True:
            with PASS_SECONDS.time():
                outcome = await db.retrying(self.once)
            if outcome != "offered":
                return BUSY_SECONDS if outcome == "busy" else FALLBACK_SECONDS

    async def once(self) -> Outcome:
        """One pass. Raises DatabaseAway."""
        async with db.transaction(self.parts.engine) as conn:
            if not await matching.try_turn(conn):
                return "busy"
            queues = {queue.id: queue for queue in await config.queues(conn)}
            await self._place_those_without_queue(conn, list(queues.values()))
            waiting = await matching.first_in_lanes(conn, self.settings.routing_match_tickets)
            if not waiting:
                return "nothing"
            return "offered" if await self._offer(conn, waiting, queues) else "nothing"

    async def _offer(self, conn: AsyncConnection, waiting: list[tuple[str, str]], queues: dict[str, QueueConfigured]) -> int:
        teams = _teams(queues[queue_id] for _, queue_id in waiting if queue_id in queues)
        works: list[Work] | None = None
        agents: dict[str, Agent] = {}
        pairs: list[Pair] = []
        now = await clock(conn)
        for of_each in AGENTS_OF_A_TEAM:
            found = set(await matching.longest_idle(conn, teams, of_each))
            if not found and works is None:
                return 0
            if works is None:
                works = await matching.lock_waiting(conn, [ticket_id for ticket_id, _ in waiting])
                found |= {work.visit.preferred for work in works if work.visit and work.visit.preferred}
            agents |= await matching.lock_present(conn, found - agents.keys())
            now = await clock(conn)
            pairs = match(works, agents.values(), queues, now)
            if len(pairs) == len(works) or len(found) < of_each:
                break  # all served, or there is nobody more to look at
        if pairs and works:
            await self._write(conn, pairs, {work.id: work for work in works}, agents, queues, now)
        return len(pairs)

    async def _write(
        self,
        conn: AsyncConnection,
        pairs: Sequence[Pair],
        works: dict[str, Work],
        agents: dict[str, Agent],
        queues: dict[str, QueueConfigured],
        now: datetime,
    ) -> None:
        before, current = dict(agents), dict(agents)
        turns = []
        for pair in pairs:
            work = works[pair.ticket_id]
            turn = Turn(work, offers.id_of(work, pair.agent_id, now), now, current)
            queue_id = work.visit.queue_id if work.visit else ""
            offers.make(turn, current[pair.agent_id], queues[queue_id])
            current.update(turn.changed)
            turns.append(turn)
        await acting.write(conn, self.parts.outbox, turns, now, besides=_loads(before, current, turns), wake=False)
        OFFERED.inc(len(pairs))

    async def _place_those_without_queue(self, conn: AsyncConnection, queues: list[QueueConfigured]) -> None:
        homeless = await matching.without_queue(conn, WITHOUT_QUEUE_AT_ONCE)
        if not homeless:
            return
        agents = await desk.agents(conn, desk.concerned(homeless.values()))
        now = await clock(conn)
        turns = []
        for work in homeless.values():
            since = work.ticket.waiting_since or work.ticket.intake.opened_at or now
            turn = Turn(work, f"placed {work.id} {work.visits} {now.isoformat()}", now, agents)
            lifecycle.place(turn, queues, "opened" if work.visits == 0 else "returned", since, work.last_agent_id)
            if turn.drafts:
                turns.append(turn)
        if turns:
            await acting.write(conn, self.parts.outbox, turns, now, wake=False)


def _teams(queues: Iterable[QueueConfigured]) -> set[str]:
    teams: set[str] = set()
    for queue in queues:
        teams |= set(queue.team_ids) or {EVERYBODY}
    return teams


def _loads(before: dict[str, Agent], after: dict[str, Agent], turns: Sequence[Turn]) -> list[Draft[Fact]]:
    """One fact for each agent who owns more than before, however many tickets of the pass were accepted at once."""
    changed = [agent for agent_id, agent in sorted(after.items()) if agent.tickets != before[agent_id].tickets]
    return [load_changed(agent, turns[-1].cause) for agent in changed]
