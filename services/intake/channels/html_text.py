"""The text of an HTML mail, as a person reads it: no styles, no scripts, lines where the blocks are."""

from __future__ import annotations

import re
from html.parser import HTMLParser

BLOCKS = frozenset(
    {"p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "section", "article"}
)
PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote"})
UNSEEN = frozenset({"style", "script", "head", "title", "template", "noscript"})
VOID = frozenset({"br", "hr", "img", "meta", "link", "input", "base", "col", "wbr"})

_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_LINE_ENDS = re.compile(r" *\n *")


class _Walker(HTMLParser):
    """Collects text, breaks and quotation levels."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Blocks begin a line; list items get a mark; images say their alternative text."""
        if tag in UNSEEN:
            self._unseen.append(tag)
        elif tag == "body":
            self._unseen.clear()  # a head that nobody closed
        elif tag == "img" and not self._unseen:
            self.parts.append(dict(attrs).get("alt") or "")
        elif tag in PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in BLOCKS:
            self.parts.append("\n")
        if tag == "li" and not self._unseen:
            self.parts.append("- ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<br/>` breaks; a self-closed container holds nothing."""
        if tag in VOID or tag in BLOCKS:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Blocks end a line; cells are kept apart."""
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        elif tag in PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in BLOCKS and tag not in VOID:
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        """Text, its white space folded as a browser does."""
        if not self._unseen:
            self.parts.append(_SPACES.sub(" ", data))


def html_to_text(html: str) -> str:
    """Plain text of `html`; of broken HTML as much as can be read. Never raises."""
    walker = _Walker()
    try:
        walker.feed(html)
        walker.close()
    except (AssertionError, ValueError):  # html.parser gives up on some malformed declarations
        return _SPACES.sub(" ", re.sub(r"<[^>]*>", " ", html)).strip()
    text = _LINE_ENDS.sub("\n", "".join(walker.parts))
    return _BLANK_LINES.sub("\n\n", text).strip()
