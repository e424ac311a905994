"""What mail providers' requests have in common: mails, and words about mails of ours, each understood or not by itself."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

from msgspec.structs import replace

from services.intake.channels import email
from services.intake.channels.authentication import NO_BORDER, Border
from services.intake.channels.clean import clean_line
from services.intake.channels.email import Envelope
from services.intake.domain.contacts import Contact, DeliveryWord, InboundMessage, RequestName, SentWord
from services.intake.domain.inboxes import Inbox, Inboxes
from services.intake.domain.tokens import Signer

Provider = Literal["mailgun", "sendgrid", "postmark", "ses"]
PROVIDERS: frozenset[Provider] = frozenset({"mailgun", "sendgrid", "postmark", "ses"})
JSON = "application/json"
CODE_LIMIT = 60
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_CLOCK_LIMIT = 1e11  # seconds; more is no instant of our age


class Unreadable(ValueError):
    """An authentic request that cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail of a request. `carrier` is what is kept of the request where the mail itself was taken apart: its type and body.
    `results`: what the provider says beside the mail that it found out about the sender (`authentication.results`).
    """

    raw: bytes
    envelope: Envelope
    carrier: tuple[str, bytes] | None = None
    request: RequestName | None = None
    results: str = ""


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail that stands in a bucket of S3 under this key, with what its provider found out about it."""

    bucket: str
    key: str
    envelope: Envelope
    spam: bool = False
    infected: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """What is said about a mail that went out. `kind` None: understood, and nothing to say. `refs`: Message-IDs it may have."""

    dedup_key: str
    kind: SentWord | None
    refs: tuple[str, ...] = ()
    hard: bool = True
    code: str = ""
    at: datetime | None = None
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An authentic piece that says nothing known. `raw` None: the whole request."""

    reason: str
    raw: bytes | None = None


Piece = Mail | StoredMail | Word | Unknown


@dataclass(frozen=True, slots=True)
class ProviderSecrets:
    """By what requests are known as a provider's. Of each, any one is good: so they can be changed without a gap. A credential
    that begins with a provider's name and `=` is its alone. Raises ValueError where nothing stands behind that.
    """

    mailgun: tuple[str, ...] = ()
    sendgrid_inbound: tuple[str, ...] = ()
    sendgrid_events: tuple[str, ...] = ()
    ses_topics: frozenset[str] = frozenset()
    credentials: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(credential for _, credential in map(provider_of, self.credentials)):
            raise ValueError("no credential stands behind the name of a provider and its =")

    def credentials_of(self, provider: Provider) -> tuple[str, ...]:
        """Of which its requests must bring one, where there are any: its own, and those that are nobody's alone. Of SNS only its
        own are asked: its signature proves all that it says, and the 401 by which a password is asked for is final to it.
        """
        asked = (provider,) if provider == "ses" else (None, provider)
        return tuple(credential for named, credential in map(provider_of, self.credentials) if named in asked)


def provider_of(entry: str) -> tuple[Provider | None, str]:
    """Whose alone a credential is (`sendgrid=user:password`), None where nobody's, and the credential."""
    named = next((provider for provider in PROVIDERS if entry.startswith(f"{provider}=")), None)
    return (None, entry) if named is None else (named, entry.removeprefix(f"{named}="))


@dataclass(slots=True)
class Sorted:
    """What a request comes to. `stored` are mails that are still to be fetched. `others` counts words about mails that are none
    of ours: an account may send more than we do; `own` mails of ours that came round.
    """

    contacts: list[Contact] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    stored: list[StoredMail] = field(default_factory=list)
    others: int = 0
    own: int = 0


