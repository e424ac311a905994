"""What happens to customers elsewhere: they join, renew and leave; they order, pay, are sent things and documents."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api.customer_refs import (
    AnyReader,
    Cursor,
    Label,
    Limit,
    Ref,
    Writer,
    found,
    found_by,
    make_cursor,
    read_cursor,
)
from services.intake.api.edge import Intake, Parts
from services.intake.store import customers, orders
from shared import db
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.events.people import CustomerJoined, CustomerLeft, CustomerRenewed, OrderRecorded
from shared.http import IfMatch, Problem, check_match, etag
from shared.idempotency import Answer, IdempotencyKey, once, request_hash

router = APIRouter()
OrderId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$", description="no name or address: it is not sealed")]


class JoinedBody(BaseModel):
    """Since which day they pay."""

    model_config = ConfigDict(extra="forbid")

    on: date
    plan: Label | None = None


class RenewedBody(BaseModel):
    """On which day they stayed, and until when."""

    model_config = ConfigDict(extra="forbid")

    on: date
    until: date | None = None


class LeftBody(BaseModel):
    """On which day they left. `reason` is a label, not anybody's words: it is not sealed."""

    model_config = ConfigDict(extra="forbid")

    on: date
    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")] | None = None


class Noted(BaseModel):
    """Of whom it was noted."""

    customer_id: str


class OrderBody(BaseModel):
    """An order, payment, shipment or document as it stands now; money in minor units of `currency`."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["order", "payment", "shipment", "document"]
    status: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
    amount_minor: Annotated[int, Field(ge=-(2**53), le=2**53)] | None = None
    margin_minor: Annotated[int, Field(ge=-(2**53), le=2**53)] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    occurred_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    product: Label | None = None

    @model_validator(mode="after")
    def _has_currency(self) -> OrderBody:
        if self.currency is None and (self.amount_minor is not None or self.margin_minor is not None):
            raise ValueError("money needs its currency")
        return self


class OrderShown(OrderBody):
    """An order with its id."""

    order_id: str
    version: int


class OrdersShown(BaseModel):
    """A page of orders; `next_cursor` is missing on the last one."""

    orders: list[OrderShown]
    next_cursor: str | None = None


@router.post("/v1/customers/{ref}/joined", response_model=Noted)
async def customer_joined(ref: Ref, body: JoinedBody, intake: Parts, caller: Writer, key: IdempotencyKey = None) -> Response:
    """They became a paying customer."""
    return await _say(intake, ref, CustomerJoined(on=body.on, plan=body.plan), caller.key_id, key)


@router.post("/v1/customers/{ref}/renewed", response_model=Noted)
async def customer_renewed(ref: Ref, body: RenewedBody, intake: Parts, caller: Writer, key: IdempotencyKey = None) -> Response:
    """They stayed for another term."""
    return await _say(intake, ref, CustomerRenewed(on=body.on, until=body.until), caller.key_id, key)


@router.post("/v1/customers/{ref}/left", response_model=Noted)
async def customer_left(ref: Ref, body: LeftBody, intake: Parts, caller: Writer, key: IdempotencyKey = None) -> Response:
    """They are no longer a paying customer."""
    return await _say(intake, ref, CustomerLeft(on=body.on, reason=body.reason), caller.key_id, key)


async def _say(intake: Intake, ref: str, fact: Fact, caller: str, key: str | None) -> Response:
    async def work(conn: AsyncConnection) -> Answer:
        customer = await found(conn, ref, lock=True)
        draft: Draft[Fact] = Draft(key=customer.customer_id, data=fact, cause=f"customer:{uuid4()}")
        await intake.parts.outbox.publish(conn, [draft], await clock(conn))
        return Answer(200, Noted(customer_id=customer.customer_id).model_dump_json().encode())

    digest = request_hash(f"{fact.TYPE} {ref}", msgspec.json.encode(fact))
    answer = await once(intake.parts.engine, "intake", caller, key, digest, work)
    intake.parts.outbox.wake.set()
    return answer.response()


@router.put("/v1/customers/{ref}/orders/{order_id}", response_model=OrderShown)
async def put_order(
    ref: Ref, order_id: OrderId, body: OrderBody, response: Response, intake: Parts, _caller: Writer, if_match: IfMatch = None
) -> OrderShown:
    """An order as it stands now. To change one, send If-Match with its ETag; the same one again changes nothing."""

    async def put() -> OrderShown:
        async with db.transaction(intake.parts.engine) as conn:
            return await _put(conn, intake, ref, OrderRecorded(order_id=order_id, **body.model_dump()), if_match)

    shown = await db.retrying(put)
    intake.parts.outbox.wake.set()
    response.headers["ETag"] = etag(shown.version)
    return shown


async def _put(conn: AsyncConnection, intake: Intake, ref: str, order: OrderRecorded, if_match: str | None) -> OrderShown:
    """An order stays under the id of which it was said, also when that one was merged since."""
    customer_id = (await found(conn, ref, lock=True)).customer_id
    before = await _order(conn, customer_id, order.order_id)
    if before is not None and before.order == order:
        return _shown(before.version, order)
    check_match(if_match, before.version if before is not None else None)
    version = before.version + 1 if before is not None else 1
    customer_id = before.customer_id if before is not None else customer_id
    await orders.put(conn, customer_id, version, order)
    draft: Draft[Fact] = Draft(key=customer_id, data=order, cause=f"order:{customer_id}:{order.order_id}:{version}")
    await intake.parts.outbox.publish(conn, [draft], await clock(conn))
    return _shown(version, order)


async def _order(conn: AsyncConnection, customer_id: str, order_id: str) -> orders.Stored | None:
    family = (await customers.family(conn, [customer_id]))[customer_id]
    return await orders.one(conn, list(family), order_id)


@router.get("/v1/customers/{ref}/orders", response_model=OrdersShown)
async def list_orders(ref: Ref, intake: Parts, caller: AnyReader, cursor: Cursor = None, limit: Limit = 100) -> OrdersShown:
    """A customer's orders by id, those under merged ids too."""
    async with db.transaction(intake.parts.engine) as conn:
        customer = await found_by(conn, caller, ref)
        family = await customers.family(conn, [customer.customer_id])
        page = await orders.page(conn, list(family[customer.customer_id]), read_cursor(cursor), limit)
    after = make_cursor(page[-1][1].order_id) if len(page) == limit else None
    return OrdersShown(orders=[_shown(*one) for one in page], next_cursor=after)


@router.get("/v1/customers/{ref}/orders/{order_id}", response_model=OrderShown)
async def get_order(ref: Ref, order_id: OrderId, response: Response, intake: Parts, caller: AnyReader) -> OrderShown:
    """An order, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await _order(conn, (await found_by(conn, caller, ref)).customer_id, order_id)
    if stored is None:
        raise Problem(404, "unknown-order", "The customer has no such order.")
    response.headers["ETag"] = etag(stored.version)
    return _shown(stored.version, stored.order)


def _shown(version: int, order: OrderRecorded) -> OrderShown:
    return OrderShown(version=version, **msgspec.structs.asdict(order))
