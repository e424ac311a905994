"""Which customer, which ticket: the decision on a whole group of contacts at once. Pure.

Contacts of a group see each other: what one of them brought about is known to the next. A ticket is found, strongest first,
by (1) our own signed reply address or Message-ID, (2) a Message-ID stored for the same inbox, (3) the open conversation of
the same handle on the same channel and inbox, where the channel is a conversation; else a new one is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec.structs import replace

from services.intake.domain import calls
from services.intake.domain.calls import Call
from services.intake.domain.contacts import Contact, DeliveryWord, FromPerson, Handle, InboundCall, InboundMessage
from services.intake.domain.identity import ANSWERED, CLAIM, CLAIMED, claimed, proven
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Name, Received, Ref
from services.intake.domain.plan import (
    CallWord,
    ConsentSaid,
    NewCustomer,
    NewMessage,
    NewTicket,
    Placement,
    Plan,
    SentTold,
    Suggestion,
)
from services.intake.domain.words import hear
from shared.events.base import Channel, derived_id

# Where each message stands for itself and only its headers tie it to a ticket; everywhere else people go on talking.
LETTERS: frozenset[Channel] = frozenset({"email", "form", "review", "in_person"})
# Automatic answers belong to what they answer, open or not; they never open a follow-up.
ANSWERS_BY_MACHINE = frozenset({"auto_reply", "out_of_office"})


def decide(contacts: Sequence[Contact], known: Known) -> Plan:
    """Place every contact. `known` holds what `keys_of` asked for; it is not changed."""
    work = known.copy()
    plan = Plan(placements=[_UNPLACED] * len(contacts))
    for index in _in_reading_order(contacts):
        contact = contacts[index]
        if isinstance(contact, InboundMessage):
            plan.placements[index] = _message(contact, work, plan)
        elif isinstance(contact, InboundCall):
            plan.placements[index] = _call(contact, work, plan)
        else:
            plan.placements[index] = _word(contact, work, plan)
    return plan


_UNPLACED = Placement("", "", "")


@lru_cache(maxsize=4096)
def message_id_of(namespace: str, dedup_key: str) -> str:
    """The id of the message that a provider gives this name: the same name is the same message, for ever."""
    return derived_id("message", namespace, dedup_key)


def conversation_of(contact: Contact) -> str | None:
    """What all messages of one conversation have in common; None where each message stands for itself."""
    channel: Channel = contact.channel if isinstance(contact, InboundMessage) else "phone"
    if contact.handle is None or channel in LETTERS:
        return None
    return f"{channel}\x1f{contact.inbox}\x1f{contact.handle.key}"


def refs_of(contact: InboundMessage) -> list[Ref]:
    """Under which Message-IDs the ticket may be known: those it answers, newest first, and its own, which may have been
    answered by a message that came before it.
    """
    values = (*contact.reply_refs, *((contact.message_ref,) if contact.message_ref else ()))
    return [Ref(contact.inbox, value) for value in values]


def _in_reading_order(contacts: Sequence[Contact]) -> list[int]:
    """As they came, except that an answer is read after what it answers."""
    at = {c.message_ref: i for i, c in enumerate(contacts) if isinstance(c, InboundMessage) and c.message_ref}
    if not any(isinstance(c, InboundMessage) and any(ref in at for ref in c.reply_refs) for c in contacts):
        return list(range(len(contacts)))
    ordered: dict[int, None] = {}

    def read(index: int, path: frozenset[int]) -> None:
        contact = contacts[index]
        if index in ordered or index in path:
            return
        if isinstance(contact, InboundMessage):
            for ref in contact.reply_refs:
                if ref in at:
                    read(at[ref], path | {index})
        ordered[index] = None

    for index in range(len(contacts)):
        read(index, frozenset())
    return list(ordered)


def _message(contact: InboundMessage, work: Known, plan: Plan) -> Placement:
    if _is_reused(contact, work):
        return Placement("", "", "", reused=True)
    message_id, dedup_key = _named(contact, work)
    earlier = work.received.get(message_id)
    if earlier is not None:
        return Placement(
            ticket_id=earlier.ticket_id,
            customer_id=earlier.customer_id,
            item_id=earlier.message_id,
            number=earlier.number,
            opened=earlier.opened,
            repeated=True,
            conflict=not earlier.repeats(contact.content_hash),
        )
    cause = f"{contact.namespace}:{dedup_key}"
    if contact.consent is not None and (heard := _consent(contact, cause, work, plan)) is not None:
        return heard
    customer = _customer(contact, contact.handle, cause, work, plan)
    if contact.language == "und" and customer.language != "und":  # too short to tell: as they wrote before, or as we were told
        contact = replace(contact, language=customer.language)
    ticket, opened = _ticket(contact, customer, cause, message_id, work, plan)
    proves = _proves(contact, customer, ticket, work)
    if proves:
        plan.steps.append(Suggestion(ticket.customer_id, customer.customer_id, ANSWERED, contact, cause))
    for ref in refs_of(contact):
        work.refs.setdefault(ref, ticket.ticket_id)
    plan.steps.append(
        NewMessage(
            message_id=message_id,
            ticket_id=ticket.ticket_id,
            customer_id=customer.customer_id,
            contact=contact,
            cause=cause,
            opened=opened,
            participant=proves or ticket.customer_id == customer.customer_id,
        )
    )
    work.received[message_id] = Received(
        message_id, ticket.ticket_id, ticket.number, customer.customer_id, contact.content_hash, opened
    )
    return Placement(ticket.ticket_id, customer.customer_id, message_id, ticket.number, opened)


def _consent(contact: InboundMessage, cause: str, work: Known, plan: Plan) -> Placement | None:
    """STOP or START is heard. None where it is a message too: in a conversation that is open, or because a "yes" of somebody
    who refused nothing is an answer.
    """
    word_id, handle = derived_id("word", cause), contact.handle
    if word_id in work.words:
        return Placement("", "", "", repeated=True)
    refused = handle is not None and (handle, contact.channel) in work.refusing
    if handle is None or (contact.consent and not refused):
        return None
    customer = _customer(contact, handle, cause, work, plan)
    given = bool(contact.consent)
    plan.steps.append(ConsentSaid(customer.customer_id, handle, contact, cause, given, changed=given == refused))
    work.words.add(word_id)
    (work.refusing.discard if given else work.refusing.add)((handle, contact.channel))
    found = _found(contact, work)
    return None if found is not None and not found.closed else Placement("", customer.customer_id, "")


def _is_reused(contact: InboundMessage, work: Known) -> bool:
    """Whether the Idempotency-Key of this contact's request names another request."""
    request = contact.request
    return request is not None and work.requests.setdefault(request.name, request.digest) != request.digest


