"""What time brings about: offers that nobody answered, agents whose presence lapsed, tickets to be filed anew, what ends or comes
back on a ticket, rules that are to look, old rows.

PostgreSQL's clock decides; a claim with SKIP LOCKED makes sure that of several processes one does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import acting
from services.routing.domain import escalating, handing, lifecycle, offers, sending, timers
from services.routing.domain.agents import Agent, change_state
from services.routing.domain.work import Turn, Work
from services.routing.settings import RoutingSettings
from services.routing.store import config, decisions, desk, drafts, estimates, matching, promises, signing_in, streams, timing
from shared import audit, db, idempotency, sessions
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.events.config import QueueConfigured
from shared.events.people import AgentState
from shared.outbox import Outbox
from shared.service import Resources
from shared.telemetry import log

AT_ONCE = 500
FILED_AT_ONCE = 1000
FORGOTTEN_AT_ONCE = 20_000
HOUSEKEEPING_TICKS = 240
PLACING_TICKS = 4
BACK_OFF_SECONDS = 1.0


@dataclass(slots=True)
class Ticker:
    """Ticks until cancelled."""

    parts: Resources
    settings: RoutingSettings
    _ticks: int = 0

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        while True:
            pause = self.settings.routing_tick_seconds
            try:
                await self.once()
            except db.DatabaseAway as error:
                log().warning("ticking waits", error=type(error).__name__)
                pause = BACK_OFF_SECONDS
            await asyncio.sleep(pause)

    async def once(self) -> None:
        """All that is due now. Raises DatabaseAway."""
        async with db.transaction(self.parts.engine) as conn:
            due = await matching.due(conn)
        if due.offers:
            await db.retrying(self._expire_offers)
        if due.presence:
            await db.retrying(self._end_presence)
        if due.filing:
            await db.retrying(self._file_again)
        if due.besides:
            await db.retrying(self._end_what_is_due)
        if due.judging:
            await db.retrying(self._judge)
        if self._ticks % PLACING_TICKS == 0:
            await db.retrying(self._give_conversations_back)
            if due.without_queue:
                await db.retrying(self._place_those_without_queue)
        if self._ticks % HOUSEKEEPING_TICKS == 0:
            await self._keep_house()
        self._ticks += 1

    async def _expire_offers(self) -> None:
        async with db.transaction(self.parts.engine) as conn:
            works = await matching.expired_offers(conn, AT_ONCE)
            if not works:
                return
            known = await desk.agents(conn, desk.concerned(works.values()))
            now = await clock(conn)
            turns = []
            for work in works.values():
                turn = Turn(work, work.offer.id if work.offer else work.id, now, known)
                offers.expire(turn, timedelta(seconds=self.settings.routing_again_seconds))
                known.update(turn.changed)
                turns.append(turn)
            await acting.write(conn, self.parts.outbox, [turn for turn in turns if turn.drafts], now)

    async def _end_presence(self) -> None:
        async with db.transaction(self.parts.engine) as conn:
            gone = await streams.lapsed(conn, AT_ONCE)
            strays = await matching.stray_offers(conn, AT_ONCE)
            if gone or strays:
                await set_states(conn, self.parts.outbox, gone, "offline", "presence_lost", also=strays)

    async def _file_again(self) -> None:
        """Tickets that reached a step, or have another deadline, or wait while queues were configured anew, stand where these say
        now; those that the rules or a step send to another queue go there.
        """
        async with db.transaction(self.parts.engine) as conn:
            works = await matching.to_be_filed(conn, FILED_AT_ONCE)
            if not works:
                return
            queues = await config.queues(conn)
            counting = any(queue.due_lead_seconds is not None for queue in queues)
            deadlines = await promises.deadlines(conn, list(works)) if counting else {}
            asking = any(sending.by_wait(queue) for queue in queues)
            waits = await estimates.foreseen_of(conn, list(works)) if asking else {}
            of_comers = await estimates.foreseen_where_asked(conn, queues)
            now = await clock(conn)
            turns = []
            for work in works.values():
                turn = Turn(work, f"filed {work.id} {work.visits}", now, {}, waits=of_comers)
                lifecycle.settle(turn, queues, deadlines.get(work.id), waits.get(work.id))
                turns.append(turn)
            await acting.write(conn, self.parts.outbox, turns, now)
            await timing.note(conn, [work.id for work in works.values() if _entitled_anew(work)])

    async def _end_what_is_due(self) -> None:
        """Wrap-ups, hand-overs and questions whose time is over; callbacks and rests whose time has come."""
        async with db.transaction(self.parts.engine) as conn:
            works = await timing.due(conn, AT_ONCE)
            if works:
                queues = await config.queues(conn)
                await self._decide(conn, works, queues, "due", lambda turn: timers.fire(turn, queues))

    async def _give_conversations_back(self) -> None:
        """Conversations whose agent did not come back wait again, where they stood."""
        grace = self.settings.routing_live_grace_seconds
        async with db.transaction(self.parts.engine) as conn:
            works = await timing.left_alone(conn, grace, AT_ONCE)
            if works:
                queues, waited = await config.queues(conn), timedelta(seconds=grace)
                await self._decide(conn, works, queues, "left alone", lambda turn: lifecycle.lose(turn, queues, waited))

    async def _judge(self) -> None:
        """Rules look at tickets of which they may think otherwise by now."""
        async with db.transaction(self.parts.engine) as conn:
            noted = await timing.noted(conn, AT_ONCE)
            works = await desk.works(conn, noted, skip_locked=True)
            if not works:
                return
            queues, rules = await config.queues(conn), await config.rules(conn)
            promised = await timing.promised(conn, works)

            def look(turn: Turn) -> None:
                escalating.by_rule(turn, queues, rules, promised.get(turn.work.id, escalating.NOTHING_PROMISED))

            await self._decide(conn, works, queues, "rules", look)
            await timing.judged(conn, {ticket_id: noted[ticket_id] for ticket_id in works})

    async def _decide(
        self,
        conn: AsyncConnection,
        works: Mapping[str, Work],
        queues: Sequence[QueueConfigured],
        what: str,
        decide: Callable[[Turn], None],
    ) -> None:
        """Decide on each of the tickets, and write what changed."""
        known = await desk.agents(conn, desk.concerned(works.values()))
        waits = await estimates.foreseen_where_asked(conn, queues)
        now = await clock(conn)
        turns = []
        for work in works.values():
            # Never the same for two of a ticket's decisions.
            cause = f"{what} {work.id} {work.visits} {len(work.rules)} {work.due_at}"
            turn = Turn(work, cause, now, known, waits=waits)
            decide(turn)
            known.update(turn.changed)
            if turn.work is not work:
                turns.append(turn)
        await acting.write(conn, self.parts.outbox, turns, now)

    async def _place_those_without_queue(self) -> None:
        """Tickets that no rule took: perhaps one does by now."""
        async with db.transaction(self.parts.engine) as conn:
            works = await matching.without_queue(conn, AT_ONCE)
            queues = await config.queues(conn)

            def place(turn: Turn) -> None:
                lifecycle.place_at_last(turn, queues, lifecycle.age_of(turn.work, turn.now))

            await self._decide(conn, works, queues, "placed", place)

    async def _keep_house(self) -> None:
        async with db.transaction(self.parts.engine) as conn:
            await streams.forget_old(conn)
            await idempotency.forget_old(conn, "routing")
            await timing.forget_old(conn)
            await decisions.forget_old(conn, self.settings.routing_decision_days, FORGOTTEN_AT_ONCE)
            await estimates.forget_old(conn, self.settings.routing_wait_days, FORGOTTEN_AT_ONCE)
            await drafts.forget_old(conn, self.settings.routing_draft_days)
            await sessions.forget_over(conn)
            await signing_in.forget_old(conn)
            await audit.forget_old(conn)


async def set_states(
    conn: AsyncConnection,
    outbox: Outbox,
    agent_ids: Sequence[str],
    state: AgentState,
    reason: str | None,
    *,
    also: Sequence[str] = (),
    cause: str = "",
) -> dict[str, Agent]:
    """Put agents into a state; unless they are available then, what they were offered goes to the next. Returns the agents.

    `also` names agents who stay in their state and only lose their offers. Tickets are locked before agents, as everywhere.
    """
    everyone = sorted({*agent_ids, *also})
    losing = everyone if state != "available" else sorted(also)
    works = await matching.offered_to(conn, losing) if losing else {}
    known = await desk.agents(conn, {*everyone, *desk.concerned(works.values())})
    now = await clock(conn)
    drafts: list[Draft[Fact]] = []
    for agent_id in agent_ids:
        agent = known.get(agent_id)
        if agent is None:
            continue
        why = cause or f"{reason} {agent_id} {agent.state_since.isoformat()}"
        known[agent_id], fact = change_state(agent, state, now, reason)
        if fact is not None:
            drafts.append(Draft(key=agent_id, data=fact, cause=why))
    changed = {agent_id: known[agent_id] for agent_id in agent_ids if agent_id in known}
    turns = []
    for work in works.values():
        turn = _taken_back(work, losing, now, known)
        if turn is not None:
            known.update(turn.changed)
            turns.append(turn)
    await acting.write(conn, outbox, turns, now, besides=drafts, agents=list(changed.values()))
    return {agent_id: known[agent_id] for agent_id in changed}


def _entitled_anew(work: Work) -> bool:
    """Whether it is filed again perhaps because its customer is a VIP now, or no longer: that rules may ask about."""
    return work.visit is not None and work.visit.filed_under < 0 and work.entitlement.vip is not None


def _taken_back(work: Work, losing: Sequence[str], now: datetime, known: Mapping[str, Agent]) -> Turn | None:
    """What was offered to one who is gone, by a queue or by its owner, is offered no more; None where nothing was."""
    offer, asked = work.offer, work.besides.hand_over
    if offer is not None and offer.agent_id in losing:
        turn = Turn(work, offer.id, now, known)
        offers.rescind(turn, "agent_left")
        return turn
    if asked is not None and asked.to_agent_id in losing:
        turn = Turn(work, f"left {asked.id}", now, known)
        handing.end(turn, "withdrawn", "agent_left")
        return turn
    return None
