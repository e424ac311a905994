"""Agents: what they can do, whether they are free, how much they carry.

Capacity is counted in units. A ticket takes units of its owner while somebody has to work on it, and of the agent it is
offered to while the offer is live; one that waits for the customer or a third party takes none.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Literal

import msgspec

from shared.events.base import Channel
from shared.events.config import QueueConfigured
from shared.events.people import AgentEnrolled, AgentState, AgentStateChanged

# How much attention a channel takes. A conversation at once is worth more of an agent's day than a letter.
UNITS: dict[Channel, int] = {"phone": 5, "video": 5, "in_person": 5, "chat": 3, "whatsapp": 3, "telegram": 3, "line": 3}
OTHER_UNITS = 2
# Nobody talks to two callers at once, unless it is configured so.
DEFAULT_LIMITS: dict[Channel, int] = {"phone": 1, "video": 1, "in_person": 1}
EVERYBODY = "*"
ANY_LANGUAGE = "und"
Spoken = tuple[str, str]  # a queue, and a language of tickets in it
Lack = Literal["other_partner", "other_team", "missing_skill", "missing_language"]
Crowded = Literal["at_capacity", "channel_full"]
NEVER_GIVEN = datetime(1970, 1, 1, tzinfo=UTC)


class OverCapacity(ValueError):
    """More than the agent can carry."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as configured. Skills have levels 1 to 10; languages are BCP 47 tags as on tickets."""

    display_name: str
    team_ids: tuple[str, ...] = ()
    skills: dict[str, int] = msgspec.field(default_factory=dict)
    languages: tuple[str, ...] = ()
    capacity_units: int = 10
    channel_limits: dict[str, int] = msgspec.field(default_factory=dict)
    tier: int = 1
    partner_id: str | None = None
    active: bool = True

    def enrolled(self) -> AgentEnrolled:
        """What of it goes on the topic of agents."""
        return AgentEnrolled(
            team_ids=self.team_ids,
            skills=self.skills,
            languages=self.languages,
            capacity_units=self.capacity_units,
            channel_limits=self.channel_limits,
            tier=self.tier,
            partner_id=self.partner_id,
            active=self.active,
        )


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent now. `used_units` counts owned tickets that are active and live offers; `tickets` only the owned ones.

    `idle_since` is the last instant at which the load changed or the agent became available: the earliest is next. `given_at` is
    the last one at which a ticket was offered, or came back to its owner. `stored_units` is `used_units` as it was read: what a
    decision changed of it is written, so that two who did not see each other's add up and the database refuses the second.
    """

    id: str
    profile: Profile
    state: AgentState = "offline"
    state_since: datetime
    idle_since: datetime
    given_at: datetime = NEVER_GIVEN
    used_units: int = 0
    tickets: int = 0
    by_channel: dict[str, int] = msgspec.field(default_factory=dict)
    stored_units: int = 0

    @property
    def capacity_units(self) -> int:
        """As configured. Less than what is used when it was lowered for a busy agent: then nothing new comes."""
        return self.profile.capacity_units

    @property
    def ready(self) -> bool:
        """Whether any ticket at all could be offered."""
        return self.profile.active and self.state == "available" and self.used_units < self.capacity_units


def units_of(channel: Channel, agent: Agent) -> int:
    """What a ticket of this channel takes of the agent: never more than all, so that a small capacity works."""
    return min(UNITS.get(channel, OTHER_UNITS), max(agent.capacity_units, 1))


def has_room(agent: Agent, channel: Channel) -> bool:
    """Whether one more ticket of this channel fits into the units and under the channel's own limit."""
    return crowded(agent, channel) is None


def crowded(agent: Agent, channel: Channel) -> Crowded | None:
    """Why one more ticket of this channel does not fit; None where it does."""
    if agent.used_units + units_of(channel, agent) > agent.capacity_units:
        return "at_capacity"
    limit = agent.profile.channel_limits.get(channel, DEFAULT_LIMITS.get(channel))
    return None if limit is None or agent.by_channel.get(channel, 0) < limit else "channel_full"


def eligible(agent: Agent, queue: QueueConfigured, language: str) -> bool:
    """Whether the agent serves the queue: partner, team, each skill at its level, the language where it asks."""
    return lacks(agent, queue, language) is None


