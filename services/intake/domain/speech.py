"""What we say to customers, in their language: sentences of a catalogue, with plurals and with values kept in order. Pure.

Sentences are written in English where they are said, and are the names of their translations (gettext). A value stands between
FSI and PDI (Unicode UAX #9), so that numbers and names keep their order inside text that runs the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.events.base import Direction

Language = Literal["he", "ar", "ro", "en"]
LANGUAGES: tuple[Language, ...] = ("he", "ar", "ro", "en")
FSI, PDI = "\u2068", "\u2069"


class Catalogue(Protocol):
    """The translations of one language, as `gettext.GNUTranslations` has them."""

    def gettext(self, message: str, /) -> str:
        """The sentence in this language."""

    def ngettext(self, one: str, many: str, n: int, /) -> str:
        """The sentence in this language's form for so many."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A language to speak in."""

    language: Language
    direction: Direction
    catalogue: Catalogue

    def say(self, message: str, **values: object) -> str:
        """The sentence, its values isolated."""
        return self.catalogue.gettext(message).format(**{name: isolated(value) for name, value in values.items()})

    def count(self, one: str, many: str, n: int, **values: object) -> str:
        """The sentence for so many; `{n}` in it is the number."""
        sentence = self.catalogue.ngettext(one, many, n)
        return sentence.format(n=isolated(n), **{name: isolated(value) for name, value in values.items()})

    def plainly(self, message: str, **values: object) -> str:
        """The sentence with its values as they are, where isolates would be shown, cost letters or be taken along: in subjects,
        in short texts of the GSM alphabet, around links, of which mail programs would make them a part.
        """
        return self.catalogue.gettext(message).format(**values)

    def shortly(self, message: str, **values: object) -> str:
        """The sentence for a text message: values are isolated only in right-to-left text."""
        return self.say(message, **values) if self.direction == "rtl" else self.plainly(message, **values)


def phrase(message: str) -> str:
    """Marks a sentence that is said elsewhere, so that catalogues have to hold it."""
    return message


def language_for(detected: str, inbox_language: str) -> Language:
    """The language to write in: the customer's where we speak it, else the inbox's, else English."""
    for wanted in (detected, inbox_language):
        for language in LANGUAGES:
            if wanted.partition("-")[0] == language:
                return language
    return "en"


def spoken_to(detected: str, known: str) -> str:
    """The language to write to a customer in: that of the message, else the one they are known by where we speak only that."""
    return known if not _is_ours(detected) and _is_ours(known) else detected


def _is_ours(language: str) -> bool:
    return language.partition("-")[0] in LANGUAGES


def isolated(value: object) -> str:
    """Kept together and in order inside any text."""
    return f"{FSI}{value}{PDI}"


@lru_cache(maxsize=1000)
def is_zone(name: str) -> bool:
    """Whether there is such a time zone (IANA)."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def zone_for(theirs: str | None, ours: str) -> str:
    """The time zone in which times are told: the customer's where it is known, else ours."""
    return theirs if theirs is not None and is_zone(theirs) else ours


def time_text(at: datetime, zone: str) -> str:
    """A time as people of that zone read it: day.month.year hour:minute."""
    return f"{at.astimezone(ZoneInfo(zone)):%d.%m.%Y %H:%M}"
