"""Mail as it really comes: unknown and wrong charsets, 8-bit headers, broken structure. Reads what can be read, never raises.

Built on the standard library's parser (policy compat32, which keeps damaged headers as they are); words and charsets are decoded
by ours. Some of what the library does grows with the square of a header, or recurses with the nesting: so headers, parts and
nesting are cut while it reads, and the time for a mail grows with its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.feedparser import BytesFeedParser
from email.message import Message
from email.utils import collapse_rfc2231_value, getaddresses
from typing import Any

from services.intake.channels.charsets import Spent, decoded, text_from, unfolded
from services.intake.channels.clean import NAME_LIMIT, clean_line

PARTS_CAP = 200  # what comes after so many is not read, but to be had in a file of the whole mail
DEPTH_CAP = 20  # what is nested deeper is one file
HEADERS_CAP = 500  # of one part
HEADER_CAP = 20_000  # characters of one
PARAMETERS_CAP = 60  # of one header: the library takes them apart with the square of their number
PARAMETERS_LIMIT = 4_000  # characters of all of them
VALUES_CAP = 20  # headers of one name that are read
UU_LINE = 20  # characters of a uuencoded line; a whole one has 61

_PLAIN = r"[A-Za-z0-9_+=-]"
# `Ana Pop <ana@example.com>` and `ana@example.com`, as most are; everything else is for the standard library to take apart.
_PLAIN_ADDRESS = re.compile(
    rf"(?:(?P<name>[A-Za-z0-9_+=?/-]+(?: [A-Za-z0-9_+=?/-]+)*) <(?P<one>{_PLAIN}+(?:\.{_PLAIN}+)*@{_PLAIN}+(?:\.{_PLAIN}+)*)>"
    rf"|(?P<bare>{_PLAIN}+(?:\.{_PLAIN}+)*@{_PLAIN}+(?:\.{_PLAIN}+)*))"
)
# What is left to look for where the library gives up.
_BARE_ADDRESS = re.compile(r"(?<![^\s<>()\",;:])[^\s<>()\"@,;:]{1,64}@[^\s<>()\"@,;:]{1,255}")


class _Enough(Exception):
    """More parts than are read."""


class Part(Message):
    """A mail or a part of one, whose headers are looked up many times."""

    def __init__(self, policy: Any, spent: Spent) -> None:
        super().__init__(policy)
        self.spent = spent
        self._depth = 0
        self._headers_seen = 0
        self._kind: tuple[int, str] | None = None
        self._by_name: dict[str, list[str]] | None = None
        self._read: dict[str, list[str]] = {}
        self._decoded: dict[str, str] = {}

    def values_of(self, name: str) -> list[str]:
        """The values of a header as they stand in the mail, the first VALUES_CAP; raw 8-bit bytes in the charset they look like.
        To be asked when the mail is parsed.
        """
        if self._by_name is None:
            self._by_name = {}
            for key, value in self.raw_items():
                self._by_name.setdefault(key.lower(), []).append(str(value))
        name = name.lower()
        raw = self._by_name.get(name)
        if raw is None:
            return []
        if name not in self._read:
            self._read[name] = [self._rescued(value) for value in raw[:VALUES_CAP]]
        return self._read[name]

    def decoded(self, name: str) -> str:
        """The first header of a name, decoded and kept; empty when missing. To be asked when the mail is parsed."""
        values = self.values_of(name)
        if not values:
            return ""
        if name not in self._decoded:
            self._decoded[name] = decoded(values[0])
        return self._decoded[name]

    def _rescued(self, value: str) -> str:
        return value if value.isascii() else text_from(value.encode("utf-8", "surrogateescape"), "utf-8", self.spent)

    def set_raw(self, name: str, value: str) -> None:
        """Part of Message: a header, as the parser finds it. Of References the end is kept: it names the newest."""
        self._headers_seen += 1
        if self._headers_seen > HEADERS_CAP:
            return
        lower = name.lower()
        if lower.startswith("content-"):
            value = ";".join(value[:PARAMETERS_LIMIT].split(";")[: PARAMETERS_CAP + 1])
        elif len(value) > HEADER_CAP:
            value = value[-HEADER_CAP:] if lower == "references" else value[:HEADER_CAP]
        super().set_raw(name, value)

    def attach(self, payload: Any) -> None:
        """Part of Message: a part of this one begins. Raises _Enough."""
        self.spent.parts += 1
        if self.spent.parts > PARTS_CAP:
            raise _Enough
        payload._depth = self._depth + 1
        super().attach(payload)

    def get_content_type(self) -> str:
        """Part of Message. What is nested too deep is not taken apart. Kept, for the parser asks again and again."""
        if self._kind is None or self._kind[0] != self._headers_seen:
            kind = super().get_content_type()
            if self._depth >= DEPTH_CAP and kind.startswith(("multipart/", "message/")):
                kind = "application/octet-stream"
            self._kind = self._headers_seen, kind
        return self._kind[1]

    def get_param(self, param: str, failobj: Any = None, header: str = "content-type", unquote: bool = True) -> Any:
        """Part of Message: `failobj` also where the library fails at what stands there."""
        try:
            return super().get_param(param, failobj, header, unquote)
        except Exception:  # noqa: BLE001 - damaged parameters raise several kinds
            return failobj

    def get_boundary(self, failobj: Any = None) -> Any:
        """Part of Message: like get_param."""
        try:
            return super().get_boundary(failobj)
        except Exception:  # noqa: BLE001 - see get_param
            return failobj

    def get_content_charset(self, failobj: Any = None) -> Any:
        """Part of Message: like get_param."""
        try:
            return super().get_content_charset(failobj)
        except Exception:  # noqa: BLE001 - see get_param
            return failobj


def parse(raw: bytes) -> Part:
    """The mail's structure; of very many parts the first (`spent.cut` says so)."""
    start = raw.lstrip(b"\r\n\t ")
    if start.startswith((b"From ", b">From ")):  # a line of an mbox file
        start = start.partition(b"\n")[2]
    spent, made = Spent(), list[Part]()

    def part(policy: Any = policy.compat32) -> Part:
        made.append(Part(policy, spent))
        return made[-1]

    parser = BytesFeedParser(part, policy=policy.compat32)
    made.clear()  # it makes one to try
    try:
        parser.feed(start)
        parser.close()
    except _Enough:
        spent.cut = True
    return made[0]


