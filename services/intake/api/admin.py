"""Inboxes, what came in as it came, and forgetting a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import erasing, spam_rules
from services.intake.api.edge import Intake, Parts
from services.intake.api.files import download
from services.intake.domain import handles
from services.intake.store import config, customers, erasure, payloads
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.configuring import version_after, version_said
from shared.events.base import Channel, Draft
from shared.events.config import FormGuard, InboxConfigured
from shared.events.people import CustomerErased
from shared.http import FieldError, IfMatch, Problem, check_match, etag

router = APIRouter()
Admin = Annotated[Caller, Depends(requires("admin"))]
InboxId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$", max_length=300)]


class InboxBody(BaseModel):
    """One of our own addresses, numbers or forms. `address` of a form is its id; numbers are written with `+`.

    Of forms: `origins` are the web sites that may post it from a browser, such as `https://www.example.com` (none: any);
    `guard` is what a submission must bring: a `token` of `GET /v1/forms/{form}/token`, the `signature` of a server (Standard
    Webhooks, with a secret of PATCHBAY_INTAKE_WEBHOOK_SECRETS), or nothing (`open`). Where it is not said, a new form asks for a
    token, and one that is changed for what it asked for before.

    `webhook`: replies to customers of this inbox are posted there, signed in the same way, for a connector to carry on.
    """

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    address: Annotated[str, Field(min_length=1, max_length=320)]
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] = "en"
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    confirm: bool = True
    partner_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    effective_from: AwareDatetime | None = None
    origins: Annotated[tuple[Origin, ...], Field(max_length=50)] = ()
    guard: FormGuard | None = None
    webhook: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+([/?][^\s#]*)?$", max_length=2000)] | None = None


class InboxShown(InboxBody):
    """An inbox as it is now."""

    id: str
    version: int
    guard: FormGuard


class Erased(BaseModel):
    """Under which ids the person was forgotten."""

    customer_ids: list[str]


@router.put("/v1/inboxes/{inbox_id}", response_model=InboxShown)
async def put_inbox(
    inbox_id: InboxId, body: InboxBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> InboxShown:
    """Make or change an inbox. To change one, send If-Match with the ETag that GET told."""
    if not body.address.isprintable() or (body.channel == "email" and not _is_address(body.address)):
        errors = [FieldError("body.address", "is no e-mail address" if body.channel == "email" else "is no plain text")]
        raise Problem(422, "invalid-request", "An inbox needs an address of its channel.", errors)

    async def put() -> InboxConfigured:
        async with db.transaction(intake.parts.engine) as conn:
            return await _put(conn, intake, inbox_id, body, if_match)

    stored = await db.retrying(put)
    intake.parts.outbox.wake.set()
    await intake.inboxes.refresh()
    response.headers["ETag"] = etag(stored.version)
    return _shown(stored)


def _is_address(text: str) -> bool:
    try:
        handles.email(text)
    except handles.WrongHandle:
        return False
    return True


async def _put(conn: AsyncConnection, intake: Intake, inbox_id: str, body: InboxBody, if_match: str | None) -> InboxConfigured:
    before = await config.locked_inbox(conn, inbox_id)
    check_match(if_match, before.version if before else None)
    now = await clock(conn)
    after = _configured(inbox_id, body, version_after(before), body.effective_from or now, _guard(body, before))
    other = await config.other_at(conn, after)
    if other is not None:
        errors = [FieldError("body.address", f"belongs to the inbox '{other}'")]
        raise Problem(409, "address-taken", "Another inbox has this address. Change that one first.", errors)
    await config.put_inbox(conn, after)
    await intake.parts.outbox.publish(conn, [version_said("inbox", inbox_id, after)], now)
    return after


@router.get("/v1/inboxes/{inbox_id}", response_model=InboxShown)
async def get_inbox(inbox_id: InboxId, response: Response, intake: Parts, _caller: Admin) -> InboxShown:
    """An inbox as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = await config.inbox(conn, inbox_id)
    if found is None:
        raise Problem(404, "unknown-inbox", "There is no such inbox.")
    response.headers["ETag"] = etag(found.version)
    return _shown(found)


def _guard(body: InboxBody, before: InboxConfigured | None) -> FormGuard:
    """Pages that post to a form are not shut out by a change that says nothing of its guard."""
    if body.guard is not None:
        return body.guard
    if before is not None and before.channel == body.channel:
        return before.guard
    return "token" if body.channel == "form" else "open"


def _configured(inbox_id: str, body: InboxBody, version: int, effective_from: datetime, guard: FormGuard) -> InboxConfigured:
    return InboxConfigured(
        id=inbox_id,
        version=version,
        effective_from=effective_from,
        channel=body.channel,
        address=body.address,
        language=body.language,
        region=body.region,
        confirm=body.confirm,
        partner_id=body.partner_id,
        origins=body.origins,
        guard=guard,
        webhook=body.webhook,
    )


def _shown(stored: InboxConfigured) -> InboxShown:
    return InboxShown(
        id=stored.id,
        version=stored.version,
        effective_from=stored.effective_from,
        channel=stored.channel,
        address=stored.address,
        language=stored.language,
        region=stored.region,
        confirm=stored.confirm,
        partner_id=stored.partner_id,
        origins=stored.origins,
        guard=stored.guard,
        webhook=stored.webhook,
    )


@router.get("/v1/messages/{message_id}/raw", response_class=Response)
async def get_raw_message(message_id: str, intake: Parts, _caller: Admin) -> Response:
    """A message as it came, byte for byte."""
    async with db.transaction(intake.parts.engine) as conn:
        payload = await payloads.raw(conn, message_id)
    return download(payload.body if payload else None, payload.media_type if payload else "")


@router.post("/v1/customers/{customer_id}/erase", response_model=Erased)
async def erase_customer(customer_id: str, intake: Parts, caller: Admin) -> Erased:
    """Forget a person under all ids: keys destroyed, rows scrubbed, every service told. Doing it again changes nothing."""

    async def erase() -> list[str]:
        async with db.transaction(intake.parts.engine) as conn:
            return await _erase(conn, intake, customer_id, caller.key_id)

    await erasing.prepare(intake.parts.engine, customer_id)
    ids = await db.retrying(erase)
    intake.parts.outbox.wake.set()
    return Erased(customer_ids=ids)


async def _erase(conn: AsyncConnection, intake: Intake, customer_id: str, requested_by: str) -> list[str]:
    ids = await _held(conn, customer_id)
    if not ids:
        raise Problem(404, "unknown-customer", "There is no such customer.")
    handles = await erasure.handles_of(conn, ids)
    if await erasure.is_done(conn, ids):
        return ids
    await intake.parts.keys.destroy(conn, ids)
    await erasure.scrub(conn, ids)
    await spam_rules.without(conn, intake.parts.outbox, handles, await clock(conn))
    fact = CustomerErased(customer_ids=tuple(ids), requested_by=requested_by)
    await intake.parts.outbox.publish(conn, [Draft(key=customer_id, data=fact, cause=f"erase:{customer_id}")], await clock(conn))
    return ids


async def _held(conn: AsyncConnection, customer_id: str) -> list[str]:
    """All ids of the person, held: no contact of theirs may be placed while they are forgotten. Handles first, as contacts and
    merges hold them; and again where somebody was merged with them meanwhile.
    """
    ids = await erasure.merge_set(conn, customer_id)
    while True:
        await customers.hold_handles(conn, ids)
        found = await erasure.merge_set(conn, customer_id, lock=True)
        if found == ids:
            await customers.hold_handles(conn, ids)  # and what a record gave them just before
            return ids
        ids = found
