"""By which words a text is found, and where they stand in it. Pure.

Words are folded by `shared/words.py`. A text is known by each of its words and by what is left of them without what Hebrew and
Arabic write onto them; a word that is looked for stands for itself and for what is left of it, too, so that `החשבונית` finds
`וחשבונית`. Of long numbers the last digits are known, for they are written with and without a country's code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from shared.events.base import Direction
from shared.words import stems, words_of

LONGEST = 64  # characters of a word that count; what is longer is no word
TERMS_CAP = 12
_ASKED_STEM = 3  # letters of what is left of a word that is looked for: with two, half of all names would be found by others
_MARKS = "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
_LETTERS = rf"(?:[^\W_]|[{_MARKS}])+"
_TOKEN = re.compile(rf"{_LETTERS}(?:[\"'\u05f3\u05f4\u2019]{_LETTERS})*")
_NUMBER = re.compile(r"(?<![\w.])\+?\d(?:[ ()./-]{0,2}\d){6,14}(?!\w)")
_SHORTEST_NUMBER, _SPACED_NUMBER, _LINE = 7, 9, 9  # digits: of a number; of one written in pieces; of a line without its country
_AROUND = 80  # characters shown on either side of the first hit


@dataclass(frozen=True, slots=True)
class Term:
    """One word that is looked for: any of `forms`, or a word that begins with `beginning`."""

    forms: frozenset[str]
    beginning: str | None = None

    def fits(self, known_by: frozenset[str]) -> bool:
        """Whether a word that is known by these is meant."""
        if self.beginning is not None:
            return any(form.startswith(self.beginning) for form in known_by)
        return not self.forms.isdisjoint(known_by)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text around what was found in it. `marks` are from where to where the words stand, in characters of `text`."""

    text: str
    marks: tuple[tuple[int, int], ...]
    direction: Direction
    terms: int


def terms_of(query: str) -> tuple[Term, ...]:
    """What a query looks for; all of it has to be found. A word that ends in `*` stands for all that begin with it."""
    numbers = [match[0] for match in _NUMBER.finditer(query) if _is_number(match[0])]
    for number in numbers:
        query = query.replace(number, " ")
    terms = [Term(_line(number)) for number in numbers]
    for word in dict.fromkeys(words_of(query)):
        bare = word.rstrip("*")[:LONGEST]
        if word.endswith("*"):
            terms.append(Term(frozenset(), bare))
        else:
            terms.append(Term(frozenset({bare, *(stem for stem in stems(bare) if len(stem) >= _ASKED_STEM)})))
    return tuple(terms[:TERMS_CAP])


def lexemes(texts: Iterable[str]) -> set[str]:
    """By what these texts are known."""
    found: set[str] = set()
    for text in texts:
        for word in set(words_of(text)):
            found |= _known_by(word)
        for match in _NUMBER.finditer(text):
            found.update(_ends(_digits(match[0])))
    return found


def snippet(text: str, terms: Sequence[Term]) -> Snippet | None:
    """Where the terms stand in a text, None where none does."""
    hits = [(start, end, term) for start, end, known_by in _tokens(text) for term in terms if term.fits(known_by)]
    if not hits:
        return None
    first = hits[0][0]
    start = _cut(text, max(0, first - _AROUND), first)
    end = min(len(text), first + 2 * _AROUND)
    marks = dict.fromkeys((begins - start, ends - start) for begins, ends, _ in hits if ends <= end)
    return Snippet(text[start:end], tuple(marks), direction_of(text), len({term for _, _, term in hits}))


def direction_of(text: str) -> Direction:
    """How a text runs, by its first strong character (Unicode UAX #9, rule P2)."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"


def _known_by(word: str) -> frozenset[str]:
    bare = word.rstrip("*")[:LONGEST]
    ends = _ends(bare) if len(bare) >= _SHORTEST_NUMBER and bare.isdecimal() else ()
    return frozenset([*stems(bare), *ends])


def _ends(digits: str) -> Iterator[str]:
    return (digits[-length:] for length in range(_SHORTEST_NUMBER, _LINE + 1))


def _tokens(text: str) -> Iterator[tuple[int, int, frozenset[str]]]:
    """From where to where each word stands, and by what it is known."""
    for match in _TOKEN.finditer(text):
        yield match.start(), match.end(), frozenset(chain.from_iterable(_known_by(word) for word in words_of(match[0])))


def _cut(text: str, start: int, first: int) -> int:
    """Where to begin, so that no word is cut in two."""
    if start == 0:
        return 0
    space = text.find(" ", start, first)
    return start if space < 0 else space + 1


def _is_number(said: str) -> bool:
    digits = len(_digits(said))
    return digits >= (_SHORTEST_NUMBER if said.lstrip("+").isdecimal() else _SPACED_NUMBER)


def _digits(said: str) -> str:
    return "".join(str(int(digit)) for digit in said if digit.isdecimal())


def _line(said: str) -> frozenset[str]:
    """A number as its lexemes may have it: without the country before it, with its zero or without."""
    digits = _digits(said)
    bare = digits.lstrip("0")
    return frozenset({digits[-_LINE:], bare[-_LINE:] if len(bare) >= _SHORTEST_NUMBER else digits[-_LINE:]})
