"""The matching step: in the transaction of the facts that made tickets wait, or in one of its own after agents became free.

One process matches at a time (an advisory lock of the transaction); the others are woken by the same NOTIFY and find
nothing left, or try again shortly. One that dies loses its turn at once, one that stands still when PostgreSQL ends its
transaction (`standstill_seconds`): whatever it decided, it cannot write it any more. Rows that a command holds are left out and
met in the next pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import msgspec
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import acting
from services.routing.domain import offers
from services.routing.domain.agents import Agent, Spoken
from services.routing.domain.changes import Changes
from services.routing.domain.looking import Look, Wanted, languages_wanted, teams_ever
from services.routing.domain.match import Decided, Pair, decide
from services.routing.domain.timeline import entries_to_be
from services.routing.domain.tracing import Reason
from services.routing.domain.verdicts import let_go
from services.routing.domain.work import Turn, Work, load_changed
from services.routing.settings import RoutingSettings
from services.routing.store import config, matching, saving
from services.routing.store.matching import Waiting
from shared import db
from shared.events.base import Draft, Fact
from shared.events.config import QueueConfigured
from shared.service import Resources
from shared.telemetry import log

FEWEST_AGENTS = 8
AGENTS_OF_A_TEAM = (64, 1024, 16_384)
FALLBACK_SECONDS = 1.0
SOON_SECONDS = 0.02
BACK_OFF_SECONDS = 1.0

PASS_SECONDS = Histogram(
    "patchbay_match_seconds",
    "Time in which a matching pass decided",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)
OFFERED = Counter("patchbay_offers", "Offers made")

NEVER = datetime.min.replace(tzinfo=UTC)
Outcome = Literal["more", "soon", "nobody", "done"]


@dataclass(slots=True)
class _Found:
    """What a pass found. `held_elsewhere`: rows that another transaction held were left out. `unspoken`: of the languages that
    were `wanted`, those that nobody who serves the queue speaks.
    """

    works: dict[str, Work] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    decided: Decided = field(default_factory=Decided)
    now: datetime = NEVER
    held_elsewhere: bool = False
    wanted: set[Wanted] = field(default_factory=set)
    unspoken: set[Spoken] = field(default_factory=set)

    @property
    def pairs(self) -> list[Pair]:
        """Who is offered what."""
        return self.decided.pairs


@dataclass(slots=True)
class _Passed:
    """What a pass decided; it is not written yet."""

    outcome: Outcome
    turns: list[Turn] = field(default_factory=list)
    loads: list[Draft[Fact]] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    now: datetime = NEVER


@dataclass(slots=True)
class Matcher:
    """Offers waiting tickets to free agents until cancelled. `wake` is set when there may be something to match."""

    parts: Resources
    settings: RoutingSettings
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _queues: config.QueueShelf = field(default_factory=config.QueueShelf)
    _noted: bool = False
    _joined: int = 0

    def note(self) -> None:
        """There may be something to match in the transaction at hand."""
        self._noted, self._joined = True, 0

    def committed(self) -> None:
        """The transaction is committed; what was noted in it and not joined is matched now."""
        OFFERED.inc(self._joined)
        self._joined = 0
        if self._noted:
            self._noted = False
            self.wake.set()

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        while True:
            try:
                pause = await self._passes()
            except db.DatabaseAway as error:
                log().warning("matching waits", error=type(error).__name__)
                pause = BACK_OFF_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self.wake.wait()
            except TimeoutError:
                continue

    async def _passes(self) -> float:
        """Pass after pass while there is more to offer. Returns how long to sleep unless woken, in seconds."""
        self.wake.clear()
        while True:
            outcome = await db.retrying(self.once)
            if outcome != "more":
                return SOON_SECONDS if outcome == "soon" else FALLBACK_SECONDS

    async def once(self) -> Outcome:
        """One pass; tells whether another is worth while: at once ("more"), soon (rows were held), when somebody is free
        ("nobody" was), or when somebody waits. Raises DatabaseAway.
        """
        async with db.transaction(self.parts.engine) as conn:
            passed = await self._pass(conn, all_agents=True)
            if passed.turns:
                await acting.write(
                    conn, self.parts.outbox, passed.turns, passed.now, besides=passed.loads, reasons=passed.reasons, wake=False
                )
        OFFERED.inc(len(passed.turns))
        return passed.outcome

    async def join(self, conn: AsyncConnection) -> list[Draft[Fact]]:
        """One pass in a transaction that `note`d something, among the agents who are first in turn. Saves what was decided, and
        returns what is to be said of it. Where somebody is left, the matchers are woken at the commit: they look at all agents,
        and one may have become free meanwhile.
        """
        if not self._noted:
            return []
        self._noted = False
        passed = await self._pass(conn, all_agents=False)
        if passed.outcome != "done":
            await config.wake_matchers(conn)
        if not passed.turns:
            return []
        self._joined = len(passed.turns)
        changes = Changes(reasons=passed.reasons)
        for turn in passed.turns:
            changes.add(turn)
        changes.drafts.extend(passed.loads)
        changes.entries = entries_to_be(changes.drafts, passed.now)
        await saving.save(conn, changes, passed.now, wake=False)
        return [replace(draft, time=draft.time or passed.now) for draft in changes.drafts]

    async def _pass(self, conn: AsyncConnection, *, all_agents: bool) -> _Passed:
        with PASS_SECONDS.time():
            return await self._decide(conn, all_agents=all_agents)

    async def _decide(self, conn: AsyncConnection, *, all_agents: bool) -> _Passed:
        turn = await matching.take_turn(conn, self.settings.routing_match_tickets)
        if not turn.ours:
            return _Passed("soon")
        waiting = turn.tickets
        if not waiting:
            return _Passed("done")
        queues = {queue.id: queue for queue in await self._queues.of(conn, turn.configuration)}
        found = await self._found(conn, turn, queues, all_agents=all_agents)
        turns, loads = _offered(found, queues)
        return _Passed(self._outcome(waiting, found), turns, loads, _reasons(found, turns, self._queues.read_under), found.now)

    def _outcome(self, waiting: Sequence[object], found: _Found) -> Outcome:
        if found.pairs and len(waiting) >= self.settings.routing_match_tickets:
            return "more"
        if found.held_elsewhere:
            return "soon"
        return "done" if len(found.pairs) == len(waiting) else "nobody"

    async def _found(
        self, conn: AsyncConnection, turn: Waiting, queues: dict[str, QueueConfigured], *, all_agents: bool
    ) -> _Found:
        """Lock who waits and who could take them, and match: wider and wider while somebody is left, or not at all where that
        would take more than the first few agents and `all_agents` are not to be looked at.
        """
        waiting = turn.tickets
        teams = teams_ever(queues[queue_id] for queue_id in {queue_id for _, queue_id in waiting} & queues.keys())
        at_first = max(FEWEST_AGENTS, 2 * len(waiting))
        widths = (at_first, *(wider for wider in AGENTS_OF_A_TEAM if wider > at_first))
        idle = set(await matching.longest_idle(conn, teams, at_first))
        if not idle:
            return _Found()
        works = await matching.lock_waiting(conn, [ticket_id for ticket_id, _ in waiting])
        look = Look.at(works, queues, turn.now)
        look.saw(await matching.next_able(conn, look.needed(look.in_turn()), at_first), at_first)
        wanted = idle | look.first | look.preferred()
        found = _Found(works={work.id: work for work in works}, held_elsewhere=len(works) < len(waiting))
        for at_most, wider in pairwise((*widths, 0)):
            present, found.now = await matching.lock_present(conn, wanted - found.agents.keys())
            found.agents |= present
            await _look(conn, found, look, queues)
            left = look.unsettled(found.decided)
            settled = not left and (at_most >= AGENTS_OF_A_TEAM[0] or look.apart(found.pairs))
            if settled or len(idle) < at_most or not wider:
                break
            if not all_agents:
                found.decided = Decided()
                break
            wanted = idle = await matching.next_able(conn, look.needed(left or works), wider)
            look.saw(idle, wider)
        found.held_elsewhere |= len(found.pairs) < len(works) and not idle <= found.agents.keys()
        return found


async def _look(conn: AsyncConnection, found: _Found, look: Look, queues: Mapping[str, QueueConfigured]) -> None:
    """Decide who is offered what. Where somebody is left who asks for a language it is looked up whether anybody speaks it."""
    agents = found.agents.values()
    found.decided = decide(look.works, agents, queues, found.now, found.unspoken)
    served = {pair.ticket_id for pair in found.pairs} | found.decided.kept
    wanted = languages_wanted((work for work in look.works if work.id not in served), queues) - found.wanted
    if not wanted:
        return
    found.wanted |= wanted
    found.unspoken |= (unspoken := await matching.unspoken(conn, wanted))
    if unspoken:
        look.ask(queues, found.now, found.unspoken)
        found.decided = decide(look.works, agents, queues, found.now, found.unspoken)


def _offered(found: _Found, queues: dict[str, QueueConfigured]) -> tuple[list[Turn], list[Draft[Fact]]]:
    """The decisions on what was matched, and what is to be said of the agents' load."""
    current = dict(found.agents)
    turns = []
    for pair in found.pairs:
        work = found.works[pair.ticket_id]
        turn = Turn(work, offers.id_of(work, pair.agent_id), found.now, current)
        queue_id = work.visit.queue_id if work.visit else ""
        offers.make(turn, current[pair.agent_id], queues[queue_id])
        current.update(turn.changed)
        turns.append(turn)
    return turns, _loads(found.agents, current, turns)


def _reasons(found: _Found, turns: Sequence[Turn], configuration: int) -> list[Reason]:
    """Why each offer was made; those of one lane share what was seen, under the id of the first, and with the version of the
    configuration.
    """
    reasons: list[Reason] = []
    first_of: dict[str, str] = {}
    saw = {lane: msgspec.structs.replace(looked, config_version=configuration) for lane, looked in found.decided.looked.items()}
    for pair, turn in zip(found.pairs, turns, strict=True):
        offer, visit = turn.made[0], found.works[pair.ticket_id].visit
        first = first_of.setdefault(pair.lane, offer.id)
        barred = tuple(sorted(let_go(visit, found.now))) if visit is not None else ()
        reasons.append(Reason(offer.id, first, pair.how, barred, saw[pair.lane]))
    return reasons


def _loads(before: dict[str, Agent], after: dict[str, Agent], turns: Sequence[Turn]) -> list[Draft[Fact]]:
    """One fact for each agent who owns more than before, however many tickets of the pass were accepted at once."""
    changed = [agent for agent_id, agent in sorted(after.items()) if agent.tickets != before[agent_id].tickets]
    return [load_changed(agent, turns[-1].cause) for agent in changed]
