"""Where each contact is on the log, found by what its sender calls it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache, partial

from shared.events.base import derived_id
from shared.events.call import CallReceived
from shared.events.message import MessageReceived
from shared.events.ticket import TicketClosed, TicketOpened
from simulator.truth import Sending
from tests.faults.index import Index


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact is on the log: the id of its message or call, the ticket, and whose it is."""

    item_id: str
    ticket_id: str
    customer_id: str


class Contacts:
    """Every message and call of the log, to be found by what its sender calls it."""

    def __init__(self, index: Index) -> None:
        self.callers = index.tables.callers
        self.places: dict[str, list[Place]] = defaultdict(list)
        self.call_ids: dict[str, set[str]] = defaultdict(set)
        for message in index.said(MessageReceived):
            fact = message.fact
            self.places[fact.message_id].append(Place(fact.message_id, message.key, fact.customer_id))
        for call in index.said(CallReceived):
            self.places[call.fact.call_id].append(Place(call.fact.call_id, call.key, call.fact.customer_id))
            self.call_ids[call.fact.provider_ref].add(call.fact.call_id)
        self.forms = {said.fact.inbox for said in index.said(MessageReceived) if said.fact.provider == "form"}
        self.opened = {said.key: said.fact for said in index.said(TicketOpened)}
        self.closed = {said.key for said in index.said(TicketClosed)}
        self.poisoned = {fact.message_id for fact in index.poisoned_facts if isinstance(fact, MessageReceived)}
        self.poisoned_calls = {fact.provider_ref for fact in index.poisoned_facts if isinstance(fact, CallReceived)}
        self._known: dict[str, list[Place]] = {}

    def of(self, sending: Sending) -> list[Place]:
        """Where a contact is: under the id made from its name, else under that with which it was answered."""
        known = self._known.get(sending.key)
        if known is None:
            known = self._at(_named(sending, self)) or self._at(_answered(sending))
            self._known[sending.key] = known
        return known

    def is_poisoned(self, sending: Sending) -> bool:
        """Whether a test poisoned the ticket that it is on."""
        if sending.kind != "message":
            return sending.key.partition(":")[0] in self.poisoned_calls
        return bool(self.poisoned) and not self.poisoned.isdisjoint(_named(sending, self) | _answered(sending))

    def root(self, ticket_id: str) -> str:
        """The ticket with which a chain of follow-ups began. Only a closed ticket has a follow-up."""
        seen = {ticket_id}
        while (opened := self.opened.get(ticket_id)) and (before := opened.follow_up_of):
            if before in seen or before not in self.closed:
                break
            seen.add(before)
            ticket_id = before
        return ticket_id

    def _at(self, item_ids: set[str]) -> list[Place]:
        return [place for item_id in item_ids for place in self.places.get(item_id, ())]


@lru_cache(maxsize=1)
def contacts_of(index: Index) -> Contacts:
    """The contacts of this history, made once."""
    return Contacts(index)


def _named(sending: Sending, log: Contacts) -> set[str]:
    """The ids that its name makes, at whichever provider it may have been. A status callback is where its call is."""
    if sending.kind != "message":
        return log.call_ids.get(sending.key.partition(":")[0], set())
    key, made = sending.key, partial(derived_id, "message")
    ids = {made("smtp", key), made("smtp", f"<{key}>"), made("twilio", key)}
    ids |= {made("form", f"{form}:{key}") for form in log.forms}
    return ids | {made("generic", f"{caller}/{key}") for caller in log.callers}


def _answered(sending: Sending) -> set[str]:
    return {answer.message_id for answer in sending.answers if answer.success and answer.message_id}
