"""The heads of mails: what stands in their words (RFC 2047) and in parameters that were cut in pieces (RFC 2231). Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from email.header import Header
from itertools import groupby
from operator import itemgetter
from urllib.parse import unquote_to_bytes

Change = Callable[[bytes], bytes]  # of a text, as UTF-8

FIELD = re.compile(rb"^([!-9;-~]{1,200})[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_WORD = rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\r\n]*)\?="
_ONE = re.compile(_WORD)
_RUN = re.compile(rb"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\r\n]*\?=(?:\s{1,80}=\?[^?\s]{1,60}\?[bBqQ]\?[^?\r\n]*\?=)*")
_FOLD = re.compile(rb"\r?\n[ \t]*")
_Q = re.compile(rb"=([0-9A-Fa-f]{2})")
# `; filename*0*=utf-8''ann%40; filename*1=x.example`
_PIECE = rb"\*[0-9]{1,3}\*?[ \t]*=[ \t]*(?:\"[^\"]*\"|[^;\s]*)"
_PIECES = re.compile(rb";\s*([\w-]{1,60})" + _PIECE + rb"(?:\s*;\s*\1" + _PIECE + rb")*")
_BETWEEN = re.compile(rb"\"?\s*;\s*[\w-]{1,60}\*[0-9]{1,3}\*?[ \t]*=[ \t]*\"?")


def decoded(head: bytes, change: Change) -> bytes:
    """The head with what its words and its pieces of parameters say changed; all else as it is."""
    if b"=?" not in head and b"*0" not in head:
        return head
    newline = b"\r\n" if b"\r\n" in head else b"\n"
    return FIELD.sub(lambda field: _field(field, change, newline), head)


def _field(field: re.Match[bytes], change: Change, newline: bytes) -> bytes:
    value = field[2]
    ends = b"\r" if value.endswith(b"\r") else b""
    if b"=?" in value:
        value = _RUN.sub(lambda run: _run(run[0], change, newline), value)
        plain = _said(_FOLD.sub(b" ", value))
        # Partly in a word and partly beside it.
        if change(value) == value and (left := change(plain)) != plain:
            value = b" " + _word(left.strip(), newline) + ends
    if b"*0" in value:
        value = _PIECES.sub(lambda pieces: _pieces(pieces, change), value)
    return field[0] if value == field[2] else field[0][: field.start(2) - field.start()] + value


def _run(words: bytes, change: Change, newline: bytes) -> bytes:
    """Words side by side are one text: senders cut inside an address, and inside a letter."""
    said = _said(words)
    left = change(said)
    return words if left == said else _word(left, newline)


def _word(text: bytes, newline: bytes) -> bytes:
    line = " ".join(text.decode("utf-8", "replace").splitlines())
    return Header(line, "utf-8").encode().encode().replace(b"\n", newline)


def _said(value: bytes) -> bytes:
    """The value with its words decoded, as UTF-8."""
    kept, at = [], 0
    for run in _RUN.finditer(value):
        words = [(charset.partition(b"*")[0].lower(), _data(how, text)) for charset, how, text in _ONE.findall(run[0])]
        alike = groupby(words, key=itemgetter(0))
        texts = (as_utf8(b"".join(data for _, data in some), name.decode("ascii", "replace")) for name, some in alike)
        kept += [value[at : run.start()], *texts]
        at = run.end()
    return b"".join([*kept, value[at:]])


def _data(how: bytes, text: bytes) -> bytes:
    if how in b"qQ":
        return _Q.sub(lambda code: bytes([int(code[1], 16)]), text.replace(b"_", b" "))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return text


def as_utf8(data: bytes, charset: str) -> bytes:
    """Bytes of this charset as UTF-8; as they are where they are none of it, or Python has no such charset."""
    try:
        return data.decode(charset).encode("utf-8", "surrogatepass")
    except (LookupError, ValueError):
        return data


def _pieces(pieces: re.Match[bytes], change: Change) -> bytes:
    joined = unquote_to_bytes(_BETWEEN.sub(b"", pieces[0][1:]))
    return pieces[0] if change(joined) == joined else b'; %s="erased"' % pieces[1]
