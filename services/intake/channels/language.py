"""Which language a text is in, and in which direction it is written.

Its script tells, where one language has it to itself; in Arabic letters those that only some of its languages write; else n-grams
(py3langid), among the languages of the script. What is short, or might be one or another, is left open.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from functools import cache
from typing import Protocol

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from services.intake.channels.scripts import Script, letters
from services.intake.domain.languages import OF_SCRIPT, TOLD, UNDETERMINED, Shared, told
from shared.events.base import Direction

LOOK_AT = 600  # characters of a text that decide
ENOUGH_LETTERS = 12  # fewer say nothing about a language that shares its letters with others
FEWEST_LETTERS = 4  # of a script, in a text that is of it: α and µ stand in other texts too
SURE = 0.5
RIGHT_TO_LEFT = frozenset({"he", "ar", "fa", "ur", "yi"})

_OF_ONE: Mapping[Script, str] = {
    "hebrew": "he",
    "greek": "el",
    "armenian": "hy",
    "georgian": "ka",
    "thai": "th",
    "hangul": "ko",
}

# Letters of Arabic script that tell its languages apart; keyboards of one language are used for another, so these are counted.
_TELLING = {
    "urdu": "\u0679\u0688\u0691\u06ba\u06be\u06c1\u06d2",  # ٹ ڈ ڑ ں ھ ہ ے
    "not arabic": "\u067e\u0686\u0698\u06af",  # پ چ ژ گ: Persian and Urdu
    "not persian": "\u0629\u0623\u0625",  # ة أ إ
    "persian form": "\u06a9\u06cc",  # ک ی
    "arabic form": "\u0643\u064a\u0649",  # ك ي ى
    "other": "\u067c\u0681\u0685\u0689\u0693\u0696\u069a\u06bc\u06cd\u06d0"  # Pashto
    "\u0695\u06b5\u06c6\u06ce\u06d5\u06c7\u06c8\u06cb\u06aa\u0680\u068f",  # Kurdish, Uyghur, Sindhi
}
_TELLS = {letter: of for of, letters_of in _TELLING.items() for letter in letters_of}
_TELLING_LETTER = re.compile(f"[{''.join(_TELLS)}]")

_NOISE = re.compile(r"https?://\S+|\S+@\S+|[0-9_]+")
_told = told(TOLD)


class _Identifier(Protocol):
    def classify(self, text: str) -> tuple[str, float]:
        """Language and how sure."""


def tell_apart(languages: Iterable[str]) -> None:
    """From now on these are told, in this process; texts of all others are left open. Raises ValueError."""
    global _told
    _told = told(languages)


def warm_up() -> None:
    """Load the model now (most of a second) rather than with the first message."""
    for script in OF_SCRIPT:
        _identifier(script).classify("hello")


@cache
def _model() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _identifier(script: Shared) -> _Identifier:
    identifier = copy(_model())
    identifier.set_languages(OF_SCRIPT[script])
    # Rows of it are gathered and multiplied: so they lie together, as numbers of the kind that they are multiplied by.
    identifier.nb_ptc = identifier.nb_ptc.astype("float32", order="C")
    return identifier  # type: ignore[no-any-return]


def language_of(text: str) -> str:
    """The language, as ISO 639-1 names it, where it is one of those to be told and it is sure; else `und`."""
    language = _language(_NOISE.sub(" ", text[:LOOK_AT]))
    return language if language in _told else UNDETERMINED


def _language(sample: str) -> str:
    script, many, kana = _written_in(letters(sample))
    if script == "latin" or script == "cyrillic":
        return _by_ngrams(sample, script) if many >= ENOUGH_LETTERS else UNDETERMINED
    if script == "arabic":
        return _of_arabic_letters(sample)
    if script == "han":
        return "ja" if kana * 5 >= many else "zh"
    return _OF_ONE.get(script, UNDETERMINED)


def _written_in(counted: Mapping[Script, int]) -> tuple[Script, int, int]:
    """The script that decides: the Latin one, in which names, products and signatures stand in texts of all languages, where no
    other one has half as many letters. Its letters, and how many are kana; those count with the Han ones beside which they stand.
    """
    latin, kana = counted.get("latin", 0), counted.get("kana", 0)
    if len(counted) == 1 and latin:
        return "latin", latin, 0
    others = {script: many for script, many in counted.items() if script not in ("latin", "kana", "han")}
    if japanese_or_chinese := counted.get("han", 0) + kana:
        others["han"] = japanese_or_chinese
    script: Script = max(others, key=others.__getitem__, default="latin")
    fewest = 2 if script in ("hebrew", "arabic") else FEWEST_LETTERS
    if script == "latin" or others[script] < fewest or others[script] * 2 < latin:
        return "latin", latin, 0
    return script, others[script], kana


def _of_arabic_letters(sample: str) -> str:
    """Persian and Urdu have letters that Arabic has not, and write two that it has in forms of their own."""
    many = Counter(map(_TELLS.__getitem__, _TELLING_LETTER.findall(sample)))
    if many["other"] >= 2:
        return UNDETERMINED
    if many["urdu"] > many["not persian"]:
        return "ur"
    for persian, arabic in (("not arabic", "not persian"), ("persian form", "arabic form")):
        if many[persian] != many[arabic]:
            return "fa" if many[persian] > many[arabic] else "ar"
    return _by_ngrams(sample, "arabic")


def _by_ngrams(sample: str, script: Shared) -> str:
    language, sure = _identifier(script).classify(sample)
    return language if sure >= SURE else UNDETERMINED


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