def header(mail: Part, name: str) -> str:
    """One header, decoded, unfolded; empty when missing."""
    return mail.decoded(name)


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


def content_of(part: Part) -> bytes:
    """What a part holds, its transfer encoding undone."""
    return _payload(part)


def text_of(part: Part) -> str:
    """The text of one part, whatever its charset is or claims to be."""
    return text_from(_payload(part), part.get_content_charset() or "", part.spent)


def _split_addresses(value: str) -> list[tuple[str, str]]:
    value = unfolded(value)
    plain = _PLAIN_ADDRESS.fullmatch(value)
    if plain is not None:
        return [(plain["name"] or "", plain["one"] or plain["bare"])]
    try:
        found = getaddresses([value], strict=False) if _STRICT else getaddresses([value])
    except Exception:  # noqa: BLE001 - it recurses into each bracket, and fails at some damage
        return [("", address) for address in _BARE_ADDRESS.findall(value)]
    return [pair for pair in found if any(pair)]


_STRICT = "strict" in getaddresses.__code__.co_varnames  # Pythons since 3.11.9 reject some real-life addresses otherwise


def leaves(mail: Part) -> Iterator[Part]:
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
        return _inner(part)
    if "uu" in raw_header(part, "Content-Transfer-Encoding").lower():
        return _uudecoded(part)
    try:
        data = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - unknown transfer encodings raise several kinds
        return _undecoded(part)
    return data if isinstance(data, bytes) else b""


def _undecoded(part: Part) -> bytes:
    del part["Content-Transfer-Encoding"]
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _uudecoded(part: Part) -> bytes:
    """A line costs as much whatever its length: what is mostly short lines is no file, and left as it is."""
    encoding = raw_header(part, "Content-Transfer-Encoding")
    data = _undecoded(part)
    if data.count(b"\n") * UU_LINE > len(data):
        return data
    part["Content-Transfer-Encoding"] = encoding
    try:
        decoded = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - broken uuencoding raises several kinds
        return data
    return decoded if isinstance(decoded, bytes) else data


def _inner(part: Part) -> bytes:
    """The mail within a mail."""
    inner = part.get_payload()
    try:
        return b"\n".join(one.as_bytes() for one in inner if isinstance(one, Message)) if isinstance(inner, list) else b""
    except Exception:  # noqa: BLE001 - what is damaged may be impossible to write down again
        return b""


def file_name(part: Part) -> str:
    """What the part is called as a file, empty where it is not."""
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
