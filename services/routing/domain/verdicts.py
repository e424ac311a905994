"""What stands between an agent and a ticket: the same judgement when tickets are matched, traced and asked about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from services.routing.domain.agents import Agent, Crowded, Lack, crowded, eligible, lacks
from services.routing.domain.steps import Asked
from services.routing.domain.work import Visit, Work
from shared.events.base import Channel
from shared.events.config import QueueConfigured
from shared.events.people import AgentState

Away = Literal["not_active", "not_present", "offline", "break", "wrap_up", "missed"]
Verdict = Literal["fits", "let_it_go", "kept_for_another"] | Away | Lack | Crowded
AWAY: Mapping[AgentState, Away] = {"offline": "offline", "break": "break", "wrap_up": "wrap_up", "missed": "missed"}
# The states of an agent for whom a ticket is kept: there, and soon free.
COMES_SOON: frozenset[AgentState] = frozenset({"available", "wrap_up"})


def verdict(
    agent: Agent, work: Work, visit: Visit, here: Asked, now: datetime, *, present: bool = True, preferred: Agent | None = None
) -> Verdict:
    """Whether the agent may be offered the ticket now, and if not, the first thing in the way. `preferred` is the agent for whom
    the visit may be kept, where that agent is there.
    """
    if not present:
        return "not_present"
    language = work.ticket.intake.language
    obstacle = in_the_way(agent, here.queue, language, work.channel)
    if obstacle is not None:
        return obstacle
    if agent.id in let_go(visit, now):
        return "let_it_go"
    for_another = preferred is not None and preferred.id != agent.id and is_kept(here, visit, preferred, language, now)
    return "kept_for_another" if for_another else "fits"


def in_the_way(agent: Agent, queue: QueueConfigured, language: str, channel: Channel) -> Away | Lack | Crowded | None:
    """What keeps the agent from every ticket of this queue, language and channel; None where nothing does."""
    if not agent.profile.active:
        return "not_active"
    return AWAY.get(agent.state) or lacks(agent, queue, language) or crowded(agent, channel)


def let_go(visit: Visit, now: datetime) -> set[str]:
    """The agents who let the ticket go and are not asked again yet."""
    return {passed.agent_id for passed in visit.passed if passed.until > now}


def is_kept(here: Asked, visit: Visit, preferred: Agent | None, language: str, now: datetime) -> bool:
    """Whether the ticket waits for the agent who had it last, and for nobody else."""
    if not here.kept or preferred is None or not preferred.profile.active or preferred.state not in COMES_SOON:
        return False
    return preferred.id not in let_go(visit, now) and eligible(preferred, here.queue, language)


def missing_skills(agent: Agent, queue: QueueConfigured) -> dict[str, int]:
    """The levels that the queue asks and the agent does not have, by skill."""
    return {skill: level for skill, level in queue.required_skills.items() if agent.profile.skills.get(skill, 0) < level}
