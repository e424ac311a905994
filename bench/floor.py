"""A floor of agents and tickets that wait for them, as routing keeps them: for measuring decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain import lifecycle
from services.routing.domain.agents import Agent, Profile
from services.routing.domain.changes import Changes
from services.routing.domain.work import Turn, Work, hear
from services.routing.store import desk, saving
from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.config import QueueConfigured, Strategy
from shared.events.message import MessageReceived
from shared.events.ticket import TicketOpened

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
COMMON, RARE = "en", "ro"
TEAM = "support"
QUEUE = QueueConfigured(
    id="support",
    version=1,
    effective_from=START,
    name={"en": "Support"},
    position=1,
    team_ids=(TEAM,),
    skill_by_language=True,
    offer_timeout_seconds=3600,
)
CAPACITY_UNITS = 1_000_000
# Nobody is like the other: some can do more, carry more, or were given something longer ago.
UNLIKE = """
    UPDATE routing.agent a SET given_at = CAST(:start AS timestamptz) - mixed * interval '1 second', used_units = mixed * 5,
        profile = jsonb_set(profile, '{skills}', coalesce(
            (SELECT jsonb_object_agg('skill' || k, 1) FROM generate_series(1, mixed % 20) k), '{}'))
    FROM (SELECT agent_id, abs(hashtext(agent_id)) % 100000 AS mixed FROM routing.agent) m WHERE m.agent_id = a.agent_id
"""
SEATED = f"""
    UPDATE routing.seat s SET given_at = a.given_at, used_share = CAST(a.used_units AS bigint) * 10000 / {CAPACITY_UNITS},
        versatility = (SELECT count(*) FROM jsonb_object_keys(profile->'skills')) + jsonb_array_length(profile->'languages')
    FROM routing.agent a WHERE a.agent_id = s.agent_id
"""


async def furnish(conn: AsyncConnection, agents: int) -> None:
    """One queue, one team, so many agents who are there; one of them speaks the rare language and is the last in turn."""
    await conn.execute(
        sa.text(
            "INSERT INTO routing.config (kind, id, version, data, effective_from)"
            " VALUES ('queue', :id, 1, CAST(:data AS jsonb), :since)"
        ),
        {"id": QUEUE.id, "data": msgspec.json.encode(QUEUE).decode(), "since": START},
    )
    speaks_both = _agent("speaks both", (COMMON, RARE), START + timedelta(days=1))
    await desk.configure_agents(conn, [speaks_both, _agent("agent", (COMMON,), START)])
    await conn.execute(
        sa.text(
            "INSERT INTO routing.agent (agent_id, profile, state, state_since, idle_since, ceiling_units)"
            " SELECT 'agent ' || n, profile, state, state_since, idle_since, ceiling_units"
            " FROM routing.agent, generate_series(1, :more) n WHERE agent_id = 'agent'"
        ),
        {"more": agents - 2},
    )
    await conn.execute(
        sa.text(
            "INSERT INTO routing.seat (agent_id, team_id, ready, idle_since)"
            " SELECT 'agent ' || n, team_id, ready, idle_since FROM routing.seat, generate_series(1, :more) n"
            " WHERE agent_id = 'agent'"
        ),
        {"more": agents - 2},
    )
    await conn.execute(
        sa.text(
            "INSERT INTO routing.ability (ability, agent_id) SELECT ability, 'agent ' || n"
            " FROM routing.ability, generate_series(1, :more) n WHERE agent_id = 'agent'"
        ),
        {"more": agents - 2},
    )
    await conn.execute(sa.text(UNLIKE), {"start": START})
    await conn.execute(sa.text(SEATED))
    await conn.execute(sa.text("ANALYZE routing.ability, routing.seat, routing.agent"))
    await conn.execute(sa.text("INSERT INTO routing.presence SELECT agent_id, now() + interval '1 day' FROM routing.agent"))


async def choose_by(conn: AsyncConnection, strategy: Strategy) -> None:
    """The queue chooses by this strategy from now on; it is a new version of the configuration, else no matcher would look."""
    await conn.execute(
        sa.text(
            "WITH numbered AS (INSERT INTO routing.config_version (number, at)"
            " SELECT coalesce(max(number), 0) + 1, now() FROM routing.config_version)"
            " UPDATE routing.config SET version = version + 1,"
            " data = data || jsonb_build_object('strategy', CAST(:chosen AS text), 'version', version + 1)"
            " WHERE kind = 'queue' AND id = :id"
        ),
        {"id": QUEUE.id, "chosen": strategy},
    )


async def chosen_by(conn: AsyncConnection) -> str:
    """By which strategy the last pass that offered something chose, as its trace says."""
    trace = await conn.execute(sa.text("SELECT data->>'strategy' FROM routing.decision ORDER BY at DESC LIMIT 1"))
    return str(trace.scalar_one())


def _agent(agent_id: str, languages: tuple[str, ...], idle_since: datetime) -> Agent:
    profile = Profile(display_name=agent_id, team_ids=(TEAM,), languages=languages, capacity_units=CAPACITY_UNITS)
    return Agent(id=agent_id, profile=profile, state="available", state_since=START, idle_since=idle_since)


async def wait_in_line(conn: AsyncConnection, tickets: int, language: str) -> None:
    """So many new tickets that wait in the queue."""
    works = (_waiting(str(uuid4()), language) for _ in range(tickets))
    await saving.save(conn, Changes(works={work.id: work for work in works}), START, wake=False)


def _waiting(ticket_id: str, language: str) -> Work:
    facts: tuple[Fact, ...] = (
        TicketOpened(number=1, customer_id="c", channel="chat", inbox="bench", language=language),
        MessageReceived(message_id="m", customer_id="c", channel="chat", inbox="bench", provider="generic"),
    )
    work = Work(id=ticket_id)
    for n, fact in enumerate(facts, 1):
        event = Event(f"e{n}", fact.TYPE, "intake", Position(1, n), ticket_id, START, fact, NOTHING_SEEN)
        work = hear(work, event)
    turn = Turn(work, "bench", START, {})
    lifecycle.enter(turn, QUEUE, "opened", START, None)
    return turn.work
