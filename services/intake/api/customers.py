"""Customers' records: who they are, how they are reached, what they are entitled to."""

from __future__ import annotations

import base64
from typing import Annotated, Literal
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api.edge import Intake, Parts
from services.intake.domain import handles as reading
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import Profile
from services.intake.merging import profile_draft, together
from services.intake.store import customers, known
from services.intake.store.customers import Customer, OwnedHandle, Written
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.events.people import (
    CustomerCreated,
    CustomerHandleAdded,
    CustomerHandleRemoved,
    CustomerPersonal,
)
from shared.http import FieldError, IfMatch, Problem, check_match, etag

router = APIRouter()
Writer = Annotated[Caller, Depends(requires("intake:write", "supervisor"))]
Reader = Annotated[Caller, Depends(requires("intake:write", "supervisor", "agent"))]
Ref = Annotated[str, Path(min_length=1, max_length=400, description="an id, or external:…, email:…, phone:…")]
Label = Annotated[str, Field(min_length=1, max_length=100)]
Cursor = Annotated[str | None, Query(max_length=300)]
Limit = Annotated[int, Query(ge=1, le=500)]
KINDS: dict[str, Literal["external_id", "email", "phone"]] = {"external": "external_id", "email": "email", "phone": "phone"}
BULK = 500


class HandleOf(BaseModel):
    """A way to reach a customer, or their id in another system (`external_id`)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["email", "phone", "external_id"]
    value: Annotated[str, Field(min_length=1, max_length=reading.HANDLE_LIMIT)]


class CustomerBody(BaseModel):
    """A customer's record, whole: what is left out is no longer set. `handles` are added to those that are known."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=1000)] = ""
    vip: bool | None = None
    plan: Label | None = None
    tier: Label | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    zone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$", max_length=64)] | None = None
    consents: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], bool], Field(max_length=50)] = {}
    fields: Annotated[dict[Label, Annotated[str, Field(max_length=2000)]], Field(max_length=50)] = {}
    handles: Annotated[list[HandleOf], Field(max_length=50)] = []


class HandleShown(BaseModel):
    """A handle with its id, and what proved that it is theirs."""

    id: str
    kind: str
    value: str
    scope: str
    verified_by: str


class CustomerShown(BaseModel):
    """A customer under the id that stays, with all that was merged into it."""

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


class CustomersShown(BaseModel):
    """A page of customers; `next_cursor` is missing on the last one."""

    customers: list[CustomerShown]
    next_cursor: str | None = None


class Listed(CustomerBody):
    """A record of a list, with whose it is."""

    ref: Annotated[str, Field(min_length=1, max_length=400)]


class Result(BaseModel):
    """What became of one record of a list."""

    ref: str
    status: int
    customer_id: str | None = None
    code: str | None = None
    detail: str | None = None


class Results(BaseModel):
    """One for each record, in their order."""

    results: list[Result]


@router.put("/v1/customers/{ref}", response_model=CustomerShown)
async def put_customer(
    ref: Ref, body: CustomerBody, response: Response, intake: Parts, _caller: Writer, if_match: IfMatch = None
) -> CustomerShown:
    """Make or change a customer's record. Who wrote before has one that nobody filled (version 0): it needs no If-Match."""

    async def put() -> CustomerShown:
        async with db.transaction(intake.parts.engine) as conn:
            return await _shown(conn, await _put(conn, intake, ref, body, if_match, checked=True))

    shown = await db.retrying(put)
    intake.parts.outbox.wake.set()
    response.headers["ETag"] = etag(shown.version)
    return shown


@router.post("/v1/customers", response_model=Results)
async def put_customers(
    body: Annotated[list[Listed], Field(min_length=1, max_length=BULK)], intake: Parts, _caller: Writer
) -> Results:
    """Write up to 500 records over what is there; each has a result of its own. Sending them again changes nothing."""

    async def put(item: Listed) -> Result:
        async with db.transaction(intake.parts.engine) as conn:
            return Result(ref=item.ref, status=200, customer_id=await _put(conn, intake, item.ref, item, None, checked=False))

    results = []
    for item in body:
        try:
            results.append(await db.retrying(lambda item=item: put(item)))  # type: ignore[misc]
        except Problem as problem:
            results.append(Result(ref=item.ref, status=problem.status, code=problem.code, detail=problem.detail))
    intake.parts.outbox.wake.set()
    return Results(results=results)


