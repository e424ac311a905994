"""What requests hold in an encoding of theirs: the strings of JSON (RFC 8259), the values of a form (WHATWG URL, 5.2), and base64
wherever it stands (RFC 4648, 4). Pure. What does not change is the same bytes.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote_plus, unquote_to_bytes

from services.intake.domain.redacting.clear import CALLED, ERASED, Cut, applied, overwritten

Content = Callable[[bytes, str], bytes]  # of something of a type, "" where it is not told

SHORTEST = 8  # characters of a string in which an address may stand encoded
# One that does not end goes to the end: it is looked at once.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
WHOLE_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]{40,}={0,2}\s*")
_LINES = re.compile(rb"(\r?\n)")


def strings(body: bytes, content: Content) -> bytes:
    """JSON, or what looks like it, with what its strings say changed."""
    return applied(body, sorted(cut for string in _STRING.finditer(body) for cut in _string(body, string, content)))


def _string(body: bytes, string: re.Match[bytes], content: Content) -> Iterator[Cut]:
    written = string[0]
    if len(written) < SHORTEST or not (b"\\" in written or WHOLE_BASE64.fullmatch(written, 1, len(written) - 1)):
        return  # in clear
    try:
        said = json.loads(written, strict=False).encode("utf-8", "surrogatepass")
    except ValueError:
        return
    left = content(said, "")
    if left == said:
        return
    try:
        again = json.dumps(left.decode("utf-8", "surrogatepass"))
    except ValueError:
        return
    yield Cut(string.start(), string.end(), again.encode())
    if left == ERASED.encode() and (called := CALLED.match(body, string.end() - 1)) is not None:
        yield Cut(called.start(1), called.end(1), b"")


def values(body: bytes, content: Content) -> bytes:
    """A urlencoded form with what its fields say changed."""
    return b"&".join(_value(field, content) for field in body.split(b"&"))


def _value(field: bytes, content: Content) -> bytes:
    name, equals, value = field.partition(b"=")
    said = unquote_to_bytes(value.replace(b"+", b" "))
    if said == value and not WHOLE_BASE64.fullmatch(said):
        return field  # in clear
    left = content(said, "")
    return field if left == said else name + equals + quote_plus(left).encode()


def overwritten_base64(body: bytes, addresses: Iterable[str]) -> bytes:
    """An address written over where it stands in base64 that nobody announced, as in a token or a mail that is shown as text; of
    as many characters, so that nothing else moves.
    """
    wanted = tuple(addresses)
    shortest = min((len(address.encode()) * 4 // 3 for address in wanted), default=0)
    if shortest < SHORTEST:
        return body
    run = re.compile(rb"[A-Za-z0-9+/]{%d,}(?:\r?\n[A-Za-z0-9+/]+)*" % min(shortest, 16))
    return run.sub(lambda found: _run(found[0], wanted), body)


def _run(run: bytes, addresses: tuple[str, ...]) -> bytes:
    """Where it begins is not known: letters may stand before it."""
    pieces = _LINES.split(run)
    coded = as_it_was = b"".join(pieces[::2])
    for begins in range(4):
        ends = begins + (len(coded) - begins) // 4 * 4
        said = binascii.a2b_base64(coded[begins:ends])
        left = overwritten(said, addresses)
        if left != said:
            coded = coded[:begins] + binascii.b2a_base64(left, newline=False) + coded[ends:]
    return run if coded == as_it_was else _in_lines(coded, pieces)


def _in_lines(coded: bytes, pieces: list[bytes]) -> bytes:
    kept, at = [], 0
    for place, piece in enumerate(pieces):
        kept.append(piece if place % 2 else coded[at : at + len(piece)])
        at += 0 if place % 2 else len(piece)
    return b"".join(kept)
