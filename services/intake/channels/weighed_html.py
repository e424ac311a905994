"""HTML written down anew, tag by tag, so that it means one thing only; and how much a browser's parser would make of it, counted
in the same pass, so that a small mail makes no huge page.

The parser of HTML (https://html.spec.whatwg.org/multipage/parsing.html) opens what is bold, coloured or linked again in every
block until it is closed, each time with all its attributes: 400 `<font>`s that nobody closes, before 400 paragraphs, are 160,000
of them. And each element costs as much time as it is nested deep. Both are counted, never too low: an element is taken for closed
only where the parser certainly closes it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from services.intake.channels.html_text import RAW, Walker, walk

DEPTH_CAP = 500
WORK_CAP = 10_000_000  # characters that are opened again, and elements that are looked through for one that ends
SAME_CAP = 3  # of formatting elements that are the same the parser keeps so many ("Noah's Ark clause")

FORMATTING = frozenset({"a", "b", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u", "big", "nobr"})
VOID = frozenset({"br", "hr", "img", "col", "wbr"})
_INLINE = FORMATTING | {
    "abbr",
    "bdi",
    "bdo",
    "cite",
    "del",
    "dfn",
    "ins",
    "kbd",
    "mark",
    "q",
    "samp",
    "span",
    "sub",
    "sup",
    "time",
    "var",
}
_OF_TABLES = frozenset({"table", "caption", "colgroup", "thead", "tbody", "tfoot", "tr", "td", "th"})
_CELLS = frozenset({"td", "th", "caption"})  # what was opened in one is forgotten with it, and no end tag looks out of it
_ROWS = frozenset({"tr", "td", "th", "p"})
# An element that stands last is closed by one of the same kind.
_REPLACES: Mapping[str, Collection[str]] = {
    "p": {"p"},
    "li": {"li", "p"},
    "dd": {"dd", "dt", "p"},
    "dt": {"dd", "dt", "p"},
    "td": {"td", "th", "p"},
    "th": {"td", "th", "p"},
    "tr": _ROWS,
    "tbody": _ROWS | {"tbody", "thead", "tfoot"},
}
_ATTRIBUTE = re.compile(r"""([^\s/>="'<]++)(?:\s*+=\s*+("[^"]*"|'[^']*'|[^\s>"'][^\s>]*+))?""")


class Weighed(NamedTuple):
    """HTML of known tags only. `depth` is that of the deepest element; `work` what parsing it opens again and looks through."""

    html: str
    depth: int
    work: int

    @property
    def too_heavy(self) -> bool:
        """Whether it is no page that a person wrote."""
        return self.depth > DEPTH_CAP or self.work > WORK_CAP


def weighed(html: str, tags: Mapping[str, Collection[str]], unseen: Collection[str]) -> Weighed:
    """The HTML with these tags, each with these attributes (`*`: of all), without what stands in those `unseen`. Takes time in
    proportion to its length and WORK_CAP.
    """
    writer = _Writer(tags, unseen)
    walk(writer, html)
    return Weighed("".join(writer.parts), writer.depth, writer.work)


class _Open(NamedTuple):
    """An element that is open; of a cell, what was pending when it began."""

    name: str
    written: str
    before: Counter[str] | None


class _Writer(Walker):
    """Writes what it is led through, and keeps what is open: and what was popped with its block, to be opened again."""

    def __init__(self, tags: Mapping[str, Collection[str]], unseen: Collection[str]) -> None:
        super().__init__()
        self.depth = self.work = 0
        self._tags = tags
        self._hidden = frozenset(unseen) | RAW
        self._stack: list[_Open] = []
        self._pending: Counter[str] = Counter()
        self._open_weight = self._pending_weight = 0

    def start(self, tag: str, rest: str) -> None:
        """Part of Walker."""
        if tag in self._hidden:
            if tag not in self._unseen:
                self._unseen.append(tag)
        elif tag == "body":
            self._unseen.clear()  # a head that nobody closed
        elif tag in self._tags and not self._unseen and not self._over():
            written = self._written(tag, rest)
            self.parts.append(written)
            if tag not in VOID:
                self._opened(tag, written)
            self._count(0)

    def end(self, tag: str) -> None:
        """Part of Walker."""
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        elif tag in self._tags and tag not in VOID and not self._unseen and not self._over():
            self.parts.append(f"</{tag}>")
            at = self._found(tag)
            if at is not None:
                while len(self._stack) > at + 1:
                    self._pop()
                self._pop(ended=True)

    def text(self, data: str) -> None:
        """Part of Walker. Text with what it says by name, as it is."""
        if data and not self._unseen:
            self.parts.append(data.replace("<", "&lt;").replace(">", "&gt;"))
            self._count(0)

    def _written(self, tag: str, rest: str) -> str:
        allowed, common = self._tags[tag], self._tags["*"]
        found = {name.lower(): value for name, value in _ATTRIBUTE.findall(rest)}
        said = [f'{name}="{_quoted(value)}"' for name, value in found.items() if name in allowed or name in common]
        return f"<{' '.join([tag, *said])}>"

    def _over(self) -> bool:
        return self.depth > DEPTH_CAP or self.work > WORK_CAP

    def _count(self, looked_through: int) -> None:
        self.work += self._open_weight + self._pending_weight + looked_through
        self.depth = max(self.depth, len(self._stack))

    def _opened(self, name: str, written: str) -> None:
        replaced = _REPLACES.get(name, ())
        while replaced and self._stack and self._stack[-1].name in replaced:
            self._pop()
        self._stack.append(_Open(name, written, self._pending.copy() if name in _CELLS else None))
        if name in FORMATTING:
            self._open_weight += len(written)

    def _found(self, name: str) -> int | None:
        """Where the element stands that an end tag closes; None where the parser may not find it."""
        for looked, at in enumerate(range(len(self._stack) - 1, -1, -1)):
            found = self._stack[at].name
            closed_in = found == "table" if name in _OF_TABLES else found == "table" or found in _CELLS
            if found == name or closed_in or (name in _INLINE and found not in _INLINE):
                self._count(looked)
                return at if found == name else None
        self._count(len(self._stack))
        return None

    def _pop(self, *, ended: bool = False) -> None:
        one = self._stack.pop()
        if one.name in FORMATTING:
            self._open_weight -= len(one.written)
            if not ended and self._pending[one.written] < SAME_CAP:
                self._pending[one.written] += 1
                self._pending_weight += len(one.written)
        if one.before is not None:
            self._pending = one.before
            self._pending_weight = sum(len(written) * n for written, n in one.before.items())


def _quoted(value: str) -> str:
    bare = value[1:-1] if value[:1] in ("'", '"') else value
    return bare.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
