"""Mail as customers' programs write it and mail servers hand it over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr
from hashlib import blake2b
from html import escape

from client import NoAnswer

# What older programs write instead of UTF-8.
OLD_CHARSETS = {"he": "windows-1255", "ar": "windows-1256", "ro": "iso-8859-16", "en": "windows-1252"}
CRLF = compat32.clone(linesep="\r\n")
MULTIPART, OLD = (1, 3), 2  # of the four styles; the one left is plain UTF-8


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail. `refs` are the Message-IDs before it, oldest first; the last one is answered. `quoted` stands below the text."""

    message_ref: str
    name: str
    sender: str
    to: str
    subject: str
    text: str
    language: str
    at: datetime
    refs: Sequence[str] = ()
    quoted: str = ""


def compose(mail: Mail, style: int) -> bytes:
    """The mail as it is sent, the same bytes each time. With the older MIME classes, which take a fifth of the time."""
    text = f"{mail.text}\n\n{mail.quoted}".strip() + "\n"
    message: MIMEBase = MIMEText(text, "plain", _charset(text, mail.language) if style == OLD else "utf-8")
    if style in MULTIPART:
        direction = "rtl" if mail.language in ("he", "ar") else "ltr"
        lines = "<br>".join(escape(line) for line in text.splitlines())
        html = MIMEText(f'<html><body dir="{direction}">{lines}</body></html>\n', "html", "utf-8")
        boundary = f"=_{blake2b(mail.message_ref.encode(), digest_size=12).hexdigest()}"
        message = MIMEMultipart("alternative", boundary, [message, html])
    message["From"] = formataddr((mail.name, mail.sender))
    message["To"] = mail.to
    message["Subject"] = Header(mail.subject, "us-ascii" if mail.subject.isascii() else "utf-8").encode()
    message["Date"] = format_datetime(mail.at)
    message["Message-ID"] = mail.message_ref
    if mail.refs:
        message["In-Reply-To"] = mail.refs[-1]
        message["References"] = "\n ".join(mail.refs)
    return message.as_bytes(policy=CRLF)


def _charset(text: str, language: str) -> str:
    try:
        text.encode(OLD_CHARSETS[language])
    except UnicodeEncodeError:
        return "utf-8"
    return OLD_CHARSETS[language]


def quoted(text: str, above: str) -> str:
    """A text as a mail program quotes it."""
    return "\n".join([above, *(f"> {line}" for line in text.splitlines())])


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes mail, and how long any of its answers may take."""

    host: str
    port: int
    answer_seconds: float = 15.0


async def deliver(server: MailServer, sender: str, recipient: str, content: bytes, *, hang_up: bool = False) -> tuple[int, str]:
    """Hand a mail over: the last code and what was said with it.

    `hang_up`: close the connection when all is sent, before the answer. Raises NoAnswer.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(server.answer_seconds):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            commands = [None, "EHLO simulator.example", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"]
            for command in commands:
                code, said = await _say(reader, writer, None if command is None else command.encode())
                if code >= 400:
                    return code, said
            # A line that begins with a dot gets a second one (RFC 5321, 4.5.2).
            writer.write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            if hang_up:
                await writer.drain()
                raise NoAnswer("hung up")
            code, said = await _said(reader)
            writer.write(b"QUIT\r\n")
            return code, said
    except (OSError, TimeoutError, ValueError) as error:
        raise NoAnswer(type(error).__name__) from None
    finally:
        if writer is not None:
            writer.close()


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes | None) -> tuple[int, str]:
    if command is not None:
        writer.write(command + b"\r\n")
    return await _said(reader)


async def _said(reader: asyncio.StreamReader) -> tuple[int, str]:
    """An answer of one or more lines. Raises NoAnswer when the connection ends, ValueError when it is none."""
    while True:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise NoAnswer("the server closed the connection")
        if line[3:4] != b"-":
            return int(line[:3]), line[4:].decode("latin-1").strip()
