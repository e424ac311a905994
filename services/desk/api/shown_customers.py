"""What the API answers with of a customer."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel

from services.desk.api.shown import Names, PromiseShown, TicketLine
from shared.events.base import Direction


class HandleShown(BaseModel):
    """A way to reach the customer, and what proved that it is theirs."""

    handle_id: str
    kind: str
    value: str
    scope: str
    verified_by: str


class OrderShown(BaseModel):
    """An order, payment or shipment as it was told last; money in minor units."""

    order_id: str
    kind: str
    status: str
    amount_minor: int | None
    currency: str | None
    product: str | None
    occurred_at: datetime | None
    due_at: datetime | None
    recorded_at: datetime


class AnswerShown(BaseModel):
    """How it was, as the customer answered after a ticket."""

    ticket_id: str
    number: int
    survey_id: str
    kind: str
    score: int
    scale_min: int
    scale_max: int
    at: datetime
    comment: str | None
    comment_direction: Direction


class OwedShown(PromiseShown):
    """A promise that stands, and on which ticket."""

    ticket_id: str
    number: int


class SuggestionShown(BaseModel):
    """Another customer who may be the same person. One that was dismissed since is still shown: intake alone knows."""

    customer_id: str
    evidence: str
    suggested_at: datetime


class TotalShown(BaseModel):
    """How many tickets of one status came by one channel."""

    status: str
    channel: str
    tickets: int


class CustomerCard(BaseModel):
    """A customer under the id that stays, with all that was merged into it: who they are, what they have, what was and is between
    us. `tickets` are the newest; more with `GET /v1/desk/tickets?customer_id=…&sort=opened` and `tickets_cursor`.
    """

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
    created_at: datetime | None
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
