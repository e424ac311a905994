"""Where a whole message stands below a reply: header lines (From, Sent, To, Subject), and the lines of dashes above them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from services.intake.channels.visible import words as w
from services.intake.channels.visible.lines import Lines, Mark

WRAPPED_OVER = 3  # lines of one header
NAME_LIMIT = 30
HEADERS_CAP = 14
ABOVE_LIMIT = 110  # characters of a line that asks for the answer above it

Kind = Literal["from", "date", "to", "copy", "subject"]
_LISTS: tuple[tuple[Kind, str], ...] = (
    ("copy", w.COPY),
    ("to", w.TO),
    ("date", w.DATE),
    ("subject", w.SUBJECT),
    ("from", w.FROM),
)
_KINDS: dict[str, Kind] = {name: kind for kind, listed in _LISTS for name in w.words(listed)}
_ORIGINAL = frozenset(w.words(w.ORIGINAL))
_FORWARDED = frozenset(w.words(w.FORWARDED))
_ANSWER_ABOVE = w.words(w.ANSWER_ABOVE)
_PROCESSED = ("original message processed by", "originalnachricht bearbeitet")  # david® of Tobit
_RULED = re.compile(r"[-_=*—–]{2,}\s*(?P<said>[^-_=*—–\s](?:.{0,58}?[^-_=*—–\s])?)\s*[-_=*—–]{2,}:?")
_RULE = re.compile(r"[-_=*—–]{3,}")
_ORNAMENTS = " \t*_|>·•"
_TIME = re.compile(r"\d{1,2}[:.]\d\d|(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a message that stands below: its lines up to `end` (exclusive). `forwarded` where it says so."""

    end: int
    forwarded: bool = False


def opening(lines: Lines, at: int) -> Opening | None:
    """The opening that begins at this line, None where there is none."""
    bare = lines.bare[at]
    if bare[-1] in ":-_=*—–" and len(bare) <= 90:
        said = _said(bare)
        if said in _FORWARDED:
            return Opening(_after_headers(lines, at + 1, at), forwarded=True)
        if said in _ORIGINAL:
            return Opening(_after_headers(lines, at + 1, at))
        if (said or _RULE.fullmatch(bare)) and (end := _headers(lines, lines.next_written(at + 1), ruled=True)):
            return Opening(end)
    if w.fold(bare[:60]).startswith(_PROCESSED) or _asks_above(bare):
        return Opening(at + 1)
    end = _headers(lines, at, ruled=False)
    return Opening(end) if end else None


def _asks_above(bare: str) -> bool:
    """Whether a help desk put the line there: `##- Please type your reply above this line -##`, in ornaments or alone."""
    if len(bare) > ABOVE_LIMIT:
        return False
    said = w.fold(bare)
    if bare[0].isalnum():
        return said.rstrip(". :").endswith(_ANSWER_ABOVE)
    return any(asked in said for asked in _ANSWER_ABOVE)


def _said(bare: str) -> str:
    ruled = _RULED.fullmatch(bare)
    if ruled is not None:
        return w.fold(ruled["said"]).rstrip(":")
    said = w.fold(bare.rstrip(": ").strip("*_ "))
    return said if bare[-1] == ":" and said in _FORWARDED else ""


def _after_headers(lines: Lines, at: int, opened: int) -> int:
    return _headers(lines, lines.next_written(at), ruled=True) or opened + 1


def kind_of(bare: str) -> tuple[Kind, str] | None:
    """Which header a line is, and its value; None for other lines."""
    name, colon, value = bare.partition(":")
    if not colon or len(name) > NAME_LIMIT:
        name, colon, value = bare.partition("：")
        if not colon or len(name) > NAME_LIMIT:
            return None
    kind = _KINDS.get(w.fold(name.strip(_ORNAMENTS)))
    return (kind, value.strip(_ORNAMENTS)) if kind else None


def _headers(lines: Lines, at: int, *, ruled: bool) -> int:
    """Where the header lines that begin at `at` end; 0 when there are none to speak of. `ruled`: below a line that opens."""
    seen: dict[Kind, str] = {}
    end, wrapped, blanks, count = 0, 0, 0, 0
    while at < len(lines) and count < HEADERS_CAP and lines.marks[at] in (Mark.OWN, Mark.BELOW):
        bare = lines.bare[at]
        found = kind_of(bare) if bare else None
        if found is not None:
            seen.setdefault(*found)
            end, wrapped, blanks, count = at + 1, 0, 0, count + 1
        elif not seen:
            return 0
        elif not bare:
            blanks += 1
        else:
            wrapped += 1
        if blanks > 1 or wrapped > WRAPPED_OVER or (blanks and wrapped):
            break
        at += 1
    return _with_tail(lines, end, seen) if _enough(seen, ruled) else 0


def _enough(seen: dict[Kind, str], ruled: bool) -> bool:
    named = "from" in seen or "to" in seen
    if ruled:
        return "from" in seen or (named and "subject" in seen)
    if "from" not in seen or len(seen) < 2:
        return False
    typed = "@" in seen["from"] or "@" in seen.get("to", "") or bool(_TIME.search(seen.get("date", "")))
    return (
        len(seen) >= 3 and ("subject" in seen or typed)
        if len(seen) > 2
        else "@" in seen["from"] and ("date" in seen or "subject" in seen)
    )


def _with_tail(lines: Lines, end: int, seen: dict[Kind, str]) -> int:
    """With the wrapped rest of the last header: of a list of addresses, or of a long subject's line."""
    last = lines.bare[end - 1]
    while end < len(lines) and lines.bare[end] and lines.marks[end] in (Mark.OWN, Mark.BELOW):
        if not (last.endswith((";", ",", "<")) and "@" in lines.bare[end]):
            break
        last = lines.bare[end]
        end += 1
    return end
