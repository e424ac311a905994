"""Tickets at work and agents: loaded under lock, tickets first, then agents, each in order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import EVERYBODY, Agent, Profile, abilities
from services.routing.domain.choice import used_share, versatility
from services.routing.domain.work import Entitlement, Work
from services.routing.store.config import CONFIG_VERSION
from shared import db
from shared.events.people import AgentState, Unreachable

AGENT_COLUMNS = (
    "a.agent_id, CAST(a.profile AS text), a.state, a.state_since, a.idle_since, a.used_units, a.tickets,"
    " CAST(a.by_channel AS text), a.given_at"
)
WORK_COLUMNS = "t.state, c.vip, c.plan, c.tier, t.filed_under, CAST(c.unreachable AS text) AS unreachable"
WORKS = f"""
    SELECT {WORK_COLUMNS}
    FROM routing.ticket t LEFT JOIN routing.customer c USING (customer_id)
    WHERE t.ticket_id = ANY($1::text[]) ORDER BY t.ticket_id FOR UPDATE OF t
"""
FREE_WORKS = f"{WORKS} SKIP LOCKED"
WORKS_AND_QUEUES = f"""
    WITH held AS MATERIALIZED ({WORKS})
    SELECT state, vip, plan, tier, filed_under, unreachable, NULL FROM held
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, {CONFIG_VERSION}
"""
AGENTS = f"SELECT {AGENT_COLUMNS} FROM routing.agent a WHERE a.agent_id = ANY($1::text[]) ORDER BY a.agent_id FOR UPDATE"
FILE_AGAIN = """
    UPDATE routing.ticket SET filed_under = -abs(filed_under) WHERE ticket_id IN (SELECT ticket_id FROM routing.ticket
        WHERE customer_id = ANY($1::text[]) AND queue_id IS NOT NULL ORDER BY ticket_id FOR UPDATE)
"""
LAST_AGENTS = """
    SELECT DISTINCT ON (customer_id) customer_id, last_agent_id FROM routing.ticket
    WHERE customer_id = ANY($1::text[]) AND last_agent_id IS NOT NULL ORDER BY customer_id, updated_at DESC, ticket_id
"""
CONFIGURE_AGENTS = """
    INSERT INTO routing.agent AS a (agent_id, profile, state, state_since, idle_since, ceiling_units)
    SELECT id, CAST(profile AS jsonb), state, since, idle, capacity FROM unnest($1::text[], $2::text[], $3::text[],
        $4::timestamptz[], $5::timestamptz[], $6::integer[]) AS n(id, profile, state, since, idle, capacity) ORDER BY id
    ON CONFLICT (agent_id) DO UPDATE SET profile = excluded.profile,
        ceiling_units = greatest(excluded.ceiling_units, a.used_units)
"""
ABILITIES = "INSERT INTO routing.ability (ability, agent_id) SELECT * FROM unnest($1::text[], $2::text[])"
LEAVE_SEATS = """
    DELETE FROM routing.seat s WHERE agent_id = ANY($1::text[]) AND NOT EXISTS (
        SELECT FROM unnest($2::text[], $3::text[]) AS h(agent_id, team_id)
        WHERE h.agent_id = s.agent_id AND h.team_id = s.team_id)
"""
TAKE_SEATS = """
    INSERT INTO routing.seat (agent_id, team_id, ready, idle_since, given_at, used_share, versatility)
    SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[], $5::timestamptz[], $6::integer[],
        $7::integer[])
    ON CONFLICT (agent_id, team_id) DO UPDATE SET ready = excluded.ready, idle_since = excluded.idle_since,
        given_at = excluded.given_at, used_share = excluded.used_share, versatility = excluded.versatility
