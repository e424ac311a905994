"""Which of those who can take a ticket is next: what the queue's strategy looks at first, then the longest idle."""

from __future__ import annotations

from datetime import timedelta

from services.routing.domain.agents import NEVER_GIVEN, Agent, Profile, abilities, needs
from shared.events.config import QueueConfigured, Strategy

# Who is next is among those who are idle longest; of the others nobody can say so without looking at all who are able.
BY_IDLE_TIME: frozenset[Strategy] = frozenset({"longest_idle", "sticky"})
HIGHEST_LEVEL = 10
_WHOLE = 10_000
_MICROSECOND = timedelta(microseconds=1)


def standing(agent: Agent, queue: QueueConfigured) -> int:
    """Where the queue's strategy puts the agent; the lowest is next. It never falls while the agent is given tickets."""
    match queue.strategy:
        case "least_versatile":
            return versatility(agent.profile)
        case "best_skill":
            return -sum(agent.profile.skills.get(skill, 0) for skill in queue.required_skills)
        case "least_loaded":
            return used_share(agent)
        case "round_robin":
            return (agent.given_at - NEVER_GIVEN) // _MICROSECOND
        case _:
            return 0


def versatility(profile: Profile) -> int:
    """In how many ways the agent is useful: whoever has few skills and languages is taken first, so that rare ones stay free."""
    return len(profile.skills) + len(profile.languages)


def used_share(agent: Agent) -> int:
    """How much of the capacity is used, in ten-thousandths."""
    return agent.used_units * _WHOLE // max(agent.capacity_units, 1)


def counted(queue: QueueConfigured, language: str) -> tuple[str, ...]:
    """The abilities of which the best has most, among those who have all that are needed."""
    if queue.strategy != "best_skill":
        return needs(queue, language)
    levels = Profile(display_name="", skills=dict.fromkeys(queue.required_skills, HIGHEST_LEVEL))
    return tuple(sorted(abilities(levels).union(needs(queue, language))))
