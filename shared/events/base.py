"""The envelope of every event, and the small types that facts are made of.

Envelope: CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), structured JSON, with the
extensions `seq`, `seen` and `traceparent`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1
from typing import Annotated, ClassVar, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import msgspec

EVENT_NAMESPACE = UUID("6f1d2a52-3b57-5e0e-9f0e-7d6a5c1b9a10")
_NAMESPACE = EVENT_NAMESPACE.bytes
TEXT_LIMIT_BYTES = 16 * 1024

_POSITION = re.compile(r"([0-9]{1,9}):([0-9]{1,10})")

Channel = Literal[
    "phone",
    "email",
    "sms",
    "chat",
    "form",
    "whatsapp",
    "telegram",
    "line",
    "messenger",
    "instagram",
    "facebook",
    "x",
    "linkedin",
    "review",
    "video",
    "in_person",
    "other",
]
Direction = Literal["ltr", "rtl"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]  # an instant; one without a zone is refused when it is read
Writer = Literal["intake", "routing", "sla", "metrics", "desk"]
Priority = Literal[1, 2, 3, 4]  # glossary: level one is not urgent, level three immediate; four is "urgent"


class Position(NamedTuple):
    """How far a writer has come on one key: the database's incarnation, and the `seq` within it. Compares in order.

    Written `3:17` in the envelope. The incarnation is part of it because numbers are issued again after a backup is
    restored, and a `seen` of 17 must then not cover the new 17.
    """

    incarnation: int
    seq: int

    def __str__(self) -> str:
        return f"{self.incarnation}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read `3:17`. Raises ValueError on anything else."""
        parts = _POSITION.fullmatch(text)
        if parts is None:
            raise ValueError(f"'{text[:40]}' is no position, such as 3:17")
        return cls(int(parts[1]), int(parts[2]))


NOTHING_SEEN = Position(0, 0)


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Personal data of one person: AES-256-GCM under the key of `customer_id`; `box` is base64 of nonce and ciphertext.

    An empty `box` says that the person was erased before the event was written.
    """

    customer_id: str
    box: str


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event says: its `data`. Each type names itself in TYPE (`noun.past_tense.vN`)."""

    TYPE: ClassVar[str]


class PersonalFact(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A fact that may carry personal data; PERSONAL is the shape of what is inside the box."""

    PERSONAL: ClassVar[type[msgspec.Struct]]
    personal: Sealed | None = None


FactT = TypeVar("FactT", bound=Fact, covariant=True)


@dataclass(frozen=True, slots=True)
class Event(Generic[FactT]):
    """A fact as it stands on the log."""

    id: str
    type: str
    writer: Writer
    position: Position
    key: str
    time: datetime
    data: FactT
    seen: Position = NOTHING_SEEN
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Draft(Generic[FactT]):
    """A fact decided but not yet written: the outbox gives it `seq`, `seen`, `id` and `time`.

    `cause` identifies what made it happen (an event id, an idempotency key): the same cause gives the same event id.
    `time` is set only when the fact is about another instant than the deciding one (a breach happens at its deadline).
    `personal` is sealed with the key of `person` when it is written. `traceparent` is that of the cause.
    """

    key: str
    data: FactT
    cause: str
    time: datetime | None = None
    person: str | None = None
    personal: msgspec.Struct | None = None
    traceparent: str | None = None


def event_id(cause: str, fact_type: str, key: str) -> str:
    """The id of the event of this type that `cause` brings about on `key`: the same each time it is derived."""
    return _uuid5(f"{cause}\n{fact_type}\n{key}")


def derived_id(*parts: str) -> str:
    """An id that is the same for the same parts; for tickets, messages, offers, so that a repeat makes no second one."""
    return _uuid5("\n".join(parts))


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(EVENT_NAMESPACE, name))` (RFC 9562, 5.5) at a fifth of its cost: nine are made for one contact."""
    digest = bytearray(sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


class Attachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file kept in intake's store, fetched by `id`. Its name is personal data and is not here. `dangerous`: it does more than
    show itself when it is opened. `inline`: it is shown inside the text.
    """

    id: str
    media_type: str
    size_bytes: int
    sha256: str
    dangerous: bool = False
    inline: bool = False


def cut_text(text: str, limit_bytes: int = TEXT_LIMIT_BYTES) -> tuple[str, bool]:
    """`text` as it may travel in an event: at most `limit_bytes` of UTF-8, never half a character; and whether it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return raw.decode("utf-8"), False
    return raw[:limit_bytes].decode("utf-8", "ignore"), True
