"""A mail made of what a provider took apart, so that one parser reads all mail. The same parts make the same bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from services.intake.channels.clean import NAME_LIMIT, clean_line

_HEADER = re.compile(r"[!-9;-~]{1,100}")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_ID = re.compile(r"[^\s<>]{1,300}")
_BREAKS = re.compile(r"[\r\n\x00]+[ \t]*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_OF_THE_BODY = ("content-", "mime-version")

Headers = Sequence[tuple[str, str]]
JUDGED = ("X-Spam-Flag", "YES")  # as SpamAssassin marks what it takes for spam
INFECTED = ("X-SES-Virus-Verdict", "FAIL")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a mail; `content` may be base64 already."""

    name: str
    media_type: str
    content: bytes
    content_id: str = ""
    is_base64: bool = False


def mail(headers: Headers, plain: str, html: str, files: Iterable[File] = ()) -> bytes:
    """The mail as RFC 5322 has it, headers as they are (8-bit where they are), without those that told of its structure."""
    parts = [_text(kind, text) for kind, text in (("plain", plain), ("html", html)) if text.strip()]
    parts += [_file(file) for file in files]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    boundary = b"patchbay-" + digest.hexdigest().encode()
    kind = b"multipart/mixed" if len(parts) != 2 or not plain.strip() or not html.strip() else b"multipart/alternative"
    lines = [line for name, value in headers if (line := _header(name, value))]
    lines += [b"MIME-Version: 1.0", b'Content-Type: %s; boundary="%s"' % (kind, boundary), b""]
    return b"\r\n".join(lines) + b"".join(b"\r\n--%s\r\n%s" % (boundary, part) for part in parts) + b"\r\n--%s--\r\n" % boundary


def judged(raw: bytes, *, spam: bool, infected: bool = False) -> bytes:
    """A mail with the marks of spam and of a virus where its provider says so beside the mail only."""
    marks = (JUDGED if spam else None, INFECTED if infected else None)
    return b"".join(f"{mark[0]}: {mark[1]}\r\n".encode() for mark in marks if mark is not None) + raw


def address(name: str, email: str) -> str:
    """One address of a header, whatever is in the name."""
    shown = clean_line(name).replace("\\", " ").replace('"', "'")
    return f'"{shown}" <{email}>' if shown else email


def _header(name: str, value: str) -> bytes:
    if not _HEADER.fullmatch(name) or name.lower().startswith(_OF_THE_BODY):
        return b""
    return f"{name}: {_BREAKS.sub(' ', value)}".encode("utf-8", "replace")


def _text(kind: str, text: str) -> bytes:
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return head.encode() + base64.b64encode(text.encode("utf-8", "replace"))


def _file(file: File) -> bytes:
    kind = file.media_type.partition(";")[0].strip().lower()
    kind = kind if _TYPE.fullmatch(kind) and not kind.startswith("multipart/") else "application/octet-stream"
    lines = [f"Content-Type: {kind}", f"Content-Disposition: attachment{_name(file.name)}"]
    content_id = file.content_id.strip().strip("<>")
    if _ID.fullmatch(content_id):
        lines.append(f"Content-ID: <{content_id}>")
    content = file.content
    if kind.startswith("message/"):  # a mail within a mail is never encoded (RFC 2046, 5.2.1)
        content = _lenient(content) if file.is_base64 else content
    else:
        lines.append("Content-Transfer-Encoding: base64")
        content = content if file.is_base64 else base64.b64encode(content)
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + content


def _lenient(encoded: bytes) -> bytes:
    """What of it is base64, whatever its end: a damaged file must not cost the mail."""
    letters = _NOT_BASE64.sub(b"", encoded)
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))


def _name(name: str) -> str:
    """Without folders, which some clients send; a name of dots only is none."""
    last = clean_line(name.replace("\\", "/").rpartition("/")[2], NAME_LIMIT)
    shown = last if last.strip(".") else ""
    return f"; filename*=utf-8''{quote(shown, safe='', errors='replace')}" if shown else ""
