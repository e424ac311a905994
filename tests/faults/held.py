"""The tables as they are when every service holds just what the log says: for histories that are told by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.events.base import NOTHING_SEEN, Position
from shared.events.call import CallReceived
from shared.events.message import MessageDelivered, MessageFailed, MessageReceived, ReplyRequested
from shared.events.people import AgentEnrolled, CustomerCreated
from shared.events.sla import SlaBreachCleared
from shared.events.ticket import TicketAssigned, TicketLeftQueue, TicketOpened, TicketQueued
from shared.events.work import TicketOffered
from shared.records import Place
from tests.faults.index import Index
from tests.faults.promises.figures import counted
from tests.faults.promises.load import Carried, agents_of
from tests.faults.promises.timers import STATES, Told, clocks_of
from tests.faults.promises.work import ENDS, OfferEnd
from tests.faults.tables import AgentRow, ClockRow, DeliveryRow, OfferRow, Standing, Tables, TicketRow, WorkRow

READS: Mapping[str, tuple[str, ...]] = {
    "intake": ("tickets", "sla-clocks"),
    "routing": ("tickets", "customers", "config", "sla-clocks", "sla-warnings", "sla-breaches"),
    "sla": ("tickets",),
    "metrics": ("tickets", "agents", "config", "sla-clocks", "sla-warnings", "sla-breaches"),
    "desk": ("tickets", "agents", "customers", "config", "sla-clocks", "sla-breaches"),
}


def tables_of(index: Index, phones: Mapping[str, frozenset[str]]) -> Tables:
    """All of them, after everything was read."""
    ends = index.history.log.ends
    return replace(
        index.tables,
        tickets=tuple(_tickets(index)),
        messages={said.fact.message_id: said.key for said in index.said(MessageReceived)},
        calls={said.fact.provider_ref: said.key for said in index.said(CallReceived)},
        customers=frozenset(said.key for said in index.said(CustomerCreated)),
        phones=phones,
        deliveries=tuple(_deliveries(index)),
        works=tuple(_works(index)),
        agents=tuple(_agents(index)),
        offers=tuple(_offers(index)),
        clocks=tuple(_clock(name, told) for name, told in clocks_of(index).items()),
        told_by={service: dict(index.tickets) for service in ("sla", "metrics", "desk")},
        measures=counted(index),
        positions=tuple(_positions(index)),
        offsets={(service, Place(t, 0)): ends.get(Place(t, 0), 0) for service, topics in READS.items() for t in topics},
        outbox=dict.fromkeys(READS, 0),
    )


def _tickets(index: Index) -> list[TicketRow]:
    opened = {said.key: said.fact for said in index.said(TicketOpened)}
    return [
        TicketRow(key, opened[key].number, opened[key].customer_id, story.status, story.intake.closed, story)
        for key, story in index.tickets.items()
        if key in opened
    ]


def _deliveries(index: Index) -> list[DeliveryRow]:
    states = {said.fact.message_id: "delivered" for said in index.said(MessageDelivered)}
    states |= {said.fact.message_id: "failed" for said in index.said(MessageFailed)}
    return [
        DeliveryRow(said.fact.message_id, said.key, "reply", said.fact.channel, states.get(said.fact.message_id, "waiting"))
        for said in index.said(ReplyRequested)
    ]


def _works(index: Index) -> list[WorkRow]:
    rows = []
    for key, ticket in index.tickets.items():
        queue_id, offered_to = None, None
        for record in index.by_ticket[key]:
            match record.event.data:
                case TicketQueued(queue_id=entered):
                    queue_id = entered
                case TicketLeftQueue() | TicketAssigned():
                    queue_id = None
                case TicketOffered(agent_id=agent_id):
                    offered_to = agent_id
                case fact if isinstance(fact, OfferEnd):
                    offered_to = None
        rows.append(WorkRow(key, ticket.status, ticket.routing.agent_id, queue_id, offered_to, None, ticket))
    return rows


def _agents(index: Index) -> list[AgentRow]:
    rows = []
    for agent_id in {said.key for said in index.said(AgentEnrolled)}:
        carried = Carried()
        for change in agents_of(index).changes.get(agent_id, ()):
            carried.take(change)
        by_channel = {channel: n for channel, n in carried.by_channel.items() if n}
        rows.append(AgentRow(agent_id, carried.units, carried.owned, by_channel))
    return rows


def _offers(index: Index) -> list[OfferRow]:
    offers = {}
    for record in index.once:
        fact = record.event.data
        if isinstance(fact, TicketOffered):
            offers[fact.offer_id] = OfferRow(fact.offer_id, record.event.key, fact.agent_id, "live")
        elif isinstance(fact, OfferEnd):
            offers[fact.offer_id] = OfferRow(fact.offer_id, record.event.key, fact.agent_id, ENDS[type(fact)])
    return list(offers.values())


def _clock(name: tuple[str, str, int], told: Told) -> ClockRow:
    cleared = any(isinstance(fact, SlaBreachCleared) for fact in told.broken)
    state = "fulfilled" if cleared else STATES[type(told.clock[-1])]
    assert told.deadline is not None
    return ClockRow(*name, state, told.deadline, told.breach.deadline if told.breach else None)


def _positions(index: Index) -> list[Standing]:
    last: dict[tuple[str, str, str], Position] = {}
    for record in index.once:
        place = (record.topic, record.event.key, record.event.writer)
        last[place] = max(last.get(place, NOTHING_SEEN), record.event.position)
    return [
        Standing(service, topic, key, writer, position)
        for (topic, key, writer), position in last.items()
        for service, topics in READS.items()
        if topic in topics or writer == service
    ]
