"""Mailgun: routes that forward mail, whole (`body-mime`) or taken apart, and event webhooks, today's (JSON) and the older (form).

Signature (Mailgun, "Securing Webhooks"): hex of HMAC-SHA256 over timestamp and token, with the signing key. It does not cover the
body: so a token is good for one content only (docs/providers.md).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

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
from services.intake.domain.contacts import RequestName, SentWord

SIGNED = ("timestamp", "token", "signature")
KINDS: Mapping[str, SentWord | None] = {
    "delivered": "delivered",
    "failed": "bounced",
    "bounced": "bounced",
    "rejected": "failed",
    "dropped": "failed",
    "complained": "complained",
    "opened": "read",
    "clicked": "read",
    "accepted": None,
    "stored": None,
    "unsubscribed": None,
}
OF_A_MAIL = frozenset({"body-mime", "body-plain", "body-html", "message-headers", "attachment-count"})
_SIGNED_BY = re.compile(r"(?:^|;)\s*d\s*=\s*([^;\s]{1,253})")
STORED = "the route stores files at Mailgun, where they are not fetched: let it forward"


def is_signed(timestamp: str, token: str, given: str, keys: Sequence[str]) -> bool:
    """Whether one of our keys made this signature."""
    told = given.encode("utf-8", "replace")
    content = (timestamp + token).encode("utf-8", "replace")
    made = [hmac.digest(key.encode(), content, hashlib.sha256).hex().encode() for key in keys]
    return token != "" and any(hmac.compare_digest(one, told) for one in made)


def signature_of(raw: bytes, content_type: str) -> tuple[str, str, str]:
    """Timestamp, token and signature of a request. Raises Unreadable, ValueError."""
    if form_data.media_type_of(content_type) == JSON:
        signature = mapping(mapping(loaded(raw)).get("signature"))
        timestamp, token, given = (text(signature.get(name)) for name in SIGNED)
    else:
        form = form_data.last_of(form_data.fields(raw, content_type))
        timestamp, token, given = (form[name].text() if name in form else "" for name in SIGNED)
    return timestamp, token, given


def read(raw: bytes, content_type: str) -> list[Piece]:
    """What a signed request says. Raises Unreadable."""
    if form_data.media_type_of(content_type) == JSON:
        return [_event(mapping(loaded(raw)))]
    try:
        form = form_data.fields(raw, content_type)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    last = form_data.last_of(form)
    if "event" in last:
        return [_older_event(form, raw)]
    if "attachments" in last:
        return [Unknown(STORED)]
    if not last.keys() & OF_A_MAIL:
        return [Unknown("it is neither a mail nor an event")]
    mime = last["body-mime"].content if "body-mime" in last else None
    carrier = None if mime is not None else (content_type, raw)
    envelope = _envelope(last)
    return [Mail(mime or mail_of(form), envelope, carrier, _request(form), _results(form, envelope))]


def mail_of(form: Sequence[Field]) -> bytes:
    """The mail that Mailgun took apart."""
    last = form_data.last_of(form)
    said = {name: one.text() for name, one in last.items() if one.file_name is None}
    cids = {text(field): cid for cid, field in _object(said.get("content-id-map")).items()}
    files = [
        composed.File(one.file_name, one.media_type, one.content, cids.get(one.name, ""))
        for one in form
        if one.file_name is not None
    ]
    return composed.mail(_headers(said), said.get("body-plain", ""), said.get("body-html", ""), files)


def _pairs(told: str) -> list[tuple[str, str]]:
    try:
        pairs = rows(loaded(told))
    except Unreadable:
        return []
    return [(text(pair[0]), text(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]


def _results(form: Sequence[Field], envelope: Envelope) -> str:
    """What Mailgun found out about the sender, in headers that it puts above the mail's own: those above the first Received. What
    stands below, and in fields of their names, anybody may have written. It does not say which signature is good.
    """
    told = [field for field in form if field.name.lower() == "message-headers"]
    headers = [(name.lower(), value) for name, value in _pairs(told[0].text())] if len(told) == 1 else []
    names = [name for name, _ in headers]
    own = dict(reversed(headers[: names.index("received")] if "received" in names else []))
    domains = {domain.lower() for name, value in headers if name == "dkim-signature" for domain in _SIGNED_BY.findall(value)}
    dkim = (domains.pop() if len(domains) == 1 else "", own.get("x-mailgun-dkim-check-result", ""))
    return authentication.results("mailgun", own.get("x-mailgun-spf", ""), envelope.sender or "", [dkim])


def _headers(said: Mapping[str, str]) -> list[tuple[str, str]]:
    headers = _pairs(said.get("message-headers", "[]"))
    there = {name.lower() for name, _ in headers}
    named = (("From", "from"), ("To", "recipient"), ("Subject", "subject"), ("Date", "Date"), ("Message-Id", "Message-Id"))
    return headers + [(name, said[key]) for name, key in named if name.lower() not in there and key in said]


def _envelope(last: Mapping[str, Field]) -> Envelope:
    recipients = last["recipient"].text().split(",") if "recipient" in last else []
    sender = last["sender"].text().strip() if "sender" in last else None
    return Envelope(sender, tuple(one.strip() for one in recipients if one.strip()))


def _request(form: Sequence[Field]) -> RequestName:
    """The token with all that came under it, but for what differs each time it is sent."""
    digest = hashlib.sha256()
    for one in sorted(form, key=lambda one: (one.name, one.content)):
        if one.name not in SIGNED:
            digest.update(b"%d:%s%d:" % (len(one.name), one.name.encode("utf-8", "replace"), len(one.content)))
            digest.update(one.content)
    return RequestName(f"mailgun/{form_data.last_of(form)['token'].text()}", digest.digest())


def _event(body: Mapping[str, Any]) -> Piece:
    event, signature = mapping(body.get("event-data")), mapping(body.get("signature"))
    name, status = text(event.get("event")), mapping(event.get("delivery-status"))
    if name not in KINDS:
        return Unknown("its event is not known")
    kind = KINDS[name]
    if name == "failed" and event.get("severity") == "temporary":
        kind = None  # Mailgun tries again
    ref = text(mapping(mapping(event.get("message")).get("headers")).get("message-id"))
    code = text(status.get("enhanced-code")) or text(status.get("code"))
    return Word(text(signature.get("token")), kind, (ref,), True, code, unix(event.get("timestamp")), dumped(body))


def _older_event(form: Sequence[Field], raw: bytes) -> Piece:
    """Our own variables come as fields too, of whatever name: an event's is the first that is one."""
    said = {name: one.text() for name, one in form_data.last_of(form).items() if one.file_name is None}
    name = next((told for one in form if one.name == "event" and (told := one.text()) in KINDS), None)
    if name is None:
        return Unknown("its event is not known")
    ref = said.get("Message-Id") or said.get("message-id", "")
    return Word(said.get("token", ""), KINDS[name], (ref,), True, said.get("code", ""), unix(said.get("timestamp")), raw)


def _object(value: str | None) -> Mapping[str, Any]:
    try:
        return mapping(loaded(value or "{}"))
    except Unreadable:
        return {}
