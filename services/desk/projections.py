"""Which topics desk reads, and how what it holds of their keys is loaded and saved around the handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk import handlers
from services.desk.domain.customers import CustomerCase, Record
from services.desk.domain.promises import Promises
from services.desk.domain.tickets import Case, Filed
from services.desk.handlers import Names
from services.desk.store import erasure, filing, people
from shared.events import topics
from shared.events.base import Event, Fact
from shared.events.people import AgentEnrolled
from shared.folding import Handler, Loaded


class TicketProjection:
    """Tickets with their histories."""

    topic = topics.TICKETS
    handlers: Mapping[type[Fact], Handler[None, Case]] = handlers.TICKET_HANDLERS

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Case]:
        """Each under lock, in the order of their ids."""
        keys = {event.key for event in events}
        known = await filing.tickets(conn, keys)
        return Loaded({key: Case(known.get(key) or Filed(id=key)) for key in keys}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Case], _now: datetime) -> None:
        """One statement. Of what was asked to be opened, and is not, nothing is kept."""
        cases = [case for _, case in sorted(states.items()) if case.filed.ticket.exists]
        if cases:
            told = [entry for case in cases for entry in case.entries]
            reworded = [case.filed.id for case in cases if case.reworded]
            await filing.save_tickets(conn, [case.filed for case in cases], told, reworded)


class CustomerProjection:
    """Customers' records, and who was erased."""

    topic = topics.CUSTOMERS
    handlers: Mapping[type[Fact], Handler[None, CustomerCase]] = handlers.CUSTOMER_HANDLERS

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, CustomerCase]:
        """Each under lock, in the order of their ids."""
        keys = {event.key for event in events}
        known = await people.customers(conn, keys)
        return Loaded({key: CustomerCase(known.get(key) or Record(id=key)) for key in keys}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, CustomerCase], _now: datetime) -> None:
        """Records and orders, then the erased."""
        await people.save_customers(conn, states)
        erased = [customer_id for case in states.values() for customer_id in case.erased]
        if erased:
            await erasure.scrub(conn, erased)


class PromiseProjection:
    """What sla says on one of its topics."""

    def __init__(self, topic: topics.Topic, taken_by: Mapping[type[Fact], Handler[None, Promises]]) -> None:
        self.topic = topic
        self.handlers = taken_by

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Promises]:
        """Each under lock, in the order of the tickets' ids: two topics tell of one."""
        return Loaded(await filing.promises(conn, {event.key for event in events}), None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Promises], _now: datetime) -> None:
        """One statement."""
        await filing.save_promises(conn, states)


class AgentProjection:
    """Who is in which teams."""

    topic = topics.AGENTS
    handlers: Mapping[type[Fact], Handler[None, AgentEnrolled | None]] = handlers.AGENT_HANDLERS

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, AgentEnrolled | None]:
        """Nothing has to be known: what is heard is written over what was."""
        return Loaded(dict.fromkeys([event.key for event in events]), None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, AgentEnrolled | None], _now: datetime) -> None:
        """Each as told last."""
        await people.save_agents(conn, {key: told for key, told in states.items() if told is not None})


class NameProjection:
    """How queues, teams, agents … are called."""

    topic = topics.CONFIG
    handlers: Mapping[type[Fact], Handler[None, Names | None]] = handlers.NAME_HANDLERS

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Names | None]:
        """Nothing has to be known."""
        return Loaded(dict.fromkeys([event.key for event in events]), None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Names | None], _now: datetime) -> None:
        """Each as told last."""
        await people.save_names(conn, {key: dict(told) for key, told in states.items() if told is not None})


def all_projections() -> tuple[NameProjection | AgentProjection | CustomerProjection | TicketProjection | PromiseProjection, ...]:
    """In the order in which the topics of one batch are applied: whose a ticket is comes before it."""
    return (
        NameProjection(),
        AgentProjection(),
        CustomerProjection(),
        TicketProjection(),
        PromiseProjection(topics.SLA_CLOCKS, handlers.CLOCK_HANDLERS),
        PromiseProjection(topics.SLA_BREACHES, handlers.BREACH_HANDLERS),
    )
