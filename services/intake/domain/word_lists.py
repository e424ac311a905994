"""Topics, products and urgency by the words that customers use: word lists per language. Pure.

Words are compared without case, accents and vowel signs: Romanian with cedilla, with comma and without either is one word, and
so are the forms of the Arabic alef. Hebrew and Arabic words are also known behind their one-letter prefixes (`ובחשבונית`,
`والفاتورة`), Arabic ones before the pronouns that hang on them (`فاتورتي`). A word that ends in `*` stands for all that begin so.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.intake.domain.contacts import InboundMessage, Labels
from shared.events.base import Priority
from shared.events.config import WordListConfigured

ANY_LANGUAGE = "*"

_WORD = re.compile(r"[^\W_]+\*?")
_INSIDE = re.compile(r"(?<=\w)[\"'\u05f3\u05f4\u2019](?=\w)")  # דוא"ל, l'adresse: one word
_FOLDED = str.maketrans({"\u0640": None, "\u0671": "\u0627", "\u0649": "\u064a", "\u0629": "\u0647"})
_HEBREW_PREFIXES = frozenset("והבכלמש")
_HEBREW_PREFIX_LETTERS = 3
_ARABIC_PREFIXES = ("وال", "فال", "بال", "كال", "ولل", "فلل", "ال", "لل", "وب", "ول", "فل", "و", "ف", "ب", "ك", "ل", "س")
_ARABIC_SUFFIXES = ("هما", "كما", "ها", "هم", "هن", "كم", "كن", "نا", "ني", "ه", "ك", "ي")
_STEM = 2  # letters that are left at least; three before a suffix

Hit = tuple[WordListConfigured, int]  # a list, and how many of its phrases were found


@dataclass(frozen=True, slots=True)
class _Phrase:
    words: tuple[str, ...]
    language: str
    of: WordListConfigured


@dataclass(frozen=True, slots=True)
class Words:
    """All word lists, ready to be looked for."""

    phrases: dict[str, tuple[_Phrase, ...]] = field(default_factory=dict)
    beginnings: dict[str, tuple[_Phrase, ...]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    languages: frozenset[str] = frozenset()

    @classmethod
    def of(cls, lists: Iterable[WordListConfigured]) -> Words:
        """From the configured ones."""
        whole: defaultdict[str, list[_Phrase]] = defaultdict(list)
        begun: defaultdict[str, list[_Phrase]] = defaultdict(list)
        for one in lists:
            for language, texts in one.words.items():
                for words in map(words_of, texts):
                    if words:
                        index, key = (begun, words[0][:-1]) if words[0].endswith("*") else (whole, words[0])
                        index[key].append(_Phrase(tuple(words), language, one))
        lengths = tuple(sorted({len(key) for key in begun}))
        languages = frozenset(phrase.language for found in (*whole.values(), *begun.values()) for phrase in found)
        return cls(_settled(whole), _settled(begun), lengths, languages)

    def labelled(self, contact: InboundMessage) -> InboundMessage:
        """The message with what its words say; what its connector said stands, and urgency is only ever raised."""
        hits = self.hits_in(contact)
        return replace(contact, labels=added(contact.labels, hits)) if hits else contact

    def hits_in(self, contact: InboundMessage) -> list[Hit]:
        """The lists of which something is found in a message, and how much: the most first."""
        return self._hits(words_of(f"{contact.subject}\n{contact.text}"), contact.language.partition("-")[0])

    def _hits(self, words: Sequence[str], language: str) -> list[Hit]:
        """The lists of which something was found, and how many different phrases; the most first, then by position. Where no
        list has words of the language those of all are looked for, as where it is not known: names of products and faults
        stand in texts of any.
        """
        in_any = language not in self.languages
        beginning = {word: tuple(self._beginning_with(word)) for word in set(words)}
        found = {
            (phrase.of.id, phrase.words): phrase.of
            for at, word in enumerate(words)
            for phrase in beginning[word]
            if in_any or phrase.language in (language, ANY_LANGUAGE)
            if _stands(phrase.words, words, at)
        }
        counted = Counter(list_id for list_id, _ in found)
        lists = {one.id: one for one in found.values()}
        return sorted(((lists[key], n) for key, n in counted.items()), key=lambda hit: (-hit[1], hit[0].position, hit[0].id))

    def _beginning_with(self, word: str) -> Iterator[_Phrase]:
        for stem in stems(word):
            yield from self.phrases.get(stem, ())
            for length in self.lengths:
                yield from self.beginnings.get(stem[:length], ()) if len(stem) >= length else ()


NO_WORDS = Words()


def _settled(found: dict[str, list[_Phrase]]) -> dict[str, tuple[_Phrase, ...]]:
    return {key: tuple(phrases) for key, phrases in found.items()}


def words_of(text: str) -> list[str]:
    """The words of a text in the form in which they are compared."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
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


def _stands(phrase: Sequence[str], words: Sequence[str], at: int) -> bool:
    """Whether the phrase stands at this place; its first word was found there."""
    return len(words) - at >= len(phrase) and all(
        any(stem.startswith(wanted[:-1]) if wanted.endswith("*") else stem == wanted for stem in stems(word))
        for wanted, word in zip(phrase[1:], words[at + 1 :], strict=False)
    )


def added(said: Labels, hits: Sequence[Hit]) -> Labels:
    """Labels with what was found: topic and product where none was said, urgency raised, tags together."""
    lists = [one for one, _ in hits]
    priorities: list[Priority] = [one.priority for one in lists if one.priority is not None]
    return Labels(
        priority=max([said.priority, *priorities]),
        topic=said.topic or next((one.topic for one in lists if one.topic), None),
        product=said.product or next((one.product for one in lists if one.product), None),
        tags=tuple(dict.fromkeys([*said.tags, *(tag for one in lists for tag in one.tags)])),
    )