def lacks(agent: Agent, queue: QueueConfigured, language: str) -> Lack | None:
    """The first thing that the agent lacks to serve the queue; None where nothing is lacking."""
    profile = agent.profile
    if profile.partner_id != queue.partner_id:
        return "other_partner"
    if queue.team_ids and not any(team in queue.team_ids for team in profile.team_ids):
        return "other_team"
    if any(profile.skills.get(skill, 0) < level for skill, level in queue.required_skills.items()):
        return "missing_skill"
    if queue.skill_by_language and language != ANY_LANGUAGE and language not in profile.languages:
        return "missing_language"
    return None


def abilities(profile: Profile) -> set[str]:
    """All that `needs` may ask of an agent with this profile, as words: who has a skill has it at every lower level."""
    skilled = {ability_of_skill(skill, lower) for skill, level in profile.skills.items() for lower in range(1, level + 1)}
    spoken = {ability_of_language(tag) for tag in profile.languages}
    return skilled | spoken | ({_partner(profile.partner_id)} if profile.partner_id is not None else set())


def needs(queue: QueueConfigured, language: str) -> tuple[str, ...]:
    """The abilities without which nobody is `eligible` for a ticket of the queue, in order; none where anybody may be."""
    asked = {ability_of_skill(skill, level) for skill, level in queue.required_skills.items()}
    if queue.skill_by_language and language != ANY_LANGUAGE:
        asked.add(ability_of_language(language))
    if queue.partner_id is not None:
        asked.add(_partner(queue.partner_id))
    return tuple(sorted(asked))


def ability_of_skill(skill: str, level: int) -> str:
    """To have it at this level at least, as an ability."""
    return f"skill {level} {skill}"


def ability_of_language(tag: str) -> str:
    """To speak it, as an ability."""
    return f"language {tag}"


def _partner(partner_id: str) -> str:
    return f"partner {partner_id}"


def team_for(agent: Agent, queue: QueueConfigured) -> str | None:
    """The team for which the agent takes a ticket of this queue."""
    serving = (team for team in agent.profile.team_ids if not queue.team_ids or team in queue.team_ids)
    return next(serving, None)


def turn_order(agent: Agent) -> tuple[datetime, int]:
    """Longest idle first; the hash keeps a tie from always going to the one whose name comes first in the alphabet."""
    return agent.idle_since, zlib.crc32(agent.id.encode())


def load(agent: Agent, channel: Channel, units: int, now: datetime) -> Agent:
    """The agent with one ticket more (owned or offered). Raises OverCapacity."""
    if agent.used_units + units > agent.capacity_units:
        raise OverCapacity(f"agent '{agent.id}' carries {agent.used_units} of {agent.capacity_units} units")
    return msgspec.structs.replace(
        agent,
        used_units=agent.used_units + units,
        by_channel={**agent.by_channel, channel: agent.by_channel.get(channel, 0) + 1},
        idle_since=now,
        given_at=now,
    )


def unload(agent: Agent, channel: Channel, units: int, idle_since: datetime, given_at: datetime | None = None) -> Agent:
    """The agent with one ticket less, and idle since the instant given. `given_at`: the ticket was as good as not given."""
    count = agent.by_channel.get(channel, 0) - 1
    others = {name: number for name, number in agent.by_channel.items() if name != channel}
    return msgspec.structs.replace(
        agent,
        used_units=max(agent.used_units - units, 0),
        by_channel={**others, channel: count} if count > 0 else others,
        idle_since=idle_since,
        given_at=given_at or agent.given_at,
    )


def occupy(agent: Agent, units: int) -> Agent:
    """The agent with so many units more used, for no ticket of any channel. Raises OverCapacity."""
    if agent.used_units + units > agent.capacity_units:
        raise OverCapacity(f"agent '{agent.id}' carries {agent.used_units} of {agent.capacity_units} units")
    return msgspec.structs.replace(agent, used_units=agent.used_units + units)


def vacate(agent: Agent, units: int) -> Agent:
    """The agent with so many units less used, for no ticket of any channel."""
    return msgspec.structs.replace(agent, used_units=max(agent.used_units - units, 0))


def change_state(
    agent: Agent, state: AgentState, now: datetime, reason: str | None = None
) -> tuple[Agent, AgentStateChanged | None]:
    """The agent in the new state and the fact to say; None when the agent is in it already."""
    if agent.state == state:
        return agent, None
    in_state = now - agent.state_since
    fact = AgentStateChanged(
        state=state,
        previous=agent.state,
        reason=reason,
        in_state_us=max(round(in_state.total_seconds() * 1_000_000), 0),
    )
    idle_since = now if state == "available" else agent.idle_since
    return msgspec.structs.replace(agent, state=state, state_since=now, idle_since=idle_since), fact
