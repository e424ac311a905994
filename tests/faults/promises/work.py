"""Promises about the agents' side: one live offer, one owner, every visit to a queue ends once, no customer is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from shared.events.base import Event, Fact
from shared.events.ticket import TicketAssigned, TicketLeftQueue, TicketQueued, TicketReleased
from shared.events.work import (
    ActionRequired,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferFailed,
    OfferRescinded,
    TicketOffered,
)
from tests.faults.index import Index

OfferEnd = OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded | OfferFailed
ENDS: dict[type[Fact], str] = {
    OfferAccepted: "accepted",
    OfferDeclined: "declined",
    OfferExpired: "expired",
    OfferRescinded: "rescinded",
    OfferFailed: "failed",
}


@dataclass(slots=True)
class Visits:
    """The visits to one queue, or of one ticket. At every moment: offered = handled + abandoned + withdrawn + waiting."""

    offered: int = 0
    handled: int = 0
    abandoned: int = 0
    withdrawn: int = 0

    @property
    def waiting(self) -> int:
        """Those that go on."""
        return self.offered - self.handled - self.abandoned - self.withdrawn


def offers(index: Index) -> Iterator[str]:
    """At most one live offer of a ticket; it ends once, by its own agent, and nobody accepts it after it expired."""
    states: dict[str, tuple[str, str, str]] = {}
    live: dict[str, TicketOffered] = {}
    for key, records in index.by_ticket.items():
        offer: TicketOffered | None = None
        for record in records:
            fact = record.event.data
            if isinstance(fact, TicketOffered):
                if offer is not None:
                    yield f"ticket {key} is offered to {fact.agent_id} while it is offered to {offer.agent_id}"
                if fact.offer_id in states:
                    yield f"offer {fact.offer_id} was made twice"
                offer, states[fact.offer_id] = fact, (key, fact.agent_id, "live")
            elif isinstance(fact, OfferEnd):
                yield from _ended(key, record.event, fact, offer)
                if offer is not None and offer.offer_id == fact.offer_id:
                    offer = None
                states[fact.offer_id] = (key, fact.agent_id, ENDS[type(fact)])
        if offer is not None:
            live[key] = offer
    yield from _offer_rows(index, states, live)


def _ended(key: str, event: Event[Fact], end: OfferEnd, live: TicketOffered | None) -> Iterator[str]:
    if live is None or live.offer_id != end.offer_id:
        yield f"ticket {key}: offer {end.offer_id} was {ENDS[type(end)]} when it was not live"
        return
    if live.agent_id != end.agent_id:
        yield f"ticket {key}: offer {end.offer_id} to {live.agent_id} was {ENDS[type(end)]} by {end.agent_id}"
    if isinstance(end, OfferAccepted) and event.time >= live.expires_at:
        yield f"ticket {key}: offer {end.offer_id} was accepted after it had expired"


def _offer_rows(index: Index, states: dict[str, tuple[str, str, str]], live: dict[str, TicketOffered]) -> Iterator[str]:
    rows = {row.offer_id: (row.ticket_id, row.agent_id, row.state) for row in index.tables.offers}
    for offer_id in rows.keys() | states.keys():
        if rows.get(offer_id) != states.get(offer_id):
            yield f"offer {offer_id} is {rows.get(offer_id)} in the table and {states.get(offer_id)} on the log"
    for work in index.tables.works:
        told = live[work.ticket_id].agent_id if work.ticket_id in live else None
        if work.offer_agent_id != told:
            yield f"ticket {work.ticket_id} is offered to {work.offer_agent_id} in the table and to {told} on the log"


def owners(index: Index) -> Iterator[str]:
    """At most one owner: nobody gets a ticket that somebody has, and nobody gives one back that they have not."""
    for key, records in index.by_ticket.items():
        owner: str | None = None
        for record in records:
            fact = record.event.data
            if isinstance(fact, TicketAssigned):
                if owner is not None:
                    yield f"ticket {key} was assigned to {fact.agent_id} while {owner} had it"
                owner = fact.agent_id
            elif isinstance(fact, TicketReleased):
                if owner != fact.agent_id:
                    yield f"ticket {key} was released by {fact.agent_id} while {owner or 'nobody'} had it"
                owner = None
            elif isinstance(fact, TicketQueued | TicketOffered) and owner is not None:
                yield f"ticket {key}: {record.event.type} while {owner} had it"


def visits(index: Index) -> Iterator[str]:
    """Per ticket and per queue, at every moment: offered = handled + abandoned + withdrawn + waiting."""
    waiting_in: dict[str, str] = {}
    queues: dict[str, Visits] = {}
    for key, records in index.by_ticket.items():
        counts, open_visit = Visits(), None
        for record in records:
            fact = record.event.data
            if isinstance(fact, TicketQueued):
                if open_visit is not None:
                    yield f"ticket {key}: visit {fact.visit} began while visit {open_visit.visit} went on"
                if fact.visit != counts.offered + 1:
                    yield f"ticket {key}: visit {fact.visit} after {counts.offered}"
                counts.offered += 1
                queues.setdefault(fact.queue_id, Visits()).offered += 1
                open_visit = fact
            elif isinstance(fact, TicketLeftQueue) or (isinstance(fact, TicketAssigned) and fact.visit is not None):
                yield from _visit_ended(key, fact, open_visit)
                open_visit = None
                for counted in (counts, queues.setdefault(fact.queue_id or "", Visits())):
                    _count(counted, fact)
            elif isinstance(fact, TicketOffered) and (open_visit is None or open_visit.visit != fact.visit):
                yield f"ticket {key} was offered in visit {fact.visit}, which does not go on"
            if counts.waiting != (open_visit is not None):
                yield f"ticket {key} at {record.offset}: {counts}, {counts.waiting} waiting"
        if open_visit is not None:
            waiting_in[key] = open_visit.queue_id
    yield from _waiting_rows(index, waiting_in, queues)


def _visit_ended(key: str, fact: TicketLeftQueue | TicketAssigned, visit: TicketQueued | None) -> Iterator[str]:
    if visit is None or (visit.visit, visit.queue_id) != (fact.visit, fact.queue_id):
        going_on = None if visit is None else f"visit {visit.visit} of {visit.queue_id}"
        yield f"ticket {key}: {fact.TYPE} ends visit {fact.visit} of {fact.queue_id}, going on is {going_on}"


def _count(counts: Visits, fact: TicketLeftQueue | TicketAssigned) -> None:
    if isinstance(fact, TicketAssigned):
        counts.handled += 1
    elif fact.reason == "abandoned":
        counts.abandoned += 1
    else:
        counts.withdrawn += 1


def _waiting_rows(index: Index, waiting_in: dict[str, str], queues: dict[str, Visits]) -> Iterator[str]:
    for work in index.tables.works:
        if work.queue_id != waiting_in.get(work.ticket_id):
            told = waiting_in.get(work.ticket_id)
            yield f"ticket {work.ticket_id} waits in {work.queue_id} in the table and in {told} on the log"
    rows = Counter(work.queue_id for work in index.tables.works if work.queue_id is not None)
    for queue_id, counts in queues.items():
        if counts.waiting != rows[queue_id]:
            yield f"queue {queue_id}: {counts}, so {counts.waiting} wait; {rows[queue_id]} in the table"


def nobody_forgotten(index: Index) -> Iterator[str]:
    """A ticket on which somebody has to work waits in a queue, has an owner, or was put before people to look at; unless its
    customer hung up while it waited, or a provider or supervisor took it out.
    """
    flagged = {said.key for said in index.said(ActionRequired)}
    left = {said.key: said.fact.visit for said in index.said(TicketLeftQueue) if said.fact.reason != "resolved"}
    last_visit = {said.key: said.fact.visit for said in index.said(TicketQueued)}
    works = {work.ticket_id: work for work in index.tables.works}
    for key, ticket in index.tickets.items():
        work = works.get(key)
        if work is None or not ticket.exists or not ticket.active or ticket.spam or ticket.intake.withdrawn:
            continue
        watched = key in flagged and work.attention is not None
        gone = key in left and left[key] == last_visit.get(key)
        if work.queue_id is None and work.agent_id is None and not watched and not gone:
            yield f"ticket {key} is {ticket.status}; nobody has it and it waits nowhere"
