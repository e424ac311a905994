"""Amazon SES, as SNS brings it: mail that came in (the SNS action), and events of what went out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from services.intake.channels import composed
from services.intake.channels.email import Envelope
from services.intake.channels.provided import (
    Mail,
    Piece,
    StoredMail,
    Unknown,
    Unreadable,
    Word,
    dumped,
    iso,
    loaded,
    mail_bytes,
    mapping,
    rows,
    text,
)
from services.intake.channels.sns import CONFIRMATIONS
from services.intake.domain.contacts import SentWord

VALIDATED = "Successfully validated SNS topic"  # a test message of SES, when a topic is set
KEY_BYTES = 1024  # the longest that S3 knows
KINDS: Mapping[str, tuple[SentWord | None, str]] = {
    "Delivery": ("delivered", "delivery"),
    "Bounce": ("bounced", "bounce"),
    "Complaint": ("complained", "complaint"),
    "Reject": ("failed", "reject"),
    "Rendering Failure": ("failed", "failure"),
    "Open": ("read", "open"),
    "Click": ("read", "click"),
    "Send": (None, "send"),
    "DeliveryDelay": (None, "deliveryDelay"),
    "Subscription": (None, "subscription"),
}


def read(raw: bytes) -> list[Piece]:
    """What a verified notification of SNS says. Raises Unreadable."""
    message = mapping(loaded(raw))
    if message.get("Type") in CONFIRMATIONS or text(message.get("Message")).startswith(VALIDATED):
        return []
    try:
        said = mapping(loaded(text(message.get("Message"))))
    except Unreadable:
        return [Unknown("its message is no JSON")]
    kind = text(said.get("eventType")) or text(said.get("notificationType"))
    if kind == "Received":
        return [_mail(said)]
    if kind not in KINDS:
        return [Unknown("its event is not known")]
    return _words(kind, said, message, raw)


def _mail(said: Mapping[str, Any]) -> Piece:
    receipt, mail = mapping(said.get("receipt")), mapping(said.get("mail"))
    action, content = mapping(receipt.get("action")), said.get("content")
    sender = mail.get("source")
    recipients = rows(receipt.get("recipients")) or rows(mail.get("destination"))
    envelope = Envelope(sender if isinstance(sender, str) else None, tuple(map(text, recipients)))
    spam, virus = (mapping(receipt.get(name)).get("status") == "FAIL" for name in ("spamVerdict", "virusVerdict"))
    if not isinstance(content, str):
        return _stored(action, envelope, spam=spam, infected=virus)
    try:
        encoded = text(action.get("encoding")).upper() == "BASE64"
        mime = base64.b64decode(content, validate=False) if encoded else mail_bytes(content)
    except (binascii.Error, ValueError):
        return Unknown("the content of the mail cannot be decoded")
    return Mail(composed.judged(mime, spam=spam, infected=virus), envelope)


def _stored(action: Mapping[str, Any], envelope: Envelope, *, spam: bool, infected: bool) -> Piece:
    """Where the mail is, of a notification of the S3 action ("Notification contents for Amazon SES email receiving")."""
    bucket, key = text(action.get("bucketName")), text(action.get("objectKey"))
    if action.get("type") != "S3" or not bucket or not _is_key(key):
        return Unknown("it is a mail without its content")
    return StoredMail(bucket, key, envelope, spam, infected)


def _is_key(key: str) -> bool:
    try:
        return 0 < len(key.encode()) <= KEY_BYTES
    except UnicodeError:  # half a character
        return False


def pointer(stored: StoredMail) -> bytes:
    """A notification that says this, and nothing else of the mail: what is kept until the mail is fetched. `read` reads it."""
    sender = {} if stored.envelope.sender is None else {"source": stored.envelope.sender}
    verdicts = {"spamVerdict": stored.spam, "virusVerdict": stored.infected}
    receipt = {
        "recipients": stored.envelope.recipients,
        "action": {"type": "S3", "bucketName": stored.bucket, "objectKey": stored.key},
        **{name: {"status": "FAIL"} for name, failed in verdicts.items() if failed},
    }
    return dumped({"Message": dumped({"notificationType": "Received", "mail": sender, "receipt": receipt}).decode()})


def _words(kind: str, said: Mapping[str, Any], message: Mapping[str, Any], raw: bytes) -> list[Piece]:
    """One for each recipient it speaks of."""
    word, name = KINDS[kind]
    about, mail = mapping(said.get(name)), mapping(said.get("mail"))
    people = rows(about.get("bouncedRecipients")) or rows(about.get("complainedRecipients")) or [{}]
    refs = (*_message_ids(mail), text(mapping(mail.get("commonHeaders")).get("messageId")))
    hard = about.get("bounceType", "Permanent") == "Permanent"
    at = iso(about.get("timestamp") or message.get("Timestamp"))
    return [
        Word(f"{text(message.get('MessageId'))}:{n}", word, refs, hard, _code(about, mapping(person)), at, raw)
        for n, person in enumerate(people)
    ]


def _message_ids(mail: Mapping[str, Any]) -> list[str]:
    headers = [mapping(one) for one in rows(mail.get("headers"))]
    return [text(one.get("value")) for one in headers if text(one.get("name")).lower() == "message-id"]


def _code(about: Mapping[str, Any], person: Mapping[str, Any]) -> str:
    return text(person.get("status")) or text(about.get("complaintFeedbackType")) or text(about.get("bounceSubType"))
