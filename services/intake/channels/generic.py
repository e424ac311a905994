"""Contacts of any channel, posted by a connector of one's own as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, EncodedBytes, Field
from pydantic_core import PydanticCustomError

from services.intake.channels.clean import SUBJECT_LIMIT, clean_line, clean_text
from services.intake.channels.dangerous import is_dangerous
from services.intake.channels.language import direction_of, language_of
from services.intake.domain import handles, subjects
from services.intake.domain.contacts import NO_LABELS, REFS_CAP, Handle, InboundFile, InboundMessage, Labels, RequestName
from services.intake.domain.identity import TYPED, claimed
from services.intake.domain.inboxes import Inboxes
from services.intake.domain.threads import LETTERS
from shared.events.base import Channel, Priority, cut_text
from shared.events.message import Origin
from shared.events.people import HandleKind

PROVIDER = "generic"
MEDIA_TYPE = "application/json"
FILES_CAP = 20
FILE_BYTES = 10 * 2**20
Name = Annotated[str, Field(min_length=1, max_length=200)]
Label = Annotated[str, Field(min_length=1, max_length=100)]
ALSO_CAP = 10


class HandleBody(BaseModel):
    """How the person is reached. `scope`: the page, bot or number within which a provider's id means something."""

    model_config = ConfigDict(extra="forbid")

    kind: HandleKind
    value: Annotated[str, Field(min_length=1, max_length=handles.HANDLE_LIMIT)]
    scope: Annotated[str, Field(max_length=200)] = ""


class StrictBase64:
    """Base64 as pydantic's own reads it, but what is none is refused rather than read as something else."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Raises PydanticCustomError."""
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:
            raise PydanticCustomError("base64_decode", "is no base64") from None

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """The other way."""
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> Literal["base64"]:
        """For the contract."""
        return "base64"


class AttachmentBody(BaseModel):
    """A file: its name, its type and its content as base64 (RFC 4648, 4)."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=1000)] = ""
    media_type: Annotated[str, Field(pattern=r"^[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}$")] = "application/octet-stream"
    content: Annotated[bytes, EncodedBytes(encoder=StrictBase64), Field(max_length=FILE_BYTES)]


class ContactBody(BaseModel):
    """One message of a person. `id` is its name at the connector: the same id is the same message, however often it is sent.

    `also` are further handles of the person for which the connector vouches, as who they are logged in: a key that has the scope
    `intake:identify` besides may say them.
    """

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    inbox: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    text: Annotated[str, Field(max_length=1_000_000)]
    id: Name | None = None
    handle: HandleBody | None = None
    also: Annotated[tuple[HandleBody, ...], Field(max_length=ALSO_CAP)] = ()
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
    attachments: Annotated[tuple[AttachmentBody, ...], Field(max_length=FILES_CAP)] = ()


def file_content(raw: bytes, index: int) -> bytes:
    """The content of the file at `index` of a posted contact. Raises LookupError when there is none."""
    posted = json.loads(raw).get("attachments", [])
    if index >= len(posted):
        raise LookupError(f"no attachment {index}")
    return base64.b64decode(posted[index]["content"])


class UnusableHandle(ValueError):
    """A handle cannot be one of its kind, or cannot be said here; `field` is which, the message says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def parse(
    body: ContactBody, inboxes: Inboxes, *, caller: str, unnamed: str, request: RequestName | None, raw: bytes
) -> InboundMessage:
    """A posted contact. `unnamed` is its name when it has no id. Raises UnusableHandle."""
    inbox = inboxes.named(body.inbox, body.channel)
    text, cut = cut_text(clean_text(body.text))
    language = body.language or language_of(text)
    region = inbox.region if inbox else None
    handle, also = _handles(body, region)
    priority: Priority = body.priority
    plain = priority == 2 and body.topic is None and body.product is None and not body.tags
    files = _files(body) if body.attachments else ()
    content = [body.channel, body.inbox, handle.key if handle else "", body.subject, body.text, *(f.sha256 for f in files)]
    content += [one.key for one in also]
    return InboundMessage(
        provider=PROVIDER,
        dedup_key=name_of(body, caller=caller, unnamed=unnamed),
        content_hash=hashlib.sha256("\x1f".join(content).encode("utf-8", "replace")).hexdigest(),
        channel=body.channel,
        inbox=body.inbox,
        handle=handle,
        vouched=also,
        name=clean_line(body.name),
        subject=clean_line(body.subject, SUBJECT_LIMIT),
        text=text,
        text_cut=cut,
        language=language,
        direction=direction_of(text, language),
        origin=body.origin,
        files=files,
        provider_time=body.sent_at,
        reply_refs=tuple(clean_line(ref) for ref in body.in_reply_to),
        numbers=subjects.numbers(body.subject) if body.channel == "email" else (),
        message_ref=clean_line(body.id) if body.id is not None and body.channel in LETTERS else None,
        confirm=_confirms(body, handle) and inbox is not None and inbox.confirm and inbox.id in inboxes.by_id,
        request=request,
        labels=NO_LABELS if plain else Labels(priority, body.topic, body.product, body.tags),
        partner_id=inbox.partner_id if inbox else None,
        raw=raw,
        media_type=MEDIA_TYPE,
    )


