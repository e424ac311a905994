"""Words in the form in which they are compared, whatever they are written with. Pure.

Without case, accents and vowel signs: Romanian with cedilla, with comma and without either is one word, and so are the forms of
the Arabic alef. Hebrew and Arabic words are also known behind their one-letter prefixes (`ובחשבונית`, `والفاتورة`), Arabic ones
before the pronouns that hang on them (`فاتورتي`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+\*?")
_INSIDE = re.compile(r"(?<=\w)[\"'\u05f3\u05f4\u2019](?=\w)")  # דוא"ל, l'adresse: one word
_FOLDED = str.maketrans({"\u0640": None, "\u0671": "\u0627", "\u0649": "\u064a", "\u0629": "\u0647"})
_HEBREW_PREFIXES = frozenset("והבכלמש")
_HEBREW_PREFIX_LETTERS = 3
_ARABIC_PREFIXES = ("وال", "فال", "بال", "كال", "ولل", "فلل", "ال", "لل", "وب", "ول", "فل", "و", "ف", "ب", "ك", "ل", "س")
_ARABIC_SUFFIXES = ("هما", "كما", "ها", "هم", "هن", "كم", "كن", "نا", "ني", "ه", "ك", "ي")
_STEM = 2  # letters that are left at least; three before a suffix
# There are letters that stand for eighteen; no text of people has as many as this.
LETTERS_CAP = 40_000


def words_of(text: str) -> list[str]:
    """The words of a text in the form in which they are compared."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)[:LETTERS_CAP]
        text = "".join(c for c in text if not unicodedata.combining(c)).translate(_FOLDED)
    return _WORD.findall(_INSIDE.sub("", text.casefold()))


def stems(word: str) -> Iterator[str]:
    """The word, and what it may be without what Hebrew and Arabic write onto it."""
    yield word
    if "\u05d0" <= word[0] <= "\u05ea":
        for cut in range(1, min(_HEBREW_PREFIX_LETTERS, len(word) - _STEM) + 1):
            if word[cut - 1] not in _HEBREW_PREFIXES:
                return
            yield word[cut:]
    elif "\u0621" <= word[0] <= "\u064a":
        yield from _arabic(word)


def _arabic(word: str) -> Iterator[str]:
    bare = [word, *(word[len(p) :] for p in _ARABIC_PREFIXES if word.startswith(p) and len(word) - len(p) >= _STEM)]
    for one in bare:
        yield one
        for suffix in _ARABIC_SUFFIXES:
            if one.endswith(suffix) and len(one) - len(suffix) > _STEM:
                stem = one[: -len(suffix)]
                yield stem
                if stem.endswith("ت"):
                    yield stem[:-1] + "ه"  # فاتورة becomes فاتورت before a pronoun
