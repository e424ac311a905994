"""E-mail: parsing what came by SMTP. What goes out is in `outgoing_mail.py`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec.structs import replace

from services.intake.channels import content, mime, reports
from services.intake.channels.authentication import NO_BORDER, Border, authentication_of
from services.intake.channels.automatic import is_own_loop, is_report, origin_of
from services.intake.channels.clean import SUBJECT_LIMIT, clean_line
from services.intake.channels.copies import copies_of
from services.intake.channels.language import direction_of, language_of
from services.intake.channels.sender import Sender, handle_of, sender_of
from services.intake.channels.spam_scores import verdict_of
from services.intake.channels.visible import reading
from services.intake.domain import subjects
from services.intake.domain.authentication import Authentication, of_another
from services.intake.domain.contacts import REFS_CAP, DeliveryWord, Handle, InboundFile, InboundMessage, SpamVerdict
from services.intake.domain.identity import claimed
from services.intake.domain.inboxes import NO_INBOXES, Inbox, Inboxes, OurAddresses
from services.intake.domain.tokens import Signer
from shared.events.base import cut_text

PROVIDER = "smtp"
OWN_LOOP = "own mail came back, or it came from an address of ours"
DISOWNED = SpamVerdict("provider", rule_id="dmarc")
DATE_LIMIT = 200
QUOTED_LIMIT_BYTES = 8 * 1024
MESSAGE_REF_LIMIT = 998  # a line of RFC 5322
_REF = re.compile(r"<[^<>\s\x00-\x1f\x7f]{3,990}>")  # no control characters: PostgreSQL takes no NUL
_COUNTED = re.compile(r"[\d\s:.,/-]+")
_OWN_REF_IN_REPORT = re.compile(rb"<[a-z2-7]{26}\.[a-z2-7]{26}\.[a-z2-7]{13}@[^>\s]{1,255}>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SMTP said around a mail. `sender` is empty for the null sender of bounces, None where nobody tells."""

    sender: str | None
    recipients: tuple[str, ...]


def parse(
    raw: bytes,
    envelope: Envelope,
    inbox: Inbox,
    signer: Signer,
    border: Border = NO_BORDER,
    inboxes: Inboxes = NO_INBOXES,
    results: str = "",
) -> InboundMessage | DeliveryWord | None:
    """A mail as a contact, or as a word about a mail of ours, where it reports what became of one; None when it is one of ours
    come round (OWN_LOOP). `inboxes` are all of ours; `results` is what a provider found out that is believed. Reads damaged mail
    as far as it goes; never raises.
    """
    mail = mime.parse(raw)
    if is_own_loop(mail, signer):
        return None
    ours = OurAddresses(inbox, inboxes)
    written = sender_of(mail, envelope.sender, ours)
    sender = written.address
    body = content.body(mail)
    whole, reply = reading.read(body.plain, body.html)
    word = reports.word_of(mail, whole, raw=raw, sender=sender, envelope_from=envelope.sender, signer=signer)
    if word is not None:
        return word
    message_ref = _message_ref(mail)
    if not written.wrote or (message_ref and signer.own_message(message_ref) and not is_report(mail)):
        return None
    text, cut = cut_text(reply.visible)
    quoted, quoted_cut = cut_text(reply.folded, QUOTED_LIMIT_BYTES)
    subject = clean_line(mime.header(mail, "Subject"), SUBJECT_LIMIT)
    language = language_of(f"{subjects.plain(subject)}\n{text}")
    # Of the whole text, so that a repeat is one also when another version tells the reply from it in another way.
    hashed = [sender, mime.raw_header(mail, "Date"), subject, " ".join(cut_text(whole)[0].split())]
    content_hash = hashlib.sha256("\n".join(hashed).encode()).hexdigest()
    authentication = _found_out(mail, written, border, results)
    spam = verdict_of(mail) or (DISOWNED if authentication.disowned else None)
    origin = "human" if written.by_form else origin_of(mail, sender, envelope.sender, ours)
    refs = _reply_refs(mail)
    handle = _shown(written)
    copied = origin == "human" and not written.by_form
    return InboundMessage(
        provider=PROVIDER,
        dedup_key=message_ref or f"sha256:{_unnamed(mail, raw, content_hash, body.files)}",
        content_hash=content_hash,
        conflict_key=f"sha256:{content_hash}" if message_ref else None,
        channel="email",
        inbox=inbox.id,
        handle=handle,
        name=written.name,
        subject=subject,
        text=text,
        text_cut=cut,
        quoted=quoted,
        quoted_cut=quoted_cut,
        language=language,
        direction=direction_of(text or subject, language),
        origin=origin,
        provider_time=_date(mail),
        files=(*body.files, content.whole(raw)) if body.cut else body.files,
        parts_left_out=body.cut,
        reply_refs=refs,
        tokens=_tokens(mail, raw, envelope, refs, signer),
        numbers=subjects.numbers(subject),
        message_ref=message_ref,
        confirm=inbox.confirm and origin == "human" and handle is not None,
        text_hash=_text_hash(text),
        spam=spam,
        authentication=authentication,
        partner_id=inbox.partner_id,
        copies=copies_of(mail, handle, ours) if copied else (),
        raw=raw,
        media_type="message/rfc822",
    )


def traced(message: InboundMessage | DeliveryWord, traceparent: str | None) -> InboundMessage | DeliveryWord:
    """The message as part of a trace."""
    return replace(message, traceparent=traceparent) if traceparent else message


def _shown(written: Sender) -> Handle | None:
    """Their handle as far as it is shown: who filled a form in typed theirs."""
    handle = handle_of(written.address)
    return claimed(handle) if handle is not None and written.by_form else handle


def _found_out(mail: mime.Part, written: Sender, border: Border, results: str) -> Authentication:
    told = authentication_of(mail, written.shown, border, results)
    return told if written.address == written.shown else of_another(told, is_ours=written.is_ours)


def _message_ref(mail: mime.Part) -> str | None:
    found = _REF.search(mime.header(mail, "Message-ID"))
    if found is not None:
        return found[0]
    bare = clean_line(mime.header(mail, "Message-ID"), MESSAGE_REF_LIMIT)
    return f"<{bare.strip('<>')}>" if bare.strip("<>") else None


def _unnamed(mail: mime.Part, raw: bytes, content_hash: str, files: Sequence[InboundFile]) -> str:
    """What tells a mail without Message-ID from others, by whatever way it comes: what it says and when it says it was sent. One
    that names no time may well be sent again with the same words: it is a repeat only to the byte.
    """
    if not mime.raw_header(mail, "Date"):
        return hashlib.sha256(raw).hexdigest()
    return hashlib.sha256("\n".join([content_hash, *(file.sha256 for file in files)]).encode()).hexdigest()


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
