"""What is to be read of RTF: its text, or the HTML from which Outlook made it and which is still inside (MS-OXRTFEX).

https://learn.microsoft.com/en-us/openspecs/exchange_server_protocols/ms-oxrtfex, and the Rich Text Format Specification 1.9.1.
Such RTF says `\\fromhtml1`; tags stand in groups of their own (`\\*\\htmltag`), and what was added for readers of RTF between
`\\htmlrtf` and `\\htmlrtf0`. Goes forward only, so that the time grows with the length; never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from typing import Literal, NamedTuple

from services.intake.channels.charsets import codec_of_page

DEPTH_CAP = 500  # groups within each other; what is nested deeper no program wrote, and ends the reading

_TOKEN = re.compile(
    rb"\\(?:(?P<word>[A-Za-z]{1,32})(?P<number>-?[0-9]{1,9})? ?|'(?P<hex>[0-9A-Fa-f]{2})|(?P<symbol>[^A-Za-z]))"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+",
    re.DOTALL,
)
# What begins a group that is not read, besides every `\*` that is not known.
_UNSEEN = frozenset(
    {b"colortbl", b"stylesheet", b"info", b"pict", b"objdata", b"nonshppict", b"filetbl", b"revtbl", b"listtable", b"rsidtbl"}
    | {b"header", b"headerl", b"headerr", b"headerf", b"footer", b"footerl", b"footerr", b"footerf", b"xmlnstbl", b"fldinst"}
)
_SAID = {
    b"par": "\n",
    b"sect": "\n",
    b"page": "\n",
    b"line": "\n",
    b"row": "\n",
    b"cell": "\t",
    b"nestcell": "\t",
    b"nestrow": "\n",
    b"tab": "\t",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
    b"endash": "–",
    b"emdash": "—",
    b"emspace": "\u2003",
    b"enspace": "\u2002",
    b"qmspace": "\u2005",
    b"zwj": "\u200d",
    b"zwnj": "\u200c",
    b"ltrmark": "\u200e",
    b"rtlmark": "\u200f",
}
_SYMBOLS = {b"~": "\u00a0", b"_": "\u2011", b"\n": "\n", b"\r": "\n", b"\t": "\t", b"\\": "\\", b"{": "{", b"}": "}"}
# `\fcharset` and the code page that it means. Of 0, western, too many programs say everything: that is left to the whole's.
_CHARSETS = {
    77: 10000, 128: 932, 129: 949, 130: 1361, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258, 177: 1255, 178: 1256,
    186: 1257, 204: 1251, 222: 874, 238: 1250, 254: 437, 255: 850,
}  # fmt: skip

Reads = Literal["text", "tag", "fonts", "nothing"]


class Found(NamedTuple):
    """One of both: the HTML inside, or the text."""

    html: str = ""
    text: str = ""


@dataclass(slots=True)
class _Group:
    """What holds within a group, and ends with it. `codec` is None for that of the whole; `skip` are the characters that stand
    after each `\\u` for readers that know no Unicode; `hidden`: between `\\htmlrtf` and `\\htmlrtf0`.
    """

    reads: Reads = "text"
    codec: str | None = None
    skip: int = 1
    hidden: bool = False

    def within(self) -> _Group:
        """The state with which a group inside begins."""
        return _Group(self.reads, self.codec, self.skip, self.hidden)


@dataclass(slots=True)
class _Reader:
    """Goes through the tokens. Bytes are kept until it is known that no more of the same charset follow: a letter may be two."""

    codec: str = "cp1252"
    is_html: bool = False
    groups: list[_Group] = field(default_factory=lambda: [_Group()])
    fonts: dict[int, str] = field(default_factory=dict)
    font: int = 0  # whose line of the table of fonts is read
    parts: list[str] = field(default_factory=list)
    waiting: bytearray = field(default_factory=bytearray)
    waiting_codec: str = ""
    to_skip: int = 0
    starred: bool = False

    def read(self, data: bytes) -> None:
        """All tokens, to where no more are to be read."""
        at = 0
        while (token := _TOKEN.match(data, at)) is not None:
            at = token.end()
            if token["text"] is not None:
                self._bytes(token["text"])
            elif token["word"] is not None:
                at += self._word(token["word"].lower(), token["number"])
            elif token["brace"] is not None:
                if not self._brace(opens=token["brace"] == b"{"):
                    break
            elif token["hex"] is not None:
                self._bytes(bytes.fromhex(token["hex"].decode()))
            elif token["symbol"] is not None:
                self._symbol(token["symbol"])
        self._flush()

    def _brace(self, *, opens: bool) -> bool:
        """Whether to go on: not after the brace that closes the first."""
        self._flush()
        self.to_skip, self.starred = 0, False
        if opens:
            self.groups.append(self.groups[-1].within())
        else:
            self.groups.pop()
        return 1 < len(self.groups) <= DEPTH_CAP

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self.starred = True
        elif self.to_skip:
            self.to_skip -= 1
        elif symbol in _SYMBOLS:
            self._say(_SYMBOLS[symbol])

    def _word(self, word: bytes, number: bytes | None) -> int:
        """How many bytes after it are its own and no tokens."""
        group, value = self.groups[-1], int(number) if number is not None else None
        starred, self.starred, self.to_skip = self.starred, False, 0
        if word == b"bin":
            return max(0, value or 0)
        if starred or word in _UNSEEN or word == b"fonttbl":
            self._flush()
            group.reads = self._read_in(word, group.reads, starred=starred)
        elif word == b"u" and value is not None:
            self._say(chr(value & 0xFFFF))
            self.to_skip = group.skip
        elif word in _SAID:
            self._say(_SAID[word])
        else:
            self._note(group, word, value)
        return 0

    def _read_in(self, word: bytes, around: Reads, *, starred: bool) -> Reads:
        """What is read in a group that begins with this."""
        if around == "nothing":
            return around
        if word == b"fonttbl":
            return "fonts"
        return "tag" if starred and word == b"htmltag" and self.is_html else "nothing"

    def _note(self, group: _Group, word: bytes, value: int | None) -> None:
        match word:
            case b"fromhtml":
                self.is_html = value != 0
            case b"ansicpg" if value:
                self.codec = codec_of_page(value)
            case b"f" if value is not None and group.reads == "fonts":
                self.font = value
            case b"fcharset" if value in _CHARSETS:
                self.fonts[self.font] = codec_of_page(_CHARSETS[value])
            case b"cpg" if value and group.reads == "fonts":
                self.fonts[self.font] = codec_of_page(value)
            case b"f" if value is not None:
                group.codec = self.fonts.get(value)
            case b"plain":
                group.codec = None
            case b"uc":
                group.skip = max(0, value or 0)
            case b"htmlrtf":
                self._flush()
                group.hidden = value != 0

    def _bytes(self, data: bytes) -> None:
        skipped = min(self.to_skip, len(data))
        self.to_skip -= skipped
        group = self.groups[-1]
        codec = self.codec if group.codec is None or group.reads == "tag" else group.codec
        if codec != self.waiting_codec:
            self._flush()
        self.waiting_codec, self.starred = codec, False
        self.waiting += data[skipped:]

    def _flush(self) -> None:
        if self.waiting:
            text = self.waiting.decode(self.waiting_codec, "replace")
            self.waiting = bytearray()
            self._put(text)

    def _say(self, text: str) -> None:
        self._flush()
        self._put(text)

    def _put(self, text: str) -> None:
        group = self.groups[-1]
        if group.reads == "tag":
            self.parts.append(text)
        elif group.reads == "text" and not (self.is_html and group.hidden):
            self.parts.append(escape(text, quote=False) if self.is_html else text)


def read(data: bytes) -> Found:
    """The HTML or the text in it; nothing where it is no RTF."""
    data = data.lstrip()
    if not data.startswith(b"{\\rtf"):
        return Found()
    reader = _Reader()
    reader.read(data)
    # Letters beyond the first 65,536 come as two halves; a half alone is none.
    whole = "".join(reader.parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return Found(html=whole) if reader.is_html else Found(text=whole.strip())
