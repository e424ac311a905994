"""Requests of mail providers, damaged in what they say and proved afterwards as the provider proves them: so it is the parser
behind the proof that is tried.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast
from urllib.parse import urlencode

from services.intake.channels import form_data
from services.intake.channels.provided import Mail, Provider, StoredMail, Unknown, Unreadable
from services.intake.channels.taken_apart import read
from services.intake.domain.tokens import Signer
from tests.recorded.requests import all_recorded
from tests.services.intake import provider_requests as ask
from tests.services.intake.fuzzing import as_json, mutated, revalued
from tests.services.intake.provider_requests import Posted
from tests.services.intake.test_mail_providers import (
    events_about,
    from_mailgun,
    from_mailgun_whole,
    from_postmark,
    from_postmark_whole,
    from_sendgrid,
    from_sendgrid_whole,
    from_ses,
    from_ses_base64,
)

# What names a mail or an event: the same name would be a repeat.
NAMES = re.compile(rb'((?:message-id|sg_event_id|MessageID)"?[^<"]{0,8}(?:"Value": ?)?(?:"?<|")|"ID": ?(?=[0-9]))', re.IGNORECASE)
JSON = "application/json"
OLDER = {"event": "bounced", "code": "550", "message-id": "", "recipient": "ana@customers.example", "my_event": "opened"}


@dataclass(frozen=True)
class Seed:
    """A request before it is damaged: its body, of SNS the message in it, of Mailgun's events the event in it."""

    body: bytes
    content_type: str = JSON


@dataclass(frozen=True)
class Damaged:
    """A request to be made. `broken`: its own proof does not hold any more."""

    posted: Posted
    content_type: str
    broken: bool = False


def _mails(provider: str, folder: str, *ours: Callable[[], Posted]) -> list[Seed]:
    requests = [(posted.body, posted.headers["Content-Type"]) for posted in (way() for way in ours)]
    requests += [(one.body, one.content_type) for one in all_recorded(folder)]
    return [seed for body, kind in requests if (seed := _seed(provider, body, kind)) is not None]


def _seed(provider: str, body: bytes, content_type: str) -> Seed | None:
    if provider == "ses":
        return Seed(json.loads(body)["Message"].encode())
    if provider == "mailgun" and content_type.startswith(JSON):
        event = json.loads(body).get("event-data")
        return Seed(as_json(event)) if event else None
    return Seed(body, content_type)


@cache
def mails(name: str) -> list[Seed]:
    """Mails as a provider brings them; `sendgrid raw`: whole."""
    return {
        "mailgun": lambda: _mails("mailgun", "mailgun_inbound", from_mailgun, from_mailgun_whole),
        "sendgrid": lambda: _mails("sendgrid", "sendgrid_inbound", from_sendgrid),
        "sendgrid raw": lambda: _mails("sendgrid", "-", from_sendgrid_whole),
        "postmark": lambda: _mails("postmark", "postmark_inbound", from_postmark, from_postmark_whole),
        "ses": lambda: _mails("ses", "amazon_ses_inbound", from_ses, from_ses_base64),
    }[name]()


