"""How a request names a customer, and what the routes about customers share: who may, where a page begins."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import handles as reading
from services.intake.domain.contacts import Handle
from services.intake.domain.records import Record
from services.intake.domain.speech import is_zone
from services.intake.store import customers, tickets
from shared.auth import Caller, requires
from shared.http import FieldError, Problem

Writer = Annotated[Caller, Depends(requires("intake:write", "supervisor"))]
Reader = Annotated[Caller, Depends(requires("intake:write", "supervisor", "agent"))]
# Of the house, or of a partner, who finds those of its own tickets (`found_by`).
AnyReader = Annotated[Caller, Depends(requires("intake:write", "supervisor", "agent", "partner agent", "partner"))]
Ref = Annotated[str, Path(min_length=1, max_length=400, description="an id, or external:…, email:…, phone:…")]
Label = Annotated[str, Field(min_length=1, max_length=100)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Cursor = Annotated[str | None, Query(max_length=300)]
Limit = Annotated[int, Query(ge=1, le=500)]
Kind = Literal["external_id", "email", "phone"]
GONE = 410
KINDS: dict[str, Kind] = {"external": "external_id", "email": "email", "phone": "phone"}


def _zone(name: str) -> str:
    """Raises ValueError."""
    if not is_zone(name):
        raise ValueError("is no time zone, such as Asia/Jerusalem")
    return name


Zone = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$", max_length=64), AfterValidator(_zone)]


async def found(conn: AsyncConnection, ref: str, *, lock: bool = False) -> Record:
    """The customer of a reference, under the id that stays. Raises Problem 404, 410 or 422."""
    handle = handle_of(ref)
    if handle is not None:
        owner = (await customers.owners(conn, [handle])).get(handle)
    else:
        owner = await customers.onward(conn, ref)
    if owner is not None and lock:
        customer = await customers.held(conn, owner)
    else:
        customer = await customers.one(conn, owner) if owner is not None else None
    if customer is None:
        raise Problem(404, "unknown-customer", "There is no such customer.")
    if customer.erased:
        raise Problem(410, "customer-erased", "This customer was erased.")
    return customer


async def found_by(conn: AsyncConnection, caller: Caller, ref: str) -> Record:
    """`found`, for whoever asks: a partner finds who has a ticket of the partner's, and of all others hears that there is none.

    Raises Problem 404, 410 or 422.
    """
    if caller.partner_id is None:
        return await found(conn, ref)
    unknown = Problem(404, "unknown-customer", "There is no such customer.")
    try:
        customer = await found(conn, ref)
    except Problem as problem:
        raise (unknown if problem.status == GONE else problem) from None
    family = (await customers.family(conn, [customer.customer_id]))[customer.customer_id]
    if not any(caller.sees(ticket.partner_id) for ticket in await tickets.of_customers(conn, list(family))):
        raise unknown
    return customer


def handle_of(ref: str) -> Handle | None:
    """The handle that a reference names; None when it is an id. Raises Problem 422."""
    kind, colon, value = ref.partition(":")
    return handle(KINDS[kind], value, "path.ref") if colon and kind in KINDS else None


def handle(kind: Kind, value: str, field: str) -> Handle:
    """A handle as it is stored. Raises Problem 422, which names the field."""
    try:
        if kind == "email":
            return reading.email(value)
        if kind == "phone":
            phone = reading.phone(value)
            if phone is None or phone.kind != "phone":
                raise reading.WrongHandle("is no telephone number with its + and country")
            return phone
    except reading.WrongHandle as error:
        raise Problem(422, "invalid-request", "A handle cannot be used; see errors.", [FieldError(field, str(error))]) from None
    if not value.strip() or len(value) > reading.HANDLE_LIMIT or not value.isprintable():
        raise Problem(422, "invalid-request", "An external id cannot be used.", [FieldError(field, "is no plain text")])
    return Handle("external_id", value.strip())


def make_cursor(after: str) -> str:
    """Where the next page begins."""
    return base64.urlsafe_b64encode(after.encode()).decode()


def read_cursor(cursor: str | None) -> str:
    """After what a page begins. Raises Problem 422."""
    try:
        return base64.urlsafe_b64decode((cursor or "").encode()).decode()
    except ValueError:
        raise Problem(
            422, "invalid-request", "The cursor is not one of ours.", [FieldError("query.cursor", "is unknown")]
        ) from None
