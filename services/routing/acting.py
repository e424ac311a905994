"""One transaction's decisions, written and said: what all of routing's writers but the consumer do alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import Agent
from services.routing.domain.changes import Changes
from services.routing.domain.timeline import entries_of
from services.routing.domain.tracing import Reason
from services.routing.domain.work import Turn
from services.routing.store import saving
from shared.events.base import Draft, Fact
from shared.outbox import Outbox


async def write(
    conn: AsyncConnection,
    outbox: Outbox,
    turns: Sequence[Turn],
    now: datetime,
    *,
    besides: Sequence[Draft[Fact]] = (),
    agents: Sequence[Agent] = (),
    reasons: Sequence[Reason] = (),
    wake: bool = True,
) -> None:
    """Say and save what was decided. `agents` and `besides` are what changed about agents without a ticket, `reasons` why offers
    were made.
    """
    changes = Changes(agents={agent.id: agent for agent in agents}, reasons=reasons)
    for turn in turns:
        changes.add(turn)
    changes.drafts.extend(besides)
    events = await outbox.publish(conn, changes.drafts, now)
    changes.entries = entries_of(events)
    await saving.save(conn, changes, now, wake=wake and changes.worth_matching)