def _named(contact: InboundMessage, work: Known) -> tuple[str, str]:
    """The id of the message, and the name at its provider from which it is made: the second one where another has the first."""
    message_id = message_id_of(contact.namespace, contact.dedup_key)
    earlier = work.received.get(message_id)
    if earlier is None or contact.conflict_key is None or earlier.repeats(contact.content_hash):
        return message_id, contact.dedup_key
    return message_id_of(contact.namespace, contact.conflict_key), contact.conflict_key


def _customer(contact: FromPerson, handle: Handle | None, cause: str, work: Known, plan: Plan) -> KnownCustomer:
    known = work.customers.get(handle) if handle is not None else None
    if known is not None:
        return known
    # Ids are made from the contact, never from the handle: a hash of a telephone number is soon guessed.
    customer = KnownCustomer(derived_id("customer", cause))
    plan.steps.append(NewCustomer(customer, contact, cause, derived_id("handle", cause)))
    if handle is not None:
        work.customers[handle] = customer
        if handle.scope == CLAIMED and (owner := work.customers.get(proven(handle))) is not None:
            plan.steps.append(Suggestion(customer.customer_id, owner.customer_id, CLAIM, contact, cause))
    return customer


def _proves(contact: InboundMessage, customer: KnownCustomer, ticket: KnownTicket, work: Known) -> bool:
    """Whether this answer, sent from an address, shows that the ticket's customer, who only claimed the address, has it: what
    it answers went to that address and nowhere else. An answering machine there agrees to nothing.
    """
    if contact.origin != "human" or not contact.tokens or contact.handle is None:
        return False
    if ticket.ticket_id not in map(_id, map(work.standing, contact.tokens)):
        return False
    claimer = work.customers.get(claimed(contact.handle)) if contact.handle.scope != CLAIMED else None
    return claimer is not None and claimer.customer_id == ticket.customer_id != customer.customer_id


