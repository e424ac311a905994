"""What a PUT of configuration sends: the parts one by one, and all of them in one document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import AwareDatetime, BaseModel, Field, JsonValue, StringConstraints

from services.routing.api.room import ID_PATTERN, Body
from services.routing.api.tickets import Language
from services.routing.domain import canned
from services.routing.domain.configuration import SAID_BESIDES, SECTIONS, SHAPES, Kind, Part
from services.routing.domain.escalating import HIGHEST_TIER
from services.routing.domain.steps import MOST_STEPS
from shared.events.config import Abilities, EstimatorName, Strategy

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
# What stands below answers, by language.
SignatureTexts = Annotated[dict[str, Annotated[str, StringConstraints(max_length=2000)]], Field(max_length=50)]
Ids = Annotated[list[Id], Field(max_length=200)]
Names = Annotated[dict[str, Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=50)]
Languages = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{2,35}$")]], Field(max_length=50)]
Limits = Annotated[dict[str, Annotated[int, Field(ge=0, le=1_000_000)]], Field(max_length=50)]
Levels = Annotated[dict[Id, Annotated[int, Field(ge=1, le=10)]], Field(max_length=200)]


CannedText = Annotated[str, StringConstraints(min_length=1, max_length=16_384)]


class Misfit(ValueError):
    """What was sent makes no part; `field` is the place, e.g. `when.of[1].value`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Version(BaseModel):
    """A PUT of one part is in force at once; `effective_from` may be left out, and never lies ahead."""

    effective_from: AwareDatetime | None = None


class Settings(Body):
    """What is said of a part, whichever way it is sent."""

    KIND: ClassVar[Kind]

    def part(self, config_id: str) -> Part:
        """As it is said, under no version yet. Raises Misfit."""
        said = {**self.said(), **SAID_BESIDES, "id": config_id}
        try:
            return msgspec.convert(said, SHAPES[self.KIND])
        except (msgspec.ValidationError, RecursionError) as error:
            reason, _, path = str(error).partition(" - at `$")
            raise Misfit(path.rstrip("`").lstrip(".") or "when", reason) from None

    def said(self) -> dict[str, Any]:
        """The fact's fields."""
        return self.model_dump(exclude={"id", "effective_from"})


class Step(Body):
    """What is asked of agents from `after_seconds` in the queue on: these skills, these teams (none: any), or any agent at all of
    ours, or of the queue's partner. What is left out stays as it was; a step never asks more than the one before it.

    Or a step that sends tickets on `to_queue_id`, such as a partner's, also at once (0): `share_percent` of the queue's, those
    who would wait longer than `over_wait_seconds`, or both of both. What was sent on once is not sent on again.
    """

    after_seconds: Annotated[int, Field(ge=0, le=31_536_000)]
    required_skills: Levels | None = None
    team_ids: Ids | None = None
    any_agent: bool = False
    to_queue_id: Id | None = None
    share_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    over_wait_seconds: Annotated[int, Field(ge=1, le=604_800)] | None = None


class QueueSettings(Settings):
    """What a queue says."""

    KIND: ClassVar[Kind] = "queue"
    name: Names
    position: Annotated[int, Field(ge=0, le=1_000_000)]
    when: dict[str, JsonValue] = Field(default_factory=dict)
    team_ids: Ids = Field(default_factory=list)
    required_skills: Levels = Field(default_factory=dict)
    skill_by_language: bool = False
    offer_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    auto_accept: bool = False
    calendar_id: Id | None = None
    tier: Annotated[int, Field(ge=1, le=9)] = 1
    partner_id: Id | None = None
    service_level_seconds: Annotated[int, Field(ge=1, le=604_800)] | None = None
    service_level_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    ageing_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    vip_bonus_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    due_lead_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    strategy: Strategy = "longest_idle"
    steps: Annotated[list[Step], Field(max_length=MOST_STEPS)] = Field(default_factory=list)
    prefer_last_agent_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    signature: SignatureTexts = Field(default_factory=dict)
    wrap_up_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    consult_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400
    consult_units: Annotated[int, Field(ge=0, le=1_000)] = 0
    estimator: EstimatorName | None = None

    def said(self) -> dict[str, Any]:
        """The fact's fields."""
        return super().said() | {"when": self.when or {"is": "all"}}


class TeamSettings(Settings):
    """What a team says."""

    KIND: ClassVar[Kind] = "team"
    name: Names
    calendar_id: Id | None = None
    partner_id: Id | None = None


class SkillSettings(Settings):
    """What a skill says."""

    KIND: ClassVar[Kind] = "skill"
    name: Names


class AgentSettings(Settings):
    """What an agent's part says."""

    KIND: ClassVar[Kind] = "agent"
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    signature: SignatureTexts = Field(default_factory=dict)
    team_ids: Ids = Field(default_factory=list)
    skills: Levels = Field(default_factory=dict)
    languages: Languages = Field(default_factory=list)
    capacity_units: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    channel_limits: Limits = Field(default_factory=dict)
    tier: Annotated[int, Field(ge=1, le=9)] = 1
    partner_id: Id | None = None
    active: bool = True

    def said(self) -> dict[str, Any]:
        """The fact's fields."""
        told = super().said()
        able = {name: told.pop(name) for name in Abilities.__struct_fields__}
        return told | {"abilities": able}


