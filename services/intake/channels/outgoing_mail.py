"""E-mail that goes out: composed, and handed to a mail server.

The answer comes first, then the signature, then what it answers: in the text behind `>`, in HTML in a `blockquote` of the
kind that mail programs fold away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr
from html import escape
from typing import Literal

import aiosmtplib

from services.intake.channels.automatic import LOOP_HEADER
from services.intake.channels.clean import NAME_LIMIT, SUBJECT_LIMIT, clean_line
from services.intake.channels.email import MESSAGE_REF_LIMIT
from services.intake.channels.mail_server import MailServer, let_in
from services.intake.domain import handles
from services.intake.domain.delivery import Accepted, NotNow, Outcome, Refused, Unknown
from shared.events.base import Direction

_CLOSING = 421  # the connection ends with it
NO_SENDER = ""  # `<>` in MAIL FROM
_NOT_LET_IN = frozenset({530, 534, 535, 538})  # RFC 4954, 6: who we are is not believed, as when a password was just changed
# The standard library would fold a long Message-ID into an encoded word, which no mail program reads. Lines may be so long.
_POLICY = SMTP_POLICY.clone(max_line_length=MESSAGE_REF_LIMIT)
# Begins an encoded word (RFC 2047), which the standard library would decode in what customers wrote, line breaks in it included.
ENCODED = "=?"
_ADDRESS = re.compile(r"\S*@\S*")  # what a server says stands on the log, in clear
_SPECIAL = re.compile(r"[][()<>:;@\\,.\"]")  # RFC 5322, 3.2.3
_QUOTE_STYLE = "margin:0;border-inline-start:2px solid #ccc;padding-inline-start:1ex"


@dataclass(frozen=True, slots=True)
class Quote:
    """What is answered, and the line that says when and by whom it was written."""

    attribution: str
    text: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class MailFile:
    """A file to send along."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail to a customer. `automatic`: nobody wrote it, and nothing may answer it by itself (RFC 3834, 5): a confirmation is
    `replied`, a question `generated`. `loop_mark`: the Signer's. `link`: one of ours in its text.
    """

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
    automatic: Literal["", "replied", "generated"] = ""
    cc: tuple[str, ...] = ()
    signature: str = ""
    quote: Quote | None = None
    files: tuple[MailFile, ...] = ()
    link: str = ""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody to whom it goes."""
        return (self.recipient, *self.cc)


def postmark_headers(message_ref: str) -> tuple[tuple[str, str], ...]:
    """What makes Postmark keep our Message-ID and tell it in its webhooks. It takes them off; others do not mind."""
    return ("X-PM-KeepID", "true"), ("X-PM-Metadata-patchbay", message_ref.strip("<>").partition("@")[0] + "@")


def compose(mail: Outgoing) -> bytes:
    """The mail as it is sent. `refs` are the Message-IDs before it, oldest first; the last one is answered."""
    message = EmailMessage(policy=_POLICY.clone(utf8=not _are_ascii(mail.recipients)))
    message["From"] = formataddr((_called(mail.sender_name), mail.sender))
    message["To"] = _literal(mail.recipient, handles.HANDLE_LIMIT)
    if mail.cc:
        message["Cc"] = ", ".join(_literal(address, handles.HANDLE_LIMIT) for address in mail.cc)
    message["Subject"] = _literal(mail.subject, SUBJECT_LIMIT)
    message["Date"] = format_datetime(mail.at)
    message["Message-ID"] = mail.message_ref
    for name, value in postmark_headers(mail.message_ref):
        message[name] = value
    message["Reply-To"] = mail.reply_to
    refs = [ref for ref in mail.refs if ENCODED not in ref]
    if refs:
        message["In-Reply-To"] = refs[-1]
        message["References"] = _fitting(refs)
    message[LOOP_HEADER] = mail.loop_mark
    if mail.automatic:
        message["Auto-Submitted"] = f"auto-{mail.automatic}"
        message["X-Auto-Response-Suppress"] = "All"
    _fill(message, mail)
    if mail.language != "und":
        # Setting the content drops all Content- headers, and the first part is what has a language.
        message["Content-Language"] = mail.language
    return message.as_bytes()


def _fill(message: EmailMessage, mail: Outgoing) -> None:
    text = _as_text(mail)
    cte = "base64" if not text.isascii() else None
    message.set_content(text, cte=cte)
    message.add_alternative(_as_html(mail), subtype="html", cte=cte)
    for file in mail.files:
        kind, _, subtype = file.media_type.partition("/")
        if kind in ("multipart", "message") or not subtype:
            kind, subtype = "application", "octet-stream"  # a mail inside would be read as part of ours
        message.add_attachment(file.content, maintype=kind, subtype=subtype, filename=_literal(file.name) or "file")


def _called(name: str) -> str:
    """A name before an address. Python's email folds one that is not ASCII without the quotes that these characters need."""
    line = _literal(name)
    return line if line.isascii() else " ".join(_SPECIAL.sub(" ", line).split())


def _literal(text: str, limit: int = NAME_LIMIT) -> str:
    """One line that means itself."""
    return clean_line(text, limit).replace(ENCODED, "= ?")


