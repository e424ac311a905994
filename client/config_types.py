"""What routing is configured with, as its OpenAPI document names it."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

from .exchange import Instant


class Step(TypedDict, total=False):
    """What a queue asks of agents from so many seconds in it on; or which tickets it sends on then."""

    after_seconds: Required[int]
    any_agent: bool
    over_wait_seconds: int | None
    required_skills: dict[str, int] | None
    share_percent: int | None
    team_ids: list[str] | None
    to_queue_id: str | None


class SkillSettings(TypedDict, total=False):
    """What a skill says."""

    name: Required[dict[str, str]]


class Skill(SkillSettings, total=False):
    """A skill, held at levels 1 to 10."""

    effective_from: Instant | None


class SkillPart(SkillSettings, total=False):
    """The same in a document."""

    id: Required[str]


class TeamSettings(TypedDict, total=False):
    """What a team says."""

    name: Required[dict[str, str]]
    calendar_id: str | None
    partner_id: str | None


class Team(TeamSettings, total=False):
    """A team of agents."""

    effective_from: Instant | None


class TeamPart(TeamSettings, total=False):
    """The same in a document."""

    id: Required[str]


class AgentSettings(TypedDict, total=False):
    """What an agent's part says."""

    display_name: Required[str]
    active: bool
    capacity_units: int
    channel_limits: dict[str, int]
    languages: list[str]
    partner_id: str | None
    signature: dict[str, str]
    skills: dict[str, int]
    team_ids: list[str]
    tier: int


class AgentBody(AgentSettings, total=False):
    """An agent: the name customers see, and what routing has to know."""

    effective_from: Instant | None


class AgentPart(AgentSettings, total=False):
    """The same in a document."""

    id: Required[str]


class QueueSettings(TypedDict, total=False):
    """What a queue says."""

    name: Required[dict[str, str]]
    position: Required[int]
    ageing_seconds: int | None
    auto_accept: bool
    calendar_id: str | None
    consult_seconds: int
    consult_units: int
    due_lead_seconds: int | None
    estimator: (
        Literal["head_of_line", "last_started", "queue_length", "weighted_last_ten", "running_mean", "handling_ahead"] | None
    )
    offer_timeout_seconds: int
    partner_id: str | None
    prefer_last_agent_seconds: int | None
    required_skills: dict[str, int]
    service_level_percent: int | None
    service_level_seconds: int | None
    signature: dict[str, str]
    skill_by_language: bool
    steps: list[Step]
    strategy: Literal["longest_idle", "least_versatile", "best_skill", "least_loaded", "round_robin", "sticky"]
    team_ids: list[str]
    tier: int
    vip_bonus_seconds: int
    when: dict[str, Any]
    wrap_up_seconds: int


class Queue(QueueSettings, total=False):
    """A queue: `when` is a condition tree, {} takes everything; the first queue by `position` that takes a ticket gets it."""

    effective_from: Instant | None


class QueuePart(QueueSettings, total=False):
    """The same in a document."""

    id: Required[str]


class RuleSettings(TypedDict, total=False):
    """What a rule says."""

    position: Required[int]
    when: Required[dict[str, Any]]
    to_tier: int | None


class Rule(RuleSettings, total=False):
    """A rule of escalation: a ticket for which `when` holds rises to `to_tier`, or to the next tier that takes it."""

    effective_from: Instant | None


class RulePart(RuleSettings, total=False):
    """The same in a document."""

    id: Required[str]


class CannedResponseSettings(TypedDict, total=False):
    """What a canned response says: `texts` by language, called up by `shortcut`, for agents of these teams."""

    name: Required[dict[str, str]]
    texts: Required[dict[str, str]]
    shortcut: str | None
    team_ids: list[str]


class CannedResponse(CannedResponseSettings, total=False):
    """A prepared answer."""

    effective_from: Instant | None


class CannedResponsePart(CannedResponseSettings, total=False):
    """The same in a document."""

    id: Required[str]


class Document(TypedDict, total=False):
    """The configuration: what a section does not name is removed, a section that is left out stays as it is."""

    agents: list[AgentPart] | None
    canned_responses: list[CannedResponsePart] | None
    queues: list[QueuePart] | None
    rules: list[RulePart] | None
    skills: list[SkillPart] | None
    teams: list[TeamPart] | None
    version: int | None
