"""The line above a quotation that says who wrote it and when, in any language: told by what it is made of.

A date or a time, a name or an address, a word for writing, a colon at its end; mail programs wrap it over several lines.
"""

from __future__ import annotations

import re

from services.intake.channels.visible.lines import ATTRIBUTION_LIMIT, Lines, Mark
from services.intake.channels.visible.words import ON, WROTE, words

WRAPPED_OVER = 5  # lines
FEW_WORDS = 12  # of an attribution that has no date

_WROTE = words(WROTE)
_VERB = re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in sorted(_WROTE, key=len, reverse=True)) + r")(?!\w)", re.I)
_ON = re.compile(r"(?:" + "|".join(re.escape(word) for word in sorted(words(ON), key=len, reverse=True)) + r")(?![^\W\d_])", re.I)
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{2,255}|<[^<>\s]*>")
_CALENDAR = re.compile(r"(?<!\d)\d{1,4}\s?[./\-年]\s?\d{1,2}\s?[./\-月]\s?\d{1,4}")
_YEAR = re.compile(r"(?<!\d)(?:19|20|١٩|٢٠)\d\d(?!\d)")
_TIME = re.compile(r"(?<!\d)\d{1,2}\s?[:.h]\s?\d\d(?!\d)|\d時")
_WEEKDAY_FIRST = re.compile(r"[^\W\d_]{2,13}\.?,?\s+(?:den\s+)?\d")
_SENTENCE_ENDS = re.compile(r"[.!?…](?:\s|$)")
DATED, UNDATED, NONE = 2, 1, 0  # how sure it is


def attributions(lines: Lines) -> dict[int, int]:
    """Where attributions stand among the writer's own lines: first line to last."""
    found: dict[int, int] = {}
    free = 0  # lines before this one belong to another
    for at, bare in enumerate(lines.bare):
        if not bare or lines.marks[at] is not Mark.OWN or not _may_end(bare):
            continue
        begins = _beginning(lines, at, free)
        if begins is not None:
            found[begins] = at
            free = at + 1
    return found


def introduced_until(lines: Lines, begin: int) -> int:
    """Where the attribution ends with which a quotation begins, as Apple and Thunderbird write it; `begin` where it has none."""
    text = ""
    for at in range(begin, min(begin + WRAPPED_OVER, len(lines))):
        bare = lines.bare[at]
        if not bare or lines.marks[at] is not Mark.QUOTED:
            break
        text = f"{text} {bare}" if text else bare
        if len(text) <= ATTRIBUTION_LIMIT and _may_end(bare) and _sureness(text, quote_follows=True) == DATED:
            return at + 1
    return begin


def _may_end(bare: str) -> bool:
    if len(bare) > ATTRIBUTION_LIMIT:
        return False
    end = bare[-1]
    if end in ":：":
        return True
    if end == "-":
        return bare.startswith("-") and _VERB.search(bare) is not None  # Zoho: ---- On … wrote ----
    last = bare[bare.rfind(" ") + 1 :].rstrip("*_").casefold()
    return last in _WROTE or (end == ")" and bare.endswith(("(a)", "(ла)")))


def _beginning(lines: Lines, end: int, free: int) -> int | None:
    """The line with which the attribution begins that ends at `end`; None when there is none."""
    quote_follows = _quote_follows(lines, end)
    text, weak = "", None
    for begin in range(end, max(free, end - WRAPPED_OVER) - 1, -1):
        bare = lines.bare[begin]
        if not bare or lines.marks[begin] is not Mark.OWN:
            break
        text = f"{bare} {text}" if text else bare
        if len(text) > ATTRIBUTION_LIMIT:
            break
        sure = _sureness(text, quote_follows)
        if sure == DATED:
            return _extended(lines, begin, free)
        if sure == UNDATED and weak is None:
            weak = begin
    return weak


def _sureness(text: str, quote_follows: bool) -> int:
    address = _ADDRESS.search(text) is not None
    calendar, time = _CALENDAR.search(text) or _YEAR.search(text), _TIME.search(text)
    verb = _VERB.search(text) is not None
    colon = text[-1] in ":："
    if not colon and not verb:
        return NONE
    if calendar or time:
        begins_so = quote_follows or _begins_so(text)
        if (
            verb
            and (address or time or begins_so)
            and (colon or address or quote_follows or text[0] == "-")
            and begins_so | address
        ):
            return DATED
        if not verb and address and ((calendar and time) or quote_follows):
            return DATED
        if not verb and calendar and time and quote_follows:
            return DATED
    if verb and address and (colon or quote_follows) and len(text.split()) <= FEW_WORDS:
        return UNDATED
    if verb and colon and quote_follows and len(text.split()) <= FEW_WORDS:
        return UNDATED
    return NONE


def _begins_so(text: str) -> bool:
    """With a date, a weekday before one, a word like `on`, or with what is not a sentence at all."""
    head = text.lstrip("*_-–— (")
    return bool(head[:1].isdigit() or _WEEKDAY_FIRST.match(head) or _ON.match(head)) and not _SENTENCE_ENDS.search(head[:-1], 60)


def _extended(lines: Lines, begin: int, free: int) -> int:
    """Further up, where the date itself is wrapped."""
    for above in range(begin - 1, max(free, begin - 2) - 1, -1):
        bare = lines.bare[above]
        if not bare or lines.marks[above] is not Mark.OWN or bare[-1] in ".!?:" or len(bare) < 8:
            break
        if _ON.match(bare) and any(character.isdigit() for character in bare[:40]) and not _VERB.search(bare):
            return above
    return begin


def _quote_follows(lines: Lines, end: int) -> bool:
    at = lines.next_written(end + 1)
    return at < len(lines) and lines.marks[at] in (Mark.QUOTED, Mark.BELOW) and at - end <= 6
