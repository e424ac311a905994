"""Topics, products and urgency by the words that customers use: word lists per language. Pure.

Words are compared as `shared/words.py` folds them: without case, accents and vowel signs, Hebrew and Arabic ones also behind what
is written onto them. A word that ends in `*` stands for all that begin so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.intake.domain.contacts import InboundMessage, Labels
from shared.events.base import Priority
from shared.events.config import WordListConfigured
from shared.words import stems, words_of

ANY_LANGUAGE = "*"

# No text of people has more: one of 16 KiB has 3,000 words. What was made to have more is read so far.
WORDS_CAP = 4_000

Hit = tuple[WordListConfigured, int]  # a list, and how many of its phrases were found


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """One of the words and phrases of a list. Each is itself alone."""

    words: tuple[str, ...]
    language: str
    of: WordListConfigured


@dataclass(slots=True, eq=False)
class Node:
    """Where one stands after some words: at the end of these phrases, and before the words with which others go on, whole or as
    they begin. So a text takes as long as it has words, however many phrases begin alike.
    """

    phrases: dict[Phrase, None] = field(default_factory=dict)
    whole: dict[str, Node] = field(default_factory=dict)
    begun: dict[str, Node] = field(default_factory=dict)
    lengths: set[int] = field(default_factory=set)

    def put(self, phrase: Phrase) -> None:
        """A phrase, from here on."""
        node = self
        for word in phrase.words:
            if word.endswith("*"):
                node.lengths.add(len(word) - 1)
                node = node.begun.setdefault(word[:-1], Node())
            else:
                node = node.whole.setdefault(word, Node())
        node.phrases[phrase] = None

    def after(self, word: str) -> dict[Node, None]:
        """Where one comes by this word."""
        return dict.fromkeys(self._after(word)) if self.whole or self.begun else {}

    def _after(self, word: str) -> Iterator[Node]:
        for stem in stems(word):
            if (node := self.whole.get(stem)) is not None:
                yield node
            for length in self.lengths:
                if len(stem) >= length and (node := self.begun.get(stem[:length])) is not None:
                    yield node


@dataclass(frozen=True, slots=True)
class Words:
    """All word lists, ready to be looked for."""

    root: Node = field(default_factory=Node)
    languages: frozenset[str] = frozenset()

    @classmethod
    def of(cls, lists: Iterable[WordListConfigured]) -> Words:
        """From the configured ones."""
        root = Node()
        split = [
            Phrase(tuple(words), language, one)
            for one in lists
            for language, texts in one.words.items()
            for words in map(words_of, texts)
            if words
        ]
        for phrase in split:
            root.put(phrase)
        return cls(root, frozenset(phrase.language for phrase in split))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.languages)

    def hits_in(self, contact: InboundMessage) -> list[Hit]:
        """The lists of which something is found in a message, and how much: the most first."""
        return self.hits(self.found_in(contact), contact.language)

    def found_in(self, contact: InboundMessage) -> tuple[Phrase, ...]:
        """All phrases that stand in a message, whatever languages they are of. This is the work, and grows with the text."""
        words = words_of(f"{contact.subject}\n{contact.text}")[:WORDS_CAP] if self else []
        found: dict[Phrase, None] = {}
        first = {word: self.root.after(word) for word in set(words)}
        for at, word in enumerate(words):
            nodes, place = first[word], at
            while nodes:
                for node in nodes:
                    found |= node.phrases
                place += 1
                nodes = {then: None for node in nodes for then in node.after(words[place])} if place < len(words) else {}
        return tuple(found)

    def hits(self, phrases: Iterable[Phrase], language: str) -> list[Hit]:
        """The lists of which something was found, and how many different phrases; the most first, then by position. Where no
        list has words of the language those of all count, as where it is not known: names of products and faults stand in texts
        of any.
        """
        language = language.partition("-")[0]
        in_any = language not in self.languages
        counting = [one for one in phrases if in_any or one.language in (language, ANY_LANGUAGE)]
        counted = Counter(list_id for list_id, _ in {(one.of.id, one.words) for one in counting})
        lists = {one.of.id: one.of for one in counting}
        return sorted(((lists[key], n) for key, n in counted.items()), key=lambda hit: (-hit[1], hit[0].position, hit[0].id))


NO_WORDS = Words()


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
