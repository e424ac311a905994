"""The text of an HTML mail, as a person reads it: no styles, no scripts, lines where the blocks are.

Read by a scanner of our own that goes forward only, because anybody may send any HTML and html.parser goes back over what it
has read: 80 kB of `<a <a <a` take it minutes. Here the time grows with the length, whatever stands in it.
"""

from __future__ import annotations

import re
from html import unescape

BLOCKS = frozenset(
    {"p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "section", "article"}
)
PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote"})
UNSEEN = frozenset({"style", "script", "head", "title", "template", "noscript"})
RAW = frozenset({"style", "script"})  # no tag but their own end is one in there
VOID = frozenset({"br", "hr", "img", "meta", "link", "input", "base", "col", "wbr"})
TAGS_CAP = 100_000  # what comes after so many is not read: no person wrote it

_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_MARKUP = re.compile(r"<(?:(?P<end>/)?(?P<name>[A-Za-z][^\s/>]*+)|(?P<comment>!--)|[!?/])")
# To the `>` that ends a tag; one in a quoted value does not. Possessive, and each piece begins with a character of its own:
# nothing is read twice but a value whose quote is never closed, of which there is one.
_REST_OF_TAG = re.compile(r"""(?:[^>=]++|=\s*+(?:"[^"]*"|'[^']*')?)*+""")
_ATTRIBUTE = re.compile(r"""([^\s/>=]++)(?:\s*+=\s*+("[^"]*"|'[^']*'|[^\s>"'][^\s>]*+))?""")
_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in RAW}
_ANY_TAG = re.compile(r"<[^<>]*>")
_ENDLESS_NUMBER = re.compile(r"&#[0-9]{10,};?")  # no character has such a number, and int() refuses the longest


class Walker:
    """Collects text and breaks."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._unseen: list[str] = []

    def start(self, tag: str, rest: str) -> None:
        """Blocks begin a line; list items get a mark; images say their alternative text."""
        if rest.endswith("/") and not (tag in VOID or tag in BLOCKS):
            return  # a self-closed container holds nothing
        if tag in UNSEEN:
            if tag not in self._unseen:
                self._unseen.append(tag)
        elif tag == "body":
            self._unseen.clear()  # a head that nobody closed
        elif tag == "img" and not self._unseen:
            self.parts.append(_alternative(rest))
        elif tag in PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in BLOCKS:
            self.parts.append("\n")
        if tag == "li" and not self._unseen:
            self.parts.append("- ")

    def end(self, tag: str) -> None:
        """Blocks end a line; cells are kept apart."""
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        elif tag in PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in BLOCKS and tag not in VOID:
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def text(self, data: str) -> None:
        """Text, its white space folded as a browser does."""
        if data and not self._unseen:
            self.parts.append(_SPACES.sub(" ", _characters(data)))


def html_to_text(html: str) -> str:
    """Plain text of `html`; of broken HTML as much as can be read. Never raises; takes time in proportion to its length."""
    walker = Walker()
    walk(walker, html)
    return folded("".join(walker.parts))


def walk(walker: Walker, html: str) -> None:
    """Lead the walker through all tags and texts."""
    position = 0
    for _ in range(TAGS_CAP):
        found = _MARKUP.search(html, position)
        if found is None:
            walker.text(html[position:])
            break
        walker.text(html[position : found.start()])
        after = _walk(walker, html, found)
        if after is None:  # it never ends: what stands there is rather text than nothing
            walker.text(_ANY_TAG.sub(" ", html[found.start() :]))
            break
        position = after


def folded(text: str) -> str:
    """Lines without outer space, at most one blank between them."""
    lines = "\n".join(line.strip(" ") for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _walk(walker: Walker, html: str, found: re.Match[str]) -> int | None:
    """Take the tag or comment that begins at `found`. Returns where it ends, None when it does not."""
    name = found["name"]
    if name is None:
        return _after(html, "-->", found.end() - 2) if found["comment"] else _after(html, ">", found.end())
    rest = _REST_OF_TAG.match(html, found.end())
    if rest is None or rest.end() == len(html):
        return None
    tag, after = name.lower(), rest.end() + 1
    if found["end"]:
        walker.end(tag)
        return after
    walker.start(tag, rest[0])
    if tag in RAW and not rest[0].endswith("/"):
        end = _ENDS[tag].search(html, after)
        return end.start() if end else len(html)
    return after


def _after(html: str, what: str, start: int) -> int | None:
    at = html.find(what, start)
    return None if at < 0 else at + len(what)


def _alternative(attributes: str) -> str:
    values = {found[1].lower(): found[2] or "" for found in _ATTRIBUTE.finditer(attributes)}
    return _characters(values.get("alt", "").strip("\"'"))


def _characters(data: str) -> str:
    return unescape(_ENDLESS_NUMBER.sub("\ufffd", data))
