"""What our rules about spam and our word lists find in contacts, before it is known whose they are and anything is locked. Pure.

Nearly all contacts are short, or nothing is configured that would be looked for. But 16 KiB that were made for it take 10 to 17
ms with ten lists of a hundred phrases, and so many come at once: so that part is done by itself, and may be done beside the event
loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.intake.domain.contacts import Contact, InboundMessage
from services.intake.domain.spam import SpamRules
from services.intake.domain.word_lists import Hit, Phrase, Words

Said = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Looked:
    """Contacts with what our rules say of them, and what was found in what they say."""

    contacts: Sequence[Contact]
    words: Words
    found: Mapping[Said, tuple[Phrase, ...]]

    def hits_in(self, contact: InboundMessage) -> list[Hit]:
        """The lists of which something is found in one of these contacts, in the language that it is taken to be in by now."""
        return self.words.hits(self.found[_said(contact)], contact.language)


def letters_of(contacts: Sequence[Contact], rules: SpamRules, words: Words) -> int:
    """How much there is to look through."""
    if not words and not rules.word_parts:
        return 0
    return sum(len(one.subject) + len(one.text) for one in contacts if isinstance(one, InboundMessage))


def look(contacts: Sequence[Contact], rules: SpamRules, words: Words) -> Looked:
    """Look through them."""
    judged = rules.judged(contacts)
    messages = (one for one in judged if isinstance(one, InboundMessage)) if words else ()
    return Looked(judged, words, {_said(one): words.found_in(one) for one in messages})


def _said(contact: InboundMessage) -> Said:
    return contact.subject, contact.text
