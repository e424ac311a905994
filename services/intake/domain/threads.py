"""Which ticket a contact belongs to. Pure.

Found, strongest first, by (1) our own signed reply address or Message-ID, (2) a Message-ID stored for the same inbox, (3) a
ticket's number in the subject, where its sender may name it, (4) the conversation of the same handle on the same channel and
inbox. A number is soon guessed and a sender's address soon forged, so (3) is no more than what an address shows by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from services.intake.domain import mail_hosts, numbers, subjects
from services.intake.domain.contacts import Contact, FromPerson, InboundMessage, SpamVerdict
from services.intake.domain.identity import CLAIMED, is_refuted
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Named, Ref
from shared.events.base import Channel

# Where each message stands for itself and only its headers tie it to a ticket; everywhere else people go on talking.
LETTERS: frozenset[Channel] = frozenset({"email", "form", "review", "in_person"})
# Automatic answers belong to what they answer, open or not; they never open a follow-up.
ANSWERS_BY_MACHINE = frozenset({"auto_reply", "out_of_office"})
QUARANTINE = "quarantine\x1f"  # before the name of a conversation that spam began
ASIDE = "aside\x1f"  # before that of a guest's, beside a closed ticket

By = Literal["token", "ref", "number", "conversation"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a company may set. `another_matter_after`: how long a ticket must have been silent for a mail that answers it under
    another subject to be about another matter. `recycled_after`: how long a number must have been silent for somebody of another
    name to be somebody else; zero is never.
    """

    another_matter_after: timedelta = timedelta(days=30)
    recycled_after: timedelta = timedelta(days=90)


RULES = Rules()


class Found(NamedTuple):
    """A ticket, which may be closed, and by what it was found."""

    ticket: KnownTicket
    by: By


class Thread(NamedTuple):
    """Where a contact goes: on to `ticket`, or to a new one that follows it or is related to it; None: to a new one."""

    ticket: KnownTicket | None = None
    relation: Literal["joins", "follow_up_of", "related"] | None = None


def conversation_of(contact: Contact) -> str | None:
    """What all messages of one conversation have in common; None where each message stands for itself. Spam has one of its own,
    so that what is none does not come to a ticket in quarantine.
    """
    channel: Channel = contact.channel if isinstance(contact, InboundMessage) else "phone"
    if contact.handle is None or channel in LETTERS:
        return None
    own = f"{channel}\x1f{contact.inbox}\x1f{contact.handle.key}"
    return own if _spam_of(contact) is None else f"{QUARANTINE}{own}"


def conversations_of(contact: Contact) -> list[str]:
    """Under which names the conversation may be known: its own, and those of other forms of the same number; of spam also those
    in quarantine.
    """
    return [*_people_talk(contact), *_quarantined(contact)]


def _people_talk(contact: Contact) -> list[str]:
    own = conversation_of(contact)
    if own is None or contact.handle is None:
        return []
    stem = own.removeprefix(QUARANTINE).removesuffix(contact.handle.key)
    return [stem + form.key for form in numbers.forms(contact.handle)]


def _quarantined(contact: Contact) -> list[str]:
    return [f"{QUARANTINE}{name}" for name in _people_talk(contact)] if _spam_of(contact) is not None else []


def _spam_of(contact: Contact) -> SpamVerdict | None:
    return contact.spam if isinstance(contact, InboundMessage) else None


def refs_of(contact: InboundMessage) -> list[Ref]:
    """Under which Message-IDs the ticket may be known: those it answers, newest first, and its own, which may have been
    answered by a message that came before it.
    """
    values = (*contact.reply_refs, *((contact.message_ref,) if contact.message_ref else ()))
    return [Ref(contact.inbox, value) for value in values]


def thread(contact: FromPerson, customer: KnownCustomer, work: Known, rules: Rules) -> Thread:
    """Where this contact of this customer goes."""
    found, verdict = find(contact, customer, work), _spam_of(contact)
    placed = _placed(contact, customer, found, work, rules)
    if verdict is None or (found is not None and placed.relation == "joins" and (found.ticket.spam or not verdict.apart)):
        return placed
    return _apart(contact, found, work)


def _placed(contact: FromPerson, customer: KnownCustomer, found: Found | None, work: Known, rules: Rules) -> Thread:
    if found is None:
        return Thread()
    if isinstance(contact, InboundMessage):
        if contact.origin in ANSWERS_BY_MACHINE:
            return Thread(found.ticket, "joins")
        if _is_kept_out(contact, customer, found):
            return Thread(found.ticket, "related")
        named = _named(contact, customer, work)
        if found.by == "ref" and not named and is_another_matter(contact, found.ticket, rules):
            return Thread(found.ticket, "related")
    return Thread(found.ticket, "follow_up_of" if found.ticket.closed else "joins")


def aside_of(contact: FromPerson, customer: KnownCustomer, ticket: KnownTicket) -> str | None:
    """What all has in common that a guest writes to a ticket that is closed, and that goes on beside it; None where it is no
    guest's, or nobody has shown whose it is: several people may claim one address.
    """
    handle = contact.handle
    if not isinstance(contact, InboundMessage) or contact.channel not in LETTERS:
        return None
    if contact.spam is not None or contact.origin in ANSWERS_BY_MACHINE:
        return None
    if handle is None or handle.scope == CLAIMED or not _is_guest(customer, ticket):
        return None
    return f"{ASIDE}{ticket.ticket_id}\x1f{handle.key}"


