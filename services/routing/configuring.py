"""Changes of the configuration: foreseen, or carried out in one transaction, said on `config`, and in force at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.routing.domain.agents import Agent, Profile
from services.routing.domain.configuration import Change, Configuration, Fault, Key, Part, profile_of
from services.routing.domain.foresight import Effects, Foresight
from services.routing.domain.queues import choose
from services.routing.domain.work import Work
from services.routing.store import config, configuration, desk, estimates, reading, timing
from services.routing.ticking import set_states
from shared import db
from shared.auth import note_agents
from shared.clock import clock
from shared.configuring import version_said
from shared.events.base import Draft, Fact
from shared.events.config import AgentConfigured, ConfigRemoved, QueueConfigured
from shared.outbox import Outbox

AT_ONCE = 1000


async def enact(conn: AsyncConnection, outbox: Outbox, changes: Sequence[Change], by: str) -> dict[Key, Part | ConfigRemoved]:
    """Carry out what was checked, as the next version of the configuration; the caller's transaction holds it. Returns what was
    said of each part.
    """
    now = await clock(conn)
    number = await configuration.number(conn) + 1
    before = await configuration.versions_of(conn, [change.key for change in changes])
    said: dict[Key, Part | ConfigRemoved] = {}
    for change in changes:
        version = before.get(change.key, 0) + 1
        if change.after is None:
            said[change.key] = ConfigRemoved(version=version, effective_from=now, config_version=number, changed_by=by)
        else:
            told = {"version": version, "effective_from": now, "config_version": number, "changed_by": by}
            said[change.key] = msgspec.structs.replace(change.after, **told)
    of_agents = await _agents(conn, outbox, changes, number)
    await configuration.save(conn, number, by, now, said)
    if any(change.key.kind == "rule" and change.after is not None for change in changes):
        await timing.note_all(conn)
    told_of = [version_said(key.kind, key.id, fact) for key, fact in said.items()]
    await outbox.publish(conn, [*told_of, *of_agents], await clock(conn))
    await config.wake_matchers(conn)
    return said


async def _agents(conn: AsyncConnection, outbox: Outbox, changes: Sequence[Change], number: int) -> list[Draft[Fact]]:
    """Agents can do what they are configured to from now on. Who is not active any more, or not there, goes offline and loses
    live offers, not tickets.
    """
    profiles = {change.key.id: _profile(change) for change in changes if change.key.kind == "agent"}
    if not profiles:
        return []
    leaving = sorted(agent_id for agent_id, profile in profiles.items() if not profile.active)
    if leaving:
        await set_states(conn, outbox, leaving, "offline", "not_active", cause=f"config {number}")
    known, now = await desk.agents(conn, profiles), await clock(conn)
    agents = [
        msgspec.structs.replace(known[agent_id], profile=profile)
        if agent_id in known
        else Agent(id=agent_id, profile=profile, state_since=now, idle_since=now)
        for agent_id, profile in sorted(profiles.items())
    ]
    await desk.configure_agents(conn, agents)
    await note_agents(conn, [(agent.id, agent.profile.partner_id, agent.profile.active) for agent in agents])
    return [Draft(key=agent.id, data=agent.profile.enrolled(), cause=f"config {number}") for agent in agents]


def _profile(change: Change) -> Profile:
    agent = change.after or change.before
    assert isinstance(agent, AgentConfigured)
    profile = profile_of(agent)
    return profile if change.after is not None else msgspec.structs.replace(profile, active=False)


async def stranded(conn: AsyncConnection, after: Configuration, changes: Sequence[Change]) -> list[Fault]:
    """The queues that cannot be removed, because tickets wait there which no other queue takes."""
    gone = [change.key for change in changes if change.key.kind == "queue" and change.after is None]
    found: list[Fault] = []
    for key in gone:
        ids = await reading.waiting_in(conn, key.id)
        left: list[str] = []
        for start in range(0, len(ids), AT_ONCE):
            works = await reading.works(conn, ids[start : start + AT_ONCE])
            left += await asyncio.to_thread(_untaken, after.queues, works)
        if left:
            found.append(Fault(key, "", f"{len(left)} tickets wait in it that no other queue takes, e.g. {left[0]}"))
    return found


def _untaken(queues: Sequence[QueueConfigured], works: Sequence[Work]) -> list[str]:
    return [work.id for work in works if choose(queues, work) is None]


async def foresee(engine: AsyncEngine, before: Configuration, after: Configuration) -> Effects:
    """What it would do to all that waits now. Nothing is held: what happens meanwhile may be seen or not."""
    async with db.reading(engine) as conn:
        now = await clock(conn)
        agents = await reading.all_agents(conn)
        ids = await reading.waiting_ids(conn)
        foresight = Foresight(before, after, agents, now, await estimates.foreseen_where_asked(conn, after.queues))
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            works = await reading.works(conn, some)
            promised = await timing.promised(conn, some) if after.rules else {}
            waits = await estimates.foreseen_of(conn, some)
            await asyncio.to_thread(foresight.look, works, promised, waits)
    return await asyncio.to_thread(foresight.effects)
