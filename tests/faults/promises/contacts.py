"""Promises about contacts: on exactly one ticket, once, as answered; one conversation, one ticket; every number once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from shared.events.call import CallAnswered, CallEnded, CallReceived
from shared.events.message import MessageReceived
from shared.events.people import CustomerCreated, MergeSuggested
from shared.events.ticket import TicketOpened
from simulator.truth import Answer
from tests.faults.index import Index
from tests.faults.whereabouts import Place, contacts_of


def once(index: Index) -> Iterator[str]:
    """An acknowledged contact is on exactly one ticket, once; one of unknown outcome on at most one; no other is there."""
    log = contacts_of(index)
    claimed: set[str] = set()
    for sending in index.truth.sendings.values():
        if log.is_poisoned(sending):
            continue
        places = log.of(sending)
        claimed.update(place.item_id for place in places)
        if len(places) > 1:
            yield f"{sending.key} is there {len(places)} times: {_named(places)}"
        elif not places and sending.acknowledged:
            yield f"{sending.key} was acknowledged and is nowhere on the log"
    for item_id, places in log.places.items():
        if item_id not in claimed:
            yield f"{item_id} on {_named(places)} is no contact that was sent, or one of them under another name"


def answers(index: Index) -> Iterator[str]:
    """The answer names the ticket, the message and the number that are on the log, and a repeat gets the same answer."""
    log = contacts_of(index)
    numbers = {said.key: said.fact.number for said in index.said(TicketOpened)}
    for sending in index.truth.sendings.values():
        good = {_content(answer) for answer in sending.answers if answer.success}
        if len(good) > 1:
            yield f"{sending.key} got different answers: {sorted(map(str, good))}"
        places = log.of(sending)
        if len(good) != 1 or len(places) != 1:
            continue
        place, (ticket_id, item_id, number) = places[0], good.pop()
        if ticket_id is not None and ticket_id != place.ticket_id:
            yield f"{sending.key} was answered ticket {ticket_id} and is on {place.ticket_id}"
        if item_id is not None and item_id != place.item_id:
            yield f"{sending.key} was answered {item_id} and is {place.item_id}"
        if number is not None and number != numbers.get(place.ticket_id):
            yield f"{sending.key} was answered #{number} and is on #{numbers.get(place.ticket_id)}"


def conversations(index: Index) -> Iterator[str]:
    """What belongs together is on one ticket as long as that is not closed, then on its follow-up; nothing else is there."""
    log = contacts_of(index)
    roots: dict[str, set[str]] = defaultdict(set)
    talked_on: dict[str, set[str]] = defaultdict(set)
    for sending in index.truth.sendings.values():
        places = log.of(sending)
        if len(places) == 1:
            roots[sending.conversation].add(log.root(places[0].ticket_id))
            talked_on[places[0].ticket_id].add(sending.conversation)
    for conversation, tickets in roots.items():
        if len(tickets) > 1:
            yield f"conversation {conversation} is on {len(tickets)} tickets: {sorted(tickets)}"
    for ticket_id, conversations_there in talked_on.items():
        if len(conversations_there) > 1:
            yield f"ticket {ticket_id} holds conversations {sorted(conversations_there)}"


def numbers(index: Index) -> Iterator[str]:
    """A ticket has a number of its own, which no other ever gets."""
    given = {(said.key, said.fact.number) for said in index.said(TicketOpened)}
    yield from _repeated("number {} was given to {} tickets", Counter(number for _, number in given))
    yield from _repeated("ticket {} has {} numbers", Counter(key for key, _ in given))


def calls(index: Index) -> Iterator[str]:
    """A call is answered by the system and ends at most once, and all that is said of it is said on one ticket."""
    begun = [(said.fact.call_id, said.key) for said in index.said(CallReceived)]
    answered = [(said.fact.call_id, said.key) for said in index.said(CallAnswered) if said.fact.agent_id is None]
    ended = [(said.fact.call_id, said.key) for said in index.said(CallEnded)]
    yield from _repeated("call {} was answered by the system {} times", Counter(call_id for call_id, _ in answered))
    yield from _repeated("call {} ended {} times", Counter(call_id for call_id, _ in ended))
    tickets: dict[str, set[str]] = defaultdict(set)
    for call_id, ticket_id in begun + answered + ended:
        tickets[call_id].add(ticket_id)
    for call_id, found in tickets.items():
        if len(found) > 1:
            yield f"call {call_id} is on {len(found)} tickets: {sorted(found)}"


def customers(index: Index) -> Iterator[str]:
    """One sender is one customer; an address that was only typed in is another, which is told to be perhaps the same."""
    log = contacts_of(index)
    owner = {said.key: said.fact.customer_id for said in index.said(MergeSuggested)}
    known: dict[str, set[str]] = defaultdict(set)
    for sending in index.truth.sendings.values():
        known[sending.sender].update(owner.get(place.customer_id, place.customer_id) for place in log.of(sending))
    for sender, found in known.items():
        if len(found) > 1:
            yield f"{sender} is {len(found)} customers: {sorted(found)}"


def tables(index: Index) -> Iterator[str]:
    """What intake holds is what the log tells: the same tickets with the same numbers, messages, calls, customers."""
    rows = index.tables
    told = index.tickets
    opened = {said.key: (said.fact.number, told[said.key].intake.customer_id) for said in index.said(TicketOpened)}
    yield from _compared("ticket", opened, {row.ticket_id: (row.number, row.customer_id) for row in rows.tickets})
    yield from _compared("message", {s.fact.message_id: s.key for s in index.said(MessageReceived)}, rows.messages)
    yield from _compared("call", {s.fact.provider_ref: s.key for s in index.said(CallReceived)}, rows.calls)
    created = {said.key: said.key for said in index.said(CustomerCreated)}
    yield from _compared("customer", created, {key: key for key in rows.customers})


def _content(answer: Answer) -> tuple[str | None, str | None, int | None]:
    return answer.ticket_id, answer.message_id or answer.call_id, answer.number


def _named(places: list[Place]) -> str:
    return ", ".join(f"{place.item_id} on {place.ticket_id}" for place in places)


def _repeated(words: str, counted: Counter[str] | Counter[int]) -> Iterator[str]:
    for what, times in counted.items():
        if times > 1:
            yield words.format(what, times)


def _compared(what: str, log: Mapping[str, object], rows: Mapping[str, object]) -> Iterator[str]:
    for name in log.keys() | rows.keys():
        if name not in rows:
            yield f"{what} {name} is on the log and not in the table"
        elif name not in log:
            yield f"{what} {name} is in the table and not on the log"
        elif log[name] != rows[name]:
            yield f"{what} {name} is {rows[name]} in the table and {log[name]} on the log"
