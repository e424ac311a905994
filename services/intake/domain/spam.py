"""Our own rules about who and what is spam. Pure.

What blocks is looked up, never searched: a contact costs as many look-ups as its sender's domain has labels and, where there
are rules about words, as it has words. Whoever is allowed is allowed only when they are who they say, for anybody can write an
address into a mail; then neither a rule nor a score of the servers before us counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from services.intake.domain import handles, numbers
from services.intake.domain.contacts import VIRUS, Contact, Handle, InboundMessage, SpamVerdict
from services.intake.domain.identity import CLAIMED, TYPED
from shared.words import words_of

Verdict = Literal["block", "allow"]
SpamPart = Literal["address", "domain", "number", "subject", "text"]
WORDS: tuple[SpamPart, ...] = ("subject", "text")
PERSONAL: frozenset[SpamPart] = frozenset({"address", "number"})


class UnusableValue(ValueError):
    """It can be no value of this part; the message says why, without repeating it."""


@dataclass(frozen=True, slots=True)
class SpamRule:
    """A rule in force, its values in the form in which they are compared. `inboxes` empty: all."""

    id: str
    verdict: Verdict
    part: SpamPart
    values: tuple[str, ...]
    inboxes: tuple[str, ...] = ()

    def holds_for(self, inbox: str) -> bool:
        """Whether it is asked about a message to this inbox."""
        return not self.inboxes or inbox in self.inboxes


def comparable(part: SpamPart, value: str) -> str:
    """A value in the form in which it is compared. Raises UnusableValue."""
    try:
        match part:
            case "address":
                return handles.email(value).value
            case "domain":
                return handles.email("x@" + value.strip().lower().removeprefix("@").rstrip(".")).value.partition("@")[2]
            case "number":
                phone = handles.phone(value)
                if phone is None:
                    raise UnusableValue("is no number")
                return phone.value
            case _:
                words = [word.rstrip("*") for word in words_of(value)]
                if not words:
                    raise UnusableValue("has no letter or digit in it")
                return " ".join(words)
    except handles.WrongHandle as wrong:
        raise UnusableValue(str(wrong)) from None


@dataclass(frozen=True, slots=True)
class SpamRules:
    """All rules in force, ready to be looked up: senders by what they are, phrases by their first word."""

    senders: dict[tuple[SpamPart, str], tuple[SpamRule, ...]] = field(default_factory=dict)
    phrases: dict[tuple[SpamPart, str], tuple[tuple[tuple[str, ...], SpamRule], ...]] = field(default_factory=dict)
    word_parts: frozenset[SpamPart] = frozenset()

    @classmethod
    def of(cls, rules: Iterable[SpamRule]) -> SpamRules:
        """From those in force."""
        senders: defaultdict[tuple[SpamPart, str], list[SpamRule]] = defaultdict(list)
        phrases: defaultdict[tuple[SpamPart, str], list[tuple[tuple[str, ...], SpamRule]]] = defaultdict(list)
        for rule in sorted(rules, key=lambda one: one.id):
            for value in rule.values:
                if rule.part in WORDS:
                    words = tuple(value.split())
                    phrases[rule.part, words[0]].append((words, rule))
                else:
                    senders[rule.part, value].append(rule)
        return cls(
            {key: tuple(found) for key, found in senders.items()},
            {key: tuple(found) for key, found in phrases.items()},
            frozenset(part for part, _ in phrases),
        )

    def judged(self, contacts: Sequence[Contact]) -> Sequence[Contact]:
        """The contacts with what our rules say of them."""
        if not self.senders and not self.phrases:
            return contacts
        return [self.judge(one) if isinstance(one, InboundMessage) else one for one in contacts]

    def judge(self, contact: InboundMessage) -> InboundMessage:
        """The message with what our rules say of it; what the servers before us said stands where no rule does."""
        found = [rule for rule in self._about_sender(contact) if rule.holds_for(contact.inbox)]
        infected = contact.spam is not None and contact.spam.rule_id == VIRUS
        if not infected and any(rule.verdict == "allow" for rule in found) and is_authenticated(contact):
            return replace(contact, spam=None) if contact.spam is not None else contact
        found += (rule for rule in self._about_words(contact) if rule.holds_for(contact.inbox))
        blocks = min((rule.id for rule in found if rule.verdict == "block"), default=None)
        return replace(contact, spam=SpamVerdict("rule", rule_id=blocks, apart=True)) if blocks is not None else contact

    def _about_sender(self, contact: InboundMessage) -> Iterator[SpamRule]:
        if not self.senders:
            return
        for handle in (contact.handle, *contact.also, *contact.vouched):
            if handle is not None:
                yield from self._about(handle)

    def _about(self, handle: Handle) -> Iterator[SpamRule]:
        if handle.kind == "email":
            yield from self.senders.get(("address", handle.value), ())
            labels = handle.value.rpartition("@")[2].split(".")
            for n in range(len(labels)):
                yield from self.senders.get(("domain", ".".join(labels[n:])), ())
        else:
            for form in numbers.forms(handle):
                yield from self.senders.get(("number", form.value), ())

    def _about_words(self, contact: InboundMessage) -> Iterator[SpamRule]:
        parts: tuple[tuple[SpamPart, str], ...] = (("subject", contact.subject), ("text", contact.text))
        for part, text in parts:
            if part not in self.word_parts:
                continue
            words = [word.rstrip("*") for word in words_of(text)]
            for at, word in enumerate(words):
                for phrase, rule in self.phrases.get((part, word), ()):
                    if tuple(words[at : at + len(phrase)]) == phrase:
                        yield rule


NO_RULES = SpamRules()


def is_authenticated(contact: InboundMessage) -> bool:
    """Whether the sender is who they say: of mail our own server found so, of others their provider or connector knows; what
    was typed in proves nothing.
    """
    if contact.handle is None or contact.handle.scope == CLAIMED or contact.channel in TYPED:
        return False
    return contact.authentication.proven if contact.channel == "email" else True
