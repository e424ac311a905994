"""Twilio SendGrid: Inbound Parse, whole (`email`) or taken apart, and the event webhook.

Signature (SendGrid, "Securing your Parse and Event Webhooks"): ECDSA on P-256 with SHA-256 over the timestamp's header and the
raw body; the public key is base64 of a SubjectPublicKeyInfo.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.intake.channels import authentication, composed, form_data
from services.intake.channels.email import Envelope
from services.intake.channels.form_data import Field
from services.intake.channels.provided import (
    JSON,
    Mail,
    Piece,
    Unknown,
    Unreadable,
    Word,
    dumped,
    loaded,
    mapping,
    rows,
    text,
    unix,
)
from services.intake.domain.contacts import SentWord

SPAM_SCORE = 5.0
DKIM_LIMIT = 4096
_SIGNED = re.compile(r"@([a-z0-9._-]{1,253})\s*:\s*([a-z]{1,20})")
KINDS: Mapping[str, SentWord | None] = {
    "delivered": "delivered",
    "bounce": "bounced",
    "dropped": "failed",
    "spamreport": "complained",
    "open": "read",
    "click": "read",
    "processed": None,
    "deferred": None,
    "unsubscribe": None,
    "group_unsubscribe": None,
    "group_resubscribe": None,
}


def is_signed(raw: bytes, timestamp: str, given: str, keys: Sequence[str]) -> bool:
    """Whether the holder of one of these keys signed it."""
    try:
        signature = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return False
    return timestamp != "" and any(_verifies(_key(key), signature, timestamp.encode("utf-8", "replace") + raw) for key in keys)


def check_key(key: str) -> None:
    """Raises ValueError when it is no public key of this kind."""
    _key(key)


@lru_cache(maxsize=16)
def _key(key: str) -> ec.EllipticCurvePublicKey:
    try:
        loaded_key = load_der_public_key(base64.b64decode("".join(key.split()), validate=True))
    except (ValueError, TypeError) as error:
        raise ValueError("it is no base64 of a public key") from error
    if not isinstance(loaded_key, ec.EllipticCurvePublicKey):
        raise ValueError("it is no key of an elliptic curve")
    return loaded_key


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def read(raw: bytes, content_type: str) -> list[Piece]:
    """What an authentic request says: events each by itself. Raises Unreadable."""
    if form_data.media_type_of(content_type) == JSON:
        body = loaded(raw)
        return [_event(one) for one in (body if isinstance(body, list) else [body])]
    try:
        form = form_data.fields(raw, content_type)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    last = form_data.last_of(form)
    if not last.keys() & {"email", "headers", "from", "text", "html"}:
        return [Unknown("it is neither a mail nor events")]
    envelope = _envelope(last)
    results = _results(last, envelope)
    if "email" in last:
        mime = last["email"].content
        spam = "spam_score" in last and _is_spam(last["spam_score"].text())
        whole = Mail(composed.judged(mime, spam=spam), envelope, results=results)
        return [whole if mime.strip() else Unknown("the mail is empty")]
    return [Mail(mail_of(form), envelope, (content_type, raw), results=results)]


def mail_of(form: Sequence[Field]) -> bytes:
    """The mail that SendGrid took apart. Each field is in the charset that `charsets` names."""
    last = form_data.last_of(form)
    charsets, about = _object(last.get("charsets")), _object(last.get("attachment-info"))
    said = {name: one.text(text(charsets.get(name)) or "utf-8") for name, one in last.items() if one.file_name is None}
    files = [_file(one, mapping(about.get(one.name))) for one in form if one.file_name is not None]
    return composed.mail(_headers(said), said.get("text", ""), said.get("html", ""), files)


def _file(one: Field, about: Mapping[str, Any]) -> composed.File:
    name = text(about.get("filename")) or one.file_name or ""
    return composed.File(name, text(about.get("type")) or one.media_type, one.content, text(about.get("content-id")))


def _headers(said: Mapping[str, str]) -> list[tuple[str, str]]:
    """SendGrid gives the headers as they came; where it does not, what it made of them."""
    headers: list[tuple[str, str]] = []
    for line in said.get("headers", "").splitlines():
        if line[:1] in (" ", "\t") and headers:
            headers[-1] = (headers[-1][0], headers[-1][1] + line)
        elif ":" in line:
            name, _, value = line.partition(":")
            headers.append((name.strip(), value.strip()))
    there = {name.lower() for name, _ in headers}
    named = (("From", "from"), ("To", "to"), ("Cc", "cc"), ("Subject", "subject"))
    judged = [composed.JUDGED] if _is_spam(said.get("spam_score", "")) else []
    return judged + headers + [(name, said[key]) for name, key in named if name.lower() not in there and key in said]


def _is_spam(score: str) -> bool:
    """By SpamAssassin's own limit, whose score it is."""
    try:
        return float(score) >= SPAM_SCORE
    except ValueError:
        return False


def _envelope(last: Mapping[str, Field]) -> Envelope:
    envelope = _object(last.get("envelope"))
    sender = envelope.get("from")
    recipients = tuple(one for one in rows(envelope.get("to")) if isinstance(one, str))
    return Envelope(sender if isinstance(sender, str) else None, recipients)


def _results(last: Mapping[str, Field], envelope: Envelope) -> str:
    """What SendGrid found out about the sender: `SPF` is a word, `dkim` such as `{@example.com : pass}`."""
    spf, dkim = (last[name].text() if name in last else "" for name in ("SPF", "dkim"))
    return authentication.results("sendgrid", spf, envelope.sender or "", _SIGNED.findall(dkim[:DKIM_LIMIT].lower()))


def _object(one: Field | None) -> Mapping[str, Any]:
    try:
        return mapping(loaded(one.content)) if one is not None else {}
    except Unreadable:
        return {}


def _event(said: object) -> Piece:
    event, raw = mapping(said), dumped(said)
    name = text(event.get("event"))
    if name not in KINDS:
        return Unknown("its event is not known", raw)
    key = text(event.get("sg_event_id")) or f"{text(event.get('smtp-id'))}:{name}:{text(event.get('timestamp'))}"
    hard = event.get("type") != "blocked"
    return Word(
        key, KINDS[name], (text(event.get("smtp-id")),), hard, text(event.get("status")), unix(event.get("timestamp")), raw
    )
