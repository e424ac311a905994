"""Web forms: posted by a browser, from the sites that may, with a token where one is asked for; or by a signed server."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ValidationError

from services.intake.api import form_page, pages
from services.intake.api.edge import Intake, Kept, NotTaken, Parts, Unplaced, apart, body_of
from services.intake.api.form_page import Refused
from services.intake.channels import form, signed
from services.intake.channels.form import FormBody
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.handles import plus_stripped
from services.intake.domain.inboxes import Inbox
from services.intake.domain.speech import Speech
from services.intake.owners import owner_of
from services.intake.store.parked import Naming
from shared.db import DatabaseAway
from shared.http import FieldError, Problem, away
from shared.idempotency import IdempotencyKey, check_key

router = APIRouter()
BODY_BYTES = 2 * 2**20  # the longest text, each of its characters escaped
FORM_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")  # as inboxes are named
PREFLIGHT_SECONDS = "600"
_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": FormBody.model_json_schema()} for kind in (form.JSON, form.URLENCODED)},
    }
}


class FormAccepted(BaseModel):
    """What the customer is shown."""

    ticket_number: int
    status_url: str


class Token(BaseModel):
    """What a page brings back with the form, in the field `token`: after a few seconds, and before it expires."""

    token: str
    seconds_until_usable: int
    seconds_until_expired: int


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request proved about itself. `name` tells a repeat; empty where nothing names it. `trusted`: a server signed it."""

    name: str = ""
    trusted: bool = False


@router.post(
    "/v1/forms/{form_id}",
    status_code=201,
    openapi_extra=_SCHEMA,
    response_model=FormAccepted,
    responses={202: {"model": Kept}},
)
async def submit_form(form_id: str, request: Request, intake: Parts, idempotency_key: IdempotencyKey = None) -> Response:
    """A form was filled in. Answered with the ticket's number and its status link, as JSON, or as a page to a browser. What
    cannot be stored for a defect of ours is kept as it came (202).
    """
    inbox = _form(intake, form_id)
    speech = pages.speech_of(request, inbox.language)
    raw = b""
    try:
        async with _from_allowed(request, intake, inbox) as headers:
            raw = await body_of(request, BODY_BYTES)
            answer = await _submitted(request, intake, inbox, idempotency_key, raw)
    except Problem as problem:
        if pages.by_browser(request):
            return _refused(intake, inbox, Refused(form.typed(raw, _media_type(request)), problem), speech)
        raise
    if isinstance(answer, Kept):
        if pages.by_browser(request):
            return HTMLResponse(pages.kept(speech), 202, {**pages.HEADERS, **headers})
        return Response(answer.model_dump_json(), 202, headers, "application/json")
    if pages.by_browser(request):
        return Response(status_code=303, headers={**headers, "Location": answer.status_url})
    return Response(answer.model_dump_json(), 201, headers, "application/json")


@router.get("/v1/forms/{form_id}/token", response_model=Token)
async def form_token(form_id: str, request: Request, response: Response, intake: Parts) -> Token:
    """A token for a page that shows the form."""
    inbox = _form(intake, form_id)
    async with _from_allowed(request, intake, inbox) as headers:
        await intake.check_rate("form_token", f"{form_id} {_address(request)}", intake.settings.intake_form_per_minute)
    response.headers.update({**headers, "Cache-Control": "no-store"})
    return Token(
        token=new_token(intake, form_id),
        seconds_until_usable=form.FILL_SECONDS,
        seconds_until_expired=form.TOKEN_SECONDS,
    )


@router.options("/v1/forms/{form_id}", include_in_schema=False)
@router.options("/v1/forms/{form_id}/token", include_in_schema=False)
async def form_preflight(form_id: str, request: Request, intake: Parts) -> Response:
    """What a browser asks before a page of another site may post (the CORS protocol of https://fetch.spec.whatwg.org)."""
    async with _from_allowed(request, intake, _form(intake, form_id)) as headers:
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Content-Type, Idempotency-Key, Accept",
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        }
    return Response(status_code=204, headers={**headers, **allowed})


