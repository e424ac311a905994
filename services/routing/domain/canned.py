"""Prepared answers: what stands for what in their texts, in which language they are given, by which words they are found. Pure.

`{{customer.name}}` stands for a value. Values are put in once and never read as texts again; each is one line, without signs that
turn the direction of what follows. One that runs against the text, as a Latin name in Hebrew, stands between FSI and PDI
(Unicode UAX #9), so that it and what is around it keep their order.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.routing.domain.commands import RIGHT_TO_LEFT
from shared.events.base import TEXT_LIMIT_BYTES, Direction
from shared.events.config import CannedResponseConfigured
from shared.words import stems, words_of

KIND: Final = "canned_response"
VARIABLES: Final = frozenset(
    {
        "customer.name",
        "agent.name",
        "ticket.number",
        "ticket.subject",
        "ticket.topic",
        "ticket.product",
        "queue.name",
    }
)
OWN_FIELD = re.compile(r"field\.[a-z][a-z0-9_.-]{0,63}")
FSI, PDI = "\u2068", "\u2069"
DEFAULT_LANGUAGE = "en"
_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_JOINERS = frozenset("\u200c\u200d")  # they shape letters and turn nothing
_NUMBERS = re.compile(r"\d+")
_LEFT, _RIGHT = frozenset({"L"}), frozenset({"R", "AL", "AN"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `at` counts characters from 1. `written` is what stands there, with its braces."""

    at: int
    variable: str
    written: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text with its values. `missing` are the places for which there is none; they stand in it as they were written."""

    text: str
    missing: tuple[Place, ...] = ()


class WrongText(ValueError):
    """A text that could not be filled in; `at` counts characters from 1."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"at character {at}: {reason}")
        self.at = at
        self.reason = reason


def check_text(text: str) -> None:
    """Refuse what stands for nothing that is known, braces that are left open, and what is too long for an answer. Raises
    WrongText.
    """
    if len(text.encode("utf-8", "replace")) > TEXT_LIMIT_BYTES:
        raise WrongText(1, f"the text has more than {TEXT_LIMIT_BYTES} bytes of UTF-8")
    for place in _places(text):
        if not _is_known(place.variable):
            known = ", ".join((*sorted(VARIABLES), "field.<name of one of your fields>"))
            raise WrongText(place.at, f"unknown variable '{place.variable[:64]}'; use {known}")
    bare = _PLACE.sub(lambda found: " " * len(found[0]), text)
    for braces, what in (("{{", "is never closed by }}"), ("}}", "closes nothing")):
        if braces in bare:
            raise WrongText(bare.index(braces) + 1, f"{braces} {what}")


def render(text: str, values: Mapping[str, str | None], direction: Direction) -> Rendered:
    """The text with its values, in one pass. A value that is None, empty or not among them is missing."""
    missing: list[Place] = []
    parts: list[str] = []
    length = end = 0
    for found in _PLACE.finditer(text):
        variable = found[1].strip()
        value = one_line(values.get(variable) or "")
        before, filled = text[end : found.start()], isolated(value, direction) if value else found[0]
        if not value:
            missing.append(Place(length + len(before) + 1, variable, found[0]))
        parts += (before, filled)
        length += len(before) + len(filled)
        end = found.end()
    return Rendered("".join((*parts, text[end:])), tuple(missing))


def unfilled(text: str) -> tuple[Place, ...]:
    """Where a text still says what stands for what."""
    return tuple(place for place in _places(text) if _is_known(place.variable))


def one_line(value: str) -> str:
    """Without line ends, control characters, and the signs that turn or hide what is around them."""
    return " ".join("".join(" " if c.isspace() else c for c in value if c.isspace() or _is_shown(c)).split())


def isolated(value: str, direction: Direction) -> str:
    """The value, kept together where it runs against the text: letters of the other direction, or several numbers in a row in a
    text from right to left.
    """
    bidi = {unicodedata.bidirectional(c) for c in value}
    if direction == "rtl":
        runs_against = bool(bidi & _LEFT) or len(_NUMBERS.findall(value)) > 1
    else:
        runs_against = bool(bidi & _RIGHT)
    return f"{FSI}{value}{PDI}" if runs_against else value


def direction_of(language: str) -> Direction:
    """In which direction the language is written."""
    return "rtl" if language.partition("-")[0].lower() in RIGHT_TO_LEFT else "ltr"


def chosen(languages: Collection[str], asked: str | None) -> str:
    """In which of the languages something is given: the one asked for (`ro-MD`), its main language (`ro`), another of the same
    main language, English, else the first by name.
    """
    wanted = (asked or DEFAULT_LANGUAGE).lower()
    main = wanted.partition("-")[0]

    def nearness(language: str) -> tuple[int, str]:
        has = language.lower()
        if has == wanted:
            return 0, has
        if has == main:
            return 1, has
        if has.partition("-")[0] == main:
            return 2, has
        return (3 if has == DEFAULT_LANGUAGE else 4), has

    return min(languages, key=nearness)


def is_for(response: CannedResponseConfigured, team_ids: Collection[str], *, of_partner: bool) -> bool:
    """Whether an agent of these teams uses it. What names no team is for all of the house, and for no partner."""
    if not response.team_ids:
        return not of_partner
    return not set(team_ids).isdisjoint(response.team_ids)


def is_found(response: CannedResponseConfigured, language: str, query: str, shortcut: str) -> bool:
    """Whether all words of the query stand in it, as wholes or as what words begin with, and its shortcut begins so."""
    if shortcut and not (response.shortcut or "").startswith(folded(shortcut)):
        return False
    wanted = [word.rstrip("*") for word in words_of(query)]
    if not wanted:
        return True
    name = response.name[chosen(response.name, language)]
    there = _words(f"{name}\n{response.shortcut or ''}\n{response.texts[language]}")
    return all(any(word.startswith(one) for word in there) for one in wanted)


def folded(shortcut: str) -> str:
    """As shortcuts are compared: without case, letters in their composed form, with the slash."""
    return "/" + unicodedata.normalize("NFC", shortcut.removeprefix("/")).casefold()


def clashes(one: Collection[str], other: Collection[str]) -> bool:
    """Whether two of these teams may have some agent in common: then they cannot have the same shortcut."""
    return not one or not other or not set(one).isdisjoint(other)


def _is_shown(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs")


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    return frozenset(stem for word in words_of(text) for stem in stems(word))


def _places(text: str) -> Iterator[Place]:
    for found in _PLACE.finditer(text):
        yield Place(found.start() + 1, found[1].strip(), found[0])


def _is_known(variable: str) -> bool:
    return variable in VARIABLES or OWN_FIELD.fullmatch(variable) is not None
