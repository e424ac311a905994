"""Requests of mail providers that another project recorded, with what it read in them: on the real edge, by the real parsers.

Where ours differs on purpose, ON_PURPOSE says why.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import httpx

from services.intake.channels import content, mime
from services.intake.channels.provided import Mail, Piece, StoredMail, Unknown, Unreadable, Word
from services.intake.channels.sns import Sns
from services.intake.channels.taken_apart import read
from services.intake.domain.contacts import SentWord
from services.intake.settings import IntakeSettings
from tests.recorded.requests import Recorded, recorded
from tests.recorded.sets import Database, Known, Outcome, RecordedSet
from tests.services.intake import provider_requests as ask
from tests.services.intake.world import World, process

NAMES = {"mailgun": "Mailgun", "sendgrid": "SendGrid", "postmark": "Postmark", "amazon_ses": "Amazon SES"}
KINDS: dict[str, SentWord | None] = {
    "delivered": "delivered",
    "bounced": "bounced",
    "rejected": "failed",
    "failed": "failed",
    "complained": "complained",
    "opened": "read",
    "clicked": "read",
    "queued": None,
    "sent": None,
    "deferred": None,
    "unsubscribed": None,
    "subscribed": None,
}
# Recordings that come to something else here: why that is meant so, and the mark of what each comes to.
_REASONS: dict[str, dict[str, str]] = {
    "a webhook set to the other URL loses nothing: both URLs take both": {
        "amazon_ses_inbound/test_incorrect_tracking_event__AmazonSESInboundTests_1": "fbdb74e",
        "mailgun_inbound/test_misconfigured_tracking__MailgunInboundTestCase_1": "e45b283",
        "mailgun_inbound/test_misconfigured_tracking_legacy__MailgunInboundTestCase_1": "5fb3b29",
        "mailgun_webhooks/test_misconfigured_inbound__MailgunLegacyTestCase_1": "5c884e5",
        "postmark_inbound/test_misconfigured_tracking__PostmarkInboundTestCase_1": "e435018",
        "postmark_webhooks/test_misconfigured_inbound__PostmarkDeliveryTestCase_1": "1d8fe7d",
    },
    "what is authentic and not understood is kept and answered with 200": {
        "amazon_ses_webhooks/test_incorrect_received_event__AmazonSESNotificationsTests_1": "6e7706f",
        "mailgun_inbound/test_misconfigured_store_action__MailgunInboundTestCase_1": "ed935e2",
        "postmark_webhooks/test_misconfigured_inbound__PostmarkDeliveryTestCase_2": "bbee989",
        "sendgrid_inbound/test_not_supported_warning__SendgridInboundTestCase_1": "f5b4c4a",
    },
    "the mail is fetched from S3 afterwards, and the recording does not hold it": {
        "amazon_ses_inbound/test_inbound_s3__AmazonSESInboundTests_1": "94337f1",
        "amazon_ses_inbound/test_inbound_s3_failure_message__AmazonSESInboundTests_1": "0c6a76f",
    },
    "the event's own instant, there that of SNS": {
        "amazon_ses_webhooks/test_bounce_event__AmazonSESNotificationsTests_1": "7087a91",
        "amazon_ses_webhooks/test_click_event__AmazonSESNotificationsTests_1": "a0061d7",
        "amazon_ses_webhooks/test_delivery_event__AmazonSESNotificationsTests_1": "eeb0db4",
        "amazon_ses_webhooks/test_open_event__AmazonSESNotificationsTests_1": "f46d9e4",
    },
    "SNS is known by its signature and our topic; the failing client of the recording is not played": {
        "amazon_ses_webhooks/test_sns_subscription_confirmation_auth_disabled__AmazonSESSubscriptionManagementTests_1": "e2cc117",
        "amazon_ses_webhooks/test_sns_subscription_confirmation_failure__AmazonSESSubscriptionManagementTests_1": "5e20f57",
    },
    "the text of a mail that is attached is not the mail's": {
        "mailgun_inbound/test_attachments__MailgunInboundTestCase_1": "04cdbc9",
        "sendgrid_inbound/test_attachments__SendgridInboundTestCase_1": "3847f10",
    },
    "a file without a usable name is kept without a name": {
        "mailgun_inbound/test_filtered_attachment_filenames__MailgunInboundTestCase_1": "068d606",
        "sendgrid_inbound/test_filtered_attachment_filenames__SendgridInboundTestCase_1": "48352e7",
    },
    "of two files with one Content-ID the recording names one": {
        "mailgun_inbound/test_unusual_content_id_map__MailgunInboundTestCase_1": "65d29f5",
    },
    "nothing is taken from a provider that cannot be told from others": {
        "postmark_webhooks/test_warns_if_no_auth__PostmarkWebhookSecurityTestCase_1": "d3d2ad5",
        "sendgrid_webhooks/test_warns_if_no_auth__SendGridWebhookSecurityTestCase_1": "689f64c",
    },
}
ON_PURPOSE = {name: Known(why, mark) for why, marks in _REASONS.items() for name, mark in marks.items()}


def run(folder: Path, database: Database) -> Iterator[Outcome]:
    """Each recorded request on a process of intake that is set up for it; those that want the same settings on the same one."""
    requests = {file.stem: recorded(file) for file in sorted(folder.glob("*.json"))}
    outcomes = asyncio.run(_outcomes({name: _signed(one) for name, one in requests.items()}, database()))
    for name, one in requests.items():
        miss = outcomes[name]
        yield Outcome(name, miss, _came(one) if miss else "")


def _came(one: Recorded) -> str:
    """All that is read in it here."""
    try:
        return repr(read(one.provider, one.body, one.content_type))
    except Unreadable as error:
        return str(error)


async def _outcomes(requests: Mapping[str, Recorded], database: str) -> dict[str, str]:
    alike: dict[str, list[str]] = {}
    for name, one in requests.items():
        alike.setdefault(json.dumps(_settings(one), sort_keys=True), []).append(name)
    outcomes: dict[str, str] = {}
    for names in alike.values():
        async with process(database, **_settings(requests[names[0]])) as world:
            world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
            for name in names:
                outcomes[name] = await _outcome(world, requests[name])
    return outcomes


async def _outcome(world: World, one: Recorded) -> str:
    status = (await world.http.post(one.path, content=one.body, headers=one.headers)).status_code
    parked = await _parked(world)
    if one.status is None:
        return f"refused there as set up wrongly, {'kept' if parked else 'taken'} here" if status == 200 else ""
    if (status < 300) != (one.status < 300):
        return f"answered {one.status} there, {status} here"
    return _difference(one) if status < 300 else ""


async def _parked(world: World) -> bool:
    found = await world.count("parked_contact") > 0
    await world.execute("DELETE FROM intake.parked_contact")
    await world.execute("UPDATE intake.message SET request = NULL")  # several recordings share a token
    return found


def _settings(one: Recorded) -> dict[str, object]:
    said = one.settings
    secret = said.get("WEBHOOK_SECRET") or []
    secrets = [secret] if isinstance(secret, str) else secret
    verification = "".join(str(said.get("SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY", "")).split())
    key = said.get("ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY") or said.get("ANYMAIL_MAILGUN_API_KEY") or ""
    values: dict[str, object] = {
        "intake_provider_credentials": ",".join(f"{one.provider}={word}" for word in secrets),
        "intake_mailgun_keys": key,
        "intake_sendgrid_event_keys": verification,
        "intake_ses_topics": json.loads(one.body).get("TopicArn", "") if one.provider == "ses" else "",
    }
    return {name: value for name, value in values.items() if value and name in IntakeSettings.model_fields}


def _signed(one: Recorded) -> Recorded:
    """The recorded messages of SNS carry no signature, or that of a certificate that nobody has: here they get ours."""
    if one.provider != "ses":
        return one
    message = json.loads(one.body)
    left_out = ("Message", "Signature", "SigningCertURL", "SignatureVersion")
    plain = {name: value for name, value in message.items() if name not in left_out}
    posted = ask.ses(message["Message"], version="1", **{"TopicArn": ask.TOPIC, **plain})
    return Recorded(one.provider, one.path, one.headers, posted.body, one.status, one.events, one.settings)


def _difference(one: Recorded) -> str:
    try:
        pieces = read(one.provider, one.body, one.content_type)
    except Unreadable as error:
        return f"cannot be read: {error}" if one.events else ""
    told = [piece for piece in pieces if one.events or not isinstance(piece, Unknown)]
    if len(told) != len(one.events):
        return f"{len(one.events)} events there, {len(told)} here"
    wrong = [why for piece, event in zip(told, one.events, strict=True) if (why := _compared(piece, event))]
    return "; ".join(wrong)


def _compared(piece: Piece, event: dict[str, Any]) -> str:
    if isinstance(piece, Mail):
        return _mail(piece, event["message"]) if event["event_type"] == "inbound" else "a mail here"
    if isinstance(piece, StoredMail):
        return f"to be fetched here from {piece.bucket}, where it is {piece.key}"
    if isinstance(piece, Unknown):
        return "" if event["event_type"] == "unknown" else f"not understood: {piece.reason}"
    return _word(piece, event)


def _word(piece: Word, event: dict[str, Any]) -> str:
    if event["event_type"] not in KINDS or KINDS[event["event_type"]] != piece.kind:
        return f"{event['event_type']} there, {piece.kind} here"
    ref = event["message_id"]
    if ref and ref.startswith("<") and ref.strip("<>") not in {one.strip("<>") for one in piece.refs}:
        return f"{ref} there, {piece.refs} here"
    at = datetime.fromisoformat(event["timestamp"]) if event["timestamp"] else None
    if piece.kind and at is not None and piece.at is not None and abs((at - piece.at).total_seconds()) >= 1:
        return f"at {at} there, {piece.at} here"
    return ""


def _mail(piece: Mail, expected: dict[str, Any]) -> str:
    parsed = mime.parse(piece.raw)
    body = content.body(parsed)
    sender = [address for _, address in mime.addresses(parsed, "From")][:1]
    files = {file.name for file in body.files}
    named = {*(one["filename"] for one in expected["attachments"]), *(one["filename"] for one in expected["inlines"].values())}
    pairs = {
        "sender": (parseaddr(expected["from_email"] or "")[1] or None, sender[0] if sender else None),
        "subject": (expected["subject"] or None, mime.header(parsed, "Subject") or None),
        "text": (_words(expected["text"]), _words(body.plain)),
        "html": (_words(expected["html"]), _words(body.html)),
        "files": (sorted({_base(name) for name in named if name}), sorted({_base(name) for name in files if name})),
        "number of files": (len(expected["attachments"]) + len(expected["inlines"]), len(body.files)),
        "envelope's sender": (expected["envelope_sender"], piece.envelope.sender or None),
    }
    return "; ".join(f"{what} {there!r} there, {here!r} here" for what, (there, here) in pairs.items() if there != here)


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def loose(folder: Path, _database: Database) -> Iterator[Outcome]:
    """The payloads and the mail that lie beside the recordings, by the parsers alone: nothing says what else they come to."""
    for file in sorted(folder.glob("postmark-*.json")):
        pieces = read("postmark", file.read_bytes(), "application/json")
        read_so = len(pieces) == 1 and isinstance(pieces[0], Mail) and bool(_text_of(pieces[0].raw))
        yield Outcome(file.name, "" if read_so else "no mail with a text")
    raw = (folder / "sample_email.txt").read_bytes()
    yield Outcome("sample_email.txt", "" if _text_of(raw) else "no mail with a text")
    yield from (Outcome(file.name, "nothing reads it") for file in sorted(folder.glob("unisender-*")))


def _text_of(raw: bytes) -> str:
    return _words(content.body(mime.parse(raw)).plain)


def _set(folder: str, name: str) -> RecordedSet:
    known = {one.partition("/")[2]: why for one, why in ON_PURPOSE.items() if one.startswith(f"{folder}/")}
    return RecordedSet(name, f"anymail/recorded/{folder}", run, known)


SETS = (
    *(
        _set(f"{provider}_{kind}", f"{name}: {what}")
        for provider, name in NAMES.items()
        for kind, what in (("inbound", "mail"), ("webhooks", "events"))
    ),
    RecordedSet(
        "Mail providers: what lies beside the recordings",
        "anymail/tests/test_files",
        loose,
        {"unisender-go-tracking-test-payload.json.raw": Known("there is no such provider here", "c4f2d8f")},
    ),
)