@router.get("/forms/{form_id}", response_class=HTMLResponse)
async def show_form(form_id: str, request: Request, intake: Parts) -> HTMLResponse:
    """The form as a page of our own, in the visitor's language (`?lang=he`); works without JavaScript."""
    inbox = _form(intake, form_id)
    if inbox.guard == "signature":
        raise Problem(404, "unknown-form", "This form is sent by servers; there is no page of it.")
    page = form_page.fresh(form_id, new_token(intake, form_id), pages.speech_of(request, inbox.language))
    return HTMLResponse(page, headers=form_page.headers(_own_origin(intake)))


def _refused(intake: Intake, inbox: Inbox, refused: Refused, speech: Speech) -> HTMLResponse:
    """The form as it was filled in, to be sent again; or why it was refused, where there is no form of our own to show it in."""
    problem = refused.problem
    if not refused.typed or inbox.guard == "signature":
        return HTMLResponse(form_page.refusal(problem, speech, inbox.id), problem.status, {**pages.HEADERS, **problem.headers})
    page = form_page.again(inbox.id, refused.token or new_token(intake, inbox.id), speech, refused)
    return HTMLResponse(page, problem.status, {**form_page.headers(_own_origin(intake)), **problem.headers})


def new_token(intake: Intake, form_id: str) -> str:
    """A token for one showing of a form."""
    return intake.signer.form_token(form_id, int(time.time()), os.urandom(8))


def _form(intake: Intake, form_id: str) -> Inbox:
    inbox = intake.inboxes.current.named(form_id, "form") if FORM_ID.fullmatch(form_id) else None
    if inbox is None:
        raise Problem(404, "unknown-form", "There is no such form. Configure it with PUT /v1/inboxes/{id}.")
    return inbox


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _address(request: Request) -> str:
    """Whose it is: who has one address of IPv6 has very many."""
    return owner_of(request.client.host) if request.client else "unknown"


