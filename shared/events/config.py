"""Facts about configuration. Topic `config`, key `kind:id`; each says the whole thing as it is from `effective_from` on.

Versions count 1, 2, 3 … per key. Durations are seconds, shares are whole percent, money is in minor units.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

import msgspec

from shared.conditions import All, Condition
from shared.events.base import Channel, Fact, Moment, PersonalFact, Priority


class Configured(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """What every kind says."""

    id: str
    version: int
    effective_from: Moment


class RoutingConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """What is a part of routing's configuration: in which version of all of it this was said, and by which key or person."""

    config_version: int | None = None
    changed_by: str | None = None


Strategy = Literal["longest_idle", "least_versatile", "best_skill", "least_loaded", "round_robin", "sticky"]


# How a wait may be estimated (`services/routing/domain/estimates.py`).
EstimatorName = Literal["head_of_line", "last_started", "queue_length", "weighted_last_ten", "running_mean", "handling_ahead"]


class RoutingStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From `after_seconds` in the queue on these skills and teams are asked for (none: any; left out: as before), or anybody.

    Or the ticket is sent on `to_queue_id` then, as a partner's: this share of the queue's tickets, or where it would wait longer
    than `over_wait_seconds` from then on; both where both are said, all where nothing is.
    """

    after_seconds: int
    required_skills: dict[str, int] | None = None
    team_ids: tuple[str, ...] | None = None
    any_agent: bool = False
    to_queue_id: str | None = None
    share_percent: int | None = None
    over_wait_seconds: int | None = None


class QueueConfigured(RoutingConfigured, frozen=True, kw_only=True, omit_defaults=True):
    """A queue: which tickets it takes (first match by `position`), who serves it and how.

    Waiting for `ageing_seconds` is worth a step of priority (None: no wait is); being a VIP is worth `vip_bonus_seconds`. A
    ticket counts as waiting from `due_lead_seconds` before its next promise is due at the latest.
    `strategy` says which of those who can take a ticket is next; of equals it is the longest idle. `steps` ask less of agents the
    longer a ticket waits; for its first `prefer_last_agent_seconds` whoever had it last is waited for, if there at all.
    Who was through with a ticket has `wrap_up_seconds` (0: none) for what is to be written of it. An expert who is consulted has
    `consult_seconds` to answer, which takes `consult_units` of them. Waits are told by `estimator` (None: by the one that was
    right most).
    """

    TYPE: ClassVar[str] = "queue.configured.v1"
    name: dict[str, str]
    position: int
    when: Condition = All()
    team_ids: tuple[str, ...] = ()
    required_skills: dict[str, int] = {}
    skill_by_language: bool = False
    offer_timeout_seconds: int = 30
    auto_accept: bool = False
    calendar_id: str | None = None
    tier: int = 1
    partner_id: str | None = None
    service_level_seconds: int | None = None
    service_level_percent: int | None = None
    ageing_seconds: int | None = None
    vip_bonus_seconds: int = 0
    due_lead_seconds: int | None = None
    strategy: Strategy = "longest_idle"
    steps: tuple[RoutingStep, ...] = ()
    prefer_last_agent_seconds: int | None = None
    signature: dict[str, str] = {}
    wrap_up_seconds: int = 0
    consult_seconds: int = 86_400
    consult_units: int = 0
    estimator: EstimatorName | None = None


class TeamConfigured(RoutingConfigured, frozen=True, kw_only=True, omit_defaults=True):
    """A team of agents."""

    TYPE: ClassVar[str] = "team.configured.v1"
    name: dict[str, str]
    calendar_id: str | None = None
    partner_id: str | None = None


class PartnerConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """An outsourced partner, who sees only their own work."""

    TYPE: ClassVar[str] = "partner.configured.v1"
    name: str
    calendar_id: str | None = None


class SkillConfigured(RoutingConfigured, frozen=True, kw_only=True, omit_defaults=True):
    """A skill that agents have at levels 1 to 10."""

    TYPE: ClassVar[str] = "skill.configured.v1"
    name: dict[str, str]


class Abilities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What routing knows of an agent, as `agent.enrolled` says it."""

    team_ids: tuple[str, ...] = ()
    skills: dict[str, int] = {}
    languages: tuple[str, ...] = ()
    capacity_units: int = 10
    channel_limits: dict[str, int] = {}
    tier: int = 1
    partner_id: str | None = None
    active: bool = True


