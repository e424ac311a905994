"""Mails (RFC 5322) and what is made like them: their parts decoded, changed, and encoded again as they were (RFC 2045). Pure.

What does not change is the same bytes: a mail is cut at its own lines, and never written anew.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from services.intake.domain.redacting import heads

DEPTH_CAP = 20  # as intake reads them (`channels/mime.py`); what is nested deeper is one part
LINE = 76  # characters of base64, where it had no line to go by
WITHIN = frozenset({"message/rfc822", "message/global"})
_HEAD_ENDS = re.compile(rb"\r?\n(\r?\n)")
_FOLD = re.compile(rb"\r?\n[ \t]*")
_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"([^"]{1,300})"|([^\s;"]{1,300}))', re.IGNORECASE)
_REST = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")  # of a line between parts, behind the boundary
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_PADDED = re.compile(rb"[A-Za-z0-9+/\s]*=(?:\s*=)?")


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to become of the head of a mail or part, of a text in it that was encoded, and of what a part of this type is."""

    head: Callable[[bytes], bytes]
    word: Callable[[bytes], bytes]
    content: Callable[[bytes, str], bytes]


class _Limit(NamedTuple):
    start: int
    end: int
    is_last: bool


def changed(raw: bytes, changes: Changes, depth: int = 0) -> bytes:
    """A mail, or a part of one."""
    head, body = _split(raw)
    fields = {field[1].lower(): field[2] for field in reversed(list(heads.FIELD.finditer(head)))}
    kind = _FOLD.sub(b" ", fields.get(b"content-type", b"")).strip().decode("latin-1")
    encoding = fields.get(b"content-transfer-encoding", b"").strip().strip(b'"').lower()
    new_head = changes.head(heads.decoded(head, changes.word))
    return new_head + _body(body, kind, encoding, changes, depth)


def parts(body: bytes, media_type: str, changes: Changes, depth: int = 0) -> bytes:
    """What is of several parts, each like a mail: a body of this type."""
    found = _BOUNDARY.search(media_type.encode("utf-8", "replace"))
    kept, at, begins = [], 0, -1
    for limit in _limits(body, b"--" + (found[1] or found[2])) if found is not None else ():
        if 0 <= begins < limit.start:
            kept += [body[at:begins], changed(body[begins : limit.start], changes, depth + 1)]
            at = limit.start
        begins = -1 if limit.is_last else limit.end
    if 0 <= begins < len(body):  # it was cut off
        kept += [body[at:begins], changed(body[begins:], changes, depth + 1)]
        at = len(body)
    return b"".join([*kept, body[at:]])


def _limits(body: bytes, mark: bytes) -> Iterator[_Limit]:
    """The lines between parts, each with the end of the line before it, which is no part of what stands there."""
    start = body.find(mark)
    while start >= 0:
        rest = _REST.match(body, start + len(mark))
        if rest is not None and (start == 0 or body[start - 1 : start] == b"\n"):
            before = start - 2 if body[max(0, start - 2) : start] == b"\r\n" else max(0, start - 1)
            yield _Limit(before, rest.end(), rest[1] is not None)
        start = body.find(mark, start + len(mark))


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """The head with the empty line, and what follows. What begins with no field has no head."""
    empty = re.match(rb"\r?\n", raw)
    if empty is not None:
        return raw[: empty.end()], raw[empty.end() :]
    ends = _HEAD_ENDS.search(raw)
    if ends is not None:
        return raw[: ends.end()], raw[ends.end() :]
    return (raw, b"") if heads.FIELD.match(raw) else (b"", raw)


def _body(body: bytes, kind: str, encoding: bytes, changes: Changes, depth: int) -> bytes:
    plain = kind.partition(";")[0].strip().lower()
    if encoding == b"base64":
        padded = _PADDED.match(body)
        coded = padded[0] if padded is not None else body  # what lists write beneath it is no part of it
        content = from_base64(coded)
        left = changes.content(content, kind)
        return body if left == content else to_base64(left, coded) + body[len(coded) :]
    if encoding == b"quoted-printable":
        content = binascii.a2b_qp(body)
        left = changes.content(content, kind)
        return body if left == content else _to_printable(left, body)
    if not plain.startswith("multipart/") and plain not in WITHIN:
        return changes.content(body, kind)
    if depth >= DEPTH_CAP:
        return changes.content(body, "application/octet-stream")
    return changed(body, changes, depth + 1) if plain in WITHIN else parts(body, kind, changes, depth)


def from_base64(body: bytes) -> bytes:
    """What it says, whatever stands between and behind."""
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        whole = _NOT_BASE64.sub(b"", body)
        return binascii.a2b_base64(whole[: len(whole) // 4 * 4])


def to_base64(content: bytes, like: bytes) -> bytes:
    """In lines as those of `like`, with the white space that was around it."""
    lines = like.strip().split(b"\n", 1)
    first = len(lines[0].rstrip())
    coded = binascii.b2a_base64(content, newline=False)
    width = len(coded) if len(lines) == 1 else first if first and first % 4 == 0 else LINE
    newline = b"\r\n" if b"\r\n" in like else b"\n"
    before, after = like[: len(like) - len(like.lstrip())], like[len(like.rstrip()) :]
    return before + newline.join(coded[n : n + width] for n in range(0, len(coded), width or 1)) + after


def _to_printable(content: bytes, like: bytes) -> bytes:
    """With line ends as they were, where what is written says the same when it is read."""
    coded = binascii.b2a_qp(content, istext=True)
    if binascii.a2b_qp(coded) != content:
        coded = binascii.b2a_qp(content, istext=False)
    return coded.replace(b"\n", b"\r\n") if b"\r\n" in like and b"\n" not in content else coded
