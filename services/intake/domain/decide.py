"""Which customer, which ticket: the decision on a whole group of contacts at once. Pure.

Contacts of a group see each other: what one of them brought about is known to the next. By what a ticket is found is in
`threads.py`, who is taken for whom in `identity.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec.structs import replace

from services.intake.domain import answers, calls, fingerprints, hearing, numbers, people, threads
from services.intake.domain.calls import Call
from services.intake.domain.contacts import Contact, FromPerson, InboundCall, InboundMessage
from services.intake.domain.identity import ANSWERED
from services.intake.domain.known import Coming, Known, KnownCustomer, KnownTicket, Name, Received
from services.intake.domain.plan import (
    CallWord,
    CameAgain,
    ConsentSaid,
    NewMessage,
    NewTicket,
    Placement,
    Plan,
    Suggestion,
)
from services.intake.domain.threads import RULES, Rules, conversation_of, refs_of
from shared.events.base import derived_id


def decide(contacts: Sequence[Contact], known: Known, rules: Rules = RULES) -> Plan:
    """Place every contact. `known` holds what `store.known` loaded for them; it is not changed."""
    work = known.copy()
    plan = Plan(placements=[_UNPLACED] * len(contacts))
    for index in _in_reading_order(contacts):
        contact = contacts[index]
        if isinstance(contact, InboundMessage):
            plan.placements[index] = _message(contact, work, plan, rules)
        elif isinstance(contact, InboundCall):
            plan.placements[index] = _call(contact, work, plan, rules)
        else:
            plan.placements[index] = hearing.take(contact, work, plan)
    return plan


_UNPLACED = Placement("", "", "")


@lru_cache(maxsize=4096)
def message_id_of(namespace: str, dedup_key: str) -> str:
    """The id of the message that a provider gives this name: the same name is the same message, for ever."""
    return derived_id("message", namespace, dedup_key)


def names_of(contact: InboundMessage) -> list[str]:
    """The ids that a message may have, by each of its names at its provider."""
    keys = (contact.dedup_key, contact.conflict_key)
    return [message_id_of(contact.namespace, key) for key in keys if key is not None]


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


def _message(contact: InboundMessage, work: Known, plan: Plan, rules: Rules) -> Placement:
    if _is_reused(contact, work):
        return Placement("", "", "", reused=True)
    message_id, dedup_key = _named(contact, work)
    earlier = work.received.get(message_id) or _copied(contact, message_id, work, plan)
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
    if contact.consent is not None and (heard := _consent(contact, cause, work, plan, rules)) is not None:
        return heard
    if contact.score is not None and (heard := answers.answer(contact, contact.score, cause, work, plan)) is not None:
        return heard
    customer = people.customer_of(contact, cause, work, plan, rules)
    if contact.vouched:
        people.identified(contact, customer, cause, work, plan)
    people.first_heard(contact, customer, cause, work, plan)
    if contact.language == "und" and customer.language != "und":  # too short to tell: as they wrote before, or as we were told
        contact = replace(contact, language=customer.language)
    people.claims(contact, customer, cause, work, plan)
    ticket, opening = _ticket(contact, customer, cause, message_id, work, plan, rules)
    kept_from = opening.kept_from if opening is not None else None
    proves = people.proves(contact, customer, ticket, work)
    if proves:
        plan.steps.append(Suggestion(ticket.customer_id, customer.customer_id, ANSWERED, contact, cause))
    for ref in refs_of(contact):
        work.refs.setdefault(ref, kept_from or ticket.ticket_id)
    cc = people.copied(contact, customer, cause, work, plan) if contact.copies else {}
    plan.steps.append(
        NewMessage(
            message_id=message_id,
            ticket_id=ticket.ticket_id,
            customer_id=customer.customer_id,
            contact=contact,
            cause=cause,
            opened=opening is not None,
            participant=proves or ticket.customer_id == customer.customer_id,
            cc=tuple(cc),
            cc_handles=tuple(handle_id for handle_id in cc.values() if handle_id),
            person=customer.sealed_under,
            kept_from=kept_from,
        )
    )
    work.received[message_id] = Received(
        message_id, ticket.ticket_id, ticket.number, customer.customer_id, contact.content_hash, opening is not None
    )
    _note(contact, contact.message_ref, work.received[message_id], work)
    return Placement(ticket.ticket_id, customer.customer_id, message_id, ticket.number, opening is not None)


def _copied(contact: InboundMessage, name_id: str, work: Known, plan: Plan) -> Received | None:
    """The message that came before, by another way or without a name. This name is one of its own from now on; what answers it
    finds its ticket.
    """
    if contact.fingerprint is None:
        return None
    comings = work.comings.get(contact.fingerprint.shape, ())
    message = fingerprints.original(contact, comings)
    if message is None:
        return None
    its_ref = next(coming.message_ref for coming in comings if coming.message.message_id == message.message_id)
    _note(contact, its_ref, message, work)
    work.received[name_id] = replace(message, content_hash=contact.content_hash)
    for ref in refs_of(contact):
        work.refs.setdefault(ref, message.ticket_id)
    plan.steps.append(CameAgain(name_id, message.message_id, message.ticket_id, contact))
    return work.received[name_id]


def _note(contact: InboundMessage, message_ref: str | None, message: Received, work: Known) -> None:
    mark = contact.fingerprint
    if mark is not None:
        coming = Coming(message, mark.words, mark.kept, mark.way, mark.sent_at, message_ref)
        work.comings.setdefault(mark.shape, []).append(coming)


def _consent(contact: InboundMessage, cause: str, work: Known, plan: Plan, rules: Rules) -> Placement | None:
    """STOP or START is heard. None where it is a message too: in a conversation that is open, or because a "yes" of somebody
    who refused nothing is an answer.
    """
    word_id, handle = derived_id("word", cause), contact.handle
    if word_id in work.words:
        return Placement("", "", "", repeated=True)
    refused = handle is not None and (numbers.line(handle), contact.channel) in work.refusing
    if handle is None or (contact.consent and not refused):
        return None
    customer = people.customer_of(contact, cause, work, plan, rules)
    given = bool(contact.consent)
    changed = given == refused
    plan.steps.append(ConsentSaid(customer.customer_id, handle, contact, cause, given, changed, customer.sealed_under))
    work.words.add(word_id)
    (work.refusing.discard if given else work.refusing.add)((numbers.line(handle), contact.channel))
    found = threads.find(contact, customer, work)
    return None if found is not None and not found.ticket.closed else Placement("", customer.customer_id, "")


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


def _ticket(
    contact: FromPerson, customer: KnownCustomer, cause: str, item_id: str, work: Known, plan: Plan, rules: Rules
) -> tuple[KnownTicket, NewTicket | None]:
    """The ticket, and the step that opens it where it is a new one."""
    found, relation = threads.thread(contact, customer, work, rules)
    if found is not None and relation == "joins":
        return found, None
    message = contact if isinstance(contact, InboundMessage) else None
    spam = message is not None and message.spam is not None
    aside = threads.free_aside(contact, customer, found, work) if found is not None and relation == "related" else None
    opening = NewTicket(
        ticket_id=derived_id("ticket", cause),
        customer=customer,
        contact=contact,
        cause=cause,
        conversation=conversation_of(contact) or aside,
        follow_up_of=found if relation == "follow_up_of" else None,
        related_to=found if relation == "related" else None,
        confirmation_id=derived_id("confirmation", item_id) if message is not None and message.confirm and not spam else None,
    )
    plan.steps.append(opening)
    ticket = work.tickets[opening.ticket_id] = KnownTicket(opening.ticket_id, 0, customer.customer_id, spam=spam)
    if found is not None and relation == "follow_up_of":
        work.follow(found.ticket_id, ticket.ticket_id)
    if opening.conversation is not None:
        work.conversations[opening.conversation] = ticket.ticket_id
    return ticket, opening


def _call(contact: InboundCall, work: Known, plan: Plan, rules: Rules) -> Placement:
    name = Name(contact.provider, contact.call_ref)
    call = work.calls.get(name)
    if call is not None and calls.repeated(call, contact):
        return replace(_of_call(call, work), repeated=True)
    cause = f"{contact.provider}:{contact.dedup_key}"
    begun = call is None
    opened = False
    if call is None:
        call, opened = _begun(contact, cause, work, plan, rules)
    ticket = work.merged(call.ticket_id)
    call, facts = calls.advance(call, contact, ticket.agent_id if ticket is not None else None)
    call = replace(call, talked_on=call.talked_on or _talked_on(call, ticket))
    work.calls[name] = call
    plan.steps.append(CallWord(call, contact, cause, tuple(facts), begun, call.talked_on or call.ticket_id))
    return replace(_of_call(call, work), opened=opened)


def _of_call(call: Call, work: Known) -> Placement:
    ticket = work.tickets.get(call.ticket_id)
    return Placement(call.ticket_id, call.customer_id, call.call_id, ticket.number if ticket else 0)


def _talked_on(call: Call, ticket: KnownTicket | None) -> str | None:
    """Where it is said that an agent talks: where the call's ticket goes on. Who waited in vain did so on the call's own."""
    return ticket.ticket_id if ticket is not None and call.agent_id is not None else None


def _begun(contact: InboundCall, cause: str, work: Known, plan: Plan, rules: Rules) -> tuple[Call, bool]:
    call_id = derived_id("call", contact.provider, contact.call_ref)
    customer = people.customer_of(contact, cause, work, plan, rules)
    ticket, opening = _ticket(contact, customer, cause, call_id, work, plan, rules)
    call = Call(
        call_id=call_id,
        call_ref=contact.call_ref,
        provider=contact.provider,
        ticket_id=ticket.ticket_id,
        customer_id=customer.customer_id,
        agent_before=ticket.agent_id,
        person=customer.sealed_under,
    )
    return call, opening is not None


def numbered(plan: Plan, numbers: Sequence[int]) -> Plan:
    """The plan with `numbers` given to the tickets it opens, in their order."""
    given = {ticket.ticket_id: number for ticket, number in zip(plan.opened(), numbers, strict=True)}
    placements = [replace(p, number=given[p.ticket_id]) if p.number == 0 and p.ticket_id in given else p for p in plan.placements]
    return Plan(plan.steps, placements)
