"""What desk answers of a customer: its OpenAPI document as types, under the document's names."""

from __future__ import annotations

from datetime import date
from typing import TypedDict

from .desk_types import Direction, Names, PromiseShown, TicketLine
from .exchange import Instant


class HandleShown(TypedDict):
    """A way to reach the customer, and what proved that it is theirs."""

    handle_id: str
    kind: str
    value: str
    scope: str
    verified_by: str


class OrderShown(TypedDict):
    """An order, payment or shipment as it was told last; money in minor units."""

    order_id: str
    kind: str
    status: str
    amount_minor: int | None
    currency: str | None
    product: str | None
    occurred_at: Instant | None
    due_at: Instant | None
    recorded_at: Instant


class AnswerShown(TypedDict):
    """How it was, as the customer answered after a ticket."""

    ticket_id: str
    number: int
    survey_id: str
    kind: str
    score: int
    scale_min: int
    scale_max: int
    at: Instant
    comment: str | None
    comment_direction: Direction


class OwedShown(PromiseShown):
    """A promise that stands, and on which ticket."""

    ticket_id: str
    number: int


class SuggestionShown(TypedDict):
    """Another customer who may be the same person."""

    customer_id: str
    evidence: str
    suggested_at: Instant


class TotalShown(TypedDict):
    """How many tickets of one status came by one channel."""

    status: str
    channel: str
    tickets: int


class CustomerCard(TypedDict):
    """A customer under the id that stays, with all that was merged into it."""

    customer_id: str
    asked_for: str
    merged_ids: list[str]
    name: str | None
    name_direction: Direction
    fields: dict[str, str]
    handles: list[HandleShown]
    vip: bool
    plan: str | None
    tier: str | None
    language: str | None
    zone: str | None
    consents: dict[str, bool]
    created_at: Instant | None
    joined_on: date | None
    renewed_on: date | None
    paid_until: date | None
    left_on: date | None
    totals: list[TotalShown]
    tickets: list[TicketLine]
    tickets_cursor: str | None
    orders: list[OrderShown]
    satisfaction: list[AnswerShown]
    promises: list[OwedShown]
    suggestions: list[SuggestionShown]
    names: Names