def sort(pieces: Sequence[Piece], provider: Provider, inboxes: Inboxes, signer: Signer, border: Border = NO_BORDER) -> Sorted:
    """The pieces as contacts; what cannot be one, with its reason."""
    result = Sorted()
    for piece in pieces:
        if isinstance(piece, Unknown):
            result.unknown.append(piece)
        elif isinstance(piece, StoredMail):
            result.stored.append(piece)
        elif isinstance(piece, Mail):
            contact = _contact(piece, provider, inboxes, signer, border)
            if contact is None:
                result.unknown.append(Unknown(email.OWN_LOOP))
                result.own += 1
            else:
                result.contacts.append(contact)
        elif piece.kind is not None:
            word = _word(piece, piece.kind, provider, signer)
            result.contacts += [word] if word is not None else []
            result.others += word is None
    return result


def _contact(piece: Mail, provider: Provider, inboxes: Inboxes, signer: Signer, border: Border) -> Contact | None:
    results = piece.results if provider in border.telling else ""
    contact = email.parse(piece.raw, piece.envelope, inbox_of(piece.envelope, inboxes), signer, border, inboxes, results)
    if not isinstance(contact, InboundMessage):
        return contact
    told = brought_by(contact, provider, piece.request)
    return told if piece.carrier is None else replace(told, media_type=piece.carrier[0], raw=piece.carrier[1])


def brought_by(mail: InboundMessage, provider: Provider, request: RequestName | None = None) -> InboundMessage:
    """The mail as one that this provider brought; it is known by the names that mail has whichever way it comes."""
    return replace(mail, provider=provider, names=email.PROVIDER, request=request)


def inbox_of(envelope: Envelope, inboxes: Inboxes) -> Inbox:
    """The first of ours that it was sent to. What is authentic is never turned away, whatever it was sent to."""
    found = (inboxes.at("email", address) for address in envelope.recipients)
    return next(filter(None, found), None) or inboxes.at_or_default("email", next(iter(envelope.recipients), ""))


def _word(piece: Word, kind: SentWord, provider: Provider, signer: Signer) -> DeliveryWord | None:
    own = next(filter(None, (signer.own_message(ref) for ref in piece.refs)), None)
    if own is None:
        return None
    return DeliveryWord(
        provider=provider,
        dedup_key=clean_line(piece.dedup_key),
        kind=kind,
        message_id=own.message_id,
        hard=piece.hard,
        code=clean_line(piece.code, CODE_LIMIT),
        provider_time=piece.at,
        raw=piece.raw,
    )


def loaded(raw: bytes | str) -> Any:
    """JSON. Raises Unreadable."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable("it is no JSON") from None


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A text or a number as text; empty for all else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def rows(value: object) -> list[Any]:
    """A JSON array; an empty one where there is none."""
    return value if isinstance(value, list) else []


def dumped(value: object) -> bytes:
    """One piece of a request by itself."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def unix(value: object) -> datetime | None:
    """An instant told in seconds since 1970."""
    try:
        seconds = float(text(value))
        return datetime.fromtimestamp(seconds, UTC) if abs(seconds) < _CLOCK_LIMIT else None
    except (ValueError, OverflowError, OSError):
        return None


def mail_bytes(content: str) -> bytes:
    """A mail that stands as text in JSON: bytes that were no UTF-8 as they were, half characters as question marks."""
    return _HALVES.sub("?", content).encode("utf-8", "surrogateescape")


def iso(value: object) -> datetime | None:
    """An instant told as ISO 8601, also with more digits than Python reads."""
    try:
        at = datetime.fromisoformat(text(value))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def proof(authorization: str, query: str, credentials: Sequence[str]) -> Literal["right", "wrong", "missing"]:
    """Whether a request carries one of our credentials: `user:password` as basic authentication, others as `?token=`."""
    given = []
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given.append(base64.b64decode(value.strip(), validate=True))
        except (binascii.Error, ValueError):
            return "wrong"
    tokens = [value for name, value in parse_qsl(query) if name == "token"]
    given += [token.encode("utf-8", "replace") for token in tokens if ":" not in token]
    if not given:
        return "missing"
    known = [one.encode() for one in credentials]
    holds = [hmac.compare_digest(one, other) for one in given for other in known]
    return "right" if any(holds) else "wrong"
