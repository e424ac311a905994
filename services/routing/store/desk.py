"""Tickets at work and agents: loaded under lock (tickets first, then agents, each in order), saved in one statement a table."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import EVERYBODY, Agent, Profile
from services.routing.domain.changes import Changes
from services.routing.domain.timeline import Entry
from services.routing.domain.work import Entitlement, Notice, Work

_works = msgspec.json.Decoder(Work)
_encode = msgspec.json.encode


async def works(conn: AsyncConnection, ticket_ids: Collection[str], *, skip_locked: bool = False) -> dict[str, Work]:
    """These tickets, locked in order of their ids; those that another transaction holds are left out with `skip_locked`."""
    rows = await conn.execute(
        sa.text(
            "SELECT t.state, c.vip, c.plan, c.tier FROM routing.ticket t LEFT JOIN routing.customer c USING (customer_id)"
            " WHERE t.ticket_id = ANY(:ids) ORDER BY t.ticket_id FOR UPDATE OF t" + (" SKIP LOCKED" if skip_locked else "")
        ),
        {"ids": sorted(ticket_ids)},
    )
    found = (_entitled(_works.decode(row.state), row.vip, row.plan, row.tier) for row in rows)
    return {work.id: work for work in found}


async def agents(conn: AsyncConnection, agent_ids: Collection[str]) -> dict[str, Agent]:
    """These agents, locked in order of their ids."""
    if not agent_ids:
        return {}
    rows = await conn.execute(
        sa.text("SELECT * FROM routing.agent WHERE agent_id = ANY(:ids) ORDER BY agent_id FOR UPDATE"),
        {"ids": sorted(agent_ids)},
    )
    return {row.agent_id: agent_of(row) for row in rows}


def agent_of(row: sa.Row[tuple[object, ...]]) -> Agent:
    """An agent as the row has it."""
    return Agent(
        id=row.agent_id,
        profile=msgspec.convert(row.profile, Profile),
        state=row.state,
        state_since=row.state_since,
        idle_since=row.idle_since,
        used_units=row.used_units,
        tickets=row.tickets,
        by_channel=row.by_channel,
    )


async def forget_openings(conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
    """Take the sealed subjects and names of these people out of their tickets."""
    if not customer_ids:
        return
    rows = await conn.execute(
        sa.text("SELECT ticket_id, state FROM routing.ticket WHERE customer_id = ANY(:ids) ORDER BY ticket_id FOR UPDATE"),
        {"ids": sorted(set(customer_ids))},
    )
    scrubbed = [msgspec.structs.replace(_works.decode(row.state), opening=None) for row in rows]
    await conn.execute(
        sa.text(
            "UPDATE routing.ticket t SET state = s.state"
            " FROM unnest(CAST(:ids AS text[]), CAST(:states AS bytea[])) AS s(ticket_id, state) WHERE t.ticket_id = s.ticket_id"
        ),
        {"ids": [work.id for work in scrubbed], "states": [_encode(work) for work in scrubbed]},
    )


def concerned(found: Iterable[Work]) -> set[str]:
    """The agents who own these tickets or are offered them."""
    owners = {work.owner for work in found if work.owner is not None}
    return owners | {work.offer.agent_id for work in found if work.offer is not None}


async def save(conn: AsyncConnection, changes: Changes, now: datetime, *, wake: bool = True) -> None:
    """Write all changes. `wake` tells the matchers of all processes, at the commit, that there may be something to match."""
    await _save_works(conn, list(changes.works.values()), now)
    await save_agents(conn, list(changes.agents.values()))
    await _end_offers(conn, changes, now)
    await _make_offers(conn, changes, now)
    await tell(conn, changes.notices, now)
    await _keep_history(conn, changes.entries)
    if wake and changes.worth_matching:
        await conn.execute(sa.text("NOTIFY routing_match"))


async def _save_works(conn: AsyncConnection, changed: Sequence[Work], now: datetime) -> None:
    if not changed:
        return
    await conn.execute(
        sa.text(
            """
            INSERT INTO routing.ticket AS t (ticket_id, number, customer_id, status, agent_id, last_agent_id, queue_id, lane,
                priority, age_from, entered_at, offer_agent_id, offer_expires_at, attention, state, updated_at)
            SELECT w.*, CAST(:now AS timestamptz) FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS bigint[]),
                CAST(:customers AS text[]), CAST(:statuses AS text[]), CAST(:owners AS text[]), CAST(:last AS text[]),
                CAST(:queues AS text[]), CAST(:lanes AS text[]), CAST(:priorities AS smallint[]),
                CAST(:ages AS timestamptz[]), CAST(:entered AS timestamptz[]), CAST(:offered AS text[]),
                CAST(:expiries AS timestamptz[]), CAST(:attentions AS text[]), CAST(:states AS bytea[])) AS w
            ON CONFLICT (ticket_id) DO UPDATE SET number = excluded.number, customer_id = excluded.customer_id,
                status = excluded.status, agent_id = excluded.agent_id, last_agent_id = excluded.last_agent_id,
                queue_id = excluded.queue_id, lane = excluded.lane, priority = excluded.priority,
                age_from = excluded.age_from, entered_at = excluded.entered_at,
                offer_agent_id = excluded.offer_agent_id, offer_expires_at = excluded.offer_expires_at,
                attention = excluded.attention, state = excluded.state, updated_at = excluded.updated_at
            """
        ),
        {
            "now": now,
            "ids": [work.id for work in changed],
            "numbers": [work.ticket.intake.number for work in changed],
            "customers": [work.ticket.intake.customer_id for work in changed],
            "statuses": [work.ticket.status for work in changed],
            "owners": [work.owner for work in changed],
            "last": [work.last_agent_id for work in changed],
            "queues": [work.visit.queue_id if work.visit else None for work in changed],
            "lanes": [work.visit.lane if work.visit else None for work in changed],
            "priorities": [work.ticket.priority for work in changed],
            "ages": [work.visit.age_from if work.visit else None for work in changed],
            "entered": [work.visit.entered_at if work.visit else None for work in changed],
            "offered": [work.offer.agent_id if work.offer else None for work in changed],
            "expiries": [work.offer.expires_at if work.offer else None for work in changed],
            "attentions": [work.attention for work in changed],
            "states": [_encode(msgspec.structs.replace(work, entitlement=Entitlement())) for work in changed],
        },
    )


async def save_agents(conn: AsyncConnection, changed: Sequence[Agent]) -> None:
    """Write what agents carry and are. The ceiling only falls here; the database refuses more load than it."""
    if not changed:
        return
    await conn.execute(
        sa.text(
            """
            WITH w AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:states AS text[]), CAST(:since AS timestamptz[]),
                    CAST(:idle AS timestamptz[]), CAST(:used AS integer[]), CAST(:capacities AS integer[]),
                    CAST(:tickets AS integer[]), CAST(:channels AS text[]), CAST(:ready AS boolean[]))
                    AS w(agent_id, state, state_since, idle_since, used, capacity, tickets, by_channel, ready)
            ), changed AS (
                UPDATE routing.agent a SET state = w.state, state_since = w.state_since, idle_since = w.idle_since,
                    used_units = w.used, ceiling_units = least(a.ceiling_units, greatest(w.capacity, w.used)),
                    tickets = w.tickets, by_channel = CAST(w.by_channel AS jsonb)
                FROM w WHERE a.agent_id = w.agent_id)
            UPDATE routing.seat s SET ready = w.ready, idle_since = w.idle_since
            FROM w WHERE s.agent_id = w.agent_id AND (s.ready, s.idle_since) IS DISTINCT FROM (w.ready, w.idle_since)
            """
        ),
        {
            "ids": [agent.id for agent in changed],
            "states": [agent.state for agent in changed],
            "since": [agent.state_since for agent in changed],
            "idle": [agent.idle_since for agent in changed],
            "used": [agent.used_units for agent in changed],
            "capacities": [agent.capacity_units for agent in changed],
            "tickets": [agent.tickets for agent in changed],
            "channels": [json.dumps(agent.by_channel) for agent in changed],
            "ready": [agent.ready for agent in changed],
        },
    )


async def configure_agent(conn: AsyncConnection, agent: Agent) -> None:
    """Write a new or changed profile: capacity and seats as configured."""
    await conn.execute(
        sa.text(
            "INSERT INTO routing.agent AS a (agent_id, profile, state, state_since, idle_since, ceiling_units)"
            " VALUES (:id, CAST(:profile AS jsonb), :state, :since, :idle, :capacity)"
            " ON CONFLICT (agent_id) DO UPDATE SET profile = excluded.profile,"
            " ceiling_units = greatest(excluded.ceiling_units, a.used_units)"
        ),
        {
            "id": agent.id,
            "profile": _encode(agent.profile).decode(),
            "state": agent.state,
            "since": agent.state_since,
            "idle": agent.idle_since,
            "capacity": agent.capacity_units,
        },
    )
    teams = sorted({*agent.profile.team_ids, EVERYBODY})
    await conn.execute(
        sa.text("DELETE FROM routing.seat WHERE agent_id = :id AND NOT team_id = ANY(:teams)"), {"id": agent.id, "teams": teams}
    )
    await conn.execute(
        sa.text(
            "INSERT INTO routing.seat (agent_id, team_id, ready, idle_since)"
            " SELECT :id, team_id, :ready, :idle FROM unnest(CAST(:teams AS text[])) team_id"
            " ON CONFLICT (agent_id, team_id) DO UPDATE SET ready = excluded.ready, idle_since = excluded.idle_since"
        ),
        {"id": agent.id, "teams": teams, "ready": agent.ready, "idle": agent.idle_since},
    )


async def _end_offers(conn: AsyncConnection, changes: Changes, now: datetime) -> None:
    ended = [end for end in changes.ended if end.offer_id not in changes.made]
    if not ended:
        return
    await conn.execute(
        sa.text(
            "UPDATE routing.offer o SET state = e.outcome, ended_at = :now"
            " FROM unnest(CAST(:ids AS text[]), CAST(:outcomes AS text[])) AS e(offer_id, outcome)"
            " WHERE o.offer_id = e.offer_id"
        ),
        {"now": now, "ids": [end.offer_id for end in ended], "outcomes": [end.outcome for end in ended]},
    )


async def _make_offers(conn: AsyncConnection, changes: Changes, now: datetime) -> None:
    if not changes.made:
        return
    outcomes = {end.offer_id: end.outcome for end in changes.ended}
    made = list(changes.made.values())
    await conn.execute(
        sa.text(
            """
            INSERT INTO routing.offer (offer_id, ticket_id, agent_id, queue_id, visit, state, offered_at, expires_at, ended_at)
            SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:tickets AS text[]), CAST(:agents AS text[]),
                CAST(:queues AS text[]), CAST(:visits AS integer[]), CAST(:states AS text[]),
                CAST(:offered AS timestamptz[]), CAST(:expiries AS timestamptz[]), CAST(:ended AS timestamptz[]))
            """
        ),
        {
            "ids": [offer.id for _, offer in made],
            "tickets": [ticket_id for ticket_id, _ in made],
            "agents": [offer.agent_id for _, offer in made],
            "queues": [offer.queue_id for _, offer in made],
            "visits": [offer.visit for _, offer in made],
            "states": [outcomes.get(offer.id, "live") for _, offer in made],
            "offered": [offer.offered_at for _, offer in made],
            "expiries": [offer.expires_at for _, offer in made],
            "ended": [now if offer.id in outcomes else None for _, offer in made],
        },
    )


async def tell(conn: AsyncConnection, notices: Sequence[Notice], now: datetime) -> None:
    """Append to the agents' streams. The row of `stream_position` is held till the commit: numbers commit in their order."""
    if not notices:
        return
    await conn.execute(
        sa.text(
            """
            WITH told AS (
                SELECT *, row_number() OVER (PARTITION BY agent_id ORDER BY i) AS k
                FROM unnest(CAST(:agents AS text[]), CAST(:kinds AS text[]), CAST(:payloads AS text[]))
                    WITH ORDINALITY AS t(agent_id, kind, payload, i)
            ), counted AS (
                INSERT INTO routing.stream_position AS p (agent_id, n)
                SELECT agent_id, count(*) FROM told GROUP BY agent_id ORDER BY agent_id
                ON CONFLICT (agent_id) DO UPDATE SET n = p.n + excluded.n
                RETURNING agent_id, n
            ), totals AS (SELECT agent_id, count(*) AS total FROM told GROUP BY agent_id)
            INSERT INTO routing.stream (agent_id, n, kind, payload, at)
            SELECT told.agent_id, counted.n - total + k, kind, payload, :now
            FROM told JOIN counted USING (agent_id) JOIN totals USING (agent_id)
            """
        ),
        {
            "now": now,
            "agents": [notice.agent_id for notice in notices],
            "kinds": [notice.kind for notice in notices],
            "payloads": [json.dumps(notice.payload, ensure_ascii=False) for notice in notices],
        },
    )
    await conn.execute(sa.text("NOTIFY routing_stream"))


