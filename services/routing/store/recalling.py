"""Rows of routing put in order when all was read back: who carries what, who is there, where the live streams go on."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import Agent
from services.routing.domain.choice import used_share
from services.routing.domain.work import Work
from services.routing.store import desk
from shared import db

IN_HAND = f"""
    SELECT {desk.WORK_COLUMNS} FROM routing.ticket t LEFT JOIN routing.customer c USING (customer_id)
    WHERE t.agent_id IS NOT NULL OR t.offer_agent_id IS NOT NULL OR t.due_at IS NOT NULL ORDER BY t.ticket_id FOR UPDATE OF t
"""
# Streams' numbers that were given out after the backup are not on the log; the new ones begin far beyond them.
STREAM_NUMBERS_LEFT_OUT = 1_000_000_000


async def in_hand(conn: AsyncConnection) -> list[Work]:
    """Every ticket that an agent owns, is offered, or has something to do with besides, locked in order."""
    return list(desk.works_of(await db.fetch(conn, IN_HAND)).values())


async def all_agents(conn: AsyncConnection) -> dict[str, Agent]:
    """Every agent, locked in order."""
    rows = await conn.execute(sa.text(f"SELECT {desk.AGENT_COLUMNS} FROM routing.agent a ORDER BY a.agent_id FOR UPDATE"))
    return {row[0]: desk.agent_of(*row) for row in rows}


async def carry(conn: AsyncConnection, agents: Sequence[Agent]) -> None:
    """What each agent carries, counted afresh; the ceiling follows, also upwards."""
    await conn.execute(
        sa.text(
            """
            WITH w AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:used AS integer[]), CAST(:capacities AS integer[]),
                    CAST(:tickets AS integer[]), CAST(:channels AS text[]), CAST(:ready AS boolean[]), CAST(:shares AS integer[]))
                    AS w(agent_id, used, capacity, tickets, by_channel, ready, share)
            ), counted AS (
                UPDATE routing.agent a SET used_units = w.used, ceiling_units = greatest(w.capacity, w.used),
                    tickets = w.tickets, by_channel = CAST(w.by_channel AS jsonb)
                FROM w WHERE a.agent_id = w.agent_id)
            UPDATE routing.seat s SET ready = w.ready, used_share = w.share FROM w WHERE s.agent_id = w.agent_id
            """
        ),
        {
            "ids": [agent.id for agent in agents],
            "used": [agent.used_units for agent in agents],
            "capacities": [agent.capacity_units for agent in agents],
            "tickets": [agent.tickets for agent in agents],
            "channels": [json.dumps(agent.by_channel) for agent in agents],
            "ready": [agent.ready for agent in agents],
            "shares": [used_share(agent) for agent in agents],
        },
    )


async def set_state(conn: AsyncConnection, agents: Sequence[Agent]) -> None:
    """The state that each agent is in."""
    await conn.execute(
        sa.text(
            "UPDATE routing.agent a SET state = w.state, state_since = w.since, idle_since = w.idle"
            " FROM unnest(CAST(:ids AS text[]), CAST(:states AS text[]), CAST(:since AS timestamptz[]),"
            " CAST(:idle AS timestamptz[])) AS w(id, state, since, idle) WHERE a.agent_id = w.id"
        ),
        {
            "ids": [agent.id for agent in agents],
            "states": [agent.state for agent in agents],
            "since": [agent.state_since for agent in agents],
            "idle": [agent.idle_since for agent in agents],
        },
    )


async def begin_again(conn: AsyncConnection, presence_seconds: float) -> None:
    """Whoever was there gets a lease to come back in; whoever reads a live stream is told to read everything again. Agents were
    given tickets last when their offers say so.
    """
    for table in ("agent", "seat"):
        await conn.execute(
            sa.text(
                f"UPDATE routing.{table} t SET given_at = greatest(t.given_at, o.at) FROM ("
                "SELECT agent_id, max(offered_at) AS at FROM routing.offer GROUP BY agent_id) o WHERE o.agent_id = t.agent_id"
            )
        )
    await conn.execute(
        sa.text(
            "INSERT INTO routing.presence AS p (agent_id, until)"
            " SELECT agent_id, clock_timestamp() + make_interval(secs => :seconds) FROM routing.agent WHERE state <> 'offline'"
            " ON CONFLICT (agent_id) DO UPDATE SET until = excluded.until"
        ),
        {"seconds": presence_seconds},
    )
    await conn.execute(
        sa.text("DELETE FROM routing.presence WHERE agent_id IN (SELECT agent_id FROM routing.agent WHERE state = 'offline')")
    )
    await conn.execute(sa.text("DELETE FROM routing.stream"))
    await conn.execute(
        sa.text(
            "INSERT INTO routing.stream_position AS p (agent_id, n) SELECT agent_id, CAST(:beyond AS bigint) FROM routing.agent"
            " ON CONFLICT (agent_id) DO UPDATE SET n = p.n + excluded.n"
        ),
        {"beyond": STREAM_NUMBERS_LEFT_OUT},
    )
