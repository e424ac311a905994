"""Taking an address, and the name written before it, out of bytes that are somebody else's. Pure.

Mails (RFC 5322) and the requests in which providers bring them: multipart, urlencoded (WHATWG URL, 5.2) or JSON (RFC 8259), also
JSON in JSON. What was JSON stays JSON. Not found is what stands in base64, or over the end of a line of quoted-printable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

ERASED = "erased@patchbay.invalid"
NAME_BYTES = 120  # before an address; a bound, so that a line of any length costs no more than another
MAIL = "message/rfc822"

_CODE = rb"(?:0[0-9a-fA-F]|2[0-9acfACF]|3[a-fA-F])"  # of a character that is no part of an address, as `%20` or `\u003c` has it
_ESCAPE = re.compile(rb"(?:(?:\\|%5[cC])(?:[nrt]|u00" + _CODE + rb")|%" + _CODE + rb")\Z")
_PART, _GOES_ON = re.compile(rb"[\w.-]\+?\Z"), re.compile(rb"[\w-]|\.\w")
_HEAD = re.compile(rb"\r?\n\r?\n")
# Beside an address in JSON, as Postmark has it.
_CALLED = re.compile(rb'"\s*,\s*"Name"\s*:\s*"((?:[^"\\]|\\.){0,%d})' % NAME_BYTES)


class _Spelling(NamedTuple):
    """How a kind of bytes writes what stands around an address. `alone` is a name in a text, of three words at most and the first
    of them not in small letters, if there are more than one; `listed` one in a list of addresses.
    """

    opens: re.Pattern[bytes]
    closes: re.Pattern[bytes]
    alone: re.Pattern[bytes]
    listed: re.Pattern[bytes]


def _spelling(opens: bytes, closes: bytes, begins: bytes, space: bytes, word: bytes, quoted: bytes) -> _Spelling:
    word = rb"(?:" + word + rb")+"
    capital = rb"(?![a-z])" + word
    spaced = rb"(?:" + space + rb")+"
    alone = rb"(?:" + capital + rb"(?:" + spaced + word + rb"){0,2}|" + word + rb")(?:" + space + rb")*\Z"
    listed = word + rb"(?:" + spaced + word + rb")*(?:" + space + rb")*\Z"
    named = rb"(?:(?:" + quoted + rb")(?:" + space + rb")*\Z|" + begins
    patterns = rb"(?:" + opens + rb")\Z", closes, named + alone + rb")", named + listed + rb")"
    return _Spelling(*(re.compile(one) for one in patterns))


_PLAIN = _spelling(
    opens=rb"(?:<|\\+u003[cC]|&lt;)(?:mailto:)?|\[mailto:",
    closes=rb">|\\+u003[eE]|&gt;|\]",
    begins=rb'(?:\A|(?<=[\s<>,:;"&(])|(?<=\\[nrt])|(?<=\\u00[0-3][0-9a-fA-F]))',
    space=rb"[ \t]|\r?\n[ \t]",
    word=rb'[^\s<>,:;"\\&]|\\+u(?!00[0-3])[0-9a-fA-F]{4}',
    # In JSON what stands between two strings is no name.
    quoted=rb'\\+"(?![\s,:\]}])[^"\r\n]*"|(?<!\\)"(?![\s,:\]}])[^"\\\r\n]+"(?=[ \t\r])',
)
_PERCENT = _spelling(
    opens=rb"(?:%3[cC]|(?:%5[cC])+u003[cC])(?:mailto%3[aA])?",
    closes=rb"%3[eE]|(?:%5[cC])+u003[eE]",
    begins=rb"(?:\A|(?<=[=&+])|(?<=%20)|(?<=%22)|(?<=%2[cC])|(?<=%3[aAbBcCeE])|(?<=%0[aAdD]))",
    space=rb"\+|%20|(?:%0[dD])?%0[aA](?:\+|%20|%09)",
    word=rb"%(?!0[aAdD9]|2[02cC]|3[aAbBcCeE])[0-9a-fA-F]{2}|[A-Za-z0-9_.*~'()!-]",
    quoted=rb"(?:%5[cC])*%22(?!%2[0cC]|%3[aA]|%5[dD]|%7[dD]|\+)(?:(?!%22|%0[aAdD])[^&=])+%22",
)


class _Cut(NamedTuple):
    """What goes, and what stands there instead."""

    start: int
    end: int
    instead: bytes


def without(body: bytes, media_type: str, addresses: Iterable[str]) -> bytes:
    """The same bytes without these addresses; what stands before one as a name, within `<>`, goes with it. As it was where none
    stands in it. Takes a time in proportion to the bytes.
    """
    lowered = body.lower()
    head = _HEAD.search(body) if media_type == MAIL else None
    head_ends = head.start() if head is not None else 0
    cuts = sorted({cut for address in addresses for cut in _cuts(body, lowered, address.lower(), head_ends)})
    return _applied(body, cuts) if cuts else body


def _cuts(body: bytes, lowered: bytes, address: str, head_ends: int) -> Iterator[_Cut]:
    plain = {address.encode(), json.dumps(address)[1:-1].encode()}
    for form in plain:
        yield from _written(body, lowered, form, _PLAIN, ERASED.encode(), head_ends)
    percent = quote(address, safe="").lower().encode()
    yield from _written(body, lowered, percent, _PERCENT, quote(ERASED, safe="").encode(), head_ends)


def _written(body: bytes, lowered: bytes, form: bytes, spelling: _Spelling, instead: bytes, head_ends: int) -> Iterator[_Cut]:
    start = lowered.find(form)
    while start >= 0:
        end = start + len(form)
        if _is_whole(body, start, end, spelling):
            yield _around(body, start, end, spelling, instead, head_ends)
            if (called := _CALLED.match(body, end)) is not None:
                yield _Cut(called.start(1), called.end(1), b"")
        start = lowered.find(form, end)


def _is_whole(body: bytes, start: int, end: int, spelling: _Spelling) -> bool:
    """Whether it is not a piece of another address."""
    if _GOES_ON.match(body, end) is not None:
        return False
    before = body[max(0, start - 8) : start]
    if spelling is _PERCENT and before.endswith(b"+"):
        return True  # a space; a plus would be `%2B`
    return _PART.search(before) is None or _ESCAPE.search(before) is not None


def _around(body: bytes, start: int, end: int, spelling: _Spelling, instead: bytes, head_ends: int) -> _Cut:
    """The address with its brackets and the name before them, where it has any."""
    opening = spelling.opens.search(body, max(0, start - 24), start)
    closing = spelling.closes.match(body, end)
    if opening is None or closing is None:
        return _Cut(start, end, instead)
    name = spelling.listed if start < head_ends else spelling.alone
    called = name.search(body, max(0, opening.start() - NAME_BYTES), opening.start())
    return _Cut(called.start() if called is not None else opening.start(), closing.end(), instead)


def _applied(body: bytes, cuts: Sequence[_Cut]) -> bytes:
    kept, at = [], 0
    for cut in cuts:
        if cut.end <= at:
            continue  # within one before
        kept += [body[at : max(at, cut.start)], cut.instead]
        at = cut.end
    return b"".join([*kept, body[at:]])
