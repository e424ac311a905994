"""What mail servers and mail programs report about mail of ours: it came back, it waits, it was read, it was called spam.

Delivery status notifications (RFC 3464), the plain letters of servers that write none (qmail, exim, old Exchange), disposition
notifications (RFC 8098) and feedback reports (RFC 5965). The mail that is spoken of is known by our own signed Message-ID in its
copy, so nobody can make a mail come back that was not sent to them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from services.intake.channels import mime
from services.intake.channels.automatic import is_postmaster
from services.intake.channels.mime import Part
from services.intake.domain.contacts import DeliveryWord, SentWord
from services.intake.domain.tokens import OwnMessage, Signer

PROVIDER = "smtp"
READ_CAP = 100_000  # characters of a report's text that are looked through
_STATUS = "message/delivery-status"
_DISPOSITION = "message/disposition-notification"
_FEEDBACK = "message/feedback-report"
_HEADERS = frozenset({"text/rfc822-headers", "message/global-headers"})
_COPIES = frozenset({"message/rfc822", "message/global"})
_ACTIONS = frozenset({"failed", "delayed", "delivered"})

_REF_LINE = re.compile(r"^[> \t]{0,8}(?:original-)?message-id:\s{0,80}(<[^<>\s]{3,300}>)", re.IGNORECASE | re.MULTILINE)
# RFC 3463: class, subject, detail; and the three digits of RFC 5321.
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"(?<![\d.:/-])([45][0-5]\d)(?=[ -])")
# Policy, and a mailbox that is full or will not take this one mail: the address itself is good.
_SOFT = re.compile(r"(?:4\.|5\.7\.|5\.2\.[23]$|5\.3\.4$|4\d\d$|552$)")
_PERMANENT = re.compile(
    r"permanent(?:ly)? (?:fatal )?(?:error|fail)|failed permanently|given up|undeliverable|does not exist|user unknown"
    r"|no such user",
    re.IGNORECASE,
)
_WAITS = re.compile(r"delayed|not yet been delivered|will be\s+retried|will (?:keep trying|try again)", re.IGNORECASE)
# How the letters of servers begin that write no report: sendmail, postfix, qmail, exim, Exchange in its languages.
_RETURNED = re.compile(
    r"this is the qmail-send program|wasn't able to deliver your message|could not be delivered|permanent fatal errors"
    r"|undeliver(?:able|ed)|did not reach (?:some or all of )?(?:the intended|its) recipient|delivery has failed"
    r"|failed permanently|returned mail|delivery status notification|not yet been delivered|mail delivery (?:failed|failure)"
    r"|unzustellbar|nicht zugestellt werden|non remis|n'a pas pu être remis|no se (?:puede|pudo) entregar|no entregado"
    r"|impossibile recapitare|non recapitabile|onbestelbaar|niet worden bezorgd|não entregue|não foi possível entregar"
    r"|nelivrat|nu a putut fi livrat|nie można dostarczyć|niedostarczona|kan inte levereras|не доставлено|не удалось доставить"
    r"|לא ניתן למסור|לא נמסרה|تعذر التسليم|تعذر تسليم|غير قابل للتسليم",
    re.IGNORECASE,
)


class _Fate(NamedTuple):
    """What became of a mail. `code` is the server's, without its words."""

    kind: SentWord
    hard: bool = False
    code: str = ""


def word_of(mail: Part, text: str, *, raw: bytes, sender: str, envelope_from: str | None, signer: Signer) -> DeliveryWord | None:
    """The report as a word about a mail of ours, None for any other mail. It names no message where none of ours is meant:
    what came back of mail that somebody else sent in our name.
    """
    text = text[:READ_CAP]
    kinds = {part.get_content_type() for part in mime.leaves(mail)}
    fate = _fate(mail, text, kinds, sender, envelope_from)
    if fate is None:
        return None
    own = _own(mail, text, signer)
    if own is None and fate.kind == "read":
        return None  # a person answers by it to something, whatever that was
    found = mime.header(mail, "Message-ID").strip()[:300]
    return DeliveryWord(
        provider=PROVIDER,
        dedup_key=f"report:{found or hashlib.sha256(raw).hexdigest()}",
        kind=fate.kind,
        message_id=own.message_id if own is not None else None,
        hard=fate.hard,
        code=fate.code,
        raw=raw,
        media_type="message/rfc822",
    )


