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
        self.index = index
        self.places: dict[str, list[Place]] = defaultdict(list)
        self.call_ids: dict[str, set[str]] = defaultdict(set)
        for message in index.said(MessageReceived):
            fact = message.fact
            self.places[fact.message_id].append(Place(fact.message_id, message.key, fact.customer_id))
        for call in index.said(CallReceived):
            self.places[call.fact.call_id].append(Place(call.fact.call_id, call.key, call.fact.customer_id))
            self.call_ids[call.fact.provider_ref].add(call.fact.call_id)
        self.forms = {said.fact.inbox for said in index.said(MessageReceived) if said.fact.provider == "form"}
        self.poisoned = {fact.message_id for fact in index.poisoned_facts if isinstance(fact, MessageReceived)}
        self.opened = {said.key: said.fact for said in index.said(TicketOpened)}
        self.closed = {said.key for said in index.said(TicketClosed)}
        self._known: dict[str, set[str]] = {}

    def of(self, sending: Sending) -> list[Place]:
        """Where a contact is. A status callback is where its call is."""
        return [place for item_id in self.ids(sending) for place in self.places.get(item_id, ())]

    def is_poisoned(self, sending: Sending) -> bool:
        """Whether a test poisoned the ticket that it is on."""
        return not self.poisoned.isdisjoint(self.ids(sending))

    def root(self, ticket_id: str) -> str:
        """The ticket with which a chain of follow-ups began. Only a closed ticket has a follow-up."""
        seen = {ticket_id}
        while (opened := self.opened.get(ticket_id)) and (before := opened.follow_up_of):
            if before in seen or before not in self.closed:
                break
            seen.add(before)
            ticket_id = before
        return ticket_id

    def ids(self, sending: Sending) -> set[str]:
        """The ids that it may have: as answered, or made from its name at its provider, whichever that was."""
        known = self._known.get(sending.key)
        if known is None:
            known = self._known[sending.key] = self._ids(sending)
        return known

    def _ids(self, sending: Sending) -> set[str]:
        if sending.kind != "message":
            return self.call_ids.get(sending.key.partition(":")[0], set())
        key, made = sending.key, partial(derived_id, "message")
        ids = {answer.message_id for answer in sending.answers if answer.success and answer.message_id}
        ids |= {made("smtp", key), made("smtp", f"<{key}>"), made("twilio", key)}
        ids |= {made("form", f"{form}:{key}") for form in self.forms}
        return ids | {made("generic", f"{caller}/{key}") for caller in self.index.tables.callers}


@lru_cache(maxsize=1)
def contacts_of(index: Index) -> Contacts:
    """The contacts of this history, made once."""
    return Contacts(index)
