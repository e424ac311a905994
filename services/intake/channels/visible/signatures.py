"""What stands below a reply without being part of it: signatures, what telephones add, lawyers' paragraphs, footers of lists.

When in doubt it is the writer's: a name below a farewell stays, and so does everything where nothing else would be left.
"""

from __future__ import annotations

import re

from services.intake.channels.visible import words as w

LOOK_AT = 1500  # characters of a paragraph that say what it is
SENT_FROM_LIMIT = 90  # characters of a line that a telephone adds
TAIL_LINES = 15  # of a signature below `--`
RULED_LINES = 10  # of one below another line of dashes
DISCLAIMER_LEAST = 60  # characters
PARAGRAPH_LINES = 40  # of one that say what it is
FAREWELL_WITHIN = 14  # lines before the end

_DASHES = frozenset({"--", "-- ", "—", "––", "——", "–", "__", "--=20", "- --", "---", "⁂", "—-", "-—"})
_RULE = re.compile(r"[-_=~*#—–·.+]{2,}|ᐧ")
_DASH_NAME = re.compile(r"[-–—][^\W\d_][\w.'’-]{0,40}(?:\s[^\W\d_][\w.'’-]{0,40}){0,3}")
_LINK = re.compile(r"[<(\[]?(?:https?://|mailto:)[^\s>)\]]*[>)\]]?|[\[\]]")
_SENTENCE = re.compile(r"[,;!?]\s|\.\s+\w")
_CONTACT = re.compile(
    r"(?:https?://|www\.|[\w.+-]+@[\w-]+\.\w|\+\d[\d ().-]{6,}|\(?\b0\d[\d ().\-/]{6,}"
    r"|\b(?:tel|phone|fax|mob|mobile|cell|direct|office|web|email|e-mail|tél|telefon|telefono|teléfono|телефон|тел|моб|טל|נייד|هاتف|جوال)\b"
    r"[.:]*\s*\+?[\d(])",
    re.I,
)
_SENT_FROM = w.words(w.SENT_FROM)
_SENT_AT_END = w.words(w.SENT_AT_END)
_DEVICES = w.words(w.DEVICES)
_FAREWELLS = frozenset(w.words(w.FAREWELLS))
_LEGAL = tuple(w.words(listed) for listed in (w.CONFIDENTIAL, w.ADDRESSED, w.BY_MISTAKE, w.DESTROY, w.THIS_MAIL))
_LEGAL_FIRST = tuple(stem for group in _LEGAL[:3] for stem in group)
_FOOTERS = w.words(w.FOOTERS)
_WARNINGS = w.words(w.WARNINGS)
_HEADINGS = frozenset(
    {"disclaimer", "confidentiality notice", "legal notice", "haftungsausschluss", "avertissement", "aviso legal"}
)


def signed_from(bare: list[str], *, alone: bool = True) -> int:
    """Where the signature begins in these lines; their number where there is none. `alone`: nothing was written before them, so
    that a line of dashes at their beginning parts nothing.
    """
    end = _written_end(bare, len(bare))
    if end == 0:
        return len(bare)
    cut = _delimited(bare, end, written=not alone)
    end = min(end, cut)
    while end:
        shorter = _written_end(bare, _without_last(bare, end))
        if shorter == end:
            break
        end = shorter
    return end


def is_delimiter(bare: str) -> bool:
    """Whether the line does nothing but part a signature from the text."""
    return bare in _DASHES


def warned_until(bare: list[str]) -> int:
    """Where the warning ends that a mail server put above the lines; 0 where it did not."""
    begin = next((at for at, line in enumerate(bare) if line), len(bare))
    end = begin
    while end < len(bare) and bare[end] and end - begin < 6:
        end += 1
    said = w.fold(" ".join(bare[begin:end])[:LOOK_AT])
    if not any(warning in said for warning in _WARNINGS) or end == len(bare):
        return 0
    while end < len(bare) and (not bare[end] or _RULE.fullmatch(bare[end])):
        end += 1
    return end


def is_sent_from(bare: str) -> bool:
    """Whether a telephone or a mail program added the line: `Sent from my iPhone`."""
    if len(bare) > 300:
        return False
    line = w.fold(_LINK.sub("", bare).strip(" *_-."))
    if not line or len(line) > SENT_FROM_LIMIT:
        return False
    device = any(name in line for name in _DEVICES)
    if "outlook" in line and ("ios" in line or "android" in line):
        return True
    if line.startswith(_SENT_FROM):
        return not _SENTENCE.search(line) or (device and line.count(",") + line.count(".") <= 2 and len(line.split()) <= 10)
    return device and line.endswith(_SENT_AT_END) and len(line.split()) <= 9


