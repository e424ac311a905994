"""Postmark: the inbound webhook and the webhooks about what went out, all JSON. It signs nothing: the URL holds a password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.intake.channels import composed
from services.intake.channels.email import Envelope
from services.intake.channels.provided import Mail, Piece, Unknown, Unreadable, Word, iso, loaded, mail_bytes, mapping, rows, text
from services.intake.domain.contacts import SentWord

MEDIA_TYPE = "application/vnd.postmark+json"
METADATA = "patchbay"  # under which Postmark tells our Message-ID back
OF_A_MAIL = frozenset({"FromFull", "RawEmail", "TextBody", "HtmlBody", "Attachments", "Headers"})
TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")
HARD = frozenset({"HardBounce", "BadEmailAddress", "ManuallyDeactivated", "InboundError"})
SOFT = frozenset(
    {
        "SoftBounce",
        "Blocked",
        "SpamNotification",
        "SMTPApiError",
        "DMARCPolicy",
        "TemplateRenderingFailed",
        "Unconfirmed",
        "Unknown",
    }
)
NO_NEWS = frozenset(
    {
        "Transient",
        "AutoResponder",
        "AddressChange",
        "DnsError",
        "Subscribe",
        "Unsubscribe",
        "OpenRelayTest",
        "ChallengeVerification",
    }
    | {"VirusNotification"}
)


def read(raw: bytes) -> list[Piece]:
    """What an authentic request says. Raises Unreadable."""
    body = loaded(raw)
    if not isinstance(body, dict):
        raise Unreadable("it is no JSON object")
    kind = text(body.get("RecordType"))
    if kind in ("", "Inbound"):
        if not body.keys() & OF_A_MAIL:
            return [Unknown("it is neither a mail nor an event")]
        return [_mail(body, raw)]
    return [_event(kind, body, raw)]


def _mail(body: Mapping[str, Any], raw: bytes) -> Mail:
    whole = text(body.get("RawEmail"))
    if whole.strip():
        return Mail(mail_bytes(whole), _envelope(body))
    return Mail(mail_of(body), _envelope(body), (MEDIA_TYPE, raw))


def mail_of(body: Mapping[str, Any]) -> bytes:
    """The mail that Postmark took apart."""
    given = [(text(one.get("Name")), text(one.get("Value"))) for one in map(mapping, rows(body.get("Headers")))]
    there = {name.lower() for name, _ in given}
    named = [
        ("From", _addresses([body.get("FromFull")])),
        ("To", _addresses(rows(body.get("ToFull")))),
        ("Cc", _addresses(rows(body.get("CcFull")))),
        ("Reply-To", text(body.get("ReplyTo"))),
        ("Subject", text(body.get("Subject"))),
        ("Date", text(body.get("Date"))),
    ]
    headers = given + [(name, value) for name, value in named if value and name.lower() not in there]
    files = [_file(mapping(one)) for one in rows(body.get("Attachments"))]
    return composed.mail(headers, text(body.get("TextBody")), text(body.get("HtmlBody")), files)


def _file(one: Mapping[str, Any]) -> composed.File:
    content = "".join(text(one.get("Content")).split()).encode("ascii", "ignore")
    return composed.File(text(one.get("Name")), text(one.get("ContentType")), content, text(one.get("ContentID")), is_base64=True)


def _addresses(people: list[Any]) -> str:
    known = (mapping(one) for one in people)
    return ", ".join(composed.address(text(one.get("Name")), text(one.get("Email"))) for one in known if one.get("Email"))


def _envelope(body: Mapping[str, Any]) -> Envelope:
    headers = [mapping(one) for one in rows(body.get("Headers"))]
    # The first is Postmark's own; a later one is the sender's word.
    path = next((text(one.get("Value")) for one in headers if text(one.get("Name")).lower() == "return-path"), None)
    named = [mapping(one) for key in ("ToFull", "CcFull", "BccFull") for one in rows(body.get(key))]
    recipients = [text(body.get("OriginalRecipient")), *(text(one.get("Email")) for one in named)]
    sender = path.strip().removeprefix("<").removesuffix(">") if path is not None else None
    return Envelope(sender, tuple(dict.fromkeys(filter(None, recipients))))


def _event(record: str, body: Mapping[str, Any], raw: bytes) -> Piece:
    kind, hard, known = _kind(record, body)
    if not known:
        return Unknown("its kind is not known")
    at = next((body[name] for name in TIMES if name in body), "")
    key = f"{text(body.get('ID')) or text(body.get('MessageID'))}:{record}:{text(at)}"
    ref = text(mapping(body.get("Metadata")).get(METADATA))
    code = text(body.get("Type")) or text(body.get("SuppressionReason"))
    return Word(key, kind, (ref,), hard, code, iso(at), raw)


def _kind(record: str, body: Mapping[str, Any]) -> tuple[SentWord | None, bool, bool]:
    """What it says, whether for good, and whether it is known at all."""
    match record:
        case "Delivery":
            return "delivered", True, True
        case "Open" | "Click":
            return "read", True, True
        case "SpamComplaint":
            return "complained", True, True
        case "Bounce":
            why = text(body.get("Type"))
            return _bounce(why), why in HARD, why in HARD | SOFT | NO_NEWS or why == "SpamComplaint"
        case "SubscriptionChange":
            reason = text(body.get("SuppressionReason")) if body.get("SuppressSending") is True else ""
            kinds: dict[str, SentWord] = {"HardBounce": "bounced", "SpamComplaint": "complained"}
            return kinds.get(reason), True, True
        case _:
            return None, True, False


def _bounce(why: str) -> SentWord | None:
    return "complained" if why == "SpamComplaint" else "bounced" if why in HARD | SOFT else None