@asynccontextmanager
async def _from_allowed(request: Request, intake: Intake, inbox: Inbox) -> AsyncIterator[dict[str, str]]:
    """The headers with which the page that asks may read the answer, a refusal too. Raises Problem 403 for another site; the
    form as a page of our own is none. A database that is away is a Problem, too.
    """
    origin = request.headers.get("origin")
    if origin is not None and inbox.origins and origin not in (*inbox.origins, _own_origin(intake)):
        raise Problem(403, "origin-not-allowed", "Pages of this site may not send the form. Add the site to the form's origins.")
    told = (
        {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After", "Vary": "Origin"}
        if origin is not None
        else {}
    )
    try:
        yield told
    except (Problem, DatabaseAway) as error:
        problem = error if isinstance(error, Problem) else away()
        problem.headers = {**problem.headers, **told}
        raise problem from None


def _own_origin(intake: Intake) -> str:
    """That of our own pages, as a browser says it."""
    url = urlsplit(intake.settings.public_url)
    return f"{url.scheme}://{url.netloc}".lower()


async def _submitted(request: Request, intake: Intake, inbox: Inbox, key: str | None, raw: bytes) -> FormAccepted | Kept:
    if key is not None:
        check_key(key)
    sent = _signed(request, intake, inbox, raw)
    if not sent.trusted:
        await intake.check_rate("form", f"{inbox.id} {_address(request)}", intake.settings.intake_form_per_minute, ["form"])
    media_type = _media_type(request)
    body = await apart(len(raw), lambda: _body(raw, media_type))
    if not sent.trusted:
        sent = _shown(intake, inbox, body)
    contact = await _contact(intake, inbox, body, raw, media_type, sent.name or form.said(key or ""))
    if contact is None:
        return Kept()
    if not sent.trusted:
        who = f"{inbox.id} {_writer(contact)}"
        await intake.check_rate("form_sender", who, intake.settings.intake_sender_per_minute, ["form"])
    return await _take(intake, contact)


def _signed(request: Request, intake: Intake, inbox: Inbox, raw: bytes) -> Submission:
    """What a server's signature proves. Raises Problem 401 when it is wrong, or missing where the form asks for one."""
    if inbox.guard != "signature" and not signed.is_signed(request.headers):
        return Submission()
    try:
        name = signed.verify(intake.webhook_secrets.get(inbox.id, ()), request.headers, raw)
    except signed.WrongSignature:
        detail = "The request is not signed with a secret of this form (Standard Webhooks), or its clock is off by minutes."
        raise Problem(401, "wrong-signature", detail) from None
    return Submission(f"{form.SIGNED}{name}", trusted=True)


def _shown(intake: Intake, inbox: Inbox, body: FormBody) -> Submission:
    """What a page's token proves, where one is asked for or given. Raises Problem 422."""
    if form.is_trapped(body):
        raise _wrong("website", "must be empty", "The field 'website' must stay empty.")
    if not body.token:
        if inbox.guard == "token":
            raise _wrong("token", "is missing", "Get a token from GET /v1/forms/{form}/token when the form is shown.")
        return Submission()
    token = intake.signer.read_form_token(inbox.id, body.token)
    problem = form.token_problem(token, int(time.time()))
    if token is None or problem is not None:
        raise _wrong("token", problem or "", "The form was open too long or too short. Load it again.")
    return Submission(f"{form.BY_TOKEN}{token.name}")


def _wrong(name: str, reason: str, detail: str) -> Problem:
    return Problem(422, "invalid-request", detail, [FieldError(f"body.{name}", reason)])


async def _contact(intake: Intake, inbox: Inbox, body: FormBody, raw: bytes, media_type: str, name: str) -> InboundMessage | None:
    """The submission; None where a defect of ours shows in it, and it is kept as it came. Raises Problem 422."""
    unnamed = str(uuid4())
    try:
        return await apart(len(raw), lambda: form.parse(body, inbox, raw, media_type, submission=name, unnamed=unnamed))
    except form.Unusable as error:
        raise _wrong(error.field, error.reason, "The form cannot be taken; see errors.") from None
    except Exception as error:  # noqa: BLE001 - what passed every check must not be lost for what is in it
        named = form.name_of(body, inbox, submission=name, unnamed=unnamed)
        whose = form.as_far_as_known(body, inbox)
        await intake.keep_unread(Unplaced("form", inbox.id, raw, media_type, Naming(*named), whose), error)
        return None


def _writer(contact: InboundMessage) -> str:
    """Whom their limit counts, however they write their address or number, and whatever stands behind a `+` in it."""
    if contact.handle is None:
        return ""
    return plus_stripped(contact.handle.value) if contact.handle.kind == "email" else contact.handle.key


async def _take(intake: Intake, contact: InboundMessage) -> FormAccepted | Kept:
    try:
        placement = await intake.take(contact)
    except NotTaken as error:
        await intake.keep("form", contact, error)
        return Kept()
    if placement.conflict:
        detail = "This submission was sent before with other words. Give it a new id, or load the form again."
        raise Problem(422, "idempotency-key-reused", detail)
    return FormAccepted(ticket_number=placement.number, status_url=intake.status_url(placement.ticket_id))


def _body(raw: bytes, media_type: str) -> FormBody:
    try:
        return form.read(raw, media_type)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(one["type"] == "json_invalid" for one in found):
            raise Problem(400, "malformed-json", "The body is not valid JSON.") from None
        errors = [FieldError(".".join(["body", *map(str, one["loc"])]), str(one["msg"])) for one in found]
        raise Problem(422, "invalid-request", "The form does not fit the contract; see errors.", errors) from None
    except ValueError:
        raise Problem(422, "invalid-request", f"The form has more than {form.FIELDS_CAP} fields.") from None
    except LookupError:
        raise Problem(415, "unsupported-media-type", f"Send the form as {form.JSON} or {form.URLENCODED}.") from None
