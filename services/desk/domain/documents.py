"""By which words a ticket is found, from what stands in its sealed facts; and in which block of numbers it is looked for. Pure.

A word that stands on a third of all tickets cannot be asked of a million at once. So each ticket is also known by the blocks of
numbers in which its own lies, and what is found too often is looked for block by block, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from services.desk.domain.words import Term, lexemes
from shared.events.message import MessagePersonal, NotePersonal, ReplyPersonal, SurveyPersonal
from shared.events.people import CustomerPersonal
from shared.events.ticket import TicketPersonal
from shared.events.work import ConsultPersonal

# How many numbers a block of each level has, as powers of two: each block has eight of the level below.
BITS = (12, 15, 18, 21)
ROOM_BYTES = 900_000  # a tsvector holds a megabyte (https://www.postgresql.org/docs/current/textsearch-limitations.html)


@dataclass(frozen=True, slots=True)
class Block:
    """The numbers from `index * 2 ** BITS[level]` on, as many as its level has."""

    level: int
    index: int

    @property
    def lexeme(self) -> str:
        """What its tickets are known by; no word looks like it."""
        return f"~{self.level}/{self.index}"

    @property
    def numbers(self) -> range:
        """Those that lie in it."""
        size = 1 << BITS[self.level]
        return range(self.index * size, (self.index + 1) * size)

    def parts(self) -> list[Block]:
        """Its blocks of the level below, the newest last; none below the lowest."""
        if self.level == 0:
            return []
        of_one = BITS[self.level] - BITS[self.level - 1]
        return [Block(self.level - 1, (self.index << of_one) + n) for n in range(1 << of_one)]


def blocks_up_to(number: int) -> list[Block]:
    """The blocks of the highest level in which tickets up to this number lie, the newest last."""
    top = len(BITS) - 1
    return [Block(top, index) for index in range((number >> BITS[top]) + 1)]


def document(number: int, texts: Iterable[str]) -> list[str]:
    """All by which a ticket is found: its words, of the first texts as many as there is room for; its number, its blocks."""
    words: set[str] = set()
    room = ROOM_BYTES
    for text in texts:
        new = lexemes([text]) - words
        room -= sum(len(word.encode()) + 2 for word in new)
        if room < 0:
            break
        words |= new
    return [*sorted(words), str(number), *(Block(level, number >> bits).lexeme for level, bits in enumerate(BITS))]


def texts_of(content: msgspec.Struct) -> list[str]:
    """What stands in a box that people may look for."""
    match content:
        case TicketPersonal():
            return [content.subject, content.customer_name]
        case MessagePersonal():
            return [
                content.subject,
                content.text,
                content.name,
                content.handle,
                *content.attachment_names,
                *content.fields.values(),
            ]
        case ReplyPersonal():
            return [content.subject, content.text, *content.attachment_names]
        case NotePersonal() | ConsultPersonal():
            return [content.text]
        case SurveyPersonal():
            return [content.comment]
        case CustomerPersonal():
            return [content.name, *content.handles, *content.fields.values()]
        case _:
            return []


def asked(terms: Sequence[Term], block: Block | None = None) -> str:
    """The terms, and the block, as PostgreSQL reads a tsquery
    (https://www.postgresql.org/docs/current/datatype-textsearch.html#DATATYPE-TSQUERY).
    """
    parts = [_any_of(term) for term in terms]
    if block is not None:
        parts.append(_quoted(block.lexeme))
    return " & ".join(parts)


def _any_of(term: Term) -> str:
    if term.beginning is not None:
        return f"{_quoted(term.beginning)}:*"
    return "( " + " | ".join(_quoted(form) for form in sorted(term.forms)) + " )"


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
