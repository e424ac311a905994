"""Bytes of mail as text: charsets as mail programs name them, wrong ones, and the encoded words of headers (RFC 2047)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

from charset_normalizer import from_bytes

LOOK_AT = 20_000  # bytes from which a charset is guessed
GUESSES_CAP = 5  # in one mail: a guess takes as long as parsing a thousand small mails
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
# Only these are asked of Python: it has others that are no character sets, and take time with the square of the length.
_CODECS = (
    frozenset(aliases) | frozenset(aliases.values()) | {"cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u"}
)
# Windows' numbers of character sets, where Python's name is not made of them.
_PAGES = {
    1361: "johab",
    10000: "mac-roman",
    20127: "ascii",
    20866: "koi8-r",
    28591: "latin-1",
    28598: "iso8859-8",
    65001: "utf-8",
}
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bqBQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?[^?\s]{1,60}\?[bqBQ]\?)")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")


@dataclass(slots=True)
class Spent:
    """What reading one mail has taken so far. `cut`: it had more parts than are read."""

    parts: int = 0
    guesses: int = 0
    rtf_bytes: int = 0
    cut: bool = False

    def may_guess(self) -> bool:
        """Whether one more charset may be guessed; counts it."""
        self.guesses += 1
        return self.guesses <= GUESSES_CAP


def text_from(data: bytes, charset: str, spent: Spent | None = None) -> str:
    """Bytes as text: the charset named, then UTF-8, then what they look like, if `spent` allows for a guess. Never raises."""
    name = charset.strip("\"' ").lower()
    for candidate in (CHARSETS.get(name, name), "utf-8"):
        try:
            if _is_charset(candidate):
                return data.decode(candidate)
        except (LookupError, UnicodeError, ValueError):
            continue
    if spent is None:
        return data.decode("cp1252", "replace")
    high = len(data[:LOOK_AT].translate(None, _ASCII))
    # Few letters beyond ASCII are accents of a western text, and too few to guess from; many are another script.
    guess = from_bytes(data[:LOOK_AT]).best() if high * 4 > len(data[:LOOK_AT]) and spent.may_guess() else None
    return data.decode(guess.encoding if guess else "cp1252", "replace")


@lru_cache(maxsize=256)
def _is_charset(name: str) -> bool:
    return normalize_encoding(name) in _CODECS


def codec_of_page(number: int) -> str:
    """The codec of a code page, by its number; the western one where Python has none of it."""
    codec = _PAGES.get(number, f"cp{number}")
    try:
        "".encode(codec)
    except LookupError:
        return "cp1252"
    return codec


def decoded(value: str) -> str:
    """RFC 2047 encoded words in a header decoded, also split ones and wrongly charset ones. Never raises."""
    if "=?" not in value:
        return unfolded(value)
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
    return unfolded("".join([*pieces, value[position:]]))


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if encoding == "b":
        try:
            return base64.b64decode(data + b"=" * (-len(data) % 4))
        except (binascii.Error, ValueError):
            return data
    return _Q_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data.replace(b"_", b" "))


def unfolded(value: str) -> str:
    """A header in one line."""
    if "\n" not in value:
        return value.strip()
    return re.sub(r"\r?\n[ \t]*", " ", value).strip()
