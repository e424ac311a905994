"""Topics, products and urgency by the words that customers use: word lists per language. Pure.

Words are compared as `shared/words.py` folds them: without case, accents and vowel signs, Hebrew and Arabic ones also behind what
is written onto them. A word that ends in `*` stands for all that begin so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.intake.domain.contacts import InboundMessage, Labels
from shared.events.base import Priority
from shared.events.config import WordListConfigured
from shared.words import stems, words_of

ANY_LANGUAGE = "*"

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