def _as_text(mail: Outgoing) -> str:
    parts = [mail.text]
    if mail.signature:
        parts.append(f"-- \n{mail.signature}")  # RFC 3676, 4.3
    if mail.quote is not None:
        quoted = "\n".join(f"> {line}".rstrip() for line in mail.quote.text.split("\n"))
        parts.append(f"{mail.quote.attribution}\n{quoted}")
    return "\n\n".join(parts)


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
    text = _linked(_paragraphs(mail.text), mail.link)
    signature = f'<div class="signature">{_paragraphs(mail.signature)}</div>' if mail.signature else ""
    return (
        f'<!DOCTYPE html><html{language} dir="{mail.direction}"><head><meta charset="utf-8"></head>'
        f'<body dir="{mail.direction}">{text}{signature}{_quoted(mail.quote)}</body></html>\n'
    )


def _linked(html: str, link: str) -> str:
    """With our link to be followed; it runs from left to right in every text."""
    shown = escape(link)
    return html.replace(shown, f'<a href="{shown}" dir="ltr">{shown}</a>') if link else html


def _quoted(quote: Quote | None) -> str:
    """In the elements by which the large mail programs know what to fold away."""
    if quote is None:
        return ""
    return (
        f'<div class="gmail_quote"><div class="gmail_attr">{escape(quote.attribution)}</div>'
        f'<blockquote class="gmail_quote" type="cite" dir="{quote.direction}" style="{_QUOTE_STYLE}">'
        f"{_paragraphs(quote.text)}</blockquote></div>"
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{'<br>'.join(escape(line) for line in paragraph.splitlines())}</p>" for paragraph in text.split("\n\n"))


async def send(server: MailServer, mail: Outgoing, content: bytes, only: Sequence[str] | None = None) -> Outcome:
    """Hand a mail to the server, which has it for all it takes it for, or for nobody. Never raises: what happened is the outcome.

    Where the server refuses the customer's address nothing is sent, so that a later attempt brings no copy twice, and an agent
    can write anew. A copy that it refuses, for now or for good, does not hold the customer's mail back: the outcome names its
    address. With `only` it goes to these in copy, and not to the customer, who has it.
    A confirmation has no sender (RFC 3834, 3.3), so that nothing comes back of it.
    """
    client = await let_in(server)
    if isinstance(client, NotNow):
        return client
    try:
        taken = await _address(client, mail, len(content), only)
        if not isinstance(taken, Accepted) or len(taken.without) + len(taken.later) == len(only or mail.recipients):
            return taken
        return await _pass_on(client, content, taken)
    finally:
        client.close()


async def _address(client: aiosmtplib.SMTP, mail: Outgoing, size: int, only: Sequence[str] | None) -> Accepted | Refused | NotNow:
    """Say from whom and for whom it is. Returns for whom it would be taken; or why it goes to nobody."""
    utf8 = not _are_ascii(mail.recipients)
    encoding = "utf-8" if utf8 else "ascii"
    try:
        if client.is_ehlo_or_helo_needed:
            with suppress(aiosmtplib.SMTPHeloError):  # then HELO comes with MAIL
                await client.ehlo()
        if utf8 and not client.supports_extension("smtputf8"):
            return Refused("smtputf8-not-supported", "the mail server takes no address with letters beyond ASCII before its @")
        options = [f"size={size}"] if client.supports_extension("size") else []
        await _say_sender(client, mail, [*options, "SMTPUTF8"] if utf8 else options, encoding)
        if only is None:
            await client.rcpt(mail.recipient, encoding=encoding)
        return await _address_copies(client, mail.cc if only is None else only, encoding)
    except aiosmtplib.SMTPResponseException as error:
        return _refusal(error.code)
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return NotNow("mail-server-away")  # which has nothing of the mail yet


async def _address_copies(client: aiosmtplib.SMTP, addresses: Sequence[str], encoding: str) -> Accepted:
    without: list[str] = []
    later: list[str] = []
    for address in addresses:
        try:
            await client.rcpt(address, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as error:
            if error.code == _CLOSING:
                raise
            (without if isinstance(_refusal(error.code), Refused) else later).append(address)
    return Accepted(None, tuple(without), tuple(later))


async def _say_sender(client: aiosmtplib.SMTP, mail: Outgoing, options: Sequence[str], encoding: str) -> None:
    if mail.automatic == "replied":
        try:
            await client.mail(NO_SENDER, options=options, encoding=encoding)
        except aiosmtplib.SMTPSenderRefused as error:
            if not isinstance(_refusal(error.code), Refused):
                raise
            # There are servers that let nobody send without a sender. The marks against loops are in the headers, too.
        else:
            return
    await client.mail(mail.sender, options=options, encoding=encoding)


async def _pass_on(client: aiosmtplib.SMTP, content: bytes, taken: Accepted) -> Outcome:
    try:
        answer = await client.data(content)
    except aiosmtplib.SMTPResponseException as error:
        return _refusal(error.code)
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return Unknown("mail-server-broke-off")
    return replace(taken, ref=clean_line(_ADDRESS.sub("…", answer.message)) or None)


def _are_ascii(addresses: Sequence[str]) -> bool:
    """Whether every mail server takes mail to these; of other addresses only those with SMTPUTF8 (RFC 6531) do."""
    return all(address.isascii() for address in addresses)


def _refusal(code: int) -> Refused | NotNow:
    # 5xx is final, everything else may pass (RFC 5321, 4.2.1). The server's own words may hold addresses: only the code is kept.
    final = 500 <= code < 600 and code not in _NOT_LET_IN
    return Refused(f"smtp-{code}", "the mail server refused it") if final else NotNow(f"smtp-{code}")
