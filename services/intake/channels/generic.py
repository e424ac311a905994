"""Contacts of any channel, posted by a connector of one's own as JSON."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.intake.channels.clean import SUBJECT_LIMIT, clean_line, clean_text
from services.intake.channels.language import direction_of, language_of
from services.intake.domain import handles
from services.intake.domain.contacts import NO_LABELS, REFS_CAP, Handle, InboundMessage, Labels, RequestName
from services.intake.domain.decide import LETTERS
from services.intake.domain.inboxes import Inboxes
from shared.events.base import Channel, Priority, cut_text
from shared.events.message import Origin
from shared.events.people import HandleKind

PROVIDER = "generic"
Name = Annotated[str, Field(min_length=1, max_length=200)]
Label = Annotated[str, Field(min_length=1, max_length=100)]


class HandleBody(BaseModel):
    """How the person is reached. `scope`: the page, bot or number within which a provider's id means something."""

    model_config = ConfigDict(extra="forbid")

    kind: HandleKind
    value: Annotated[str, Field(min_length=1, max_length=handles.HANDLE_LIMIT)]
    scope: Annotated[str, Field(max_length=200)] = ""


class ContactBody(BaseModel):
    """One message of a person. `id` is its name at the connector: the same id is the same message, however often it is sent."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    inbox: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    text: Annotated[str, Field(max_length=1_000_000)]
    id: Name | None = None
    handle: HandleBody | None = None
    name: Annotated[str, Field(max_length=1000)] = ""
    subject: Annotated[str, Field(max_length=5000)] = ""
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    origin: Origin = "human"
    sent_at: AwareDatetime | None = None
    in_reply_to: Annotated[tuple[Name, ...], Field(max_length=REFS_CAP)] = ()
    priority: Annotated[Literal[1, 2, 3, 4], Field(description="1 not urgent … 3 immediate, 4 urgent")] = 2
    topic: Label | None = None
    product: Label | None = None
    tags: Annotated[tuple[Label, ...], Field(max_length=20)] = ()


class UnusableHandle(ValueError):
    """The handle cannot be one of its kind; the message says why."""


def parse(
    body: ContactBody, inboxes: Inboxes, *, caller: str, unnamed: str, request: RequestName | None, raw: bytes
) -> InboundMessage:
    """A posted contact. `unnamed` is its name when it has no id. Raises UnusableHandle."""
    inbox = inboxes.named(body.inbox, body.channel)
    text, cut = cut_text(clean_text(body.text))
    language = body.language or language_of(text)
    handle = _handle(body.handle, inbox.region if inbox else None)
    priority: Priority = body.priority
    plain = priority == 2 and body.topic is None and body.product is None and not body.tags
    content = [body.channel, body.inbox, handle.key if handle else "", body.subject, body.text]
    return InboundMessage(
        provider=PROVIDER,
        dedup_key=f"{body.inbox}:{clean_line(body.id)}" if body.id is not None else f"{caller}/{unnamed}",
        content_hash=hashlib.sha256("\x1f".join(content).encode("utf-8", "replace")).hexdigest(),
        channel=body.channel,
        inbox=body.inbox,
        handle=handle,
        name=clean_line(body.name),
        subject=clean_line(body.subject, SUBJECT_LIMIT),
        text=text,
        text_cut=cut,
        language=language,
        direction=direction_of(text, language),
        origin=body.origin,
        provider_time=body.sent_at,
        reply_refs=tuple(clean_line(ref) for ref in body.in_reply_to),
        message_ref=clean_line(body.id) if body.id is not None and body.channel in LETTERS else None,
        confirm=_confirms(body, handle) and inbox is not None and inbox.confirm and inbox.id in inboxes.by_id,
        request=request,
        labels=NO_LABELS if plain else Labels(priority, body.topic, body.product, body.tags),
        partner_id=inbox.partner_id if inbox else None,
        raw=raw,
    )


def _confirms(body: ContactBody, handle: Handle | None) -> bool:
    """Mail and forms are confirmed by e-mail, to people only, and only where the inbox is one that was set up."""
    return body.channel in ("email", "form") and body.origin == "human" and handle is not None and handle.kind == "email"


def _handle(body: HandleBody | None, region: str | None) -> Handle | None:
    if body is None:
        return None
    try:
        if body.kind == "email":
            return handles.email(body.value)
        if body.kind == "phone":
            return handles.phone(body.value, region)
    except handles.WrongHandle as error:
        raise UnusableHandle(str(error)) from None
    return Handle(body.kind, clean_line(body.value, handles.HANDLE_LIMIT), clean_line(body.scope))
