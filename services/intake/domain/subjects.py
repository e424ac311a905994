"""Subjects of mails: what they are about without what programs put around it, and the numbers of tickets they name. Pure."""

from __future__ import annotations

import re

ANSWERING_LIMIT = 400  # characters of a subject in an answer to it
NUMBERS_CAP = 3  # a subject that names more tickets than this is about none of them
_PREFIX = re.compile(
    r"(?:re|fw|fwd|aw|wg|sv|vs|antw|odp|tr|rv|r|ynt|enc|res|doorst|vb|rif|i|pd|"
    r"ответ|отв|пересл|на|відп|"
    r"رد|إعادة توجيه|رداً على|השב|תגובה|העבר|הועבר|"
    r"răsp|rasp|răspuns|raspuns|redirecționat)(?:\s?[\[(]\d{1,3}[\])])?\s*[:\uff1a]\s*",
    re.IGNORECASE,
)
_LIST_TAG = re.compile(r"\[[^\[\]]{1,60}\]\s*")
_FORWARDED = re.compile(r"\s*\(fwd\)\s*$", re.IGNORECASE)
# `[#100234]`, and as other systems write it: `[Ticket#100234]`, `[Ticket: #100234]`, `[פנייה #100234]`.
_TOKEN = re.compile(r"\[\s*(?:[^\W\d_]{1,20}\s*:?\s*)?#\s*([0-9]{1,15})\s*\]")
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SPACE = re.compile(r"\s+")


def plain(subject: str) -> str:
    """The subject without what answers and forwards put before it, the numbers of tickets, and invisible marks of direction."""
    return _stripped(subject, (_PREFIX,))


def base(subject: str) -> str:
    """The form in which subjects are compared: without list tags too. Empty when it says nothing."""
    return _stripped(subject, (_PREFIX, _LIST_TAG)).casefold()


def _stripped(subject: str, fronts: tuple[re.Pattern[str], ...]) -> str:
    text = _SPACE.sub(" ", _INVISIBLE.sub("", _TOKEN.sub(" ", subject))).strip()
    while (found := next(filter(None, (front.match(text) for front in fronts)), None)) is not None:
        text = text[found.end() :].lstrip()
    return _FORWARDED.sub("", text)


def differs(one: str, other: str) -> bool:
    """Whether two subjects speak of two matters. One that says nothing speaks of no other."""
    first, second = base(one), base(other)
    return bool(first) and bool(second) and first != second


def numbers(subject: str) -> tuple[int, ...]:
    """The tickets that a subject names, in their order."""
    if "#" not in subject:
        return ()
    found = tuple(dict.fromkeys(int(number) for number in _TOKEN.findall(_INVISIBLE.sub("", subject))))
    return found if len(found) <= NUMBERS_CAP else ()


def answering(subject: str, number: int) -> str:
    """The subject of an answer: one `Re:`, whatever stood before, and the number of the ticket, so that an answer to it still
    tells where it belongs when its headers were lost.
    """
    return " ".join(part for part in ("Re:", plain(subject)[:ANSWERING_LIMIT].strip(), token(number)) if part)


def token(number: int) -> str:
    """How a subject names a ticket."""
    return f"[#{number}]"
