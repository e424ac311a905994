"""A word about a message of ours, from a provider or a mail server: of which it is, and on which tickets it is said. Pure.

What it says of the message itself is in `words.py`.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.intake.domain import delivery
from services.intake.domain.contacts import DeliveryWord
from services.intake.domain.known import Known
from services.intake.domain.plan import Placement, Plan, SentTold
from services.intake.domain.words import Sent, hear
from shared.events.base import Fact, derived_id
from shared.events.message import MessageComplained


def word_id_of(word: DeliveryWord) -> str:
    """The id of a word about a message of ours: the same word is told once, for ever."""
    return derived_id("word", word.cause)


def take(contact: DeliveryWord, work: Known, plan: Plan) -> Placement:
    """Where a word belongs; what it brings is added to the plan."""
    sent = work.sent.get(contact.message_id or contact.provider_ref or "")
    if sent is None:
        return Placement("", "", "", unknown=True)
    sent = work.sent[sent.message_id]  # under its own id it stands as the words before left it
    ticket = work.tickets.get(sent.ticket_id)
    placement = Placement(sent.ticket_id, sent.customer_id, sent.message_id, ticket.number if ticket else 0)
    if word_id_of(contact) in work.words:
        return replace(placement, repeated=True)
    work.words.add(word_id_of(contact))
    told, fact = hear(sent, contact)
    work.sent[sent.message_id] = sent = replace(sent, told=told)
    plan.steps.append(SentTold(sent, contact, fact, _told_on(sent, fact, work)))
    return placement


def _told_on(sent: Sent, fact: Fact | None, work: Known) -> tuple[str, ...]:
    """What somebody has to do about is said where a merged ticket goes on too: whoever has it there answered nobody so far. Of a
    question after a resolution nobody has to know but who called it spam: nobody waits for it, and it is no reply.
    """
    if sent.kind == "survey" and not isinstance(fact, MessageComplained):
        return ()
    onward = work.merged(sent.ticket_id)
    acts = isinstance(fact, delivery.TO_ACT_ON) and onward is not None and onward.ticket_id != sent.ticket_id
    return (sent.ticket_id, onward.ticket_id) if acts and onward is not None else (sent.ticket_id,)
