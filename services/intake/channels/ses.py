"""Amazon SES, as SNS brings it: mail that came in (the SNS action), and events of what went out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from services.intake.channels import composed
from services.intake.channels.email import Envelope
from services.intake.channels.provided import Mail, Piece, Unknown, Unreadable, Word, iso, loaded, mail_bytes, mapping, rows, text
from services.intake.channels.sns import CONFIRMATIONS
from services.intake.domain.contacts import SentWord

VALIDATED = "Successfully validated SNS topic"  # a test message of SES, when a topic is set
IN_S3 = "the mail is in S3, where it is not fetched: let the receipt rule publish it to SNS, or export and send it again"
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
    if not isinstance(content, str):
        return Unknown(IN_S3 if action.get("type") == "S3" else "it is a mail without its content")
    try:
        encoded = text(action.get("encoding")).upper() == "BASE64"
        mime = base64.b64decode(content, validate=False) if encoded else mail_bytes(content)
    except (binascii.Error, ValueError):
        return Unknown("the content of the mail cannot be decoded")
    spam, virus = (mapping(receipt.get(name)).get("status") == "FAIL" for name in ("spamVerdict", "virusVerdict"))
    mime = composed.judged(mime, spam=spam, infected=virus)
    sender = mail.get("source")
    recipients = rows(receipt.get("recipients")) or rows(mail.get("destination"))
    return Mail(mime, Envelope(sender if isinstance(sender, str) else None, tuple(map(text, recipients))))


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
