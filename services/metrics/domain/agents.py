"""What the facts about agents measure: the time in each state, and with work; and what things are called. Pure."""

from __future__ import annotations

import msgspec

from services.metrics.domain.cells import NOW_HOUR, Dims, Measured, hour_of, microseconds
from shared.events.base import Event
from shared.events.config import (
    AgentConfigured,
    PartnerConfigured,
    PolicyConfigured,
    QueueConfigured,
    SkillConfigured,
    TeamConfigured,
)
from shared.events.people import AgentEnrolled, AgentLoadChanged, AgentStateChanged

ON_DUTY = frozenset({"available", "wrap_up"})


class Agent(msgspec.Struct, frozen=True, array_like=True):
    """An agent as told so far. `team` only when there is exactly one. `used_units`: how much they carry; since `even_us` neither
    that nor their state has changed.
    """

    state: str = "offline"
    since_us: int | None = None
    team: str = ""
    partner: str = ""
    active: bool = True
    used_units: int = 0
    even_us: int | None = None


class Named(msgspec.Struct, frozen=True, array_like=True):
    """The names of a queue, team, agent … by language; `en` or the only one under the empty language."""

    version: int = 0
    names: dict[str, str] = {}


Shown = QueueConfigured | TeamConfigured | SkillConfigured | PartnerConfigured | PolicyConfigured | AgentConfigured


def enrolled(agent: Agent, event: Event[AgentEnrolled]) -> tuple[Agent, list[Measured]]:
    """Where the agent belongs from now on."""
    fact = event.data
    team = fact.team_ids[0] if len(fact.team_ids) == 1 else ""
    return msgspec.structs.replace(agent, team=team, partner=fact.partner_id or "", active=fact.active), []


def state_changed(agent: Agent, event: Event[AgentStateChanged]) -> tuple[Agent, list[Measured]]:
    """The time in the state that ended is booked in the hour in which it ended, under the agent's key."""
    fact, at_us = event.data, microseconds(event.time)
    lasted = fact.in_state_us
    if lasted is None and agent.since_us is not None:
        lasted = at_us - agent.since_us
    after = msgspec.structs.replace(agent, state=fact.state, since_us=at_us, even_us=at_us)
    worked = _worked(agent, event.key, at_us)
    if lasted is None:
        return after, worked
    dims = Dims(agent=event.key, team=agent.team, partner=agent.partner, state=fact.previous)
    return after, [Measured("agent_state", hour_of(at_us), dims, us=max(0, lasted)), *worked]


def load_changed(agent: Agent, event: Event[AgentLoadChanged]) -> tuple[Agent, list[Measured]]:
    """The agent carries more or less from now on; what was until then is booked."""
    at_us = microseconds(event.time)
    after = msgspec.structs.replace(agent, used_units=event.data.used_units, even_us=at_us)
    return after, _worked(agent, event.key, at_us)


def _worked(agent: Agent, agent_id: str, at_us: int) -> list[Measured]:
    """The time on duty since the last change, and whether there was work in it; both in the hour in which it ended."""
    if agent.state not in ON_DUTY or agent.even_us is None or at_us <= agent.even_us:
        return []
    dims, us = Dims(agent=agent_id, team=agent.team, partner=agent.partner), at_us - agent.even_us
    on_duty = Measured("on_duty", hour_of(at_us), dims, us=us)
    busy = agent.used_units > 0 or agent.state == "wrap_up"
    return [on_duty, on_duty._replace(measure="busy")] if busy else [on_duty]


def agent_standing(agent: Agent) -> list[Measured]:
    """One more agent in the present state."""
    if not agent.active or agent.since_us is None:
        return []
    return [Measured("agents_now", NOW_HOUR, Dims(team=agent.team, partner=agent.partner, state=agent.state))]


def named(known: Named, event: Event[Shown]) -> tuple[Named, list[Measured]]:
    """The names of the newest version."""
    fact = event.data
    if fact.version < known.version:
        return known, []
    if isinstance(fact, AgentConfigured):
        return Named(fact.version, {"": fact.display_name}), []
    return Named(fact.version, {"": fact.name} if isinstance(fact.name, str) else dict(fact.name)), []


def named_standing(_named: Named) -> list[Measured]:
    """Nothing."""
    return []
