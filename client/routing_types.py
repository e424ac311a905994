"""What routing takes: its OpenAPI document as types, under the document's names. Its answers the document leaves open."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

from .exchange import Instant

WrittenChannel = Literal["email", "sms", "chat", "whatsapp", "telegram", "line", "messenger", "instagram", "other"]


class State(TypedDict, total=False):
    """The state from now on."""

    state: Required[Literal["available", "break", "wrap_up", "offline"]]
    reason: str | None


class Decline(TypedDict, total=False):
    """Why."""

    reason: str | None


class ReplyFile(TypedDict, total=False):
    """A file to send along, as `Intake.upload_file` answered it."""

    id: Required[str]
    media_type: Required[str]
    size_bytes: Required[int]
    sha256: Required[str]
    name: str


class Reply(TypedDict, total=False):
    """What goes to the customer. Without a language the ticket's own is taken, without a channel the one they wrote on."""

    text: Required[str]
    attachments: list[ReplyFile]
    canned_response_id: str | None
    cc_customer_ids: list[str]
    channel: WrittenChannel | None
    language: str | None
    subject: str


class Note(TypedDict, total=False):
    """What stays among agents."""

    text: Required[str]
    mentions: list[str]


class Resolve(TypedDict, total=False):
    """How it ended."""

    code: str | None


class Hold(TypedDict, total=False):
    """Who is waited for."""

    third_party: str | None


class Reopen(TypedDict, total=False):
    """Why."""

    reason: str | None


class Transfer(TypedDict, total=False):
    """Where to. `warm`: an agent is asked first, and the owner keeps the ticket until they accept."""

    to: Required[Literal["queue", "agent", "tier", "partner"]]
    id: Required[str]
    reason: str | None
    warm: bool


class DeclineTransfer(TypedDict, total=False):
    """Why not."""

    reason: str | None


class Assign(TypedDict):
    """To whom."""

    agent_id: str


class Escalate(TypedDict, total=False):
    """How far up, the next tier where none is named; and why."""

    reason: str | None
    to_tier: int | None


class CallBack(TypedDict, total=False):
    """When the customer wants to be called; as soon as it is their turn where nothing is said."""

    not_before: Instant | None


class WrapUp(TypedDict, total=False):
    """How it went, and what it was about. A supervisor names the agent whose wrap-up is to end."""

    agent_id: str | None
    code: str | None
    product: str | None
    topic: str | None


class Consult(TypedDict, total=False):
    """The question, and who is asked: an agent, or the best of those who have a skill."""

    text: Required[str]
    agent_id: str | None
    skill: str | None


class ConsultAnswer(TypedDict):
    """What the expert says."""

    text: str


class Merge(TypedDict):
    """The ticket that goes on."""

    into_ticket_id: str


class Split(TypedDict):
    """Which of the customer's messages go to a ticket of their own."""

    message_ids: list[str]


class Link(TypedDict, total=False):
    """The other ticket; with `undo` the link is taken away."""

    ticket_id: Required[str]
    undo: bool


class Open(TypedDict, total=False):
    """A ticket for a customer who came in person, rang, or is to be written to."""

    customer_id: Required[str]
    channel: Literal["in_person", "phone", "other"]
    outward: bool
    priority: Literal[1, 2, 3, 4]
    subject: str


class Step(TypedDict, total=False):
    """What a queue asks of agents from so many seconds in it on."""

    after_seconds: Required[int]
    any_agent: bool
    required_skills: dict[str, int] | None
    team_ids: list[str] | None


class Queue(TypedDict, total=False):
    """A queue: `when` is a condition tree, {} takes everything; the first queue by `position` that takes a ticket gets it."""

    name: Required[dict[str, str]]
    position: Required[int]
    ageing_seconds: int | None
    auto_accept: bool
    calendar_id: str | None
    consult_seconds: int
    consult_units: int
    due_lead_seconds: int | None
    effective_from: Instant | None
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


class Rule(TypedDict, total=False):
    """A rule of escalation: a ticket for which `when` holds rises to `to_tier`, or to the next tier that takes it."""

    position: Required[int]
    when: Required[dict[str, Any]]
    effective_from: Instant | None
    to_tier: int | None


class Team(TypedDict, total=False):
    """A team of agents."""

    name: Required[dict[str, str]]
    calendar_id: str | None
    effective_from: Instant | None
    partner_id: str | None


class Skill(TypedDict, total=False):
    """A skill, held at levels 1 to 10."""

    name: Required[dict[str, str]]
    effective_from: Instant | None


class AgentBody(TypedDict, total=False):
    """An agent: the name customers see, and what routing has to know."""

    display_name: Required[str]
    active: bool
    capacity_units: int
    channel_limits: dict[str, int]
    effective_from: Instant | None
    languages: list[str]
    partner_id: str | None
    signature: dict[str, str]
    skills: dict[str, int]
    team_ids: list[str]
    tier: int
