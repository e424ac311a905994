"""E-mail: parsing what came by SMTP, composing what goes out, and sending it through a mail server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr, parsedate_to_datetime
from html import escape

import aiosmtplib
from msgspec.structs import replace

from services.intake.channels import content, mime, reports
from services.intake.channels.automatic import LOOP_HEADER, is_own_loop, is_report, origin_of
from services.intake.channels.clean import SUBJECT_LIMIT, clean_line
from services.intake.channels.language import direction_of, language_of
from services.intake.channels.visible import reading
from services.intake.domain import handles
from services.intake.domain.contacts import REFS_CAP, DeliveryWord, Handle, InboundMessage
from services.intake.domain.delivery import Accepted, NotNow, Outcome, Refused, Unknown
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer
from shared.events.base import Direction, cut_text

PROVIDER = "smtp"
SEND_SECONDS = 15.0
DATE_LIMIT = 200
QUOTED_LIMIT_BYTES = 8 * 1024
MESSAGE_REF_LIMIT = 998  # a line of RFC 5322
# The standard library would fold a long Message-ID into an encoded word, which no mail program reads. Lines may be so long.
_POLICY = SMTP_POLICY.clone(max_line_length=MESSAGE_REF_LIMIT)
_REF = re.compile(r"<[^<>\s\x00-\x1f\x7f]{3,990}>")  # no control characters: PostgreSQL takes no NUL
_REPLY_PREFIX = re.compile(
    r"^(?:(?:re|fw|fwd|aw|wg|sv|vs|antw|odp|tr|rv|r|ynt|رد|תגובה|השב|răsp|răspuns)(?:\[\d+\])?\s*[::]\s*)+", re.IGNORECASE
)
_COUNTED = re.compile(r"[\d\s:.,/-]+")
_OWN_REF_IN_REPORT = re.compile(rb"<[a-z2-7]{26}\.[a-z2-7]{26}\.[a-z2-7]{13}@[^>\s]{1,255}>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SMTP said around a mail. `sender` is empty for the null sender of bounces."""

    sender: str
    recipients: tuple[str, ...]


def parse(raw: bytes, envelope: Envelope, inbox: Inbox, signer: Signer) -> InboundMessage | DeliveryWord | None:
    """A mail as a contact, or as a word about a mail of ours, where it reports what became of one; None when it is one of ours
    come round. Reads damaged mail as far as it goes; never raises.
    """
    mail = mime.parse(raw)
    if is_own_loop(mail, signer):
        return None
    name, sender = _sender(mail, envelope)
    body = content.body(mail)
    whole, reply = reading.read(body.plain, body.html)
    word = reports.word_of(mail, whole, raw=raw, sender=sender, envelope_from=envelope.sender, signer=signer)
    if word is not None:
        return word
    text, cut = cut_text(reply.visible)
    subject = clean_line(mime.header(mail, "Subject"), SUBJECT_LIMIT)
    language = language_of(f"{_REPLY_PREFIX.sub('', subject)}\n{text}")
    message_ref = _message_ref(mail)
    # Of the whole text, so that a repeat is one also when another version tells the reply from it in another way.
    hashed = [sender, mime.raw_header(mail, "Date"), subject, cut_text(whole)[0]]
    content_hash = hashlib.sha256("\n".join(hashed).encode()).hexdigest()
    origin = origin_of(mail, sender, envelope.sender)
    refs = _reply_refs(mail)
    handle = _handle(sender)
    return InboundMessage(
        provider=PROVIDER,
        dedup_key=message_ref or f"sha256:{hashlib.sha256(raw).hexdigest()}",
        content_hash=content_hash,
        conflict_key=f"sha256:{content_hash}" if message_ref else None,
        channel="email",
        inbox=inbox.id,
        handle=handle,
        name=name,
        subject=subject,
        text=text,
        text_cut=cut,
        quoted=cut_text(reply.folded, QUOTED_LIMIT_BYTES)[0],
        language=language,
        direction=direction_of(text or subject, language),
        origin=origin,
        provider_time=_date(mail),
        files=body.files,
        reply_refs=refs,
        tokens=_tokens(mail, raw, envelope, refs, signer),
        message_ref=message_ref,
        confirm=inbox.confirm and origin == "human" and handle is not None,
        text_hash=_text_hash(text),
        partner_id=inbox.partner_id,
        raw=raw,
        media_type="message/rfc822",
    )


def traced(message: InboundMessage | DeliveryWord, traceparent: str | None) -> InboundMessage | DeliveryWord:
    """The message as part of a trace."""
    return replace(message, traceparent=traceparent) if traceparent else message


def _sender(mail: mime.Part, envelope: Envelope) -> tuple[str, str]:
    candidates = mime.addresses(mail, "From", "Reply-To", "Sender", "Return-Path")
    if envelope.sender:
        candidates.append(("", envelope.sender))
    for name, address in candidates:
        if _handle(address) is not None:
            return clean_line(name), address
    return (clean_line(mime.header(mail, "From")), "") if not candidates else candidates[0]


def _handle(address: str) -> Handle | None:
    try:
        return handles.email(address)
    except handles.WrongHandle:
        return None


def _message_ref(mail: mime.Part) -> str | None:
    found = _REF.search(mime.header(mail, "Message-ID"))
    if found is not None:
        return found[0]
    bare = clean_line(mime.header(mail, "Message-ID"), MESSAGE_REF_LIMIT)
    return f"<{bare.strip('<>')}>" if bare.strip("<>") else None


