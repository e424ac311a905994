"""winmail.dat: what Outlook and Exchange put a whole message into, text and files (MS-OXTNEF).

https://learn.microsoft.com/en-us/openspecs/exchange_server_protocols/ms-oxtnef. Attributes follow each other: level, id, length,
data, checksum. Of a message we want its text, in whichever form, and who says what it is about; of an attachment its name and
content, also where they stand among the MAPI properties only. Reads what is whole and leaves the rest; never raises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.intake.channels.charsets import codec_of_page

SIGNATURE = b"\x78\x9f\x3e\x22"  # 0x223E9F78, little-endian
FILES_CAP = 100
PROPERTIES_CAP = 2_000

_BODY, _MESSAGE_PROPERTIES, _CODE_PAGE, _SUBJECT = 0x0002800C, 0x00069003, 0x00069007, 0x00018004
_RENDERING, _DATA, _TITLE, _FILE_PROPERTIES = 0x00069002, 0x0006800F, 0x00018010, 0x00069005
_TEXT, _HTML, _RTF, _SENT, _ABOUT = 0x1000, 0x1013, 0x1009, 0x0039, 0x0037
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_LONG_NAME, _CONTENT, _MEDIA_TYPE, _CONTENT_ID = 0x3707, 0x3701, 0x370E, 0x3712
_TIME = 0x0040
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)  # of FILETIME, which counts tenths of microseconds
_SIZES = {
    0x0002: 4,
    0x0003: 4,
    0x0004: 4,
    0x0005: 8,
    0x0006: 8,
    0x0007: 8,
    0x000A: 4,
    0x000B: 4,
    0x0014: 8,
    0x0040: 8,
    0x0048: 16,
}
_STRING, _UNICODE, _BINARY, _OBJECT = 0x001E, 0x001F, 0x0102, 0x000D
_LENGTH = struct.Struct("<I")


@dataclass(slots=True)
class TnefFile:
    """A file in it."""

    name: str = ""
    media_type: str = "application/octet-stream"
    content: bytes = b""
    content_id: str = ""


@dataclass(slots=True)
class Tnef:
    """What was in it. `rtf` is packed (`compressed_rtf.py`). `cut`: and more files."""

    text: str = ""
    html: bytes = b""
    rtf: bytes = b""
    subject: str = ""
    sender_name: str = ""
    sender_address: str = ""
    sent_at: datetime | None = None
    files: list[TnefFile] = field(default_factory=list)
    cut: bool = False


def read(data: bytes) -> Tnef | None:
    """The message; None when this is no TNEF."""
    if not data.startswith(SIGNATURE):
        return None
    found, code_page = Tnef(), "cp1252"
    for attribute, value in _attributes(data):
        if attribute == _RENDERING:
            found.cut = len(found.files) >= FILES_CAP
            if found.cut:
                break
            found.files.append(TnefFile())
        elif attribute == _CODE_PAGE and len(value) >= 4:
            code_page = codec_of_page(_LENGTH.unpack_from(value)[0])
        elif attribute == _BODY:
            found.text = _decoded(value, code_page)
        elif attribute == _SUBJECT:
            found.subject = found.subject or _decoded(value, code_page)
        elif attribute == _MESSAGE_PROPERTIES:
            _note_message(found, value, code_page)
        elif found.files:
            _note_file(found.files[-1], attribute, value, code_page)
    found.files.sort(key=lambda file: not file.content)  # they are known by their place, and those without content came later
    found.files = [file for file in found.files if file.content or file.name]
    return found


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 6  # signature and key
    while at + 9 <= len(data):
        attribute, length = struct.unpack_from("<II", data, at + 1)
        value = data[at + 9 : at + 9 + length]
        yield attribute, value
        at += 9 + length + 2  # and the checksum


def _note_message(found: Tnef, value: bytes, code_page: str) -> None:
    for name, kind, content in _properties(value):
        if name == _TEXT and kind in (_STRING, _UNICODE):
            found.text = _string(kind, content, code_page) or found.text
        elif name == _HTML and kind in (_BINARY, _STRING, _UNICODE):
            found.html = content if kind != _UNICODE else _string(kind, content, code_page).encode("utf-8", "replace")
        elif name == _RTF and kind == _BINARY:
            found.rtf = content
        elif name == _SENT and kind == _TIME:
            found.sent_at = _time(content)
        elif name == _ABOUT and kind in (_STRING, _UNICODE):
            found.subject = _string(kind, content, code_page) or found.subject
        elif name == _SENDER_NAME and kind in (_STRING, _UNICODE):
            found.sender_name = _string(kind, content, code_page)
        elif name in (_SENDER_ADDRESS, _SENDER_SMTP) and kind in (_STRING, _UNICODE):
            address = _string(kind, content, code_page)
            found.sender_address = address if "@" in address else found.sender_address  # Exchange's own are none


def _time(content: bytes) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=int.from_bytes(content, "little") // 10)
    except OverflowError:
        return None


def _note_file(file: TnefFile, attribute: int, value: bytes, code_page: str) -> None:
    if attribute == _TITLE:
        file.name = file.name or _decoded(value, code_page)
    elif attribute == _DATA:
        file.content = value
    elif attribute == _FILE_PROPERTIES:
        for name, kind, content in _properties(value):
            if name == _LONG_NAME:
                file.name = _string(kind, content, code_page) or file.name
            elif name == _MEDIA_TYPE:
                file.media_type = _string(kind, content, code_page) or file.media_type
            elif name == _CONTENT_ID:
                file.content_id = _string(kind, content, code_page)
            elif name == _CONTENT and kind in (_BINARY, _OBJECT) and not file.content:
                file.content = content[16:] if kind == _OBJECT else content  # an object begins with its interface's id


def _properties(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(name, kind, first value) of each property (MS-OXTNEF 2.1.3.4), as far as they can be followed."""
    at = 4
    try:
        for _ in range(min(_LENGTH.unpack_from(data)[0], PROPERTIES_CAP)):
            kind, name = struct.unpack_from("<HH", data, at)
            at += 4
            if name >= 0x8000:
                at = _after_name(data, at)
            content, at = _value(data, at, kind)
            yield name, kind & 0x0FFF, content
    except (struct.error, ValueError):
        return


