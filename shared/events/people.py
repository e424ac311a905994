"""Facts about agents (topic `agents`, said by routing) and customers (topic `customers`, said by intake)."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

import msgspec

from shared.events.base import Channel, Fact, Moment, PersonalFact

AgentState = Literal["offline", "available", "break", "wrap_up", "missed"]
HandleKind = Literal["email", "phone", "provider_id", "external_id", "visitor"]
# Why nothing can be sent to a customer; the codes are those of `message.failed`.
Unreachable = Literal["opted-out", "address-returned"]


class AgentEnrolled(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """What routing knows of an agent, from `effective_from` on; the display name is on `config`."""

    TYPE: ClassVar[str] = "agent.enrolled.v1"
    team_ids: tuple[str, ...] = ()
    skills: dict[str, int] = {}
    languages: tuple[str, ...] = ()
    capacity_units: int = 10
    channel_limits: dict[str, int] = {}
    tier: int = 1
    partner_id: str | None = None
    active: bool = True


class AgentStateChanged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent's state changed; `in_state_us` is how long the previous one lasted."""

    TYPE: ClassVar[str] = "agent.state_changed.v1"
    state: AgentState
    previous: AgentState
    reason: str | None = None
    in_state_us: int | None = None


class AgentLoadChanged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """How much of an agent's capacity is used, in units."""

    TYPE: ClassVar[str] = "agent.load_changed.v1"
    used_units: int
    capacity_units: int
    tickets: int


AgentFacts = AgentEnrolled | AgentStateChanged | AgentLoadChanged


class CustomerPersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who the customer is. `handle_scope` is the page, bot or number within which a provider's id means something."""

    name: str = ""
    handles: tuple[str, ...] = ()
    fields: dict[str, str] = {}
    handle_scope: str = ""


class CustomerCreated(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """A customer was seen for the first time."""

    TYPE: ClassVar[str] = "customer.created.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = CustomerPersonal
    channel: Channel
    language: str = "und"


class CustomerHandleAdded(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """A way to reach the customer, and how it was verified. `signed_identity`: a connector vouched for it; `one_time_code` is
    reserved, and nobody says it so far.
    """

    TYPE: ClassVar[str] = "customer.handle_added.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = CustomerPersonal
    handle_id: str
    kind: HandleKind
    verified_by: Literal["wrote_from_it", "signed_identity", "one_time_code", "agent", "import", "not"] = "not"


class CustomerHandleRemoved(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A way to reach the customer is no longer theirs."""

    TYPE: ClassVar[str] = "customer.handle_removed.v1"
    handle_id: str
    reason: str


class CustomerProfileChanged(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """Status and plan as they are now. What is None did not change; what is `cleared` (`plan`, `consents.sms`) is not set now."""

    TYPE: ClassVar[str] = "customer.profile_changed.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = CustomerPersonal
    vip: bool | None = None
    plan: str | None = None
    tier: str | None = None
    language: str | None = None
    zone: str | None = None
    consents: dict[str, bool] = {}
    cleared: tuple[str, ...] = ()


class CustomerReachabilityChanged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """From now on no address or number of the customer can be written to on the channel (`reason` says why), or again one can.
    `email` is forms too. While one of several still can, nothing is said.
    """

    TYPE: ClassVar[str] = "customer.reachability_changed.v1"
    channel: Channel
    reachable: bool
    reason: Unreachable | None = None


class CustomerJoined(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Became a paying customer."""

    TYPE: ClassVar[str] = "customer.joined.v1"
    on: date
    plan: str | None = None


class CustomerRenewed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Stayed for another term."""

    TYPE: ClassVar[str] = "customer.renewed.v1"
    on: date
    until: date | None = None


class CustomerLeft(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Is no longer a paying customer."""

    TYPE: ClassVar[str] = "customer.left.v1"
    on: date
    reason: str | None = None


class OrderRecorded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An order, payment or shipment as it stands now; money in minor units."""

    TYPE: ClassVar[str] = "order.recorded.v1"
    order_id: str
    kind: Literal["order", "payment", "shipment", "document"]
    status: str
    amount_minor: int | None = None
    margin_minor: int | None = None
    currency: str | None = None
    occurred_at: Moment | None = None
    due_at: Moment | None = None
    product: str | None = None


class CustomerMergedInto(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Turned out to be the same person as another customer; said on the one that goes on under the other's id."""

    TYPE: ClassVar[str] = "customer.merged_into.v1"
    into_customer_id: str
    evidence: str
    by_agent_id: str | None = None


class CustomerAbsorbed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Took another customer in; said on the one that stays."""

    TYPE: ClassVar[str] = "customer.absorbed.v1"
    customer_id: str
    evidence: str
    by_agent_id: str | None = None


class CustomerUnmerged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The merge was wrong; said on both, each naming the other."""

    TYPE: ClassVar[str] = "customer.unmerged.v1"
    customer_id: str
    by_agent_id: str | None = None


class MergeSuggested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Perhaps the same person, on evidence that is not verified."""

    TYPE: ClassVar[str] = "merge.suggested.v1"
    customer_id: str
    evidence: str


class CustomerErased(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The keys of the whole merge set are destroyed; every service scrubs its rows of these ids."""

    TYPE: ClassVar[str] = "customer.erased.v1"
    customer_ids: tuple[str, ...]
    requested_by: str


CustomerFacts = (
    CustomerCreated
    | CustomerHandleAdded
    | CustomerHandleRemoved
    | CustomerProfileChanged
    | CustomerReachabilityChanged
    | CustomerJoined
    | CustomerRenewed
    | CustomerLeft
    | OrderRecorded
    | CustomerMergedInto
    | CustomerAbsorbed
    | CustomerUnmerged
    | MergeSuggested
    | CustomerErased
)
