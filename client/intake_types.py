"""What intake takes and answers: its OpenAPI document as types, under the document's names."""

from __future__ import annotations

from datetime import date
from typing import Literal, Required, TypedDict

import msgspec

from .exchange import Instant

Channel = Literal[
    "phone",
    "email",
    "sms",
    "chat",
    "form",
    "whatsapp",
    "telegram",
    "line",
    "messenger",
    "instagram",
    "facebook",
    "x",
    "linkedin",
    "review",
    "video",
    "in_person",
    "other",
]


class AttachmentBody(TypedDict, total=False):
    """A file: its name, its type and its content."""

    content: Required[bytes]
    media_type: str
    name: str


class HandleBody(TypedDict, total=False):
    """How the person is reached. `scope`: the page, bot or number within which a provider's id means something."""

    kind: Required[Literal["email", "phone", "provider_id", "external_id", "visitor"]]
    value: Required[str]
    scope: str


class ContactBody(TypedDict, total=False):
    """One message of a person. `id` is its name at the connector: the same id is the same message, however often it is sent."""

    channel: Required[Channel]
    inbox: Required[str]
    text: Required[str]
    also: list[HandleBody]
    attachments: list[AttachmentBody]
    handle: HandleBody | None
    id: str | None
    in_reply_to: list[str]
    language: str | None
    name: str
    origin: Literal["human", "auto_reply", "out_of_office", "bulk", "bot"]
    priority: Literal[1, 2, 3, 4]
    product: str | None
    sent_at: Instant | None
    subject: str
    tags: list[str]
    topic: str | None


class MessageText(TypedDict):
    """What somebody wrote, as long as it is. `quoted` is what stood around it. `from_log`: only what travels is left of it."""

    text: str
    quoted: str
    from_log: bool


class Accepted(TypedDict):
    """Where a contact came to be. `opened`: it opened the ticket."""

    ticket_id: str
    ticket_number: int
    message_id: str
    customer_id: str
    opened: bool


class ContactResult(TypedDict, total=False):
    """What became of one contact of a list: with status 201 where it came to be, else why not."""

    status: Required[int]
    ticket_id: str
    ticket_number: int
    message_id: str
    customer_id: str
    opened: bool
    code: str
    detail: str
    errors: list[dict[str, str]]


class ContactResults(TypedDict):
    """What became of each contact of a list, in its order."""

    results: list[ContactResult]


class HandleOf(TypedDict):
    """A handle that a customer's record says."""

    kind: Literal["email", "phone", "external_id"]
    value: str


class CustomerBody(TypedDict, total=False):
    """A customer's record."""

    consents: dict[str, bool]
    fields: dict[str, str]
    handles: list[HandleOf]
    language: str | None
    name: str
    plan: str | None
    tier: str | None
    vip: bool | None
    zone: str | None


class Listed(CustomerBody):
    """One of a list of records. `ref` names the customer."""

    ref: str


class Result(TypedDict, total=False):
    """What became of one of a list of records."""

    ref: Required[str]
    status: Required[int]
    customer_id: str | None
    code: str | None
    detail: str | None


class Results(TypedDict):
    """What became of each, in their order."""

    results: list[Result]


class HandleShown(TypedDict):
    """A handle of a customer."""

    id: str
    kind: str
    value: str
    scope: str
    verified_by: str


class CustomerShown(TypedDict):
    """A customer as intake knows them."""

    id: str
    version: int
    name: str
    vip: bool
    plan: str | None
    tier: str | None
    language: str | None
    zone: str | None
    consents: dict[str, bool]
    fields: dict[str, str]
    handles: list[HandleShown]
    merged_ids: list[str]


class CustomersShown(msgspec.Struct, frozen=True, rename={"items": "customers"}):
    """A page of customers."""

    items: list[CustomerShown]
    next_cursor: str | None = None


class ByHandBody(TypedDict, total=False):
    """Who somebody says they are, whom nobody knows: a name, an address or a number at least."""

    channel: Literal["in_person", "phone", "other"]
    email: str
    language: str | None
    name: str
    phone: str


class ByHand(TypedDict):
    """Who they are taken for. `made`: nobody had claimed this address or number before."""

    customer_id: str
    made: bool


class Erased(TypedDict):
    """The ids under which the person was known."""

    customer_ids: list[str]


class Merged(TypedDict):
    """The customer as whom it goes on."""

    customer_id: str


class Noted(TypedDict):
    """Whose it was noted."""

    customer_id: str


class MergeBody(TypedDict):
    """The customer as whom it goes on."""

    into_customer_id: str


class AnswerBody(TypedDict):
    """Whether it is the same person."""

    same: bool


class JoinedBody(TypedDict, total=False):
    """Since when somebody is a customer."""

    on: Required[date]
    plan: str | None


class LeftBody(TypedDict, total=False):
    """Since when somebody is none any more."""

    on: Required[date]
    reason: str | None


class RenewedBody(TypedDict, total=False):
    """When somebody stayed, and until when."""

    on: Required[date]
    until: date | None


class SuggestionShown(TypedDict):
    """Somebody who may be the same person."""

    customer_id: str
    evidence: str
    suggested_at: Instant


class SuggestionsShown(TypedDict):
    """All of them."""

    suggestions: list[SuggestionShown]


class OrderBody(TypedDict, total=False):
    """An order, payment, shipment or document. Money in the currency's smallest unit."""

    kind: Required[Literal["order", "payment", "shipment", "document"]]
    status: Required[str]
    amount_minor: int | None
    currency: str | None
    due_at: Instant | None
    margin_minor: int | None
    occurred_at: Instant | None
    product: str | None


class OrderShown(OrderBody):
    """As it is kept."""

    order_id: str
    version: int


class OrdersShown(msgspec.Struct, frozen=True, rename={"items": "orders"}):
    """A page of orders."""

    items: list[OrderShown]
    next_cursor: str | None = None