@cache
def events(provider: Provider, ref: str) -> list[Seed]:
    """Events about the mail of this Message-ID of ours, and recorded ones about mail of others."""
    ours = [_seed(provider, posted.body, posted.headers["Content-Type"]) for posted in events_about(ref)[provider]]
    if provider == "mailgun":
        ours.append(Seed(urlencode({**OLDER, "message-id": ref}).encode(), form_data.URLENCODED))
    folder = "amazon_ses_webhooks" if provider == "ses" else f"{provider}_webhooks"
    recorded = _mails(provider, folder)
    return [seed for seed in ours if seed is not None] * max(1, len(recorded) // len(ours)) + recorded


def damaged(rng: random.Random, provider: Provider, seed: Seed, number: int, where: str) -> Damaged:
    """The seed under a name of its own, damaged (of events not all) and then proved."""
    body = NAMES.sub(rb"\g<1>%d" % number, seed.body)
    if where == "events" and rng.random() < 0.3:
        body = seed.body  # as it is sent: what is damaged is hardly ever understood, nor a mail of ours under another name
    elif rng.random() < 0.6 and (said := _json(body)) is not None:
        body = as_json(revalued(rng, said))
    elif provider == "mailgun" and b"--\r\n" in body[-80:]:
        body = mutated(rng, body[: body.rindex(b"\r\n--")])  # its end is written with the signature
    else:
        body = mutated(rng, body)
    return _proved(provider, body, seed.content_type, number, where)


def _proved(provider: Provider, body: bytes, kind: str, number: int, where: str) -> Damaged:
    match provider:
        case "mailgun":
            return _of_mailgun(body, kind, f"{number:050d}", where)
        case "sendgrid":
            return Damaged(ask.sendgrid(body, {"Content-Type": kind}, where), kind)
        case "postmark":
            return Damaged(Posted(f"/v1/providers/postmark/{where}", body, ask.JSON), JSON)
        case "ses":
            return Damaged(ask.ses(body.decode("utf-8", "replace"), where, MessageId=f"sns-{number}"), JSON)


def _of_mailgun(body: bytes, kind: str, token: str, where: str) -> Damaged:
    """Mailgun's signature stands in the body: so it is written behind the damage, where the last of a name counts."""
    signed = ask.mailgun_signature(token)
    if kind.startswith(JSON):
        raw = b'{"event-data": %s, "signature": %s}' % (body, as_json(signed))
    elif kind.startswith(form_data.URLENCODED):
        raw = body + b"&" + urlencode(signed).encode()
    else:
        boundary = kind.partition("boundary=")[2].strip('"').encode()
        part = b'\r\n--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s'
        raw = body + b"".join(part % (boundary, name.encode(), value.encode()) for name, value in signed.items())
        raw += b"\r\n--%s--\r\n" % boundary
    return Damaged(
        Posted(f"/v1/providers/mailgun/{where}", raw, {"Content-Type": kind}), kind, broken=_is_broken(raw, kind, signed)
    )


def _is_broken(raw: bytes, kind: str, signed: dict[str, str]) -> bool:
    """Whether the damage to an event reached over its end to the signature."""
    if not kind.startswith(JSON):
        return False
    said = _json(raw)
    return not isinstance(said, dict) or said.get("signature") != signed


def _json(raw: bytes) -> object:
    try:
        return cast(object, json.loads(raw))
    except (ValueError, RecursionError):
        return None


def to_be_kept(provider: Provider, one: Damaged, signer: Signer) -> list[bytes]:
    """What of a request that was taken must be kept, each by itself or with all of the request: its mails, what is said of mail
    of ours, and what is not understood. What is said of other people's mail, and what says nothing, is left.
    """
    raw = one.posted.body
    try:
        pieces = read(provider, raw, one.content_type)
    except Unreadable:
        return [raw]
    assert len(pieces) >= _told(provider, raw, one.content_type), "a piece of the request was passed over"
    kept = []
    for piece in pieces:
        if isinstance(piece, Mail):
            kept.append(piece.raw)
        elif isinstance(piece, StoredMail):
            kept.append(raw)  # of a bucket that is none of ours
        elif isinstance(piece, Unknown):
            kept.append(raw if piece.raw is None else piece.raw)
        elif piece.kind is not None and any(signer.own_message(ref) for ref in piece.refs):
            kept.append(piece.raw)
    return kept


def _told(provider: Provider, raw: bytes, content_type: str) -> int:
    """How many things a request tells of at least, counted without the parser."""
    if provider == "sendgrid" and form_data.media_type_of(content_type) == JSON:
        said = json.loads(raw)
        return len(cast(Sequence[object], said)) if isinstance(said, list) else 1
    return 0 if provider == "ses" else 1