def _fate(mail: Part, text: str, kinds: set[str], sender: str, envelope_from: str | None) -> _Fate | None:
    if _STATUS in kinds:
        return _of_status(mail, text)
    if _FEEDBACK in kinds:
        return _Fate("complained", code=_field(mail, _FEEDBACK, "Feedback-Type"))
    if _DISPOSITION in kinds:
        return _Fate("read") if "displayed" in _field(mail, _DISPOSITION, "Disposition") else None
    if mime.raw_header(mail, "X-Failed-Recipients"):
        return _of_letter(text)
    machine = envelope_from == "" or is_postmaster(sender)
    if machine and _RETURNED.search(f"{mime.header(mail, 'Subject')}\n{text}"):
        return _of_letter(text)
    return None


def _of_status(mail: Part, text: str) -> _Fate | None:
    """The worst that is told of any recipient."""
    fates = [fate for fate in (_of_recipient(block) for block in _blocks(mail, _STATUS)) if fate is not None]
    if not fates:
        return _of_letter(text) if _RETURNED.search(text) else None
    return max(fates, key=lambda fate: (fate.kind == "bounced", fate.hard))


def _of_recipient(block: Part) -> _Fate | None:
    action = mime.raw_header(block, "Action").strip().lower().partition(" ")[0]
    if action not in _ACTIONS:
        return None
    if action == "delivered":
        return _Fate("delivered")
    said = f"{mime.raw_header(block, 'Status')}\n{mime.raw_header(block, 'Diagnostic-Code')}"
    code = _code(said)
    hard = action == "failed" and (not _SOFT.match(code) if code else True)
    return _Fate("bounced", hard, code or action)


def _of_letter(text: str) -> _Fate:
    """The letter of a server that writes no report: permanent only where it says so."""
    about, code = text.partition("Message-ID:")[0], ""
    code = _code(about)
    if code:
        return _Fate("bounced", not _SOFT.match(code), code)
    hard = bool(_PERMANENT.search(about)) and not _WAITS.search(about)
    return _Fate("bounced", hard, "permanent" if hard else "unknown")


def _code(said: str) -> str:
    """The enhanced code, else the reply code; the status line's own goes first, but `5.0.0` says nothing."""
    enhanced = [code for code in _ENHANCED.findall(said) if code[0] != "2"]
    telling = [code for code in enhanced if not code.endswith(".0.0")]
    reply = _REPLY.search(said)
    return telling[0] if telling else reply[1] if reply else enhanced[0] if enhanced else ""


def _own(mail: Part, text: str, signer: Signer) -> OwnMessage | None:
    """Which mail of ours is meant: by its copy, by its headers, by what the report says it answers."""
    return next((own for ref in _refs(mail, text) if (own := signer.own_message(ref)) is not None), None)


def _refs(mail: Part, text: str) -> Iterator[str]:
    for part in mime.leaves(mail):
        kind = part.get_content_type()
        if kind in _COPIES:
            for inner in _inside(part):
                yield mime.raw_header(inner, "Message-ID")
        elif kind == _DISPOSITION:
            for inner in _inside(part):
                yield mime.raw_header(inner, "Original-Message-ID")
        if kind in _HEADERS or kind in _COPIES:
            yield from _REF_LINE.findall(mime.text_of(part)[:READ_CAP])
    yield from _REF_LINE.findall(text)
    yield mime.raw_header(mail, "In-Reply-To")
    yield from reversed(mime.raw_header(mail, "References").split()[-20:])


def _inside(part: Part) -> list[Part]:
    inner = part.get_payload()
    return [one for one in inner if isinstance(one, Part)] if isinstance(inner, list) else []


def _blocks(mail: Part, kind: str) -> Iterator[Part]:
    for part in mime.leaves(mail):
        if part.get_content_type() == kind:
            yield from _inside(part) or [mime.parse(block) for block in mime.content_of(part).split(b"\n\n")[:20]]


def _field(mail: Part, kind: str, name: str) -> str:
    """A field of such a part, folded to what a code may be."""
    values = [mime.raw_header(block, name) for block in _blocks(mail, kind)]
    return next((re.sub(r"[^a-z0-9.;/ -]", "", value.lower())[:100].strip() for value in values if value), "")