class RuleSettings(Settings):
    """What a rule says."""

    KIND: ClassVar[Kind] = "rule"
    position: Annotated[int, Field(ge=0, le=1_000_000)]
    when: dict[str, JsonValue]
    to_tier: Annotated[int, Field(ge=2, le=HIGHEST_TIER)] | None = None

    def said(self) -> dict[str, Any]:
        """The fact's fields."""
        return super().said() | {"kind": "escalate", "when": self.when or {"is": "all"}}


class CannedResponseSettings(Settings):
    """What a canned response says."""

    KIND: ClassVar[Kind] = "canned_response"
    name: Names
    texts: Annotated[dict[Language, CannedText], Field(min_length=1, max_length=30)]
    shortcut: Annotated[str, StringConstraints(pattern=r"^/[\w-]{1,40}$")] | None = None
    team_ids: Ids = Field(default_factory=list)

    def said(self) -> dict[str, Any]:
        """The fact's fields."""
        return super().said() | {"shortcut": canned.folded(self.shortcut) if self.shortcut is not None else None}


class Queue(QueueSettings, Version):
    """A queue: `when` is a condition tree, {} takes everything; the first queue by `position` that takes a ticket gets it.

    Tickets stand by priority, then age; with `ageing_seconds` whoever waited so long counts as one priority higher, a VIP as
    having waited `vip_bonus_seconds` longer, and whose promise is running as waiting from `due_lead_seconds` before it is due,
    at the latest. `strategy` says which of those who can take a ticket is asked next, `steps` how less is asked of them the
    longer it waits. For its first `prefer_last_agent_seconds` it is kept for the agent who had it last, while that agent is
    there and can take it. Whoever was through with a ticket has `wrap_up_seconds` for what is to be said of it (0: none), while
    they keep what it took of them; an expert who is asked about it has `consult_seconds` and gives `consult_units`. Those who
    wait are told how long by `estimator`; where none is named, by the one that was right most.
    """


class Team(TeamSettings, Version):
    """A team of agents."""


class Skill(SkillSettings, Version):
    """A skill, held at levels 1 to 10."""


class AgentBody(AgentSettings, Version):
    """An agent: the name customers see, and what routing has to know."""


class Rule(RuleSettings, Version):
    """A rule of escalation: a ticket for which `when` holds rises to `to_tier`, or to the next tier that takes it; once by each.

    `when` is a condition tree over what queues may ask, and `tier`, `queue`, `waits`, `transfers`, `repeat_contact`,
    `sla_warned_percent` and `sla_breached` of promises that run. The first rule by `position` that holds counts; none holds
    for {"is": "any"}.
    """


class CannedResponse(CannedResponseSettings, Version):
    """A prepared answer: `texts` by language, called up by `shortcut` (`/refund`), for agents of these teams; without any, for
    all of the house, and for no partner's.

    In a text `{{customer.name}}` stands for the customer's name; so do agent.name, ticket.number, ticket.subject, ticket.topic,
    ticket.product, queue.name, and field. with the name of one of your own fields, for theirs.
    """


class Named(Settings):
    """A part of a document."""

    id: Id


class SkillPart(SkillSettings, Named):
    """A skill in a document, as its own PUT takes it."""


class TeamPart(TeamSettings, Named):
    """A team in a document, as its own PUT takes it."""


class AgentPart(AgentSettings, Named):
    """An agent in a document, as its own PUT takes it."""


class QueuePart(QueueSettings, Named):
    """A queue in a document, as its own PUT takes it."""


class RulePart(RuleSettings, Named):
    """A rule of escalation in a document, as its own PUT takes it."""


class CannedResponsePart(CannedResponseSettings, Named):
    """A canned response in a document, as its own PUT takes it."""


class Document(Body):
    """The configuration. What a section does not name is removed; a section that is left out stays as it is. `version`: of which
    one this is an edit; refused when there is a newer one.
    """

    version: Annotated[int, Field(ge=0)] | None = None
    skills: Annotated[list[SkillPart], Field(max_length=2_000)] | None = None
    teams: Annotated[list[TeamPart], Field(max_length=2_000)] | None = None
    agents: Annotated[list[AgentPart], Field(max_length=20_000)] | None = None
    queues: Annotated[list[QueuePart], Field(max_length=2_000)] | None = None
    rules: Annotated[list[RulePart], Field(max_length=2_000)] | None = None
    canned_responses: Annotated[list[CannedResponsePart], Field(max_length=2_000)] | None = None

    def sections(self) -> dict[Kind, Sequence[Named]]:
        """Those that are there."""
        told: dict[Kind, Sequence[Named] | None] = {kind: getattr(self, section) for kind, section in SECTIONS.items()}
        return {kind: parts for kind, parts in told.items() if parts is not None}