class AgentConfigured(RoutingConfigured, frozen=True, kw_only=True, omit_defaults=True):
    """The name under which an agent appears, and what the agent can do."""

    TYPE: ClassVar[str] = "agent.configured.v1"
    display_name: str
    signature: dict[str, str] = {}
    abilities: Abilities | None = None


class OpenHours(msgspec.Struct, frozen=True, kw_only=True):
    """Open from `opens` to `closes`, `HH:MM` local time; `24:00` is the end of the day, closing before opening the next day."""

    opens: str
    closes: str


class DatedHours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A date with hours of its own; none at all means closed."""

    on: date
    hours: tuple[OpenHours, ...] = ()
    name: str = ""


class CalendarConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """Business hours: `weekly` has seven entries, Monday first."""

    TYPE: ClassVar[str] = "calendar.configured.v1"
    zone: str
    weekly: tuple[tuple[OpenHours, ...], ...]
    dates: tuple[DatedHours, ...] = ()
    holidays_of: tuple[str, ...] = ()


TargetKind = Literal[
    "first_response",
    "next_response",
    "periodic_update",
    "resolution",
    "requester_wait",
    "agent_work",
    "accept",
    "in_team",
    "with_agent",
    "answer",
]


class SlaTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One promise of a policy: how many seconds at which priority, in business or calendar time, and when to warn."""

    kind: TargetKind
    seconds: dict[str, int]
    hours: Literal["business", "calendar"] = "business"
    warn_at_percent: tuple[int, ...] = (80,)
    pause_on: tuple[Literal["pending", "on_hold"], ...] = ("pending",)
    on_reopen: Literal["resume", "restart"] = "resume"


class PolicyConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """An SLA policy: the first one by `position` whose condition matches applies."""

    TYPE: ClassVar[str] = "policy.configured.v1"
    name: str
    position: int
    targets: tuple[SlaTarget, ...]
    when: Condition = All()
    calendar_id: str | None = None
    scope: Literal["customer", "team", "agent"] = "customer"
    apply_to_open: bool = False


class GoalConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """A SMART goal on a metric (glossary): specific, measurable, achievable, relevant, time-bound."""

    TYPE: ClassVar[str] = "goal.configured.v1"
    metric: str
    scope: dict[str, str]
    baseline_millis: int
    goal_millis: int
    by_date: date


class RateConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """What a contact or an hour costs."""

    TYPE: ClassVar[str] = "rate.configured.v1"
    per: Literal["contact", "agent_hour"]
    amount_minor: int
    currency: str
    channel: Channel | None = None
    partner_id: str | None = None


class TemplateConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """A text in several languages: confirmation, survey, canned response."""

    TYPE: ClassVar[str] = "template.configured.v1"
    kind: Literal["confirmation", "survey", "canned", "signature", "call_greeting"]
    texts: dict[str, str]
    shortcut: str | None = None
    team_ids: tuple[str, ...] = ()


class RuleConfigured(RoutingConfigured, frozen=True, kw_only=True, omit_defaults=True):
    """An escalation or labelling rule. `escalate`: the ticket rises to `to_tier`, or to the next one; once by each rule."""

    TYPE: ClassVar[str] = "rule.configured.v1"
    kind: Literal["escalate", "label", "prioritise", "spam", "survey", "proactive"]
    position: int
    when: Condition
    to_tier: int | None = None
    priority: Priority | None = None
    labels: dict[str, str] = {}


FormGuard = Literal["open", "token", "signature"]


class InboxConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """One of our own addresses, numbers or forms, and how it is confirmed.

    Of forms: `origins` are the web sites that may post it from a browser (none: any), `guard` is what a submission must bring:
    nothing, a token of ours, or the signature of a server. `webhook`: where replies to its customers are posted, for a
    connector to carry on.
    """

    TYPE: ClassVar[str] = "inbox.configured.v1"
    channel: Channel
    address: str
    language: str = "en"
    region: str | None = None
    confirm: bool = True
    partner_id: str | None = None
    origins: tuple[str, ...] = ()
    guard: FormGuard = "open"
    webhook: str | None = None


class WordListConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """Words by language (`*`: any) that tell a ticket's topic, product and tags, and raise its priority to at least this. Those
    of a later message tell what was not told, and nothing against what agents set.

    A word that ends in `*` stands for all that begin with it. The list of which most is found says the topic, then the first.
    """

    TYPE: ClassVar[str] = "word_list.configured.v1"
    position: int
    words: dict[str, tuple[str, ...]]
    topic: str | None = None
    product: str | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] = ()


class SpamRulePersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose addresses or numbers a rule names."""

    values: tuple[str, ...] = ()


class SpamRuleConfigured(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """A list of senders or words whose messages are spam (`block`), or are none when the sender is who they say (`allow`).

    `part` is what is compared: the address, its domain (and those below it), the number, words of the subject or of the text. It
    holds for `inboxes`, for all where none is named. Addresses and numbers stand in `personal`, under a key of this version of
    the rule, which is destroyed with it; domains and words in `values`.
    """

    TYPE: ClassVar[str] = "spam_rule.configured.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = SpamRulePersonal
    id: str
    version: int
    effective_from: Moment
    verdict: Literal["block", "allow"]
    part: Literal["address", "domain", "number", "subject", "text"]
    values: tuple[str, ...] = ()
    inboxes: tuple[str, ...] = ()


SurveyKind = Literal["csat", "nps", "ces"]


class SurveyConfigured(Configured, frozen=True, kw_only=True, omit_defaults=True):
    """A question after a resolution (glossary: CSAT, NPS, CES) in these queues (none: in all). Of those that fit a resolution the
    first by `position` is asked, `delay_seconds` after it, and nobody again within `quiet_seconds` of any question. It can be
    answered for `open_seconds`.
    """

    TYPE: ClassVar[str] = "survey.configured.v1"
    position: int
    kind: SurveyKind
    scale_min: int
    scale_max: int
    queue_ids: tuple[str, ...] = ()
    delay_seconds: int = 3600
    quiet_seconds: int = 2_592_000
    open_seconds: int = 604_800


class CannedResponseConfigured(RoutingConfigured, frozen=True, kw_only=True, omit_defaults=True):
    """A prepared answer, by language, for the agents of these teams (none: for all of the house). `shortcut` is what they type
    for it, with its slash. `{{customer.name}}` in a text stands for what is known when it is used.
    """

    TYPE: ClassVar[str] = "canned_response.configured.v1"
    name: dict[str, str]
    texts: dict[str, str]
    shortcut: str | None = None
    team_ids: tuple[str, ...] = ()


class ConfigRemoved(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """No longer in force from `effective_from` on; the key says what. Of routing: as `RoutingConfigured` says it."""

    TYPE: ClassVar[str] = "config.removed.v1"
    version: int
    effective_from: Moment
    config_version: int | None = None
    changed_by: str | None = None


ConfigFacts = (
    QueueConfigured
    | TeamConfigured
    | PartnerConfigured
    | SkillConfigured
    | AgentConfigured
    | CalendarConfigured
    | PolicyConfigured
    | GoalConfigured
    | RateConfigured
    | TemplateConfigured
    | RuleConfigured
    | InboxConfigured
    | WordListConfigured
    | SpamRuleConfigured
    | SurveyConfigured
    | CannedResponseConfigured
    | ConfigRemoved
)
