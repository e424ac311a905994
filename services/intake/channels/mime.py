"""Mail as it really comes: unknown and wrong charsets, 8-bit headers, broken structure. Reads all of it, never raises.

Built on the standard library's parser (policy compat32, which keeps damaged headers as they are); RFC 2047 words and
charsets are decoded here, with the names that mail programs use beside the registered ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from email.utils import collapse_rfc2231_value, getaddresses
from typing import cast

from charset_normalizer import from_bytes

from services.intake.channels.clean import NAME_LIMIT, clean_line
from services.intake.domain.contacts import InboundFile

PARTS_CAP = 200
DEPTH_CAP = 20
HEADER_CAP = 20_000
LOOK_AT = 20_000  # bytes from which a charset is guessed
_ASCII = bytes(range(128))
# Names that mail programs write, and the codec that they mean.
CHARSETS = {
    "iso-gb2312": "gb18030",
    "gb2312": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "windows-1255-i": "cp1255",
    "x-mac-hebrew": "cp1255",
    "x-sjis": "shift_jis",
    "cp-850": "cp850",
    "utf8mb4": "utf-8",
    "x-unknown": "utf-8",
    "unknown-8bit": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
}
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bqBQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?[^?\s]{1,60}\?[bqBQ]\?)")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")

_PLAIN = r"[A-Za-z0-9_+=-]"
# `Ana Pop <ana@example.com>` and `ana@example.com`, as most are; everything else is for the standard library to take apart.
_PLAIN_ADDRESS = re.compile(
    rf"(?:(?P<name>[A-Za-z0-9_+=?/-]+(?: [A-Za-z0-9_+=?/-]+)*) <(?P<one>{_PLAIN}+(?:\.{_PLAIN}+)*@{_PLAIN}+(?:\.{_PLAIN}+)*)>"
    rf"|(?P<bare>{_PLAIN}+(?:\.{_PLAIN}+)*@{_PLAIN}+(?:\.{_PLAIN}+)*))"
)


class Part(Message):
    """A mail or a part of one, whose headers are looked up many times."""

    _by_name: dict[str, list[str]] | None = None

    def values_of(self, name: str) -> list[str]:
        """The values of a header as they stand in the mail; raw 8-bit bytes in the charset they look like. To be asked when
        the mail is parsed.
        """
        if self._by_name is None:
            self._by_name = {}
            for key, value in self.raw_items():
                self._by_name.setdefault(key.lower(), []).append(_rescued(str(value)[:HEADER_CAP]))
        return self._by_name.get(name.lower(), [])


@dataclass(frozen=True, slots=True)
class Body:
    """What of a mail is to be read: plain text and HTML, either may be empty; and the files."""

    plain: str
    html: str
    files: tuple[InboundFile, ...]


def parse(raw: bytes) -> Part:
    """The mail's structure."""
    start = raw.lstrip(b"\r\n\t ")
    if start.startswith((b"From ", b">From ")):  # a line of an mbox file
        start = start.partition(b"\n")[2]
    return cast(Part, message_from_bytes(start, Part, policy=policy.compat32))


def header(mail: Part, name: str) -> str:
    """One header, decoded, unfolded; empty when missing."""
    values = mail.values_of(name)
    return decoded(values[0]) if values else ""


def raw_header(mail: Part, name: str) -> str:
    """One header with its encoded words as they are."""
    values = mail.values_of(name)
    return values[0] if values else ""


def headers(mail: Part, name: str) -> list[str]:
    """All headers of a name, decoded."""
    return [decoded(value) for value in mail.values_of(name)]


def addresses(mail: Part, *names: str) -> list[tuple[str, str]]:
    """(name, address) of all these headers, in order; what is no address is left out."""
    found = []
    for name in names:
        for value in mail.values_of(name):
            for display, address in _split_addresses(value):
                if "@" in address:
                    found.append((clean_line(decoded(display)), address.strip()))
    return found


def body(mail: Part) -> Body:
    """Text and files of a mail. The first text of each kind is the message; later ones are added to it."""
    plain, html, files = [], [], []
    for index, part in enumerate(_leaves(mail)):
        kind = part.get_content_type()
        name = _file_name(part)
        attached = name or "attachment" in raw_header(part, "Content-Disposition").lower()
        if kind == "text/plain" and not attached:
            plain.append(text_of(part))
        elif kind == "text/html" and not attached:
            html.append(text_of(part))
        else:
            files.append(_file(index, part, kind, name))
    return Body("\n".join(filter(None, plain)), "\n".join(filter(None, html)), tuple(files))


def file_content(raw: bytes, index: int) -> bytes:
    """The content of the file at `part` of a mail. Raises LookupError when there is none."""
    for at, part in enumerate(_leaves(parse(raw))):
        if at == index:
            return _payload(part)
    raise LookupError(f"no part {index}")