@router.get("/v1/customers/{ref}", response_model=CustomerShown)
async def get_customer(ref: Ref, response: Response, intake: Parts, _caller: Reader) -> CustomerShown:
    """A customer under the id that stays, whichever id or handle was asked for, with the ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        shown = await _shown(conn, (await found(conn, ref)).customer_id)
    response.headers["ETag"] = etag(shown.version)
    return shown


@router.get("/v1/customers", response_model=CustomersShown)
async def list_customers(
    intake: Parts,
    _caller: Annotated[Caller, Depends(requires("intake:write", "supervisor"))],
    cursor: Cursor = None,
    limit: Limit = 100,
) -> CustomersShown:
    """All customers by id, without those who were merged or erased."""
    async with db.transaction(intake.parts.engine) as conn:
        page = await customers.page(conn, read_cursor(cursor), limit)
        shown = await _shown_all(conn, page)
    return CustomersShown(customers=shown, next_cursor=make_cursor(page[-1].customer_id) if len(page) == limit else None)


@router.delete("/v1/customers/{ref}/handles/{handle_id}", status_code=204)
async def delete_handle(ref: Ref, handle_id: str, intake: Parts, _caller: Writer) -> Response:
    """Take a handle from a customer: what comes from it next is somebody else's until it is given again."""

    async def remove() -> None:
        async with db.transaction(intake.parts.engine) as conn:
            customer = await found(conn, ref)
            owned = [one for one in await customers.handles_of(conn, [customer.customer_id]) if one.handle_id == handle_id]
            await known.lock(conn, [known.handle_lock(one.handle) for one in owned])
            if not await customers.remove_handle(conn, customer.customer_id, handle_id):
                raise Problem(404, "unknown-handle", "The customer has no such handle.")
            fact = CustomerHandleRemoved(handle_id=handle_id, reason="removed_by_hand")
            draft: Draft[Fact] = Draft(key=customer.customer_id, data=fact, cause=f"handle:{handle_id}:removed")
            await intake.parts.outbox.publish(conn, [draft], await clock(conn))

    await db.retrying(remove)
    intake.parts.outbox.wake.set()
    return Response(status_code=204)


async def found(conn: AsyncConnection, ref: str, *, lock: bool = False) -> Customer:
    """The customer of a reference, under the id that stays. Raises Problem 404, 410 or 422."""
    handle = handle_of(ref)
    if handle is not None:
        owner = (await customers.owners(conn, [handle])).get(handle)
    else:
        owner = await customers.onward(conn, ref)
    if owner is not None and lock:
        customer = (await customers.locked(conn, [owner])).get(owner)
    else:
        customer = await customers.one(conn, owner) if owner is not None else None
    if customer is None:
        raise unknown_customer()
    if customer.erased:
        raise Problem(410, "customer-erased", "This customer was erased.")
    return customer


def unknown_customer() -> Problem:
    """Said of a reference to nobody."""
    return Problem(404, "unknown-customer", "There is no such customer.")


def handle_of(ref: str) -> Handle | None:
    """The handle that a reference names; None when it is an id. Raises Problem 422."""
    kind, colon, value = ref.partition(":")
    return _handle(KINDS[kind], value, "path.ref") if colon and kind in KINDS else None


def _handle(kind: Literal["external_id", "email", "phone"], value: str, field: str) -> Handle:
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


