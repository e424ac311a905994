"""Web forms, and the page that shows a customer how the ticket stands."""

from __future__ import annotations

import json
import time
from html import escape
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ValidationError

from services.intake.api.edge import Intake, NotTaken, Parts, not_taken
from services.intake.channels import form
from services.intake.channels.form import FormBody
from services.intake.domain import confirmation
from services.intake.domain.inboxes import Inbox
from services.intake.store import tickets
from services.intake.store.tickets import StatusPage
from shared import db
from shared.http import FieldError, Problem
from shared.idempotency import IdempotencyKey, check_key

router = APIRouter()
URLENCODED = "application/x-www-form-urlencoded"
FIELDS_CAP = 100
_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": FormBody.model_json_schema()} for kind in ("application/json", URLENCODED)},
    }
}


class FormAccepted(BaseModel):
    """What the customer is shown."""

    ticket_number: int
    status_url: str


class TicketStatus(BaseModel):
    """How a ticket stands."""

    number: int
    status: str
    opened_at: str
    changed_at: str
    answer_promised_by: str | None


@router.post("/v1/forms/{form_id}", status_code=201, openapi_extra=_SCHEMA, response_model=FormAccepted)
async def submit_form(form_id: str, request: Request, intake: Parts, idempotency_key: IdempotencyKey = None) -> Response:
    """A form was filled in. Answered with the ticket's number and its status link, as JSON, or as a page to a browser."""
    address = request.client.host if request.client else "unknown"
    if idempotency_key is not None:
        check_key(idempotency_key)
    inbox = intake.inboxes.current.named(form_id, "form")
    if inbox is None:
        raise Problem(404, "unknown-form", "There is no such form. Configure it with PUT /v1/inboxes/{id}.")
    intake.check_rate(form_id, address)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = await request.body()
    body = _body(raw, media_type)
    if form.is_trapped(body):
        raise Problem(
            422, "invalid-request", "The field 'website' must stay empty.", [FieldError("body.website", "must be empty")]
        )
    placement = await _submit(intake, inbox, body, raw, media_type, idempotency_key)
    answer = FormAccepted(ticket_number=placement[0], status_url=intake.status_url(placement[1]))
    if "text/html" in request.headers.get("accept", ""):
        return Response(status_code=303, headers={"Location": answer.status_url})
    return Response(answer.model_dump_json(), 201, None, "application/json")


async def _submit(intake: Intake, inbox: Inbox, body: FormBody, raw: bytes, media_type: str, key: str | None) -> tuple[int, str]:
    try:
        contact = form.parse(body, inbox, raw, media_type, submission=key or "", at_seconds=time.time())
    except form.Unusable as error:
        errors = [FieldError(f"body.{error.field}", error.reason)]
        raise Problem(422, "invalid-request", "The form cannot be taken; see errors.", errors) from None
    try:
        placement = await intake.take(contact)
    except NotTaken:
        raise not_taken() from None
    if placement.conflict:
        raise Problem(422, "idempotency-key-reused", "This submission was sent before with other words. Give it a new id.")
    return placement.number, placement.ticket_id


def _body(raw: bytes, media_type: str) -> FormBody:
    try:
        if media_type == URLENCODED:
            pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_CAP)
            return FormBody.model_validate(dict(pairs))
        if media_type == "application/json":
            return FormBody.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(one["type"] == "json_invalid" for one in found):
            raise Problem(400, "malformed-json", "The body is not valid JSON.") from None
        errors = [FieldError(".".join(["body", *map(str, one["loc"])]), str(one["msg"])) for one in found]
        raise Problem(422, "invalid-request", "The form does not fit the contract; see errors.", errors) from None
    except ValueError:
        raise Problem(422, "invalid-request", f"The form has more than {FIELDS_CAP} fields.") from None
    raise Problem(415, "unsupported-media-type", f"Send the form as application/json or {URLENCODED}.")


@router.get("/status/{token}", response_model=TicketStatus, responses={200: {"content": {"text/html": {}}}})
async def ticket_status(token: str, request: Request, intake: Parts) -> Response:
    """How a ticket stands, for whoever has its link: as JSON, or as a small page to a browser."""
    ticket_id = intake.signer.ticket_of_status(token)
    page = await _page(intake, ticket_id) if ticket_id is not None else None
    if page is None:
        raise Problem(404, "unknown-link", "This link is not one of ours, or was cut short. Use the whole link.")
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_html(page, intake.settings.intake_zone), headers=headers)
    status = TicketStatus(
        number=page.number,
        status=page.status,
        opened_at=page.opened_at.isoformat(),
        changed_at=page.changed_at.isoformat(),
        answer_promised_by=page.promised_by.isoformat() if page.promised_by else None,
    )
    return Response(json.dumps(status.model_dump()), headers=headers, media_type="application/json")


async def _page(intake: Intake, ticket_id: str) -> StatusPage | None:
    async with db.transaction(intake.parts.engine) as conn:
        return await tickets.page(conn, ticket_id)


def _html(page: StatusPage, zone: str) -> str:
    language = confirmation.language_for(page.language, "en")
    wording = confirmation.WORDINGS[language]
    number = escape(confirmation.number_text(page.number))
    status = escape(wording.status_names.get(page.status, page.status))
    promised = ""
    if page.promised_by is not None and page.status == "new":
        promised = f"<p>{escape(wording.promised.format(time=confirmation.time_text(page.promised_by, zone)))}</p>"
    changed = escape(confirmation.time_text(page.changed_at, zone))
    return (
        f'<!DOCTYPE html><html lang="{language}" dir="{wording.direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>#{page.number}</title><style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:3rem auto;"
        f"padding:0 1rem}}</style></head><body><h1>{number}</h1><p><strong>{status}</strong></p>{promised}"
        f"<p><small>{changed}</small></p></body></html>"
    )
