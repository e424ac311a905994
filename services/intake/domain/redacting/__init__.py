"""Taking a person's addresses, and the names written before them, out of bytes that are somebody else's. Pure.

Mails and the requests in which providers bring them are read as they are made: parts, encoded words, strings of JSON, values of
forms, base64, each within each. What is in another character set is found where its part says so, and in UTF-16. Not found is
what is compressed, encrypted or uuencoded. What does not hold them is the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.intake.domain.redacting import clear, heads, mails, requests
from services.intake.domain.redacting.clear import ERASED
from services.intake.domain.redacting.mails import Changes

__all__ = ["ERASED", "MAIL", "names", "without"]

MAIL = "message/rfc822"
DEPTH_CAP = 8  # of one encoding within another
PIECES_CAP = 20_000  # encoded pieces of one body that are looked into; further ones as they stand
FORM, PARTS = "application/x-www-form-urlencoded", "multipart/"
_ANYTHING = frozenset({"", "text/plain", "application/octet-stream"})
_TEXTS = ("text/", "message/", "multipart/", FORM)
_LOOKS_LIKE_MAIL = re.compile(rb"\s{0,20}(?:[!-9;-~]{1,100}[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*){2}")
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
# Of these an address is not written as in ASCII, or may have letters that are not; Python's others are no character sets.
_OTHER_LETTERS = re.compile(
    r"utf[-_]?(?:16|32|7)|iso[-_]?(?:8859|2022)|windows|cp[0-9-]|koi8|gb|big5|euc|shift|ks_c|hz|latin|mac", re.IGNORECASE
)


@dataclass(slots=True)
class _Reading:
    """One body that is read: for whom, and how many pieces of it may still be looked into."""

    person: tuple[str, ...]
    pieces: int = PIECES_CAP


def without(body: bytes, media_type: str, addresses: Iterable[str]) -> bytes:
    """The same bytes without these addresses; what stands before one as a name, within `<>`, goes with it. As it was where none
    stands in it. Takes a time in proportion to the bytes.
    """
    person = tuple(dict.fromkeys(addresses))
    left = _left(body, media_type, _Reading(person), 0) if person else body
    return body if left == body else left


def names(body: bytes, media_type: str, values: Iterable[str]) -> bool:
    """Whether one of these addresses, numbers or other names of a person stands in it, however it is encoded."""
    return without(body, media_type, values) is not body


def _left(body: bytes, media_type: str, reading: _Reading, depth: int) -> bytes:
    person = reading.person
    reading.pieces -= 1
    if len(body) < min(map(len, person)) or reading.pieces < 0:
        return body
    kind = media_type.partition(";")[0].strip().lower()
    if _is_file(body, kind) and (depth or kind):
        return clear.overwritten(body, person)
    if depth < DEPTH_CAP:
        body = _opened(body, media_type, kind, reading, depth)
    body = _in_letters(body, media_type, person) if kind.startswith("text/") else body
    return requests.overwritten_base64(clear.cleared(body, person), person)


def _is_file(body: bytes, kind: str) -> bool:
    """Whether it is no text, so that each byte has to stay in its place."""
    if kind.startswith(_TEXTS) or kind.endswith("json"):
        return False
    try:
        return "\0" in body.decode()
    except ValueError:
        return True


def _opened(body: bytes, media_type: str, kind: str, reading: _Reading, depth: int) -> bytes:
    """With what it holds encoded changed."""

    def inner(content: bytes, its_type: str) -> bytes:
        return _left(content, its_type, reading, depth + 1)

    person = reading.person
    changes = Changes(
        head=lambda head: clear.cleared(head, person, listed=True), word=lambda text: clear.cleared(text, person), content=inner
    )
    if kind in mails.WITHIN or (depth and kind in _ANYTHING and _LOOKS_LIKE_MAIL.match(body)):
        return mails.changed(body, changes)
    if kind.startswith(PARTS):
        return mails.parts(body, media_type, changes)
    if kind == FORM:
        return requests.values(body, inner)
    if body[:100].lstrip()[:1] in (b"{", b"["):
        return requests.strings(body, inner)
    if depth and kind in _ANYTHING and requests.WHOLE_BASE64.fullmatch(body):
        content = mails.from_base64(body)
        left = inner(content, "")
        return body if left == content else mails.to_base64(left, body)
    return body


def _in_letters(body: bytes, media_type: str, person: tuple[str, ...]) -> bytes:
    """A text of another character set."""
    named = _CHARSET.search(media_type)
    if named is None or not _OTHER_LETTERS.match(named[1]):
        return body
    said = heads.as_utf8(body, named[1])
    left = clear.cleared(said, person)
    if left == said:
        return body
    try:
        return left.decode("utf-8", "surrogatepass").encode(named[1], "replace")
    except (LookupError, ValueError):
        return body
