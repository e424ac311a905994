"""Forms as providers post them: multipart (RFC 7578) and urlencoded, from the bytes as they came. Files stay bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from services.intake.channels.charsets import text_from

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
FIELDS_CAP = 1000
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(r'[;\s]name="([^"]*)"', re.IGNORECASE)
_FILE_NAME = re.compile(r'[;\s]filename="([^"]*)"', re.IGNORECASE)
_FILE_NAME_CODED = re.compile(r"[;\s]filename\*=(?:utf-8|us-ascii)'[^']*'([^;\s]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `file_name` is None where it is no file."""

    name: str
    content: bytes
    file_name: str | None = None
    media_type: str = "text/plain"

    def text(self, charset: str = "utf-8") -> str:
        """What it says, in this charset unless it is no such text."""
        return text_from(self.content, charset)


def media_type_of(content_type: str) -> str:
    """`multipart/form-data` of a Content-Type header with parameters."""
    return content_type.partition(";")[0].strip().lower()


def fields(raw: bytes, content_type: str) -> list[Field]:
    """All fields in their order. Raises ValueError when the body is no form of this type."""
    kind = media_type_of(content_type)
    if kind == URLENCODED:
        return _urlencoded(raw)
    found = _BOUNDARY.search(content_type) if kind == MULTIPART else None
    if found is None:
        raise ValueError("the body is no form")
    return _multipart(raw, (found[1] or found[2]).encode("utf-8", "replace"))


def last_of(form: Sequence[Field]) -> dict[str, Field]:
    """Each name once: the last counts."""
    return {field.name: field for field in form}


def _urlencoded(raw: bytes) -> list[Field]:
    if raw.count(b"&") >= FIELDS_CAP:
        raise ValueError("the form has too many fields")
    pairs = (pair.replace(b"+", b" ").partition(b"=") for pair in raw.split(b"&") if pair)
    return [Field(unquote_to_bytes(name).decode("utf-8", "replace"), unquote_to_bytes(value)) for name, _, value in pairs]


def _multipart(raw: bytes, boundary: bytes) -> list[Field]:
    body, between = b"\r\n" + raw, b"\r\n--" + boundary
    if not 0 < body.count(between) <= FIELDS_CAP:  # before there are pieces: nobody knows yet whose form it is
        raise ValueError("the form has no or too many fields")
    pieces = body.split(between)[1:]
    if not pieces[-1].startswith(b"--"):
        raise ValueError("the form was cut off")
    return [_field(piece) for piece in pieces if not piece.startswith(b"--")]


def _field(piece: bytes) -> Field:
    head, _, content = piece.partition(b"\r\n\r\n")
    disposition, media_type = "", "text/plain"
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            disposition = value
        elif name.strip().lower() == "content-type":
            media_type = value.strip()
    named = _NAME.search(disposition)
    return Field(named[1] if named else "", content, _file_name(disposition), media_type)


def _file_name(disposition: str) -> str | None:
    coded = _FILE_NAME_CODED.search(disposition)
    if coded is not None:
        return unquote(coded[1])
    plain = _FILE_NAME.search(disposition)
    return plain[1].replace("%22", '"').replace("%0D", " ").replace("%0A", " ") if plain is not None else None
