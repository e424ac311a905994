"""Contacts as they come, damaged in every way that chance finds: bytes of mails and forms, values of JSON. Seeded."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.recorded.requests import all_recorded

MESSAGE_ID = re.compile(rb"message-id:\s*<", re.IGNORECASE)
FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

# What has broken parsers: ends of strings and lines, halves of characters, headers, encodings, numbers out of range.
PIECES = (
    *(b"\x00", b"\r", b"\n", b"\r\n\r\n", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"%00"),
    *(b"%ED%A0%80", b"=?utf-8?B?", b"=?utf-16?Q?=D8?=", b"=?x?b?AA==?=", b"charset=utf-7", b"charset=punycode", b'charset="'),
    *(b"; boundary=", b"--", b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: message/rfc822\r\n"),
    *(b"Content-Transfer-Encoding: uuencode\r\n", b"Message-ID: <\x00@>\r\n", b"From: <>\r\n", b"From: a@b, c@d\r\n"),
    *(b"Date: Thu, 99 Foo 99999\r\n", b"References: " + b"<a@b> " * 50, b"Auto-Submitted: auto-replied\r\n", b"begin 644 x\r\nM"),
    *(b"<div><table>" * 20, b"&#x110000;", b"<!--", b"9" * 40, b"-1", b"1e999", b"\xd7\x90" * 30, b"a" * 1200, b">" * 80),
    *(b"&", b"=", b"+", b"%", b"{", b"[" * 200, b'"', b"\\u0000", b"\\ud800"),
)
VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 1 << 63, 1 << 80, 1e308, "", " ", "\u0000", "\ud800", "\u202e\u2066", "x" * 5000, "\r\nBcc: a@b"),
    *("=cmd()", [], {}, [[]], {"a": {"b": None}}, ["x"] * 600, "2026-11-30T10:00:00Z", "9999-12-31T23:59:59+23:59"),
    *("0001-01-01T00:00:00-12:00", "a@b", "A@B.", "a@" + "x" * 300, "+1", "+" + "9" * 30, "anonymous", "he"),
    *("en-" + "a" * 9, "\ufeff", "ﷺ" * 50),
)


def _flip(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def _cut(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + raw[at + rng.randrange(1, 200) :]


def _end(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    return raw[: rng.randrange(1, len(raw) + 1)]


def _repeat(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    at, length = rng.randrange(len(raw)), rng.randrange(1, 200)
    return raw[: at + length] + raw[at : at + length] * rng.randrange(1, 5) + raw[at + length :]


def _put(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice(PIECES) + raw[at:]


def _noise(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.randbytes(rng.randrange(1, 30)) + raw[at:]


def _shuffle_lines(rng: random.Random, raw: bytes, _others: Sequence[bytes]) -> bytes:
    lines = raw.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _join(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return raw[: rng.randrange(len(raw) + 1)] + other[rng.randrange(len(other) + 1) :]


MUTATIONS: tuple[Mutation, ...] = (_flip, _cut, _end, _repeat, _put, _put, _noise, _shuffle_lines, _join)


def mutated(rng: random.Random, seed: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A damaged copy of the seed, never empty; `others` lend it parts."""
    raw = seed
    for _ in range(rng.randrange(1, 6)):
        raw = rng.choice(MUTATIONS)(rng, raw, others or (seed,)) or raw
    return raw


def revalued(rng: random.Random, seed: object) -> object:
    """A copy of a JSON value in which some values are others."""
    value = deepcopy(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(value)
        if not places:
            return deepcopy(rng.choice(VALUES))
        holder, key = rng.choice(places)
        holder[key] = deepcopy(rng.choice(VALUES))
    return value


def _places(value: object) -> list[tuple[Any, object]]:
    """Each object or array with a key or an index in it."""
    held: list[tuple[object, object]] = []
    if isinstance(value, dict):
        held = list(value.items())
    elif isinstance(value, list):
        held = list(enumerate(value))
    found: list[tuple[Any, object]] = [(value, "more")] if isinstance(value, dict) else []
    for key, inner in held:
        found += [(value, key), *_places(inner)]
    return found


def named(mail: bytes, number: int) -> bytes:
    """The mail under a Message-ID that no other has: the same one would be a repeat."""
    return MESSAGE_ID.sub(b"Message-ID: <%d." % number, mail, count=1)


def as_json(value: object) -> bytes:
    """As a program would send it, half surrogates and all."""
    return json.dumps(value).encode()


def recorded_mails() -> list[bytes]:
    """Mails of other projects' tests, where they are there."""
    folders = ("github-email_reply_parser/test/emails", "mail-parser-reply/test/emails")
    paths = [path for folder in folders for path in sorted((FIXTURES / folder).glob("*")) if path.is_file()]
    paths += sorted((FIXTURES / "anymail/tests/test_files").glob("*.txt"))
    whole = [one.mime for one in all_recorded("*_inbound") if one.mime is not None]
    return [_as_mail(raw) for raw in (*(path.read_bytes() for path in paths), *whole)]


def _as_mail(raw: bytes) -> bytes:
    headers = b"From: Ana <ana@customers.example>\r\nTo: support@patchbay.example\r\nMessage-ID: <recorded@x.example>\r\n"
    return raw if MESSAGE_ID.search(raw) else headers + b"Subject: Re: order\r\n\r\n" + raw