def _written_end(bare: list[str], end: int) -> int:
    while end and not bare[end - 1]:
        end -= 1
    return end


def _delimited(bare: list[str], end: int, *, written: bool) -> int:
    """Where a line of dashes parts the signature from the text; `end` where none does."""
    for at in range(end):
        line = bare[at]
        if not line:
            continue
        if written and not line[0].isalnum() and (line in _DASHES or _RULE.fullmatch(line)) and _parts(bare, at, end):
            return at
        if _is_legal_at(bare, at, end) and written:
            return at
        written = True
    return end


def _parts(bare: list[str], at: int, end: int) -> bool:
    """Whether what is below the line of dashes at `at` is a signature, rather than the letter going on."""
    tail = [line for line in bare[at + 1 : min(end, at + 60)] if line]
    if bare[at] in _DASHES and bare[at] not in ("---", "–"):
        return len(tail) <= TAIL_LINES or any(_legal(line) for line in tail)
    if at and _is_farewell(bare[at - 1]):
        return True
    if at and bare[at - 1] and bare[at].strip("_"):
        return False  # an underlined heading
    tail = tail[: next((n for n, line in enumerate(tail) if _legal(line) or _is_footer(line)), len(tail))]
    if len(tail) > RULED_LINES:
        return False
    short = all(len(line) <= 70 for line in tail) and sum(line[-1] in ".?!" for line in tail) <= 1
    return short or any(map(_has_contact, tail))


def _without_last(bare: list[str], end: int) -> int:
    """The end without the last paragraph or line, where that is no part of the letter; else the same end."""
    line = bare[end - 1]
    if _RULE.fullmatch(line) or w.fold(line.strip(" :*_")) in _HEADINGS or is_sent_from(line):
        return end - 1
    begin = end
    while begin and bare[begin - 1] and end - begin < PARAGRAPH_LINES:
        begin -= 1
    said = " ".join(bare[begin:end])[:LOOK_AT]
    if begin and _is_footer(said):
        return begin
    if end - begin <= 2 and is_sent_from(said):
        return begin
    if begin and end - begin == 1 and _DASH_NAME.fullmatch(line):
        return begin
    return _without_contacts(bare, end)


def _without_contacts(bare: list[str], end: int) -> int:
    """Telephone, address and title below a farewell and a name."""
    first = max(0, end - FAREWELL_WITHIN)
    for at in range(end - 1, first - 1, -1):
        if _is_farewell(bare[at]):
            named = _named(bare, at + 1, end)
            below = [line for line in bare[named:end] if line]
            contacts = sum(_has_contact(line) for line in below)
            if len(below) >= 2 and contacts and all(len(line) <= 90 for line in below):
                return named
            return end
    return end


def _is_farewell(line: str) -> bool:
    return w.fold(line.rstrip(",،.!- ")) in _FAREWELLS


def _named(bare: list[str], at: int, end: int) -> int:
    """Past the name below a farewell."""
    while at < end and not bare[at]:
        at += 1
    if at < end and not _has_contact(bare[at]) and len(bare[at].split()) <= 4:
        at += 1
    return at


def _has_contact(line: str) -> bool:
    return _CONTACT.search(line[:200]) is not None


def _is_legal_at(bare: list[str], at: int, end: int) -> bool:
    """Whether a lawyer's paragraph begins at this line."""
    if _RULE.fullmatch(bare[at]) or (at and bare[at - 1] and not _RULE.fullmatch(bare[at - 1])):
        return False  # inside a paragraph
    stop = at
    size = 0
    while stop < end and bare[stop] and size < LOOK_AT and stop - at < PARAGRAPH_LINES:
        size += len(bare[stop])
        stop += 1
    return size >= DISCLAIMER_LEAST and _legal(" ".join(bare[at:stop]))


def _legal(paragraph: str) -> bool:
    if len(paragraph) < DISCLAIMER_LEAST:
        return False
    said = paragraph[:LOOK_AT].casefold()
    if not any(stem in said for stem in _LEGAL_FIRST):
        return False
    return sum(any(stem in said for stem in group) for group in _LEGAL) >= 3


def _is_footer(said: str) -> bool:
    said = w.fold(said[:LOOK_AT])
    return any(footer in said for footer in _FOOTERS)
