"""What waits and who is free, found by index: the cost does not grow with the number of agents or waiting tickets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import Agent
from services.routing.domain.work import Work
from services.routing.store import desk


@dataclass(frozen=True, slots=True)
class Due:
    """What there is to do."""

    offers: bool
    presence: bool
    without_queue: bool


WAITING = "queue_id IS NOT NULL AND offer_expires_at IS NULL"


async def try_turn(conn: AsyncConnection) -> bool:
    """Whether this process may match now; until its transaction ends no other may."""
    statement = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended('routing match', 0))")
    return bool((await conn.execute(statement)).scalar_one())


async def first_in_lanes(conn: AsyncConnection, in_each: int) -> list[tuple[str, str]]:
    """(ticket, queue) of the first `in_each` waiting tickets of each lane, by priority, then age. Not locked."""
    rows = await conn.execute(
        sa.text(
            f"""
            WITH RECURSIVE lanes(lane) AS (
                (SELECT lane FROM routing.ticket WHERE {WAITING} ORDER BY lane LIMIT 1)
                UNION ALL
                SELECT (SELECT t.lane FROM routing.ticket t WHERE {WAITING} AND t.lane > lanes.lane ORDER BY t.lane LIMIT 1)
                FROM lanes WHERE lanes.lane IS NOT NULL)
            SELECT first.ticket_id, first.queue_id FROM lanes CROSS JOIN LATERAL (
                SELECT ticket_id, queue_id FROM routing.ticket t WHERE {WAITING} AND t.lane = lanes.lane
                ORDER BY priority DESC, age_from, ticket_id LIMIT :in_each) first
            WHERE lanes.lane IS NOT NULL
            """
        ),
        {"in_each": in_each},
    )
    return [(row.ticket_id, row.queue_id) for row in rows]


async def lock_waiting(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[Work]:
    """Those of the tickets that still wait without an offer and that nobody else is deciding on."""
    found = await desk.works(conn, ticket_ids, skip_locked=True)
    return [work for work in found.values() if work.visit is not None and work.offer is None]


async def longest_idle(conn: AsyncConnection, teams: Collection[str], of_each: int) -> list[str]:
    """The first `of_each` agents with room of each team, by how long they are idle. Not locked."""
    rows = await conn.execute(
        sa.text(
            "SELECT DISTINCT s.agent_id FROM unnest(CAST(:teams AS text[])) team CROSS JOIN LATERAL ("
            " SELECT agent_id FROM routing.seat WHERE team_id = team AND ready"
            " ORDER BY idle_since, agent_id LIMIT :of_each) s"
        ),
        {"teams": sorted(teams), "of_each": of_each},
    )
    return [row.agent_id for row in rows]


async def lock_present(conn: AsyncConnection, agent_ids: Collection[str]) -> dict[str, Agent]:
    """Those of the agents whose presence holds and who are not being changed by somebody else."""
    rows = await conn.execute(
        sa.text(
            "SELECT a.* FROM routing.agent a JOIN routing.presence p USING (agent_id)"
            " WHERE a.agent_id = ANY(:ids) AND p.until > clock_timestamp()"
            " ORDER BY a.agent_id FOR UPDATE OF a SKIP LOCKED"
        ),
        {"ids": sorted(agent_ids)},
    )
    return {row.agent_id: desk.agent_of(row) for row in rows}


async def due(conn: AsyncConnection) -> Due:
    """Whether there is anything that time brought about; one statement on indexes."""
    row = (
        await conn.execute(
            sa.text(
                """
                SELECT EXISTS (SELECT 1 FROM routing.ticket WHERE offer_expires_at <= clock_timestamp()) AS offers,
                    EXISTS (SELECT 1 FROM routing.presence WHERE until <= clock_timestamp())
                        OR EXISTS (SELECT 1 FROM routing.ticket t JOIN routing.agent a ON a.agent_id = t.offer_agent_id
                            WHERE t.offer_agent_id IS NOT NULL AND a.state IN ('offline', 'break')) AS presence,
                    EXISTS (SELECT 1 FROM routing.ticket WHERE attention = 'no_queue') AS without_queue
                """
            )
        )
    ).one()
    return Due(row.offers, row.presence, row.without_queue)


async def without_queue(conn: AsyncConnection, at_most: int) -> dict[str, Work]:
    """Tickets that no rule took when they came."""
    rows = await conn.execute(
        sa.text("SELECT ticket_id FROM routing.ticket WHERE attention = 'no_queue' ORDER BY random() LIMIT :at_most"),
        {"at_most": at_most},
    )
    ids = [row.ticket_id for row in rows]
    return await desk.works(conn, ids, skip_locked=True) if ids else {}


async def expired_offers(conn: AsyncConnection, at_most: int) -> dict[str, Work]:
    """Tickets whose offer nobody answered in time, claimed: no other process gets them."""
    rows = await conn.execute(
        sa.text(
            "SELECT ticket_id FROM routing.ticket WHERE offer_expires_at <= clock_timestamp()"
            " ORDER BY offer_expires_at LIMIT :at_most"
        ),
        {"at_most": at_most},
    )
    ids = [row.ticket_id for row in rows]
    return await desk.works(conn, ids, skip_locked=True) if ids else {}


async def offered_to(conn: AsyncConnection, agent_ids: Collection[str]) -> dict[str, Work]:
    """Tickets offered to these agents now, locked."""
    rows = await conn.execute(
        sa.text("SELECT ticket_id FROM routing.ticket WHERE offer_agent_id = ANY(:ids)"), {"ids": sorted(agent_ids)}
    )
    ids = [row.ticket_id for row in rows]
    return await desk.works(conn, ids) if ids else {}


async def stray_offers(conn: AsyncConnection, at_most: int) -> list[str]:
    """Agents who are offline and hold live offers: made in the instant in which they left."""
    rows = await conn.execute(
        sa.text(
            "SELECT DISTINCT t.offer_agent_id AS agent_id FROM routing.ticket t"
            " JOIN routing.agent a ON a.agent_id = t.offer_agent_id"
            " WHERE t.offer_agent_id IS NOT NULL AND a.state IN ('offline', 'break') LIMIT :at_most"
        ),
        {"at_most": at_most},
    )
    return [row.agent_id for row in rows]