def _after_name(data: bytes, at: int) -> int:
    """A named property says its set, and its name by number or by text."""
    [by_text] = _LENGTH.unpack_from(data, at + 16)
    at += 20
    if not by_text:
        return at + 4
    [length] = _LENGTH.unpack_from(data, at)
    return int(at + 4 + length + -length % 4)


def _value(data: bytes, at: int, kind: int) -> tuple[bytes, int]:
    """The first of a property's values, and where the next property begins. Raises ValueError, struct.error."""
    several, kind = bool(kind & 0x1000), kind & 0x0FFF
    count = 1
    if several or kind not in _SIZES:
        [count] = _LENGTH.unpack_from(data, at)
        at += 4
    first = b""
    for n in range(count):
        size = _SIZES.get(kind)
        if size is None:
            if kind not in (_STRING, _UNICODE, _BINARY, _OBJECT):
                raise ValueError(f"kind {kind:#x}")
            [size] = _LENGTH.unpack_from(data, at)
            at += 4
        if at + size > len(data):
            raise ValueError("cut off")
        first = data[at : at + size] if n == 0 else first
        at += size + -size % 4
    return first, at


def _string(kind: int, content: bytes, code_page: str) -> str:
    if kind == _UNICODE:
        return content.decode("utf-16-le", "replace").partition("\0")[0]
    return _decoded(content, code_page)


def _decoded(content: bytes, code_page: str) -> str:
    return content.partition(b"\0")[0].decode(code_page, "replace")
