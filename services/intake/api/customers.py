"""Customers' records: who they are, how they are reached, what they are entitled to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import reaching
from services.intake.api.customer_refs import (
    AnyReader,
    Cursor,
    Label,
    Language,
    Limit,
    Ref,
    Writer,
    Zone,
    found,
    found_by,
    handle,
    handle_of,
    make_cursor,
    read_cursor,
)
from services.intake.api.edge import Intake, Parts
from services.intake.domain import handles as reading
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import Profile
from services.intake.domain.records import Known, Put, PutRefused, Record, put_all, together
from services.intake.store import customers, locks, reachable, tickets
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.events.people import CustomerHandleRemoved
from shared.http import IfMatch, Problem, check_match, etag

router = APIRouter()
BULK = 500
HELD = 1000  # handles of one transaction: each is a lock, of which PostgreSQL has some thousands
STATUSES = {"unknown-customer": 404, "customer-erased": 410, "handle-taken": 409}


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
    language: Language | None = None
    zone: Zone | None = None
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
    one = _asked(ref, body)

    async def put() -> CustomerShown:
        async with db.transaction(intake.parts.engine) as conn:
            known = await customers.situation(conn, [one])
            _check(known.of(one), one, if_match)
            [result] = await _save(conn, intake, [one], known)
            if isinstance(result, PutRefused):
                raise _problem(result)
            return await _shown(conn, result)

    shown = await db.retrying(put)
    intake.parts.outbox.wake.set()
    response.headers["ETag"] = etag(shown.version)
    return shown


def _check(record: Record | None, put: Put, if_match: str | None) -> None:
    """Refuse to write over what the caller has not seen. Raises Problem 412 or 428."""
    if record is None and isinstance(put.named, Handle):
        check_match(if_match, None)
    if record is not None and record.version and not record.erased:
        check_match(if_match, record.version)


@router.post("/v1/customers", response_model=Results)
async def put_customers(
    body: Annotated[list[Listed], Field(min_length=1, max_length=BULK)], intake: Parts, _caller: Writer
) -> Results:
    """Write up to 500 records over what is there; each has a result of its own. Sending them again changes nothing, so that no
    Idempotency-Key is asked for.
    """
    results = [Result(ref=item.ref, status=200) for item in body]
    asked: list[tuple[int, Put]] = []
    for n, item in enumerate(body):
        try:
            asked.append((n, _asked(item.ref, item)))
        except Problem as problem:
            results[n] = _result(item.ref, problem)
    for chunk in _chunks(asked):
        for (n, _), outcome in zip(chunk, await _write_all(intake, [one for _, one in chunk]), strict=True):
            if isinstance(outcome, PutRefused):
                results[n] = _result(body[n].ref, _problem(outcome))
            else:
                results[n].customer_id = outcome
    intake.parts.outbox.wake.set()
    return Results(results=results)


async def _write_all(intake: Intake, puts: Sequence[Put]) -> list[str | PutRefused]:
    async def put() -> list[str | PutRefused]:
        async with db.transaction(intake.parts.engine) as conn:
            return await _save(conn, intake, puts, await customers.situation(conn, puts))

    return await db.retrying(put)


def _result(ref: str, problem: Problem) -> Result:
    return Result(ref=ref, status=problem.status, code=problem.code, detail=problem.detail)


@router.get("/v1/customers/{ref}", response_model=CustomerShown)
async def get_customer(ref: Ref, response: Response, intake: Parts, caller: AnyReader) -> CustomerShown:
    """A customer under the id that stays, whichever id or handle was asked for, with the ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        shown = await _shown(conn, (await found_by(conn, caller, ref)).customer_id)
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
            await locks.lock(conn, [locks.handle_lock(one.handle) for one in owned])
            if not await customers.remove_handle(conn, customer.customer_id, handle_id):
                raise Problem(404, "unknown-handle", "The customer has no such handle.")
            await tickets.leave_conversations(conn, [(customer.customer_id, one.handle) for one in owned])
            fact = CustomerHandleRemoved(handle_id=handle_id, reason="removed_by_hand")
            draft: Draft[Fact] = Draft(key=customer.customer_id, data=fact, cause=f"handle:{handle_id}:removed")
            now = await clock(conn)
            await intake.parts.outbox.publish(conn, [draft], now)
            await reaching.look_at(conn, intake.parts.outbox, [customer.customer_id], now)

    await db.retrying(remove)
    intake.parts.outbox.wake.set()
    return Response(status_code=204)


def _asked(ref: str, body: CustomerBody) -> Put:
    """What is to be written. Raises Problem 422."""
    handles = frozenset(handle(one.kind, one.value, f"body.handles[{n}].value") for n, one in enumerate(body.handles))
    profile = Profile(**body.model_dump(include=set(Profile.__struct_fields__)))
    return Put(str(uuid4()), handle_of(ref) or ref, handles, profile)


async def _save(conn: AsyncConnection, intake: Intake, puts: Sequence[Put], known: Known) -> list[str | PutRefused]:
    """Write records over what is known, and say what changed. The customer of each, or why it was refused."""
    results, changes = put_all(puts, known)
    now = await clock(conn)
    await customers.save(conn, changes, now)
    await intake.parts.outbox.publish(conn, changes.drafts, now)
    reached = {handle.customer_id for handle in changes.handles}
    await reaching.look_at(conn, intake.parts.outbox, await reachable.unreachable(conn, reached), now)
    return results


def _problem(refused: PutRefused) -> Problem:
    more: dict[str, str | int | None] = {"customer_id": refused.owner} if refused.owner else {}
    return Problem(STATUSES[refused.code], refused.code, str(refused), more=more)


def _chunks(puts: Sequence[tuple[int, Put]]) -> Iterator[list[tuple[int, Put]]]:
    """In their order, so many together as one transaction may hold."""
    chunk: list[tuple[int, Put]] = []
    held = 0
    for one in puts:
        handles = len(one[1].all_handles)
        if chunk and held + handles > HELD:
            yield chunk
            chunk, held = [], 0
        chunk.append(one)
        held += handles
    if chunk:
        yield chunk


async def _shown(conn: AsyncConnection, customer_id: str) -> CustomerShown:
    customer = await customers.one(conn, customer_id)
    assert customer is not None
    return (await _shown_all(conn, [customer]))[0]


async def _shown_all(conn: AsyncConnection, rows: Sequence[Record]) -> list[CustomerShown]:
    ids = [row.customer_id for row in rows]
    families = await customers.family(conn, ids)
    owned: dict[str, list[HandleShown]] = {}
    for one in await customers.handles_of(conn, ids):
        shown = HandleShown(
            id=one.handle_id, kind=one.handle.kind, value=one.handle.value, scope=one.handle.scope, verified_by=one.verified_by
        )
        owned.setdefault(one.customer_id, []).append(shown)
    return [_record(row, families[row.customer_id], owned.get(row.customer_id, [])) for row in rows]


def _record(row: Record, family: dict[str, Profile], owned: list[HandleShown]) -> CustomerShown:
    whole = together(row.customer_id, family)
    said = msgspec.structs.asdict(whole) | {"vip": bool(whole.vip)}
    merged = [member for member in family if member != row.customer_id]
    return CustomerShown(id=row.customer_id, version=row.version, handles=owned, merged_ids=merged, **said)
