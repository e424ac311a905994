"""Routing after a restore: its configuration, agents, tickets and offers of after the backup, read back from the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import acting
from services.routing.domain import recalling
from services.routing.domain.agents import Agent, Profile
from services.routing.domain.changes import Changes
from services.routing.domain.configuration import SHAPES
from services.routing.domain.recalling import Debt, Known, Told
from services.routing.domain.recounting import recount
from services.routing.domain.timeline import Entry, entries_of
from services.routing.domain.work import Turn, Work
from services.routing.settings import RoutingSettings
from services.routing.store import config, configuration, desk, drafts, saving
from services.routing.store import recalling as rows
from shared.auth import note_agents
from shared.clock import clock
from shared.events.base import Draft, Event, Fact
from shared.events.config import ConfigRemoved, RoutingConfigured
from shared.events.people import AgentEnrolled, AgentStateChanged
from shared.events.topics import AGENTS, CONFIG, TICKETS
from shared.events.work import TicketOffered, TransferOffered
from shared.folding import Handler, Loaded
from shared.recalling import Recall

AT_ONCE = 500
Noted = tuple[Event[Any], ...]


def recall_with(settings: RoutingSettings) -> Callable[[Recall], Awaitable[None]]:
    """Reads back all that routing said since the backup, then does what it had not answered."""

    async def recall(back: Recall) -> None:
        await back.fold(ConfigurationRecalled())
        await back.fold(AgentsRecalled())
        async with back.transaction() as conn:
            await configuration.fill_in_abilities(conn)
        told = TicketsRecalled()
        await back.fold(told)
        async with back.transaction() as conn:
            await carry_afresh(conn)
        keys = sorted(told.debts)
        for start in range(0, len(keys), AT_ONCE):
            async with back.transaction() as conn:
                await _settle(conn, back, {key: told.debts[key] for key in keys[start : start + AT_ONCE]})
        async with back.transaction() as conn:
            await drafts.forget_sent(conn)
            await rows.begin_again(conn, settings.routing_presence_seconds)

    return recall


async def carry_afresh(conn: AsyncConnection) -> None:
    """Have the agents carry what the tickets come to."""
    works = await rows.in_hand(conn)
    agents = await rows.all_agents(conn)
    counted, carrying = recount(works, agents)
    now = await clock(conn)
    changed = {one.id: counted[one.id] for one in works if counted[one.id] != one}
    await saving.save(conn, Changes(works=changed), now, wake=False)
    await rows.carry(conn, list(carrying.values()))


async def _settle(conn: AsyncConnection, back: Recall, debts: Mapping[str, Debt]) -> None:
    works = await desk.works(conn, debts)
    known = await desk.agents(conn, desk.concerned(works.values()))
    queues = await config.queues(conn)
    now = await clock(conn)
    turns = []
    for work in works.values():
        turn = Turn(work, f"restored {work.id} {back.parts.outbox.incarnation}", now, known)
        recalling.settle(turn, queues, debts[work.id])
        known.update(turn.changed)
        turns.append(turn)
    await acting.write(conn, back.parts.outbox, [turn for turn in turns if turn.drafts or turn.changed], now, wake=False)


def _note(_context: None, noted: Noted, event: Event[Fact], _now: datetime) -> tuple[Noted, Sequence[Draft[Fact]]]:
    return (*noted, event), ()


class ConfigurationRecalled:
    """Queues, teams, skills, rules, canned responses and agents that were configured or removed."""

    topic = CONFIG
    handlers: Mapping[type[Fact], Handler[None, Noted]] = dict.fromkeys((*SHAPES.values(), ConfigRemoved), _note)

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Noted]:
        """Nothing needs to be known."""
        return Loaded({event.key: () for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Noted], _now: datetime) -> None:
        """Every version, and the newest of each in force."""
        said = [event for _, noted in sorted(states.items()) for event in noted]
        await configuration.recall(conn, [event for event in said if isinstance(event.data, RoutingConfigured | ConfigRemoved)])


class AgentsRecalled:
    """Agents as they were configured, and the states they went into."""

    topic = AGENTS
    handlers: Mapping[type[Fact], Handler[None, Noted]] = {AgentEnrolled: _note, AgentStateChanged: _note}

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Noted]:
        """Nothing needs to be known."""
        return Loaded({event.key: () for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Noted], _now: datetime) -> None:
        """Each as told last."""
        known = await desk.agents(conn, states)
        names = await configuration.names_of(conn, states.keys())
        after: list[Agent] = []
        for agent_id, noted in sorted(states.items()):
            agent = known.get(agent_id)
            for event in noted:
                agent = _agent_after(agent, names.get(agent_id, agent_id), event)
            if agent is not None:
                after.append(agent)
        await desk.configure_agents(conn, after)
        await note_agents(conn, [(agent.id, agent.profile.partner_id, agent.profile.active) for agent in after])
        await rows.set_state(conn, after)


def _agent_after(agent: Agent | None, name: str, event: Event[Any]) -> Agent | None:
    fact = event.data
    if isinstance(fact, AgentEnrolled):
        profile = Profile(display_name=name, **{field: getattr(fact, field) for field in AgentEnrolled.__struct_fields__})
        if agent is None:
            return Agent(id=event.key, profile=profile, state_since=event.time, idle_since=event.time)
        return msgspec.structs.replace(agent, profile=profile)
    if agent is None or not isinstance(fact, AgentStateChanged):
        return agent
    idle_since = event.time if fact.state == "available" else agent.idle_since
    return msgspec.structs.replace(agent, state=fact.state, state_since=event.time, idle_since=idle_since)


@dataclass(frozen=True, slots=True)
class _Case:
    """A ticket told again, with the history it makes."""

    told: Told
    entries: tuple[Entry, ...] = ()


def _tell(known: Known, case: _Case, event: Event[Fact], _now: datetime) -> tuple[_Case, Sequence[Draft[Fact]]]:
    return _Case(recalling.told(known, case.told, event), (*case.entries, *entries_of([event]))), ()


@dataclass(slots=True)
class TicketsRecalled:
    """The tickets, as both writers told them; `debts` says of each of them what routing had not answered."""

    debts: dict[str, Debt] = field(default_factory=dict)
    topic = TICKETS
    handlers: Mapping[type[Fact], Handler[Known, _Case]] = field(default_factory=lambda: dict.fromkeys(TICKETS.facts, _tell))

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Known, _Case]:
        """The tickets, locked; the queues and the agents that offers name. Debts are kept here, for events that are no news
        too: after a process was killed in the middle all of it is read again.
        """
        for event in events:
            self.debts[event.key] = recalling.owed(self.debts.get(event.key, Debt()), event)
        works = await desk.works(conn, {event.key for event in events})
        agents = await desk.agents(conn, _named(events))
        queues = {queue.id: queue for queue in await config.queues(conn)}
        states = {event.key: _Case(Told(works.get(event.key) or Work(id=event.key))) for event in events}
        return Loaded(states, Known(queues, agents))

    async def save(self, conn: AsyncConnection, states: Mapping[str, _Case], now: datetime) -> None:
        """One statement per table."""
        changes = Changes()
        for key in sorted(states):
            case = states[key]
            changes.works[key] = case.told.work
            changes.made.update({offer.id: (key, offer) for offer in case.told.made})
            changes.ended.extend(case.told.ended)
            changes.entries.extend(case.entries)
        await saving.save(conn, changes, now, wake=False)


def _named(events: Iterable[Event[Fact]]) -> set[str]:
    facts = [event.data for event in events]
    offered = {fact.agent_id for fact in facts if isinstance(fact, TicketOffered)}
    return offered | {fact.to_agent_id for fact in facts if isinstance(fact, TransferOffered)}
