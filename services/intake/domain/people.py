"""Which customer a contact comes from: found by handle, by another form of the same number, or new. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from services.intake.domain import numbers
from services.intake.domain.contacts import FromPerson, Handle, InboundMessage
from services.intake.domain.identity import CLAIM, CLAIMED, RECYCLED, SIGNED, claimed, is_refuted, name_hash, proven
from services.intake.domain.known import Known, KnownCustomer, KnownTicket
from services.intake.domain.plan import FirstHeard, HandleLeft, NameSeen, NewCustomer, NewHandle, Plan, Suggestion
from services.intake.domain.threads import Rules
from shared.events.base import derived_id


def customer_of(contact: FromPerson, cause: str, work: Known, plan: Plan, rules: Rules) -> KnownCustomer:
    """Who the contact is from; a customer seen for the first time is added to the plan."""
    handle = contact.handle
    if handle is None:
        return _new(contact, None, cause, work, plan)
    under = next((form for form in numbers.forms(handle) if form in work.customers), None)
    if under is None:
        return _vouched_for(contact, handle, cause, work, plan) or _new(contact, handle, cause, work, plan)
    if _is_recycled(contact, under, work, rules):
        return _somebody_else(contact, handle, cause, work, plan)
    customer = work.customers[under]
    if under != handle:
        handle_id = derived_id("handle", cause)
        plan.steps.append(NewHandle(customer.customer_id, handle, contact, cause, handle_id, customer.sealed_under))
        work.customers[handle] = customer
    elif (called := _calls_themselves(contact)) is not None and called != work.names.get(handle):
        plan.steps.append(NameSeen(handle, called))
        work.names[handle] = called
    return customer


def claims(contact: InboundMessage, customer: KnownCustomer, cause: str, work: Known, plan: Plan) -> None:
    """What a person claims beside the handle they are known by is theirs too where nobody claims it yet. Whoever does, and who
    wrote from it, may be the same person.
    """
    for n, handle in enumerate(contact.also):
        handle_id = derived_id("handle", cause, "also", str(n))
        claimer = _known_as(handle, work)
        if claimer is not None and claimer.customer_id == customer.customer_id:
            continue
        of_handle = f"{cause}:{handle_id}"  # each fact of one kind and key has a cause of its own
        if claimer is None:
            plan.steps.append(NewHandle(customer.customer_id, handle, contact, of_handle, handle_id, customer.sealed_under))
            work.customers[handle] = customer
        for other in (claimer, _known_as(proven(handle), work)):
            if other is not None and other.customer_id != customer.customer_id:
                about = f"{of_handle}:{other.customer_id}"
                plan.steps.append(Suggestion(customer.customer_id, other.customer_id, CLAIM, contact, about))


def identified(contact: InboundMessage, customer: KnownCustomer, cause: str, work: Known, plan: Plan) -> None:
    """What a connector vouches for is theirs, where your records do not say otherwise; who had it before is the same person, and
    is merged with them.
    """
    one = [customer.customer_id]  # who they turn out to be, each merged into the next
    for n, handle in enumerate(contact.vouched):
        named = f"{cause}:also:{n}"
        owner = _known_as(handle, work)
        if owner is None:
            if _is_another(handle, customer.customer_id, work):
                continue
            handle_id = derived_id("handle", named)
            plan.steps.append(
                NewHandle(customer.customer_id, handle, contact, named, handle_id, customer.customer_id, vouched=True)
            )
            work.customers[handle] = replace(customer, origin=None, handle_id=handle_id)
            if handle.kind == "external_id":
                work.external[customer.customer_id] = work.external.get(customer.customer_id, frozenset()) | {handle.value}
        elif owner.customer_id not in one and not _are_two(one[-1], owner.customer_id, work):
            plan.steps.append(Suggestion(one[-1], owner.customer_id, SIGNED, contact, named))
            one.append(owner.customer_id)


def copied(contact: InboundMessage, writer: KnownCustomer, cause: str, work: Known, plan: Plan) -> dict[str, str]:
    """Who has a copy of a message: the ids of the customers, each with that of the address; those seen for the first time are
    added to the plan. Of spam nobody is told, nor of a mail that is not its sender's: whom that names, anybody may have named.
    """
    found: dict[str, str] = {}
    if contact.spam is not None or is_refuted(contact.authentication):
        return found
    for n, copy in enumerate(contact.copies):
        customer = work.customers.get(copy.handle)
        if customer is None:
            handle_id = derived_id("handle", cause, "copy", str(n))
            customer = KnownCustomer(derived_id("customer", cause, "copy", str(n)), handle_id=handle_id)
            plan.steps.append(NewCustomer(customer, contact, cause, handle_id, copy))
            work.customers[copy.handle] = customer
        found.setdefault(customer.customer_id, customer.handle_id)
    found.pop(writer.customer_id, None)
    return found


def first_heard(contact: InboundMessage, customer: KnownCustomer, cause: str, work: Known, plan: Plan) -> None:
    """Whoever was known in no language, as who had a copy only, writes in one: it is theirs from now on. So is what they call
    themselves, whatever others called them.
    """
    if customer.language != "und" or contact.language == "und" or contact.handle is None:
        return
    if contact.origin != "human" or contact.spam is not None:
        return
    plan.steps.append(FirstHeard(customer.customer_id, contact, contact.handle, cause, customer.sealed_under))
    work.customers[contact.handle] = replace(customer, language=contact.language)


def proves(contact: InboundMessage, customer: KnownCustomer, ticket: KnownTicket, work: Known) -> bool:
    """Whether this answer, sent from an address, shows that the ticket's customer, who only claimed the address, has it: what
    it answers went to that address and nowhere else. A machine that answers there has not read what it was asked.
    """
    if contact.origin != "human" or not contact.tokens or contact.handle is None or is_refuted(contact.authentication):
        return False
    if ticket.ticket_id not in {found.ticket_id for found in map(work.standing, contact.tokens) if found is not None}:
        return False
    claimer = work.customers.get(claimed(contact.handle)) if contact.handle.scope != CLAIMED else None
    return claimer is not None and claimer.customer_id == ticket.customer_id != customer.customer_id


def _calls_themselves(contact: FromPerson) -> int | None:
    """By what name a person writes from a number. What a network says of callers is nobody's own word."""
    handle = contact.handle
    if not isinstance(contact, InboundMessage) or handle is None or handle.kind != "phone" or handle.scope:
        return None
    return name_hash(contact.name)