async def _put(
    conn: AsyncConnection, intake: Intake, ref: str, body: CustomerBody, if_match: str | None, *, checked: bool
) -> str:
    """Write a record; says what changed. Returns the customer's id."""
    named = handle_of(ref)
    wanted = {_handle(one.kind, one.value, f"body.handles[{n}].value") for n, one in enumerate(body.handles)}
    wanted |= {named} if named is not None else set()
    await known.lock(conn, [known.handle_lock(handle) for handle in wanted])
    owners = await customers.owners(conn, list(wanted))
    customer_id = owners.get(named) if named is not None else await customers.onward(conn, ref)
    drafts: list[Draft[Fact]] = []
    if customer_id is None:
        if checked:
            check_match(if_match, None)
        customer_id = str(uuid4())
        language = body.language or "und"
        await customers.insert(conn, {customer_id: language}, await clock(conn))
        created = CustomerCreated(channel="other", language=language)
        personal = CustomerPersonal(name=body.name)
        drafts.append(Draft(key=customer_id, data=created, cause=f"made:{customer_id}", person=customer_id, personal=personal))
        if_match, checked = None, False
    row = (await customers.locked(conn, [customer_id])).get(customer_id)
    if row is None:
        raise unknown_customer()
    if row.erased:
        raise Problem(410, "customer-erased", "This customer was erased.")
    if checked and row.version:
        check_match(if_match, row.version)
    _check_owners(owners, customer_id)
    drafts += await _add(conn, customer_id, [handle for handle in wanted if handle not in owners])
    drafts += await _write(conn, row, body)
    await intake.parts.outbox.publish(conn, drafts, await clock(conn))
    return customer_id


def _check_owners(owners: dict[Handle, str], customer_id: str) -> None:
    taken = sorted({owner for owner in owners.values() if owner != customer_id})
    if taken:
        detail = "A handle belongs to another customer. If they are one person, merge them."
        raise Problem(409, "handle-taken", detail, more={"customer_id": taken[0]})


async def _add(conn: AsyncConnection, customer_id: str, new: list[Handle]) -> list[Draft[Fact]]:
    owned = [OwnedHandle(str(uuid4()), handle, "import", customer_id) for handle in sorted(new, key=lambda one: one.key)]
    await customers.add_handles(conn, owned)
    return [
        Draft(
            key=customer_id,
            data=CustomerHandleAdded(handle_id=one.handle_id, kind=one.handle.kind, verified_by="import"),
            cause=f"handle:{one.handle_id}",
            person=customer_id,
            personal=CustomerPersonal(handles=(one.handle.value,), handle_scope=one.handle.scope),
        )
        for one in owned
    ]


async def _write(conn: AsyncConnection, row: Customer, body: CustomerBody) -> list[Draft[Fact]]:
    own = Profile(**body.model_dump(include=set(Profile.__struct_fields__)))
    if own == row.profile and row.version:
        return []
    family = (await customers.family(conn, [row.customer_id]))[row.customer_id]
    before = together(row.customer_id, family)
    after = together(row.customer_id, {**family, row.customer_id: own})
    record = Written(row.customer_id, row.version + 1, own, after)
    await customers.write(conn, [record])
    if before == after:
        return []
    return [profile_draft(row.customer_id, before, after, f"profile:{row.customer_id}:{record.version}")]


async def _shown(conn: AsyncConnection, customer_id: str) -> CustomerShown:
    customer = await customers.one(conn, customer_id)
    assert customer is not None
    return (await _shown_all(conn, [customer]))[0]


async def _shown_all(conn: AsyncConnection, rows: list[Customer]) -> list[CustomerShown]:
    ids = [row.customer_id for row in rows]
    families = await customers.family(conn, ids)
    owned: dict[str, list[HandleShown]] = {}
    for one in await customers.handles_of(conn, ids):
        shown = HandleShown(
            id=one.handle_id, kind=one.handle.kind, value=one.handle.value, scope=one.handle.scope, verified_by=one.verified_by
        )
        owned.setdefault(one.customer_id, []).append(shown)
    return [_record(row, families[row.customer_id], owned.get(row.customer_id, [])) for row in rows]


def _record(row: Customer, family: dict[str, Profile], owned: list[HandleShown]) -> CustomerShown:
    whole = together(row.customer_id, family)
    said = msgspec.structs.asdict(whole) | {"vip": bool(whole.vip)}
    merged = [member for member in family if member != row.customer_id]
    return CustomerShown(id=row.customer_id, version=row.version, handles=owned, merged_ids=merged, **said)


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