def _reply_refs(mail: mime.Part) -> tuple[str, ...]:
    """What the mail answers: In-Reply-To first, then References from the newest to the oldest."""
    newest_first = _REF.findall(mime.header(mail, "In-Reply-To"))
    newest_first += reversed(_REF.findall(mime.header(mail, "References")))
    return tuple(dict.fromkeys(newest_first))[:REFS_CAP]


def _tokens(mail: mime.Part, raw: bytes, envelope: Envelope, refs: Sequence[str], signer: Signer) -> tuple[str, ...]:
    """Tickets named by our own signed addresses and Message-IDs, strongest first."""
    named = mime.addresses(mail, "To", "Cc", "Delivered-To", "X-Original-To", "X-Forwarded-To")
    found = [signer.ticket_of_address(address) for address in (*envelope.recipients, *(address for _, address in named))]
    if is_report(mail):
        refs = [*refs, *(ref.decode("ascii", "replace") for ref in _OWN_REF_IN_REPORT.findall(raw)[:REFS_CAP])]
    found += [own.ticket_id for ref in refs if (own := signer.own_message(ref)) is not None]
    return tuple(dict.fromkeys(ticket_id for ticket_id in found if ticket_id is not None))


def _text_hash(written: str) -> bytes | None:
    """The same for the same words, whatever is counted or timed in them."""
    words = _COUNTED.sub(" ", written.casefold()).strip()
    return hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=8).digest() if words else None


def _date(mail: mime.Part) -> datetime | None:
    try:
        date = parsedate_to_datetime(mime.raw_header(mail, "Date")[:DATE_LIMIT])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail to a customer. `automatic`: a confirmation, which nothing may answer by itself. `loop_mark`: the Signer's."""

    message_ref: str
    sender: str
    recipient: str
    reply_to: str
    subject: str
    text: str
    language: str
    direction: Direction
    at: datetime
    loop_mark: str
    refs: tuple[str, ...] = ()
    sender_name: str = ""
    automatic: bool = False


def reply_subject(subject: str) -> str:
    """The subject of an answer: one `Re:`, whatever stood before."""
    return f"Re: {_REPLY_PREFIX.sub('', clean_line(subject, SUBJECT_LIMIT))}".strip()


def compose(mail: Outgoing) -> bytes:
    """The mail as it is sent. `refs` are the Message-IDs before it, oldest first; the last one is answered."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = formataddr((clean_line(mail.sender_name), mail.sender))
    message["To"] = clean_line(mail.recipient, handles.HANDLE_LIMIT)
    message["Subject"] = clean_line(mail.subject, SUBJECT_LIMIT)
    message["Date"] = format_datetime(mail.at)
    message["Message-ID"] = mail.message_ref
    message["Reply-To"] = mail.reply_to
    if mail.refs:
        message["In-Reply-To"] = mail.refs[-1]
        message["References"] = _fitting(mail.refs)
    message[LOOP_HEADER] = mail.loop_mark
    if mail.automatic:
        message["Auto-Submitted"] = "auto-replied"  # RFC 3834
        message["X-Auto-Response-Suppress"] = "All"
    message.set_content(mail.text, cte="base64" if not mail.text.isascii() else None)
    message.add_alternative(_as_html(mail), subtype="html", cte="base64" if not mail.text.isascii() else None)
    if mail.language != "und":
        message["Content-Language"] = mail.language  # last: setting the content drops all Content- headers
    return message.as_bytes()


def _fitting(refs: Sequence[str]) -> str:
    """The newest of these Message-IDs that fit into one line."""
    line = refs[-1]
    for ref in reversed(refs[:-1]):
        if len(ref) + 1 + len(line) > MESSAGE_REF_LIMIT - len("References: "):
            break
        line = f"{ref} {line}"
    return line


def _as_html(mail: Outgoing) -> str:
    language = "" if mail.language == "und" else f' lang="{escape(mail.language)}"'
    paragraphs = "".join(
        f"<p>{'<br>'.join(escape(line) for line in paragraph.splitlines())}</p>" for paragraph in mail.text.split("\n\n")
    )
    return (
        f'<!DOCTYPE html><html{language} dir="{mail.direction}"><head><meta charset="utf-8"></head>'
        f'<body dir="{mail.direction}">{paragraphs}</body></html>\n'
    )


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes our mail on."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    start_tls: bool | None = None


async def send(server: MailServer, sender: str, recipient: str, content: bytes) -> Outcome:
    """Hand a mail to the server. Never raises: what happened is the outcome."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        use_tls=server.tls,
        start_tls=server.start_tls,
        timeout=SEND_SECONDS,
    )
    try:
        await client.connect()
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError):
        return NotNow("mail-server-away")
    try:
        _, answer = await client.sendmail(sender, [recipient], content)
        return Accepted(clean_line(answer) or None)
    except aiosmtplib.SMTPRecipientsRefused as error:
        return _refusal(error.recipients[0].code)
    except aiosmtplib.SMTPResponseException as error:
        return _refusal(error.code)
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return Unknown("mail-server-broke-off")
    finally:
        client.close()


def _refusal(code: int) -> Outcome:
    # 5xx is final, everything else may pass (RFC 5321, 4.2.1). The server's own words may hold addresses: only the code is kept.
    return Refused(f"smtp-{code}", "the mail server refused it") if 500 <= code < 600 else NotNow(f"smtp-{code}")
