"""Web forms, posted by a browser as JSON or urlencoded. Answered with the ticket's number and a link to its status."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.intake.channels.clean import SUBJECT_LIMIT, clean_line, clean_text
from services.intake.channels.language import direction_of, language_of
from services.intake.domain import handles
from services.intake.domain.contacts import Handle, InboundMessage, Labels
from services.intake.domain.identity import claimed
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import FormToken
from shared.events.base import cut_text

PROVIDER = "form"
TEXT_LIMIT = 100_000
FILL_SECONDS = 2  # no person fills in a form faster
TOKEN_SECONDS = 7200


class FormBody(BaseModel):
    """What a form sends. `website` is a trap: people do not see the field, and what fills it in is no person."""

    model_config = ConfigDict(extra="ignore")

    text: Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT)]
    name: Annotated[str, Field(max_length=1000)] = ""
    email: Annotated[str, Field(max_length=handles.HANDLE_LIMIT)] = ""
    phone: Annotated[str, Field(max_length=60)] = ""
    subject: Annotated[str, Field(max_length=5000)] = ""
    topic: Annotated[str, Field(max_length=100)] = ""
    product: Annotated[str, Field(max_length=100)] = ""
    submission_id: Annotated[str, Field(max_length=200)] = ""
    website: Annotated[str, Field(max_length=5000)] = ""
    token: Annotated[str, Field(max_length=100)] = ""


class Unusable(ValueError):
    """A field cannot be used; `field` and `reason` say which and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def is_trapped(body: FormBody) -> bool:
    """Whether a machine filled it in."""
    return body.website.strip() != ""


def token_problem(token: FormToken | None, now_seconds: int) -> str | None:
    """What is wrong with the token that a form brought back; None when it is good."""
    if token is None:
        return "is not one of this form"
    age = now_seconds - token.issued_at_seconds
    if age < FILL_SECONDS:
        return f"was given less than {FILL_SECONDS} seconds ago"
    return f"is older than {TOKEN_SECONDS} seconds" if age > TOKEN_SECONDS else None


def parse(body: FormBody, inbox: Inbox, raw: bytes, media_type: str, *, submission: str, unnamed: str) -> InboundMessage:
    """A submission. `submission` is its name, where the page or an Idempotency-Key gives one; `unnamed` where nothing does: it
    is then the same again when somebody sends the same within minutes. Raises Unusable.
    """
    handle = _handle(body, inbox)
    whole = clean_text(body.text)
    text, cut = cut_text(whole)
    content = hashlib.sha256("\x1f".join([inbox.id, body.email, body.phone, body.subject, whole]).encode()).hexdigest()
    language = language_of(f"{body.subject}\n{text}")
    name = submission or body.submission_id
    return InboundMessage(
        provider=PROVIDER,
        dedup_key=f"{inbox.id}:{clean_line(name)}" if name else f"{inbox.id}/{unnamed}",
        unnamed=not name,
        content_hash=content,
        channel="form",
        inbox=inbox.id,
        handle=handle,
        name=clean_line(body.name),
        subject=clean_line(body.subject, SUBJECT_LIMIT),
        text=text,
        text_cut=cut,
        language=language,
        direction=direction_of(text, language),
        confirm=inbox.confirm and handle is not None and handle.kind == "email",
        labels=Labels(topic=clean_line(body.topic) or None, product=clean_line(body.product) or None),
        partner_id=inbox.partner_id,
        raw=raw,
        media_type=media_type,
    )


def _handle(body: FormBody, inbox: Inbox) -> Handle | None:
    try:
        if body.email.strip():
            return claimed(handles.email(body.email))
    except handles.WrongHandle as error:
        raise Unusable("email", str(error)) from None
    try:
        if body.phone.strip():
            phone = handles.phone(body.phone, inbox.region)
            return claimed(phone) if phone is not None else None
    except handles.WrongHandle as error:
        raise Unusable("phone", str(error)) from None
    raise Unusable("email", "is missing, and so is phone: give one of them, so that we can answer")
