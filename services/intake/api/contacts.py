"""`POST /v1/contacts`: one contact, or a list of up to 500, each with an answer of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from services.intake.acceptor import Overloaded
from services.intake.api.edge import Accepted, Intake, Kept, NotTaken, Unplaced, accepted, apart, overloaded, parts_of
from services.intake.channels import generic
from services.intake.channels.generic import ContactBody, UnusableHandle
from services.intake.domain.contacts import InboundMessage, RequestName
from services.intake.domain.plan import Placement
from services.intake.store.parked import Naming
from shared import telemetry
from shared.auth import Caller, requires
from shared.db import DatabaseAway
from shared.http import FieldError, Problem, away
from shared.idempotency import MAX_KEY, check_key, request_hash

router = APIRouter()
LIST_CAP = 500
IDENTIFY = "intake:identify"
_BODY = TypeAdapter(ContactBody)
_connector = requires("intake:write")
_SCHEMA = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Same key and body: same answer",
            "schema": {"type": "string", "maxLength": MAX_KEY},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        ContactBody.model_json_schema(),
                        {"type": "array", "maxItems": LIST_CAP, "minItems": 1, "items": ContactBody.model_json_schema()},
                    ]
                }
            }
        },
    },
}


@dataclass(frozen=True, slots=True)
class Unread:
    """A contact in which a defect of ours shows: it cannot be read."""

    unplaced: Unplaced
    error: Exception


@router.post("/v1/contacts", status_code=201, openapi_extra=_SCHEMA, response_model=Accepted, responses={202: {"model": Kept}})
async def post_contacts(request: Request) -> Response:
    """Take one contact (201) or several (200, with a result for each). A repeat gets the answer of the first. What cannot be
    stored for a defect of ours is kept as it came (202).
    """
    intake, caller = parts_of(request), await _connector(request)
    intake.refuse_full("key", caller.key_id)
    idempotency_key = request.headers.get("idempotency-key")
    body = await request.body()
    if idempotency_key is not None:
        check_key(idempotency_key)
    if body.lstrip()[:1] == b"[":
        return await _several(intake, caller, idempotency_key, body)
    contact = await apart(len(body), lambda: _contact(intake, caller, idempotency_key, body, request_hash("contacts", body), ""))
    if isinstance(contact, Unread):
        await intake.keep_unread(contact.unplaced, contact.error)
        return _kept()
    await _check_rate(intake, caller, [contact])
    try:
        placement = await intake.take(contact)
    except NotTaken as error:
        await intake.keep("generic", contact, error)
        return _kept()
    return _answer(placement, idempotency_key)


def _kept() -> Response:
    return Response(Kept().model_dump_json(), 202, None, "application/json")


def _answer(placement: Placement, idempotency_key: str | None) -> Response:
    if placement.reused or (placement.conflict and idempotency_key is not None):
        raise _reused()
    headers = {"Idempotency-Replayed": "true"} if placement.repeated else None
    return Response(msgspec.json.encode(accepted(placement)), 201, headers, "application/json")


async def _check_rate(intake: Intake, caller: Caller, contacts: Sequence[InboundMessage]) -> None:
    """Raises Problem 429: then none of them was taken."""
    per_minute = intake.settings.intake_key_per_minute
    if per_minute and contacts:
        await intake.check_rate("key", caller.key_id, per_minute, [one.channel for one in contacts])


async def _several(intake: Intake, caller: Caller, key: str | None, body: bytes) -> Response:
    taken = await asyncio.to_thread(_listed, intake, caller, key, body)  # as many as 500, each to be read
    traceparent = telemetry.current_traceparent()
    contacts = [replace(one, traceparent=traceparent) for one in taken if isinstance(one, InboundMessage)]
    await _check_rate(intake, caller, contacts)
    try:
        placed = iter(await intake.acceptor.accept(contacts))
    except Overloaded:
        raise overloaded() from None
    except TimeoutError:
        raise away() from None
    results = [await _result(intake, one, placed, key) for one in taken]
    if results and all(isinstance(result, Problem) and result.status == 503 for result in results):
        raise away()
    return Response(
        json.dumps({"results": [_as_json(result) for result in results]}, ensure_ascii=False), 200, None, "application/json"
    )


def _listed(intake: Intake, caller: Caller, key: str | None, body: bytes) -> list[InboundMessage | Unread | Problem]:
    items, digest = _items(body), request_hash("contacts", body)
    taken: list[InboundMessage | Unread | Problem] = []
    for index, item in enumerate(items):
        try:
            raw = json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")
            taken.append(_contact(intake, caller, key, raw, digest, f"[{index}]"))
        except RecursionError:
            taken.append(_malformed(f"body[{index}]", "is nested too deep"))
        except Problem as problem:
            taken.append(problem)
    return taken


async def _result(
    intake: Intake, one: InboundMessage | Unread | Problem, placed: Iterator[Placement | BaseException], key: str | None
) -> Placement | Problem | Kept:
    """What became of one of a list. `placed`: where those came to be that were read, in their order."""
    if isinstance(one, Problem):
        return one
    try:
        if isinstance(one, Unread):
            await intake.keep_unread(one.unplaced, one.error)
            return Kept()
        return await _fate(intake, one, next(placed), key)
    except DatabaseAway:
        return away()
    except Problem as problem:
        return problem


async def _fate(
    intake: Intake, contact: InboundMessage, placed: Placement | BaseException, key: str | None
) -> Placement | Problem | Kept:
    """Raises DatabaseAway, Problem."""
    if isinstance(placed, Placement):
        reused = placed.reused or (placed.conflict and key is not None)
        return _reused() if reused else placed
    if isinstance(placed, DatabaseAway):
        return away()
    await intake.keep("generic", contact, placed if isinstance(placed, NotTaken) else NotTaken(type(placed).__name__))
    return Kept()


def _as_json(result: Placement | Problem | Kept) -> dict[str, object]:
    if isinstance(result, Placement):
        return {"status": 201, **accepted(result)}
    if isinstance(result, Kept):
        return {"status": 202, **result.model_dump()}
    errors = [{"field": error.field, "reason": error.reason} for error in result.errors]
    return {"status": result.status, "code": result.code, "detail": result.detail, **({"errors": errors} if errors else {})}


def _items(body: bytes) -> list[object]:
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("body", "is no JSON") from None
    if not items or len(items) > LIST_CAP:
        error = FieldError("body", f"must hold 1 to {LIST_CAP} contacts")
        raise Problem(422, "invalid-request", "The list has no or too many contacts; send it in parts.", [error])
    return list(items)


def _contact(intake: Intake, caller: Caller, key: str | None, raw: bytes, digest: bytes, place: str) -> InboundMessage | Unread:
    """One contact of the body. Raises Problem."""
    body = _validated(raw, place)
    if intake.inboxes.current.named(body.inbox, body.channel) is None:
        error = FieldError(f"body{place}.inbox", f"no inbox of this id and channel '{body.channel}' is configured")
        raise Problem(422, "unknown-inbox", "The inbox is not known. Configure it with PUT /v1/inboxes/{id}.", [error])
    if body.also and not caller.may(IDENTIFY):
        error = FieldError(f"body{place}.also", f"needs a key with the scope {IDENTIFY}")
        raise Problem(403, "forbidden", "This key may not vouch for who somebody is. Leave `also` out.", [error])
    unnamed = f"{key}{place}" if key is not None else str(uuid4())
    request = RequestName(f"{caller.key_id}/{key}", digest) if key is not None else None
    inboxes = intake.inboxes.current
    try:
        return generic.parse(body, inboxes, caller=caller.key_id, unnamed=unnamed, request=request, raw=raw)
    except UnusableHandle as error:
        errors = [FieldError(f"body{place}.{error.field}", str(error))]
        raise Problem(422, "invalid-request", "The handle cannot be used; see errors.", errors) from None
    except Exception as error:  # noqa: BLE001 - what passed every check must not be lost for what is in it
        naming = Naming(generic.name_of(body, caller=caller.key_id, unnamed=unnamed), request=request)
        whose = generic.as_far_as_known(body, inboxes)
        return Unread(Unplaced("generic", body.inbox, raw, generic.MEDIA_TYPE, naming, whose), error)


def _validated(raw: bytes, place: str) -> ContactBody:
    try:
        return _BODY.validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(one["type"] == "json_invalid" for one in found):
        raise _malformed(f"body{place}", str(found[0]["msg"]))
    errors = [FieldError(f"body{place}{_path(one['loc'])}", str(one["msg"])) for one in found]
    raise Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", errors)


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _malformed(field: str, reason: str) -> Problem:
    return Problem(400, "malformed-json", "The body is not valid JSON.", [FieldError(field, reason)])


def _reused() -> Problem:
    detail = "This Idempotency-Key was used with another request. Use a new key for a new request."
    return Problem(422, "idempotency-key-reused", detail)