async def _keep_history(conn: AsyncConnection, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    await conn.execute(
        sa.text(
            """
            INSERT INTO routing.entry (ticket_id, event_id, type, writer, at, customer_id, data)
            SELECT ticket_id, event_id, type, writer, at, customer_id, CAST(data AS jsonb)
            FROM unnest(CAST(:tickets AS text[]), CAST(:events AS text[]), CAST(:types AS text[]),
                CAST(:writers AS text[]), CAST(:times AS timestamptz[]), CAST(:customers AS text[]), CAST(:data AS text[]))
                WITH ORDINALITY AS e(ticket_id, event_id, type, writer, at, customer_id, data, i)
            ORDER BY i
            """
        ),
        {
            "tickets": [entry.ticket_id for entry in entries],
            "events": [entry.event_id for entry in entries],
            "types": [entry.type for entry in entries],
            "writers": [entry.writer for entry in entries],
            "times": [entry.at for entry in entries],
            "customers": [entry.customer_id for entry in entries],
            "data": [entry.data for entry in entries],
        },
    )


def _entitled(work: Work, vip: bool | None, plan: str | None, tier: str | None) -> Work:
    if vip is None and plan is None and tier is None:
        return work
    return msgspec.structs.replace(work, entitlement=Entitlement(vip=vip, plan=plan, tier=tier))
