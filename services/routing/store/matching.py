"""What waits and who is free, found by index: the cost does not grow with the number of agents or waiting tickets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import Agent, Spoken, ability_of_language
from services.routing.domain.looking import Needed, Wanted
from services.routing.domain.work import Work
from services.routing.store import desk
from services.routing.store.able import NEXT_ABLE
from services.routing.store.config import CONFIG_VERSION, QUEUES_VERSION
from services.routing.store.desk import AGENT_COLUMNS
from shared import db


@dataclass(frozen=True, slots=True)
class Due:
    """What there is to do."""

    offers: bool
    presence: bool
    without_queue: bool
    filing: bool
    besides: bool
    judging: bool


WAITING = "queue_id IS NOT NULL AND offer_expires_at IS NULL"
TAKE_TURN = f"""
    WITH RECURSIVE turn AS MATERIALIZED (
        SELECT pg_try_advisory_xact_lock(hashtextextended('routing match', 0)) AS ours
    ), lanes(lane) AS (
        (SELECT lane FROM routing.ticket WHERE {WAITING} ORDER BY lane LIMIT 1)
        UNION ALL
        SELECT (SELECT t.lane FROM routing.ticket t WHERE {WAITING} AND t.lane > lanes.lane ORDER BY t.lane LIMIT 1)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT first.ticket_id, first.queue_id, NULL, NULL, NULL FROM lanes CROSS JOIN LATERAL (
        SELECT ticket_id, queue_id FROM routing.ticket t WHERE {WAITING} AND t.lane = lanes.lane
        ORDER BY rank, ticket_id LIMIT $1) first
    WHERE lanes.lane IS NOT NULL AND (SELECT ours FROM turn)
    UNION ALL
    SELECT NULL, NULL, ours, {CONFIG_VERSION}, clock_timestamp() FROM turn
"""
LONGEST_IDLE = """
    SELECT DISTINCT s.agent_id FROM unnest($1::text[]) team CROSS JOIN LATERAL (
        SELECT agent_id FROM routing.seat WHERE team_id = team AND ready ORDER BY idle_since, agent_id LIMIT $2) s
"""
# Whoever speaks the language is looked at one by one, until there is one who serves the queue; where none does, all who speak it.
UNSPOKEN = """
    SELECT w.queue, w.language
    FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS w(queue text, language text, teams text[], needs text[], partner text)
    WHERE NOT EXISTS (
        SELECT FROM routing.ability spoken JOIN routing.agent a USING (agent_id)
        WHERE spoken.ability = $2::text || w.language AND coalesce(CAST(a.profile->>'active' AS boolean), true)
            AND a.profile->>'partner_id' IS NOT DISTINCT FROM w.partner
            AND EXISTS (SELECT FROM routing.seat s WHERE s.agent_id = a.agent_id AND s.team_id = ANY(w.teams))
            AND NOT EXISTS (SELECT FROM unnest(w.needs) AS n(ability) WHERE NOT EXISTS (
                SELECT FROM routing.ability b WHERE b.agent_id = a.agent_id AND b.ability = n.ability)))
"""
LOCK_PRESENT = f"""
    WITH held AS MATERIALIZED (
        SELECT {AGENT_COLUMNS} FROM routing.agent a JOIN routing.presence p USING (agent_id)
        WHERE a.agent_id = ANY($1::text[]) AND p.until > clock_timestamp()
        ORDER BY a.agent_id FOR UPDATE OF a SKIP LOCKED
    )
    SELECT held.*, NULL FROM held
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, clock_timestamp()
"""
# What is offered is filed when that is over.
REACHED_A_STEP = "FROM routing.ticket WHERE file_again_at <= clock_timestamp() AND offer_expires_at IS NULL"
FILED_BEFORE = f"""FROM routing.config c CROSS JOIN (SELECT {QUEUES_VERSION} AS version) q
    JOIN routing.ticket t ON t.queue_id = c.id AND t.filed_under < q.version AND t.offer_expires_at IS NULL
    WHERE c.kind IN ('queue', 'removed queue')"""
TO_BE_FILED = f"""
    (SELECT ticket_id {REACHED_A_STEP} ORDER BY file_again_at LIMIT $1)
    UNION
    (SELECT t.ticket_id {FILED_BEFORE} LIMIT $1)
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether this process may match now, until its transaction ends; then (ticket, queue) of those first in their lanes, not
    locked; the version of the configuration; and the database's clock.
    """

    ours: bool
    tickets: list[tuple[str, str]]
    configuration: int
    now: datetime


async def take_turn(conn: AsyncConnection, in_each: int) -> Waiting:
    """Try to be the one who matches, and look at the first `in_each` waiting tickets of each lane. Both are as they were when
    the statement began: whoever decides on them locks them first, and a commit meanwhile wakes for another pass.
    """
    rows = await db.fetch(conn, TAKE_TURN, in_each)
    ours, configuration, now = rows[-1][2:]
    return Waiting(ours, [(row[0], row[1]) for row in rows[:-1]], configuration, now)


async def lock_waiting(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[Work]:
    """Those of the tickets that still wait without an offer and that nobody else is deciding on."""
    found = await desk.works(conn, ticket_ids, skip_locked=True)
    return [work for work in found.values() if work.visit is not None and work.offer is None]


async def longest_idle(conn: AsyncConnection, teams: Collection[str], of_each: int) -> list[str]:
    """The first `of_each` agents with room of each team, by how long they are idle. Not locked."""
    rows = await db.fetch(conn, LONGEST_IDLE, sorted(teams), of_each)
    return [agent_id for (agent_id,) in rows]


async def next_able(conn: AsyncConnection, lanes: Collection[Needed], of_each: int) -> set[str]:
    """The first `of_each` agents with room who can take tickets of each lane, in the order of its strategy. Not locked."""
    found: set[str] = set()
    for strategy, of_strategy in groupby(sorted(lanes), key=lambda lane: lane.strategy):
        wanted = [{"teams": lane.teams, "needs": lane.needs, "counted": lane.counted} for lane in of_strategy]
        rows = await db.fetch(conn, NEXT_ABLE[strategy], msgspec.json.encode(wanted).decode(), of_each)
        found.update(agent_id for (agent_id,) in rows)
    return found


async def unspoken(conn: AsyncConnection, wanted: Collection[Wanted]) -> set[Spoken]:
    """Those of the languages that nobody speaks who serves the queue, whether or not they are there just now."""
    asked = msgspec.json.encode([one._asdict() for one in wanted]).decode()
    return {(queue, language) for queue, language in await db.fetch(conn, UNSPOKEN, asked, ability_of_language(""))}


async def lock_present(conn: AsyncConnection, agent_ids: Collection[str]) -> tuple[dict[str, Agent], datetime]:
    """Those of the agents whose presence holds and who are not being changed by somebody else; and the database's clock after
    they were locked.
    """
    rows = await db.fetch(conn, LOCK_PRESENT, sorted(agent_ids))
    return {row[0]: desk.agent_of(*row[:-1]) for row in rows[:-1]}, rows[-1][-1]


async def due(conn: AsyncConnection) -> Due:
    """Whether there is anything that time brought about; one statement on indexes."""
    row = (
        await conn.execute(
            sa.text(
                f"""
                SELECT EXISTS (SELECT 1 FROM routing.ticket WHERE offer_expires_at <= clock_timestamp()) AS offers,
                    EXISTS (SELECT 1 FROM routing.presence WHERE until <= clock_timestamp())
                        OR EXISTS (SELECT 1 FROM routing.ticket t JOIN routing.agent a ON a.agent_id = t.offer_agent_id
                            WHERE t.offer_agent_id IS NOT NULL AND a.state IN ('offline', 'break', 'wrap_up')) AS presence,
                    EXISTS (SELECT 1 FROM routing.ticket WHERE attention = 'no_queue') AS without_queue,
                    EXISTS (SELECT 1 {REACHED_A_STEP}) OR EXISTS (SELECT 1 {FILED_BEFORE}) AS filing,
                    EXISTS (SELECT 1 FROM routing.ticket WHERE due_at <= clock_timestamp()) AS besides,
                    EXISTS (SELECT 1 FROM routing.to_judge) AS judging
                """
            )
        )
    ).one()
    return Due(row.offers, row.presence, row.without_queue, row.filing, row.besides, row.judging)


async def without_queue(conn: AsyncConnection, at_most: int) -> dict[str, Work]:
    """Tickets that no rule took when they came."""
    rows = await conn.execute(
        sa.text("SELECT ticket_id FROM routing.ticket WHERE attention = 'no_queue' ORDER BY random() LIMIT :at_most"),
        {"at_most": at_most},
    )
    ids = [row.ticket_id for row in rows]
    return await desk.works(conn, ids, skip_locked=True) if ids else {}


async def to_be_filed(conn: AsyncConnection, at_most: int) -> dict[str, Work]:
    """Tickets that reached a step, or wait as an older version of the queues says, claimed: no other process gets them. At most
    so many of each.
    """
    rows = await db.fetch(conn, TO_BE_FILED, at_most)
    return await desk.works(conn, [ticket_id for (ticket_id,) in rows], skip_locked=True) if rows else {}


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
    """Tickets that are offered to these agents now, or to be handed over to them, locked; and some of which they have something
    to do besides.
    """
    rows = await conn.execute(
        sa.text(
            "SELECT ticket_id FROM routing.ticket WHERE offer_agent_id = ANY(:ids)"
            " OR due_at IS NOT NULL AND string_to_array(besides, ' ') && CAST(:ids AS text[])"
        ),
        {"ids": sorted(agent_ids)},
    )
    ids = [row.ticket_id for row in rows]
    return await desk.works(conn, ids) if ids else {}


async def stray_offers(conn: AsyncConnection, at_most: int) -> list[str]:
    """Agents who take nothing and hold live offers: made in the instant in which they left or began their after-call work."""
    rows = await conn.execute(
        sa.text(
            "SELECT DISTINCT t.offer_agent_id AS agent_id FROM routing.ticket t"
            " JOIN routing.agent a ON a.agent_id = t.offer_agent_id"
            " WHERE t.offer_agent_id IS NOT NULL AND a.state IN ('offline', 'break', 'wrap_up') LIMIT :at_most"
        ),
        {"at_most": at_most},
    )
    return [row.agent_id for row in rows]
