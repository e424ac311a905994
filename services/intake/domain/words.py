"""What is said of a message that went out, from words that come in any order and any number of times. Pure.

How far it came (delivered, read) and what went wrong (bounced, failed) are told apart: each goes forward only, so that a
late "delivered" takes nothing back. An agent has to know of a bounce even where a machine opened the mail before.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.intake.domain.contacts import DeliveryWord
from services.intake.domain.delivery import Kind
from shared.events.base import Channel, Fact
from shared.events.message import MessageBounced, MessageComplained, MessageDelivered, MessageFailed, MessageRead

TAKEN_OVER, ARRIVED, READ = 0, 1, 2
NOTHING, SOFT, HARD = 0, 1, 2


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said of one message. `trouble_at` is the provider's instant of the worst."""

    progress: int = TAKEN_OVER
    trouble: int = NOTHING
    trouble_at: datetime | None = None
    complained: bool = False


class Sent(msgspec.Struct, frozen=True):
    """A message of ours that went out, or is about to. `person`: who began its ticket, before they were taken for one with
    another.
    """

    message_id: str
    ticket_id: str
    customer_id: str
    channel: Channel
    attempts: int
    provider_ref: str | None = None
    told: Told = Told()
    kind: Kind = "reply"
    person: str = ""

    @property
    def sealed_under(self) -> str:
        """Whose what is said of it is, whoever they were taken for."""
        return self.person or self.customer_id


def hear(sent: Sent, word: DeliveryWord) -> tuple[Told, Fact | None]:
    """What was told when this word is heard too, and what is said of it: nothing, where it is no news."""
    told = sent.told
    match word.kind:
        case "delivered" if told.progress < ARRIVED and not _came_back(told, word.provider_time):
            return msgspec.structs.replace(told, progress=ARRIVED), _delivered(sent, word)
        case "read" if told.progress < READ:
            fact = MessageRead(message_id=sent.message_id, provider_time=word.provider_time)
            return msgspec.structs.replace(told, progress=READ), fact
        case "complained" if not told.complained:
            complained = MessageComplained(message_id=sent.message_id, code=word.code, provider_time=word.provider_time)
            return msgspec.structs.replace(told, complained=True), complained
        case "bounced" | "failed":
            trouble = HARD if word.hard or word.kind == "failed" else SOFT
            if trouble > told.trouble:
                return msgspec.structs.replace(told, trouble=trouble, trouble_at=word.provider_time), _trouble(sent, word)
    return told, None


def still_news(told: Told, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """What an attempt came to, without what a provider was quicker to say: that it was taken over, of what has arrived. Who gets
    no copy, or gets it later, nobody else says.
    """
    return tuple(fact for fact in facts if told.progress < ARRIVED or not _says_no_more(fact))


def recalled(told: Told, fact: Fact) -> Told:
    """What was told, as the log has it."""
    match fact:
        case MessageDelivered(final=True):
            return msgspec.structs.replace(told, progress=max(told.progress, ARRIVED))
        case MessageRead():
            return msgspec.structs.replace(told, progress=READ)
        case MessageComplained():
            return msgspec.structs.replace(told, complained=True)
        case MessageBounced(hard=hard):
            return msgspec.structs.replace(told, trouble=max(told.trouble, HARD if hard else SOFT))
        case MessageFailed():
            return msgspec.structs.replace(told, trouble=HARD)
        case _:
            return told


def _says_no_more(fact: Fact) -> bool:
    return isinstance(fact, MessageDelivered) and not fact.refused_cc_customer_ids and not fact.awaited_cc_customer_ids


def _came_back(told: Told, delivered_at: datetime | None) -> bool:
    """Whether it is known to have come back, and not to have been delivered after that."""
    if told.trouble == SOFT and told.trouble_at is not None and delivered_at is not None:
        return delivered_at <= told.trouble_at
    return told.trouble != NOTHING


def _delivered(sent: Sent, word: DeliveryWord) -> Fact:
    return MessageDelivered(
        message_id=sent.message_id,
        channel=sent.channel,
        attempts=max(sent.attempts, 1),
        provider_ref=sent.provider_ref,
        provider_time=word.provider_time,
        final=True,
    )


def _trouble(sent: Sent, word: DeliveryWord) -> Fact:
    if word.kind == "bounced":
        return MessageBounced(message_id=sent.message_id, hard=word.hard, code=word.code)
    return MessageFailed(message_id=sent.message_id, channel=sent.channel, attempts=max(sent.attempts, 1), code=word.code)