def text_of(part: Part) -> str:
    """The text of one part, whatever its charset is or claims to be."""
    return text_from(_payload(part), part.get_content_charset() or "")


def text_from(data: bytes, charset: str) -> str:
    """Bytes as text: the charset named, then UTF-8, then what they look like. Never raises."""
    name = charset.strip("\"' ").lower()
    for candidate in (CHARSETS.get(name, name), "utf-8"):
        try:
            return data.decode(candidate)
        except (LookupError, UnicodeError, ValueError):
            continue
    high = len(data[:LOOK_AT].translate(None, _ASCII))
    # Few letters beyond ASCII are accents of a western text, and too few to guess from; many are another script.
    guess = from_bytes(data[:LOOK_AT]).best() if high * 4 > len(data[:LOOK_AT]) else None
    return data.decode(guess.encoding if guess else "cp1252", "replace")


def decoded(value: str) -> str:
    """RFC 2047 encoded words in a header decoded, also split ones and wrongly charset ones. Never raises."""
    if "=?" not in value:
        return _unfold(value)
    pieces: list[str] = []
    held: list[bytes] = []  # neighbouring words of one charset are one text: senders split inside characters
    held_charset = ""
    position = 0
    value = _BETWEEN_WORDS.sub(r"\1\2", value)
    for word in _WORD.finditer(value):
        charset = word[1].partition("*")[0].lower()
        if held and (word.start() != position or charset != held_charset):
            pieces.append(text_from(b"".join(held), held_charset))
            held = []
        pieces.append(value[position : word.start()])
        held.append(_word_bytes(word[2].lower(), word[3]))
        held_charset, position = charset, word.end()
    if held:
        pieces.append(text_from(b"".join(held), held_charset))
    return _unfold("".join([*pieces, value[position:]]))


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if encoding == "b":
        try:
            return base64.b64decode(data + b"=" * (-len(data) % 4))
        except (binascii.Error, ValueError):
            return data
    return _Q_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data.replace(b"_", b" "))


def _rescued(value: str) -> str:
    return value if value.isascii() else text_from(value.encode("utf-8", "surrogateescape"), "utf-8")


def _split_addresses(value: str) -> list[tuple[str, str]]:
    value = _unfold(value)
    plain = _PLAIN_ADDRESS.fullmatch(value)
    if plain is not None:
        return [(plain["name"] or "", plain["one"] or plain["bare"])]
    found = getaddresses([value], strict=False) if _STRICT else getaddresses([value])
    return [pair for pair in found if any(pair)]


_STRICT = "strict" in getaddresses.__code__.co_varnames  # Pythons since 3.11.9 reject some real-life addresses otherwise


def _unfold(value: str) -> str:
    if "\n" not in value:
        return value.strip()
    return re.sub(r"\r?\n[ \t]*", " ", value).strip()


def _leaves(mail: Part) -> Iterator[Part]:
    """The parts that hold something, in order. A mail within a mail is one leaf, a file."""
    seen = 0
    stack: list[tuple[Part, int]] = [(mail, 0)]
    while stack and seen < PARTS_CAP:
        part, depth = stack.pop()
        children = part.get_payload() if part.is_multipart() else None
        if isinstance(children, list) and part.get_content_maintype() == "multipart" and depth < DEPTH_CAP:
            stack.extend((child, depth + 1) for child in reversed(children) if isinstance(child, Part))
            continue
        seen += 1
        yield part


def _payload(part: Part) -> bytes:
    if part.is_multipart():
        inner = part.get_payload()
        return b"\n".join(one.as_bytes() for one in inner if isinstance(one, Message)) if isinstance(inner, list) else b""
    try:
        data = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - unknown transfer encodings and broken uuencoding raise several kinds
        data = None
    if isinstance(data, bytes):
        return data
    return str(part.get_payload()).encode("utf-8", "surrogateescape")


def _file_name(part: Part) -> str:
    said = (*part.values_of("Content-Disposition"), *part.values_of("Content-Type"))
    if not any("name" in value.lower() for value in said):
        return ""
    try:
        for header_name, param in (("Content-Disposition", "filename"), ("Content-Type", "name")):
            value = part.get_param(param, header=header_name)
            if value:
                return clean_line(decoded(collapse_rfc2231_value(value)), NAME_LIMIT)
    except Exception:  # noqa: BLE001 - damaged parameters raise several kinds; the file then has no name
        return ""
    return ""


def _file(index: int, part: Part, kind: str, name: str) -> InboundFile:
    data = _payload(part)
    return InboundFile(index, name, kind, len(data), hashlib.sha256(data).hexdigest())