def name_of(body: ContactBody, *, caller: str, unnamed: str) -> str:
    """By what a posted contact is known."""
    return f"{body.inbox}:{clean_line(body.id)}" if body.id is not None else f"{caller}/{unnamed}"


def as_far_as_known(body: ContactBody, inboxes: Inboxes) -> tuple[Handle, ...]:
    """Whose it is, of one that cannot be read: what is kept of it is forgotten with them."""
    try:
        inbox = inboxes.named(body.inbox, body.channel)
        handle, also = _handles(body, inbox.region if inbox else None)
    except Exception:  # noqa: BLE001 - it may be that which cannot be read
        return ()
    return (handle, *also) if handle is not None else also


def _handles(body: ContactBody, region: str | None) -> tuple[Handle | None, tuple[Handle, ...]]:
    """Who writes, and further handles of theirs. Raises UnusableHandle."""
    handle = _handle(body.handle, region, "handle")
    also = _also(body, handle, region) if body.also else ()
    return claimed(handle) if handle is not None and body.channel in TYPED else handle, also


def _files(body: ContactBody) -> tuple[InboundFile, ...]:
    return tuple(
        InboundFile(
            part=part,
            name=clean_line(one.name),
            media_type=one.media_type,
            size_bytes=len(one.content),
            sha256=hashlib.sha256(one.content).hexdigest(),
            dangerous=is_dangerous(one.name, one.media_type, one.content),
        )
        for part, one in enumerate(body.attachments)
    )


def _confirms(body: ContactBody, handle: Handle | None) -> bool:
    """Mail and forms are confirmed by e-mail, to people only, and only where the inbox is one that was set up."""
    return body.channel in ("email", "form") and body.origin == "human" and handle is not None and handle.kind == "email"


def _also(body: ContactBody, handle: Handle | None, region: str | None) -> tuple[Handle, ...]:
    """Each once. Where the handle itself is only typed in nobody knows who they are: nothing can be vouched for beside it."""
    if handle is None:
        raise UnusableHandle("also", "needs a handle beside it: the one that they wrote from")
    if body.channel in TYPED:
        raise UnusableHandle("also", f"is not possible on channel '{body.channel}', where handles are typed in")
    found = (_handle(one, region, f"also[{n}]") for n, one in enumerate(body.also))
    return tuple(one for one in dict.fromkeys(found) if one is not None and one != handle)


def _handle(body: HandleBody | None, region: str | None, field: str) -> Handle | None:
    if body is None:
        return None
    try:
        if body.kind == "email":
            return handles.email(body.value)
        if body.kind == "phone":
            return handles.phone(body.value, region)
    except handles.WrongHandle as error:
        raise UnusableHandle(f"{field}.value", str(error)) from None
    return Handle(body.kind, clean_line(body.value, handles.HANDLE_LIMIT), clean_line(body.scope))