def _id(ticket: KnownTicket | None) -> str | None:
    return ticket.ticket_id if ticket is not None else None


def _ticket(
    contact: FromPerson, customer: KnownCustomer, cause: str, item_id: str, work: Known, plan: Plan
) -> tuple[KnownTicket, bool]:
    found = _found(contact, work)
    conversation = conversation_of(contact)
    answers_by_machine = isinstance(contact, InboundMessage) and contact.origin in ANSWERS_BY_MACHINE
    if found is not None and (not found.closed or answers_by_machine):
        return found, False
    ticket = KnownTicket(derived_id("ticket", cause), 0, customer.customer_id)
    confirms = isinstance(contact, InboundMessage) and contact.confirm and contact.spam is None
    plan.steps.append(
        NewTicket(
            ticket_id=ticket.ticket_id,
            customer=customer,
            contact=contact,
            cause=cause,
            conversation=conversation,
            follow_up_of=found,
            confirmation_id=derived_id("confirmation", item_id) if confirms else None,
        )
    )
    work.tickets[ticket.ticket_id] = ticket
    if found is not None:
        work.follow(found.ticket_id, ticket.ticket_id)
    if conversation is not None:
        work.conversations[conversation] = ticket.ticket_id
    return ticket, True


def _found(contact: FromPerson, work: Known) -> KnownTicket | None:
    """The ticket that the contact belongs to, which may be closed."""
    if isinstance(contact, InboundMessage):
        for ticket_id in contact.tokens:
            ticket = work.standing(ticket_id)
            if ticket is not None:
                return ticket
        for ref in refs_of(contact):
            if ref in work.refs and (ticket := work.standing(work.refs[ref])) is not None:
                return ticket
    conversation = conversation_of(contact)
    ticket_id_of_it = work.conversations.get(conversation) if conversation is not None else None
    return work.standing(ticket_id_of_it) if ticket_id_of_it is not None else None


def _call(contact: InboundCall, work: Known, plan: Plan) -> Placement:
    name = Name(contact.provider, contact.call_ref)
    call = work.calls.get(name)
    if call is not None and calls.repeated(call, contact):
        ticket = work.tickets.get(call.ticket_id)
        return Placement(call.ticket_id, call.customer_id, call.call_id, ticket.number if ticket else 0, repeated=True)
    cause = f"{contact.provider}:{contact.dedup_key}"
    begun = call is None
    opened = False
    if call is None:
        call, opened = _begun(contact, cause, work, plan)
    ticket = work.tickets.get(call.ticket_id)
    call, facts = calls.advance(call, contact, ticket.agent_id if ticket is not None else None)
    work.calls[name] = call
    plan.steps.append(CallWord(call, contact, cause, tuple(facts), begun))
    return Placement(call.ticket_id, call.customer_id, call.call_id, ticket.number if ticket else 0, opened)


def _begun(contact: InboundCall, cause: str, work: Known, plan: Plan) -> tuple[Call, bool]:
    call_id = derived_id("call", contact.provider, contact.call_ref)
    customer = _customer(contact, contact.handle, cause, work, plan)
    ticket, opened = _ticket(contact, customer, cause, call_id, work, plan)
    call = Call(
        call_id=call_id,
        call_ref=contact.call_ref,
        provider=contact.provider,
        ticket_id=ticket.ticket_id,
        customer_id=customer.customer_id,
        agent_before=ticket.agent_id,
    )
    return call, opened


def word_id_of(word: DeliveryWord) -> str:
    """The id of a word about a message of ours: the same word is told once, for ever."""
    return derived_id("word", word.cause)


def _word(contact: DeliveryWord, work: Known, plan: Plan) -> Placement:
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
    plan.steps.append(SentTold(sent, contact, fact))
    return placement


def numbered(plan: Plan, numbers: Sequence[int]) -> Plan:
    """The plan with `numbers` given to the tickets it opens, in their order."""
    given = {ticket.ticket_id: number for ticket, number in zip(plan.opened(), numbers, strict=True)}
    placements = [replace(p, number=given[p.ticket_id]) if p.number == 0 and p.ticket_id in given else p for p in plan.placements]
    return Plan(plan.steps, placements)
