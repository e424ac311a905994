"""HTML as text in pieces: mail programs mark what they quote and sign by classes and ids of their own.

A marked element is quoted or signed as a whole; some programs mark only the line from which on everything is quoted. Gmail and
Spark put answers between the quoted lines inside their container of the quotation: there only the blockquotes are quoted.
"""

from __future__ import annotations

import re

from services.intake.channels.html_text import VOID, Walker, folded, walk
from services.intake.channels.visible.lines import Mark

_QUOTES = re.compile(
    r"gmail_quote|gmail_extra|gmail_attr|yahoo_quoted|moz-cite-prefix|moz-email-headers-table|protonmail_quote|tutanota_quote"
    r"|zmail_extra|cm_quote|front-blockquote|mailru-blockquote|skiff-mail-quote|hushmail_quote|airmail_quote|quoted-content"
    r"|spark_quote|type\s*=\s*[\"']?cite|name\s*=\s*[\"']?quote\b"
    r"|class\s*=\s*[\"'](?:[^\"']*\s)?quote(?:d|d-?text|container)?[\"'\s]"
    r"|data-marker\s*=\s*[\"']?__(?:divider|headers|quoted_text)|freshdesk_quote|hs_reply|messagereplysection|sh-quoted|edo-quote"
    r"|(?:id|name)\s*=\s*[\"']?(?:x_)?(?:orighdr|originalmessage|isforwardcontent|quotedcontent|_quoted)",
    re.I,
)
_BELOW = re.compile(
    r"divrplyfwdmsg|appendonsend|mail-editor-reference-message-container|ms-outlook-mobile-reference-message|outlookmessageheader"
    r"|border-top:\s*solid\s+#?(?:e1e1e1|b5c4df|windowtext)|border:\s*none;\s*border-top:\s*solid|stopspelling|replysplit|_replyseparator",
    re.I,
)
_SIGNS = re.compile(
    r"gmail_signature|moz-signature|protonmail_\w*signature|tutanota_signature|applemailsignature|applesignature|front-signature"
    r"|ms-outlook-mobile-signature|id\s*=\s*[\"']?(?:x_)?signature[\"'\s>]|messagesignaturesection|yahoo-signature"
    r"|ymail_\w*signature|zmail_signature|zm-_id_-sgn[\"'\s>]|data-marker\s*=\s*[\"']?__sig|cm_signature|sh-signature|edo-signature"
    r"|mailru-signature|composer_signature",
    re.I,
)
_CONTAINER = re.compile(r"gmail_quote(?![\w-])|messagereplysection", re.I)
_INDENTED = re.compile(r"border\s*:\s*(?:none|0)|webkit-indent-blockquote", re.I)  # by hand: it quotes nobody
_MARKED_TAGS = frozenset({"div", "blockquote", "span", "p", "table", "section", "hr", "a", "td", "article", "footer"})
# What only mail programs write: with it the HTML knows more of a reply than the plain text beside it.
_PROGRAMS = (
    "gmail_quote",
    "gmail_extra",
    "divrplyfwdmsg",
    "appendonsend",
    "reference-message",
    "outlookmessageheader",
    "border-top:solid",
    "yahoo_quoted",
    "moz-cite-prefix",
    "protonmail_quote",
    'type="cite"',
    "__quoted_text",
    "zmail_extra",
    "mailru-blockquote",
    "front-blockquote",
    'name="quote"',
    "messagereplysection",
)
LOOK_AT = 2000  # characters of a tag's attributes


def has_marks(html: str) -> bool:
    """Whether a mail program marked a quotation."""
    html = html.lower()
    return any(mark in html for mark in _PROGRAMS)


def pieces_of(html: str) -> tuple[list[tuple[Mark, str]], str]:
    """The text in pieces, and as one, as `html_to_text` gives it. Never raises; takes time in proportion to its length."""
    walker = _Marking()
    walk(walker, html)
    bounds = [*walker.bounds, (len(walker.parts), Mark.OWN)]
    begun, mark = 0, Mark.OWN
    pieces: list[tuple[Mark, str]] = []
    for end, following in bounds:
        text = folded("".join(walker.parts[begun:end]))
        if text:
            pieces.append((mark, text))
        begun, mark = end, following
    return _apart(pieces), folded("".join(walker.parts))


def _apart(pieces: list[tuple[Mark, str]]) -> list[tuple[Mark, str]]:
    """With a blank line between pieces, as between blocks."""
    return [(mark, text if at == 0 else f"\n{text}") for at, (mark, text) in enumerate(pieces)]


class _Marking(Walker):
    """Notes where the outermost marked element begins and ends, as numbers of parts."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[tuple[int, Mark]] = []
        self._tag = ""
        self._depth = 0
        self._container = False
        self._below = False

    def start(self, tag: str, rest: str) -> None:
        """Begin a marked element."""
        if self._tag:
            self._inside(tag, rest)
        elif tag in _MARKED_TAGS and not self._below and (mark := _mark_of(tag, rest)) is not None:
            self.bounds.append((len(self.parts), mark))
            if mark is Mark.BELOW:
                self._below = True
            elif tag in VOID:
                self.bounds.append((len(self.parts), Mark.OWN))
            else:
                self._tag, self._depth = tag, 1
                self._container = mark is Mark.FOLDED
        super().start(tag, rest)

    def _inside(self, tag: str, rest: str) -> None:
        """In a marked element. A blockquote right in the container takes its place: what comes after it is not quoted."""
        if tag == "blockquote" and self._container and self._depth == 1 and _QUOTES.search(rest[:LOOK_AT]):
            self.bounds.append((len(self.parts), Mark.QUOTED))
            self._tag, self._container = tag, False
        elif tag == self._tag and not rest.endswith("/"):
            self._depth += 1

    def end(self, tag: str) -> None:
        """End it."""
        super().end(tag)
        if tag == self._tag:
            self._depth -= 1
            if not self._depth:
                self._tag = ""
                self.bounds.append((len(self.parts), Mark.OWN))


def _mark_of(tag: str, rest: str) -> Mark | None:
    if tag == "blockquote" and not _INDENTED.search(rest):
        return Mark.QUOTED
    if not rest:
        return None
    rest = rest[:LOOK_AT]
    if _QUOTES.search(rest):
        return Mark.FOLDED if tag == "div" and _CONTAINER.search(rest) else Mark.QUOTED
    if _BELOW.search(rest):
        return Mark.BELOW
    return Mark.SIGNED if _SIGNS.search(rest) else None