"""

_works = msgspec.json.Decoder(Work)
_profiles = msgspec.json.Decoder(Profile)
_counts = msgspec.json.Decoder(dict[str, int])
_reasons = msgspec.json.Decoder(dict[str, Unreachable | None])
_encode = msgspec.json.encode


async def works(conn: AsyncConnection, ticket_ids: Collection[str], *, skip_locked: bool = False) -> dict[str, Work]:
    """These tickets, locked in order of their ids; those that another transaction holds are left out with `skip_locked`."""
    rows = await db.fetch(conn, FREE_WORKS if skip_locked else WORKS, sorted(ticket_ids))
    return works_of(rows)


async def works_and_queues(conn: AsyncConnection, ticket_ids: Collection[str]) -> tuple[dict[str, Work], int]:
    """These tickets, locked in order of their ids, and the version of the configuration (see `config.QueueShelf`)."""
    rows = await db.fetch(conn, WORKS_AND_QUEUES, sorted(ticket_ids))
    return works_of(rows[:-1]), rows[-1][6]


def works_of(rows: Iterable[asyncpg.Record]) -> dict[str, Work]:
    """Tickets as rows of WORK_COLUMNS have them."""
    told = (
        _as_filed(_reached(_entitled(_works.decode(state), vip, plan, tier), unreachable), filed_under)
        for state, vip, plan, tier, filed_under, unreachable, *_ in rows
    )
    return {work.id: work for work in told}


async def agents(conn: AsyncConnection, agent_ids: Collection[str]) -> dict[str, Agent]:
    """These agents, locked in order of their ids."""
    if not agent_ids:
        return {}
    rows = await db.fetch(conn, AGENTS, sorted(agent_ids))
    return {row[0]: agent_of(*row) for row in rows}


async def last_agents(conn: AsyncConnection, customer_ids: Collection[str]) -> dict[str, str]:
    """Who had the ticket of each customer that changed last; customers whom nobody served are left out."""
    if not customer_ids:
        return {}
    rows = await db.fetch(conn, LAST_AGENTS, sorted(customer_ids))
    return {row[0]: row[1] for row in rows}


def agent_of(
    agent_id: str,
    profile: str,
    state: AgentState,
    state_since: datetime,
    idle_since: datetime,
    used_units: int,
    tickets: int,
    by_channel: str,
    given_at: datetime,
) -> Agent:
    """An agent as a row of AGENT_COLUMNS has it."""
    return Agent(
        id=agent_id,
        profile=_profile(profile),
        state=state,
        state_since=state_since,
        idle_since=idle_since,
        used_units=used_units,
        stored_units=used_units,
        tickets=tickets,
        by_channel=_counts.decode(by_channel),
        given_at=given_at,
    )


@lru_cache(maxsize=20_000)
def _profile(raw: str) -> Profile:
    """Profiles seldom change and are looked at in every pass; nobody alters one."""
    return _profiles.decode(raw)


async def forget_openings(conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
    """Take the sealed subjects and names of these people out of their tickets, and note that they are forgotten."""
    if not customer_ids:
        return
    rows = await conn.execute(
        sa.text("SELECT ticket_id, state FROM routing.ticket WHERE customer_id = ANY(:ids) ORDER BY ticket_id FOR UPDATE"),
        {"ids": sorted(set(customer_ids))},
    )
    scrubbed = [msgspec.structs.replace(_works.decode(row.state), opening=None, erased=True) for row in rows]
    await conn.execute(
        sa.text(
            "UPDATE routing.ticket t SET state = s.state"
            " FROM unnest(CAST(:ids AS text[]), CAST(:states AS bytea[])) AS s(ticket_id, state) WHERE t.ticket_id = s.ticket_id"
        ),
        {"ids": [work.id for work in scrubbed], "states": [_encode(work) for work in scrubbed]},
    )


async def file_again(conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
    """Have the waiting tickets of these customers filed again: what they are entitled to may change their place."""
    if customer_ids:
        await db.fetch(conn, FILE_AGAIN, sorted(customer_ids))


def concerned(found: Iterable[Work]) -> set[str]:
    """The agents who own these tickets, are offered them, or have something to do with them besides."""
    return {agent_id for work in found for agent_id in work.agents}


async def configure_agents(conn: AsyncConnection, agents: Collection[Agent]) -> None:
    """Write new or changed profiles: capacity, abilities and seats as configured."""
    ids = [agent.id for agent in agents]
    await db.fetch(
        conn,
        CONFIGURE_AGENTS,
        ids,
        [_encode(agent.profile).decode() for agent in agents],
        [agent.state for agent in agents],
        [agent.state_since for agent in agents],
        [agent.idle_since for agent in agents],
        [agent.capacity_units for agent in agents],
    )
    able = [(ability, agent.id) for agent in agents for ability in sorted(abilities(agent.profile))]
    await db.fetch(conn, "DELETE FROM routing.ability WHERE agent_id = ANY($1::text[])", ids)
    await db.fetch(conn, ABILITIES, [ability for ability, _ in able], [agent_id for _, agent_id in able])
    seats = [(agent, team_id) for agent in agents for team_id in sorted({*agent.profile.team_ids, EVERYBODY})]
    held, teams = [agent.id for agent, _ in seats], [team_id for _, team_id in seats]
    await db.fetch(conn, LEAVE_SEATS, ids, held, teams)
    await db.fetch(
        conn,
        TAKE_SEATS,
        held,
        teams,
        [agent.ready for agent, _ in seats],
        [agent.idle_since for agent, _ in seats],
        [agent.given_at for agent, _ in seats],
        [used_share(agent) for agent, _ in seats],
        [versatility(agent.profile) for agent, _ in seats],
    )


def _entitled(work: Work, vip: bool | None, plan: str | None, tier: str | None) -> Work:
    if vip is None and plan is None and tier is None:
        return work
    return msgspec.structs.replace(work, entitlement=Entitlement(vip=vip, plan=plan, tier=tier))


def _reached(work: Work, unreachable: str | None) -> Work:
    """What is null can be written to again."""
    if unreachable is None:
        return work
    barred = {channel: why for channel, why in _reasons.decode(unreachable).items() if why is not None}
    return msgspec.structs.replace(work, unreachable=barred)


def _as_filed(work: Work, filed_under: int | None) -> Work:
    """Whoever finds that a ticket is to be filed says so in its row only."""
    visit = work.visit
    if visit is None or filed_under is None or visit.filed_under == filed_under:
        return work
    return msgspec.structs.replace(work, visit=msgspec.structs.replace(visit, filed_under=filed_under))
