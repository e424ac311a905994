"""Which language a text is in: script first, then n-grams; and in which direction it is written."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Protocol

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from shared.events.base import Direction

UNDETERMINED = "und"
LOOK_AT = 600  # characters of a text that decide
ENOUGH_LETTERS = 12  # fewer say nothing about a language that shares its letters with others
SURE = 0.5
OURS = ("ro", "en")
# Neighbours that a text may really be in: without them every French mail would be Romanian.
OTHERS = ("fr", "de", "es", "it", "pt", "hu")
RIGHT_TO_LEFT = frozenset({"he", "ar", "fa", "ur", "yi"})

_HEBREW = re.compile(r"[\u0590-\u05ff\ufb1d-\ufb4f]")
_ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_NOT_LETTERS = re.compile(r"[^A-Za-z]+")
_NOISE = re.compile(r"https?://\S+|\S+@\S+|[0-9_]+")


class _Identifier(Protocol):
    def classify(self, text: str) -> tuple[str, float]:
        """Language and how sure."""


@cache
def _identifier() -> _Identifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*OURS, *OTHERS])
    return identifier  # type: ignore[no-any-return]


def warm_up() -> None:
    """Load the model now (most of a second) rather than with the first message."""
    _identifier().classify("hello")


def language_of(text: str) -> str:
    """`he`, `ar`, `ro`, `en`, or `und` for anything else and for what is too short to tell."""
    sample = _NOISE.sub(" ", text[:LOOK_AT])
    hebrew, arabic, latin = _letters(sample)
    if max(hebrew, arabic) >= 2 and max(hebrew, arabic) * 2 >= latin:
        return "he" if hebrew >= arabic else "ar"
    if latin < ENOUGH_LETTERS:
        return UNDETERMINED
    language, sure = _identifier().classify(sample)
    return language if language in OURS and sure >= SURE else UNDETERMINED


def _letters(sample: str) -> tuple[int, int, int]:
    """How many are Hebrew, Arabic and Latin."""
    if sample.isascii():
        return 0, 0, len(_NOT_LETTERS.sub("", sample))
    return len(_HEBREW.findall(sample)), len(_ARABIC.findall(sample)), len(_LATIN.findall(sample))


def direction_of(text: str, language: str = UNDETERMINED) -> Direction:
    """How a text runs: as its language does, else as its first strong character (Unicode UAX #9, rule P2)."""
    if language != UNDETERMINED:
        return "rtl" if language.partition("-")[0] in RIGHT_TO_LEFT else "ltr"
    for character in text[:LOOK_AT]:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
