"""Web forms, posted by a browser as JSON or urlencoded. Answered with the ticket's number and a link to its status."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

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
JSON, URLENCODED = "application/json", "application/x-www-form-urlencoded"
FIELDS_CAP = 100  # of a urlencoded form
OWN_FIELDS_CAP = 30  # of a site beside ours; they travel with the message, with their names in so many bytes of UTF-8
OWN_FIELDS_BYTES = 8192
FIELD_NAME_LIMIT = 100
TEXT_LIMIT = 100_000
# The longest that each field of a person may be, in characters.
LIMITS = {"name": 1000, "email": handles.HANDLE_LIMIT, "phone": 60, "subject": 5000, "text": TEXT_LIMIT}
FILL_SECONDS = 2  # no person fills in a form faster
TOKEN_SECONDS = 7200
# How the names begin that a server's signature and a page's token give. Nobody else may give such a one.
SIGNED, BY_TOKEN = "signed:", "token:"


class FormBody(BaseModel):
    """What a form sends. `website` is a trap: people do not see the field, and what fills it in is no person. Fields of other
    names, such as the number of an order, come with the message.
    """

    model_config = ConfigDict(extra="allow")

    text: Annotated[str, Field(min_length=1, max_length=LIMITS["text"])]
    name: Annotated[str, Field(max_length=LIMITS["name"])] = ""
    email: Annotated[str, Field(max_length=LIMITS["email"])] = ""
    phone: Annotated[str, Field(max_length=LIMITS["phone"])] = ""
    subject: Annotated[str, Field(max_length=LIMITS["subject"])] = ""
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


def read(raw: bytes, media_type: str) -> FormBody:
    """A form as it came. Of fields of one name the last counts; of a site's own, which may be boxes to tick, all.

    Raises LookupError where it is of neither type, ValidationError, and ValueError where a urlencoded one has too many fields.
    """
    if media_type == JSON:
        return FormBody.model_validate_json(raw)
    if media_type != URLENCODED:
        raise LookupError(f"a form is {JSON} or {URLENCODED}")
    said: dict[str, list[str]] = {}
    for name, value in _pairs(raw):
        said.setdefault(name, []).append(value)
    ours = FormBody.model_fields
    return FormBody.model_validate({name: all_[-1] if name in ours else ", ".join(all_) for name, all_ in said.items()})


def typed(raw: bytes, media_type: str) -> tuple[tuple[str, str], ...]:
    """What a browser's form says, field by field, also where it cannot be taken; nothing where it is no such form."""
    try:
        return tuple(_pairs(raw)) if media_type == URLENCODED else ()
    except ValueError:
        return ()


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    return parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_CAP)


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


class Name(NamedTuple):
    """By what a submission is known; `unnamed` where nobody gave it a name."""

    key: str
    unnamed: bool


def said(name: str) -> str:
    """A name that whoever sends a form says: never one that a signature or a token gives."""
    name = clean_line(name)
    return f"said:{name}" if name.startswith((SIGNED, BY_TOKEN)) else name


def name_of(body: FormBody, inbox: Inbox, *, submission: str, unnamed: str) -> Name:
    """`submission` is its name, where the request gives one; `unnamed` where nothing does."""
    name = clean_line(submission) or said(body.submission_id)
    return Name(f"{inbox.id}:{name}", unnamed=False) if name else Name(f"{inbox.id}/{unnamed}", unnamed=True)


def handles_of(body: FormBody, inbox: Inbox) -> tuple[Handle | None, tuple[Handle, ...]]:
    """How they want to be answered, and a number that they gave beside an address; both only claimed. Raises Unusable."""
    handle = _handle(body, inbox)
    return handle, _also(body, inbox) if handle is not None and handle.kind == "email" else ()


def as_far_as_known(body: FormBody, inbox: Inbox) -> tuple[Handle, ...]:
    """Whose it is, of one that cannot be read: what is kept of it is forgotten with them."""
    try:
        handle, also = handles_of(body, inbox)
    except Exception:  # noqa: BLE001 - it may be that which cannot be read
        return ()
    return (handle, *also) if handle is not None else also


def parse(body: FormBody, inbox: Inbox, raw: bytes, media_type: str, *, submission: str, unnamed: str) -> InboundMessage:
    """A submission. `submission` is its name, where the page or an Idempotency-Key gives one; `unnamed` where nothing does: it
    is then the same again when somebody sends the same within minutes. Raises Unusable.
    """
    handle, also = handles_of(body, inbox)
    name = name_of(body, inbox, submission=submission, unnamed=unnamed)
    whole = clean_text(body.text)
    text, cut = cut_text(whole)
    own, own_cut = _own_fields(body)
    language = language_of(f"{body.subject}\n{text}")
    return InboundMessage(
        provider=PROVIDER,
        dedup_key=name.key,
        unnamed=name.unnamed,
        content_hash=_content_hash(body, inbox, whole),
        channel="form",
        inbox=inbox.id,
        handle=handle,
        also=also,
        fields=(("phone", clean_line(body.phone)), *own) if body.email.strip() and body.phone.strip() else own,
        name=clean_line(body.name),
        subject=clean_line(body.subject, SUBJECT_LIMIT),
        text=text,
        text_cut=cut or own_cut,
        language=language,
        direction=direction_of(text, language),
        confirm=inbox.confirm and handle is not None and handle.kind == "email",
        labels=Labels(topic=clean_line(body.topic) or None, product=clean_line(body.product) or None),
        partner_id=inbox.partner_id,
        raw=raw,
        media_type=media_type,
    )


def _content_hash(body: FormBody, inbox: Inbox, whole: str) -> str:
    said = [inbox.id, body.email, body.phone, body.subject, whole]
    if body.model_extra:
        said.append(json.dumps(body.model_extra, sort_keys=True))
    return hashlib.sha256("\x1f".join(said).encode()).hexdigest()


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


def _also(body: FormBody, inbox: Inbox) -> tuple[Handle, ...]:
    """The number that was given beside an address, where it can be one. Raises Unusable."""
    try:
        phone = handles.phone(body.phone, inbox.region)
    except handles.WrongHandle as error:
        raise Unusable("phone", str(error)) from None
    return (claimed(phone),) if phone is not None and phone.kind == "phone" else ()


def _own_fields(body: FormBody) -> tuple[tuple[tuple[str, str], ...], bool]:
    """What a site asks for besides, as text; and whether some of it is left out, because it is too much."""
    shown: dict[str, str] = {}
    left = OWN_FIELDS_BYTES
    for given, value in (body.model_extra or {}).items():
        name, said = clean_line(given, FIELD_NAME_LIMIT), clean_text(_as_text(value)).strip()
        if not said:
            continue
        text, cut = cut_text(said, max(0, left - len(name.encode())))
        if len(shown) == OWN_FIELDS_CAP or not text:
            return tuple(shown.items()), True
        shown[name] = text
        left -= len(name.encode()) + len(text.encode())
        if cut:
            return tuple(shown.items()), True
    return tuple(shown.items()), False


def _as_text(value: object) -> str:
    """A value of JSON, as somebody reads it."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return ", ".join(_as_text(one) for one in value)
    return json.dumps(value, ensure_ascii=False)
