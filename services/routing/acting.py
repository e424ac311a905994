"""One transaction's decisions, written and said: what all of routing's writers but the consumer do alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import Agent
from services.routing.domain.changes import Changes
from services.routing.domain.timeline import entries_of
from services.routing.domain.work import Turn
from services.routing.store import desk, saving
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.outbox import Outbox

Result = TypeVar("Result")


class NoSuchTicket(LookupError):
    """Routing does not know this ticket (yet)."""


async def on_ticket(
    conn: AsyncConnection,
    outbox: Outbox,
    ticket_id: str,
    cause: str,
    decide: Callable[[Turn], Result],
) -> Result:
    """Load one ticket and its agents under lock, decide, save and say. Raises NoSuchTicket and what `decide` raises."""
    works = await desk.works(conn, [ticket_id])
    work = works.get(ticket_id)
    if work is None:
        raise NoSuchTicket(ticket_id)
    agents = await desk.agents(conn, desk.concerned([work]))
    now = await clock(conn)
    turn = Turn(work, cause, now, agents)
    result = decide(turn)
    await write(conn, outbox, [turn], now)
    return result


async def write(
    conn: AsyncConnection,
    outbox: Outbox,
    turns: Sequence[Turn],
    now: datetime,
    *,
    besides: Sequence[Draft[Fact]] = (),
    agents: Sequence[Agent] = (),
    wake: bool = True,
) -> None:
    """Say and save what was decided. `agents` and `besides` are what changed about agents without a ticket."""
    changes = Changes(agents={agent.id: agent for agent in agents})
    for turn in turns:
        changes.add(turn)
    changes.drafts.extend(besides)
    events = await outbox.publish(conn, changes.drafts, now)
    changes.entries = entries_of(events)
    await saving.save(conn, changes, now, wake=wake and changes.worth_matching)
