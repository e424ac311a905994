"""Facts about the agents' work on a ticket: offers, hand-overs, consultations, wrap-up. Topic `tickets`, all said by routing."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from shared.events.base import Fact, Moment, PersonalFact


class TicketOffered(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Shown to one agent, to be accepted before `expires_at`. `step`: how many of the queue's steps it had reached."""

    TYPE: ClassVar[str] = "ticket.offered.v1"
    offer_id: str
    agent_id: str
    queue_id: str
    visit: int
    expires_at: Moment
    step: int = 0


class OfferAccepted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent took it (the `ticket.assigned` follows)."""

    TYPE: ClassVar[str] = "offer.accepted.v1"
    offer_id: str
    agent_id: str
    queue_id: str
    answered_us: int


class OfferDeclined(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent did not want it; the ticket keeps its place and age."""

    TYPE: ClassVar[str] = "offer.declined.v1"
    offer_id: str
    agent_id: str
    queue_id: str
    reason: str | None = None


class OfferExpired(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent did not answer in time; the ticket keeps its place and age."""

    TYPE: ClassVar[str] = "offer.expired.v1"
    offer_id: str
    agent_id: str
    queue_id: str


class OfferRescinded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Taken back: the ticket left the queue, or the agent went away."""

    TYPE: ClassVar[str] = "offer.rescinded.v1"
    offer_id: str
    agent_id: str
    queue_id: str
    reason: Literal["abandoned", "withdrawn", "agent_left", "supervisor", "transferred", "spam", "merged"]


class OfferFailed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Could not be put before the agent (phone busy, leg failed)."""

    TYPE: ClassVar[str] = "offer.failed.v1"
    offer_id: str
    agent_id: str
    queue_id: str
    code: str


class ConsultPersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The question to, or the answer of, an expert."""

    text: str = ""


class ConsultRequested(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """An expert is asked, until `expires_at`; the owner keeps the ticket. It takes so many `units` of the expert."""

    TYPE: ClassVar[str] = "consult.requested.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = ConsultPersonal
    consult_id: str
    agent_id: str
    expert_id: str | None = None
    skill: str | None = None
    expires_at: Moment | None = None
    units: int = 0


class ConsultAnswered(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """The expert answered."""

    TYPE: ClassVar[str] = "consult.answered.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = ConsultPersonal
    consult_id: str
    expert_id: str


class ConsultEnded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The consultation is over."""

    TYPE: ClassVar[str] = "consult.ended.v1"
    consult_id: str
    outcome: Literal["answered", "cancelled", "transferred", "expired"]


class TransferOffered(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The owner would hand the ticket over to this agent, and keeps it until they say yes."""

    TYPE: ClassVar[str] = "transfer.offered.v1"
    transfer_id: str
    by_agent_id: str
    to_agent_id: str
    expires_at: Moment
    reason: str | None = None


class TransferEnded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An offer to hand over is over. `accepted`: the `ticket.transferred` follows; else the ticket is where it was, or went
    elsewhere (`withdrawn`).
    """

    TYPE: ClassVar[str] = "transfer.ended.v1"
    transfer_id: str
    to_agent_id: str
    outcome: Literal["accepted", "declined", "expired", "withdrawn"]
    reason: str | None = None


class WrapUpStarted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """After-contact work began."""

    TYPE: ClassVar[str] = "wrap_up.started.v1"
    agent_id: str
    ends_by: Moment | None = None


class WrapUpCompleted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """After-contact work ended, with its code."""

    TYPE: ClassVar[str] = "wrap_up.completed.v1"
    agent_id: str
    wrap_up_us: int
    code: str | None = None
    timed_out: bool = False


class WorkStarted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent turned to this ticket (one of several, on channels where handling is not a call)."""

    TYPE: ClassVar[str] = "work.started.v1"
    agent_id: str


class WorkStopped(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent turned away; `worked_us` shared between tickets open at once is `weighted_us`."""

    TYPE: ClassVar[str] = "work.stopped.v1"
    agent_id: str
    worked_us: int
    weighted_us: int


class ActionRequired(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A rule asks people to look: promised follow-up due, repeated failure to deliver, parked record."""

    TYPE: ClassVar[str] = "action.required.v1"
    code: str
    rule_id: str | None = None
    due_at: Moment | None = None


WorkFacts = (
    TicketOffered
    | OfferAccepted
    | OfferDeclined
    | OfferExpired
    | OfferRescinded
    | OfferFailed
    | ConsultRequested
    | ConsultAnswered
    | ConsultEnded
    | TransferOffered
    | TransferEnded
    | WrapUpStarted
    | WrapUpCompleted
    | WorkStarted
    | WorkStopped
    | ActionRequired
)
