"""A history put in order, once, for all promises: what was told for the first time, by type and by ticket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from shared.events.base import Event, Fact, Position
from shared.events.topics import BY_NAME, TICKETS
from shared.ticket import IllegalFact, Ticket, apply
from simulator.truth import Truth
from tests.faults.history import History
from tests.faults.log import Record
from tests.faults.tables import Tables

FactT = TypeVar("FactT", bound=Fact)
Told = tuple[str, str, str, Position]


@dataclass(frozen=True, slots=True)
class Said(Generic[FactT]):
    """A fact, and the record that told it first. `key`: whose fact it is, the ticket's, the agent's, the customer's."""

    record: Record
    event: Event[Fact]
    fact: FactT
    key: str


@dataclass(eq=False)
class Index:
    """`once` is the log without repeats, `repeats` pairs each of those with what it repeats. What a test poisoned is left out
    of everything; `poisoned_facts` is what was said on such keys.
    """

    history: History
    tables: Tables
    once: list[Record] = field(default_factory=list)
    repeats: list[tuple[Record, Record]] = field(default_factory=list)
    by_ticket: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    poisoned_facts: list[Fact] = field(default_factory=list)
    _by_type: dict[type[Fact], list[Any]] = field(default_factory=lambda: defaultdict(list))

    @property
    def truth(self) -> Truth:
        """What the senders and the agents know."""
        return self.history.truth

    def said(self, kind: type[FactT]) -> list[Said[FactT]]:
        """All facts of a type, in the order of the log."""
        return self._by_type.get(kind, [])

    @property
    def tickets(self) -> dict[str, Ticket]:
        """Every ticket as its log tells it; `shared/ticket.py` is the definition."""
        return self._told[0]

    @property
    def impossible(self) -> list[tuple[Record, str]]:
        """The facts of tickets that their writer could never say there, and why; they change nothing of `tickets`."""
        return self._told[1]

    @cached_property
    def _told(self) -> tuple[dict[str, Ticket], list[tuple[Record, str]]]:
        tickets: dict[str, Ticket] = {}
        impossible: list[tuple[Record, str]] = []
        for key, records in self.by_ticket.items():
            ticket = Ticket()
            for record in records:
                try:
                    ticket = apply(ticket, record.event)
                except IllegalFact as error:
                    impossible.append((record, str(error)))
            tickets[key] = ticket
        return tickets, impossible

    def put(self, record: Record, told: dict[Told, Record]) -> None:
        """One record more."""
        event = record.event
        if event.key in self.history.poisoned:
            self.poisoned_facts.append(event.data)
            return
        if BY_NAME[record.topic].sequenced:
            first = told.setdefault((record.topic, event.writer, event.key, event.position), record)
            if first is not record:
                self.repeats.append((first, record))
                return
        self.once.append(record)
        self._by_type[type(event.data)].append(Said(record, event, event.data, event.key))
        if record.topic == TICKETS.name:
            self.by_ticket[event.key].append(record)


def index(history: History) -> Index:
    """One pass over the log."""
    made = Index(history, _without(history.tables, history.poisoned))
    told: dict[Told, Record] = {}
    for record in history.log.records:
        made.put(record, told)
    return made


def _without(tables: Tables, keys: frozenset[str]) -> Tables:
    """The tables without the rows of these keys."""
    if not keys:
        return tables
    return replace(
        tables,
        tickets=tuple(row for row in tables.tickets if row.ticket_id not in keys),
        messages=_others(tables.messages, keys),
        calls=_others(tables.calls, keys),
        customers=tables.customers - keys,
        deliveries=tuple(row for row in tables.deliveries if row.ticket_id not in keys),
        works=tuple(row for row in tables.works if row.ticket_id not in keys),
        offers=tuple(row for row in tables.offers if row.ticket_id not in keys),
        clocks=tuple(row for row in tables.clocks if row.ticket_id not in keys),
        timers={ticket_id: at for ticket_id, at in tables.timers.items() if ticket_id not in keys},
        told_by={
            service: {ticket_id: ticket for ticket_id, ticket in told.items() if ticket_id not in keys}
            for service, told in tables.told_by.items()
        },
        positions=tuple(row for row in tables.positions if row.key not in keys),
        parked=tuple(row for row in tables.parked if row.key not in keys),
    )


def _others(tickets: Mapping[str, str], keys: frozenset[str]) -> dict[str, str]:
    return {name: ticket_id for name, ticket_id in tickets.items() if ticket_id not in keys}