def asides(contacts: Sequence[Contact], known: Known) -> set[str]:
    """The names under which these contacts may go on beside closed tickets, as far as their senders are known."""
    names: set[str] = set()
    for contact in contacts:
        if not isinstance(contact, InboundMessage) or contact.handle is None or contact.handle not in known.customers:
            continue
        customer = known.customers[contact.handle]
        for ticket_id, _ in _candidates(contact, customer, known):
            names.update(_asides_of(contact, customer, ticket_id, known))
    return names


def free_aside(contact: FromPerson, customer: KnownCustomer, ticket: KnownTicket, work: Known) -> str | None:
    """The name for a new ticket beside this one, unless one that is still open has it."""
    name = aside_of(contact, customer, ticket)
    before = work.tickets.get(work.conversations[name]) if name in work.conversations else None
    return name if before is None or before.closed or before.merged_into is not None else None


def _own_aside(contact: FromPerson, customer: KnownCustomer, ticket_id: str, work: Known) -> KnownTicket | None:
    """The guest's own ticket beside a closed one, or beside one that took its place, if it is still open and theirs."""
    names = [name for name in _asides_of(contact, customer, ticket_id, work) if name in work.conversations]
    for own in (work.standing(work.conversations[name]) for name in names):
        if own is not None and not own.closed and own.customer_id == customer.customer_id and (own.judged or not own.spam):
            return own
    return None


def _asides_of(contact: FromPerson, customer: KnownCustomer, ticket_id: str, work: Known) -> list[str]:
    names = (aside_of(contact, customer, ticket) for ticket in work.way(ticket_id))
    return [name for name in names if name is not None]


def _is_guest(customer: KnownCustomer, ticket: KnownTicket) -> bool:
    return ticket.closed and ticket.customer_id != customer.customer_id


def _apart(contact: FromPerson, found: Found | None, work: Known) -> Thread:
    """Spam that comes to no ticket on which people work: on in quarantine, else to a ticket of its own there. That one is no
    follow-up of what was found: with a follow-up goes on what is no spam.
    """
    names = [name for name in _quarantined(contact) if name in work.conversations]
    for ticket in (work.standing(work.conversations[name]) for name in names):
        if ticket is not None and ticket.spam and not ticket.closed:
            return Thread(ticket, "joins")
    return Thread(found.ticket, "related") if found is not None else Thread()


def find(contact: FromPerson, customer: KnownCustomer, work: Known) -> Found | None:
    """The ticket that the contact belongs to; one that it is kept out of only where there is no other."""
    kept_out_of = None
    for ticket_id, by in _candidates(contact, customer, work):
        ticket = _own_aside(contact, customer, ticket_id, work) or work.standing(ticket_id)
        if ticket is not None:
            found = Found(ticket, by)
            if not _is_kept_out(contact, customer, found):
                return found
            kept_out_of = kept_out_of or found
    return kept_out_of


def _is_kept_out(contact: Contact, customer: KnownCustomer, found: Found) -> bool:
    """What is no spam is not to be lost in quarantine where a verdict put a ticket, and no agent. And whoever is not its customer
    goes on with no closed ticket: what its customer writes next would come to theirs, and be answered to them.
    """
    ticket = found.ticket
    if found.by == "conversation":
        return False
    lost = ticket.spam and not ticket.judged and _spam_of(contact) is None
    return lost or _is_guest(customer, ticket)


def _candidates(contact: FromPerson, customer: KnownCustomer, work: Known) -> Iterator[tuple[str, By]]:
    """The tickets that it may belong to, strongest first."""
    if isinstance(contact, InboundMessage):
        yield from ((ticket_id, "token") for ticket_id in contact.tokens)
        yield from ((work.refs[ref], "ref") for ref in refs_of(contact) if ref in work.refs)
        yield from ((named.ticket_id, "number") for named in _named(contact, customer, work))
    for conversation in _people_talk(contact):
        if conversation in work.conversations:
            yield work.conversations[conversation], "conversation"


def _named(contact: InboundMessage, customer: KnownCustomer, work: Known) -> list[Named]:
    named = [work.named[number] for number in contact.numbers if number in work.named]
    return [one for one in named if may_name(contact, customer, one)]


def may_name(contact: InboundMessage, customer: KnownCustomer, named: Named) -> bool:
    """Whether a ticket's number in the subject counts: from who takes part in it, or from a colleague of its customer at a host
    that gives addresses to its own people only and has shown that the mail is its own.
    """
    handle = contact.handle
    if handle is None or handle.kind != "email" or handle.scope == CLAIMED or is_refuted(contact.authentication):
        return False
    if customer.customer_id == named.customer_id or handle.value in named.writers:
        return True
    host = handle.value.rpartition("@")[2]
    return contact.authentication.proven and host in named.hosts and not mail_hosts.is_shared(host)


def is_another_matter(contact: InboundMessage, ticket: KnownTicket, rules: Rules) -> bool:
    """Whether somebody used an old mail to write about something new, as people do who look for an address."""
    return ticket.silent > rules.another_matter_after and subjects.differs(contact.subject, ticket.subject)
