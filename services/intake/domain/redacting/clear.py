"""Taking an address, and the name written before it, out of bytes in which it stands in clear. Pure.

In clear is also what a form (urlencoded: WHATWG URL, 5.2), JSON (RFC 8259) or HTML writes with an escape or two, and what goes on
over the end of a line. What was JSON stays JSON.
"""

from __future__ import annotations

import json
import quopri
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

ERASED = "erased@patchbay.invalid"
NAME_BYTES = 120  # before an address; a bound, so that a line of any length costs no more than another

_CODE = rb"(?:0[0-9a-fA-F]|2[0-9acfACF]|3[a-fA-F])"  # of a character that is no part of an address, as `%20` or `\u003c` has it
_ESCAPE = re.compile(rb"(?:(?:\\|%5[cC])(?:[nrt]|u00" + _CODE + rb")|%" + _CODE + rb")\Z")
_PART, _GOES_ON = re.compile(rb"[\w.-]\+?\Z"), re.compile(rb"[\w-]|\.\w")
_BREAK = rb"(?:=?\r?\n[ \t]{0,8})?"  # within an address: of quoted-printable, of a header, or of who wraps whatever it is
_BETWEEN = b"\r\n\t ="  # of which a break is made
_AT_IN_HTML = ("&#64;", "&#x40;", "&commat;")
# Beside an address in JSON, as Postmark has it; from the quotation mark on that ends the address.
CALLED = re.compile(rb'"\s*,\s*"Name"\s*:\s*"((?:[^"\\]|\\.){0,%d})' % NAME_BYTES)


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
    quoted=rb'\\+"(?![\s,:\]}])[^"\r\n]*"|(?<!\\)"(?![\s,:\]}])[^"\\\r\n]+"(?=[ \t\r]|\Z)',
)
_PERCENT = _spelling(
    opens=rb"(?:%3[cC]|(?:%5[cC])+u003[cC])(?:mailto%3[aA])?",
    closes=rb"%3[eE]|(?:%5[cC])+u003[eE]",
    begins=rb"(?:\A|(?<=[=&+])|(?<=%20)|(?<=%22)|(?<=%2[cC])|(?<=%3[aAbBcCeE])|(?<=%0[aAdD]))",
    space=rb"\+|%20|(?:%0[dD])?%0[aA](?:\+|%20|%09)",
    word=rb"%(?!0[aAdD9]|2[02cC]|3[aAbBcCeE])[0-9a-fA-F]{2}|[A-Za-z0-9_.*~'()!-]",
    quoted=rb"(?:%5[cC])*%22(?!%2[0cC]|%3[aA]|%5[dD]|%7[dD]|\+)(?:(?!%22|%0[aAdD])[^&=])+%22",
)


class Cut(NamedTuple):
    """What goes, and what stands there instead."""

    start: int
    end: int
    instead: bytes


class _Form(NamedTuple):
    """A way to write an address: without what a break is made of; also over the end of a line; how what stands around it is
    written; what it becomes.
    """

    bare: bytes
    broken: re.Pattern[bytes]
    spelling: _Spelling
    instead: bytes


def cleared(body: bytes, addresses: Iterable[str], *, listed: bool = False) -> bytes:
    """The same bytes without these addresses; what stands before one as a name, within `<>`, goes with it. `listed`: it is a list
    of addresses, where a name has as many words as it has. As it was where none stands in it. Takes a time in proportion to the
    bytes.
    """
    lowered = body.lower()
    bare = lowered.translate(None, _BETWEEN)
    forms = [one for address in addresses for one in _forms(address.lower()) if one.bare in bare]
    return applied(body, sorted({cut for one in forms for cut in _cuts(body, lowered, one, listed=listed)})) if forms else body


def overwritten(content: bytes, addresses: Iterable[str]) -> bytes:
    """The same number of bytes, an address written over: of a file whose places are counted, as of most that are no text."""
    lowered, kept = content.lower(), bytearray()
    for address in addresses:
        for form, instead in _wide_and_narrow(address.lower()):
            start = lowered.find(form)
            while start >= 0:
                end = start + len(form)
                if b"\0" in form or _is_whole(content, start, end, _PLAIN):
                    kept = kept or bytearray(content)
                    kept[start:end] = instead
                start = lowered.find(form, end)
    return bytes(kept) if kept else content


@lru_cache(maxsize=256)
def _wide_and_narrow(address: str) -> tuple[tuple[bytes, bytes], ...]:
    """How files have it, and as many bytes to write over it."""
    forms = [(address.encode(one), "x".encode(one)) for one in ("utf-8", "utf-16-le", "utf-16-be")]
    return tuple((form, x * (len(form) // len(x))) for form, x in forms)


def applied(body: bytes, cuts: Sequence[Cut]) -> bytes:
    """The bytes without what these cuts, in their order, take out."""
    kept, at = [], 0
    for cut in cuts:
        if cut.end <= at:
            continue  # within one before
        kept += [body[at : max(at, cut.start)], cut.instead]
        at = cut.end
    return b"".join([*kept, body[at:]])


@lru_cache(maxsize=256)
def _forms(address: str) -> tuple[_Form, ...]:
    plain = {address, json.dumps(address)[1:-1], *(address.replace("@", at) for at in _AT_IN_HTML)}
    written = {one.encode() for one in plain} | {quopri.encodestring(address.encode()).replace(b"=\n", b"").lower()}
    percent = quote(address, safe="").lower().encode()
    forms = (_form(one, _PLAIN, ERASED) for one in sorted(written))
    return (*forms, _form(percent, _PERCENT, quote(ERASED, safe="")))


def _form(written: bytes, spelling: _Spelling, instead: str) -> _Form:
    broken = re.compile(_BREAK.join(re.escape(bytes([byte])) for byte in written))
    return _Form(written.translate(None, _BETWEEN), broken, spelling, instead.encode())


def _cuts(body: bytes, lowered: bytes, one: _Form, *, listed: bool) -> Iterator[Cut]:
    for found in one.broken.finditer(lowered):
        start, end = found.span()
        if _is_whole(body, start, end, one.spelling):
            yield _around(body, start, end, one, listed=listed)
            if (called := CALLED.match(body, end)) is not None:
                yield Cut(called.start(1), called.end(1), b"")


def _is_whole(body: bytes, start: int, end: int, spelling: _Spelling) -> bool:
    """Whether it is not a piece of another address."""
    if _GOES_ON.match(body, end) is not None:
        return False
    before = body[max(0, start - 8) : start]
    if spelling is _PERCENT and before.endswith(b"+"):
        return True  # a space; a plus would be `%2B`
    return _PART.search(before) is None or _ESCAPE.search(before) is not None


def _around(body: bytes, start: int, end: int, one: _Form, *, listed: bool) -> Cut:
    """The address with its brackets and the name before them, where it has any."""
    spelling = one.spelling
    opening = spelling.opens.search(body, max(0, start - 24), start)
    closing = spelling.closes.match(body, end)
    if opening is None or closing is None:
        return Cut(start, end, one.instead)
    name = spelling.listed if listed else spelling.alone
    called = name.search(body, max(0, opening.start() - NAME_BYTES), opening.start())
    return Cut(called.start() if called is not None else opening.start(), closing.end(), one.instead)