def _is_recycled(contact: FromPerson, under: Handle, work: Known, rules: Rules) -> bool:
    """Networks give numbers that are no longer used to somebody else: after long silence another name is another person."""
    seen, called, before = work.seen.get(under), _calls_themselves(contact), work.names.get(under)
    if seen is None or seen.silent is None or called is None or before is None or called == before:
        return False
    return bool(rules.recycled_after) and seen.silent > rules.recycled_after


def _somebody_else(contact: FromPerson, handle: Handle, cause: str, work: Known, plan: Plan) -> KnownCustomer:
    """The number is somebody's who is not known yet; that they are the one who had it, people may still find."""
    before = None
    for form in numbers.forms(handle):
        had = work.customers.pop(form, None)
        work.names.pop(form, None)
        seen = work.seen.pop(form, None)
        if had is None or seen is None:
            continue
        before = before or had
        plan.steps.append(HandleLeft(seen.customer_id, form, seen.handle_id, contact, f"{cause}:{seen.handle_id}"))
        for conversation in [one for one in work.conversations if one.endswith(f"\x1f{form.key}")]:
            del work.conversations[conversation]
    customer = _new(contact, handle, cause, work, plan)
    if before is not None:
        plan.steps.append(Suggestion(customer.customer_id, before.customer_id, RECYCLED, contact, cause))
    return customer


def _new(contact: FromPerson, handle: Handle | None, cause: str, work: Known, plan: Plan) -> KnownCustomer:
    # Ids are made from the contact, never from the handle: a hash of a telephone number is soon guessed.
    customer = KnownCustomer(derived_id("customer", cause), language=contact.language, handle_id=derived_id("handle", cause))
    plan.steps.append(NewCustomer(customer, contact, cause, derived_id("handle", cause)))
    if handle is None:
        return customer
    work.customers[handle] = customer
    if (called := _calls_themselves(contact)) is not None:
        work.names[handle] = called
    if handle.scope == CLAIMED and (owner := _known_as(proven(handle), work)) is not None:
        plan.steps.append(Suggestion(customer.customer_id, owner.customer_id, CLAIM, contact, cause))
    return customer


def _known_as(handle: Handle, work: Known) -> KnownCustomer | None:
    """Whose a handle is; of one that somebody claims, who claims it."""
    return next((work.customers[form] for form in numbers.forms(handle) if form in work.customers), None)


def _vouched_for(contact: FromPerson, handle: Handle, cause: str, work: Known, plan: Plan) -> KnownCustomer | None:
    """Who they are by what a connector vouches for, where they never came by this handle. It is theirs from now on."""
    vouched = contact.vouched if isinstance(contact, InboundMessage) else ()
    known = next((owner for one in vouched if (owner := _known_as(one, work)) is not None), None)
    if known is None or _is_another(handle, known.customer_id, work):
        return None
    customer = replace(known, origin=None, handle_id=derived_id("handle", cause))
    plan.steps.append(NewHandle(customer.customer_id, handle, contact, cause, customer.handle_id, customer.customer_id))
    work.customers[handle] = customer
    return customer


def _is_another(handle: Handle, customer_id: str, work: Known) -> bool:
    """Whether your records know this customer under another id than this."""
    known = work.external.get(customer_id)
    return handle.kind == "external_id" and bool(known) and handle.value not in (known or ())


def _are_two(one_id: str, other_id: str, work: Known) -> bool:
    """Whether your records say so (`identity.check_merge`)."""
    one, other = work.external.get(one_id), work.external.get(other_id)
    return bool(one) and bool(other) and one != other
