"""Which topics routing reads, and how what it holds of their keys is loaded and saved around the handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import handlers
from services.routing.domain.changes import Changes, Crew
from services.routing.domain.promises import Promise
from services.routing.domain.work import Work
from services.routing.handlers import Case, Context, CustomerCase
from services.routing.promising import BREACH_HANDLERS, CLOCK_HANDLERS, WARNING_HANDLERS, Promises
from services.routing.store import config, desk, drafts, estimates, promises, saving, timing
from shared.events import topics
from shared.events.base import Event, Fact
from shared.events.config import InboxConfigured, QueueConfigured
from shared.events.ticket import TicketOpened
from shared.folding import Handler, Loaded


class TicketProjection:
    """The tickets, with the agents whom they concern."""

    topic = topics.TICKETS
    handlers: Mapping[type[Fact], Handler[Context, Case]] = handlers.TICKET_HANDLERS

    def __init__(self, incarnation: int, note: Callable[[], None] | None = None) -> None:
        self.incarnation = incarnation
        self._note = note
        self._queues = config.QueueShelf()

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Context, Case]:
        """Tickets first, then agents, each under lock in order. What we said ourselves needs neither: it is not applied."""
        keys = {event.key for event in events if not self._ours(event)}
        if not keys:
            nobody = Crew({})
            return Loaded({event.key: Case(Work(id=event.key), nobody) for event in events}, Context((), nobody))
        works, version = await desk.works_and_queues(conn, keys)
        crew = Crew(await desk.agents(conn, desk.concerned(works.values())))
        queues = await self._queues.of(conn, version)
        regulars, waits = await _regulars(conn, queues, events), await estimates.foreseen_where_asked(conn, queues)
        context = Context(queues, crew, regulars, self._queues.rules, waits)
        states = {event.key: Case(works.get(event.key) or Work(id=event.key), crew) for event in events}
        return Loaded(states, context)

    def _ours(self, event: Event[Fact]) -> bool:
        return event.writer == "routing" and event.position.incarnation == self.incarnation

    async def save(self, conn: AsyncConnection, states: Mapping[str, Case], now: datetime) -> None:
        """One statement per table. Where somebody is told that there may be something to match, no NOTIFY says it."""
        changes, merged = Changes(), dict[str, str]()
        for key in sorted(states):
            case = states[key]
            changes.notices.extend(case.notices)
            if not case.work.ticket.exists:
                continue  # it was asked to be opened, and is not: whoever asked is told, and nothing is kept
            changes.works[key] = case.work
            changes.agents.update(case.crew.of(case.agents))
            changes.ended.extend(case.ended)
            changes.entries.extend(case.entries)
            if case.to_judge:
                changes.to_judge.add(key)
            if case.work.ticket.intake.merged_into is not None:
                merged[key] = case.work.ticket.intake.merged_into
        if changes.worth_matching and self._note is not None:
            self._note()
        await saving.save(conn, changes, now, wake=changes.worth_matching and self._note is None)
        await drafts.follow(conn, merged)


async def _regulars(conn: AsyncConnection, queues: Sequence[QueueConfigured], events: Sequence[Event[Fact]]) -> dict[str, str]:
    """Who served the customers of new tickets last, by customer; looked up only where a queue is sticky."""
    if all(queue.strategy != "sticky" for queue in queues):
        return {}
    return await desk.last_agents(conn, {event.data.customer_id for event in events if isinstance(event.data, TicketOpened)})


class CustomerProjection:
    """What customers are entitled to, whether they can be written to, and who was erased."""

    topic = topics.CUSTOMERS
    handlers: Mapping[type[Fact], Handler[None, CustomerCase]] = handlers.CUSTOMER_HANDLERS

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, CustomerCase]:
        """Nothing has to be known: what is heard is written over what was."""
        return Loaded({event.key: CustomerCase() for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, CustomerCase], _now: datetime) -> None:
        """Entitlements, then the erased."""
        told = {key: case for key, case in sorted(states.items()) if case != CustomerCase(reach=case.reach, scrub=case.scrub)}
        await promises.save_customers(
            conn,
            list(told),
            [case.vip for case in told.values()],
            [case.plan for case in told.values()],
            [case.tier for case in told.values()],
        )
        await promises.save_reach(conn, {key: case.reach for key, case in sorted(states.items()) if case.reach})
        await desk.file_again(conn, [customer_id for customer_id, case in told.items() if case.vip is not None])
        erased = [customer_id for case in states.values() for customer_id in case.scrub]
        await promises.scrub(conn, erased)
        await desk.forget_openings(conn, erased)
        await drafts.forget(conn, erased)


class InboxProjection:
    """From where answers can go out."""

    topic = topics.CONFIG
    handlers: Mapping[type[Fact], Handler[None, InboxConfigured | None]] = handlers.INBOX_HANDLERS

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, InboxConfigured | None]:
        """Nothing has to be known."""
        return Loaded({event.key: None for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, InboxConfigured | None], now: datetime) -> None:
        """Each as told last; they seldom change."""
        for _, inbox in sorted(states.items()):
            if inbox is not None:
                await config.put(conn, "inbox", inbox, now)


class PromiseProjection:
    """What sla says on one of its topics."""

    def __init__(self, topic: topics.Topic, taken_by: Mapping[type[Fact], Handler[None, Promises]]) -> None:
        self.topic = topic
        self.handlers = taken_by

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Promises]:
        """Nothing has to be known: what was not said stays as it is."""
        return Loaded({event.key: {} for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Promises], _now: datetime) -> None:
        """One statement; and one to have tickets filed again whose clocks run otherwise now."""
        await promises.save(conn, states)
        heard = [key for key, known in sorted(states.items()) if any(promise.state is not None for promise in known.values())]
        await promises.file_again(conn, heard)
        broken = [key for key, known in states.items() if any(_alarming(promise) for promise in known.values())]
        await timing.note(conn, broken)


def _alarming(promise: Promise) -> bool:
    """Whether somebody was warned, or it is broken: that rules may ask about."""
    return promise.warned_percent is not None or promise.breached is True


def all_projections(
    incarnation: int, note: Callable[[], None] | None = None
) -> tuple[InboxProjection | CustomerProjection | TicketProjection | PromiseProjection, ...]:
    """In the order in which the topics of one batch are applied. `note` is told, in the transaction, that there may be
    something to match.
    """
    return (
        InboxProjection(),
        CustomerProjection(),
        TicketProjection(incarnation, note),
        PromiseProjection(topics.SLA_CLOCKS, CLOCK_HANDLERS),
        PromiseProjection(topics.SLA_WARNINGS, WARNING_HANDLERS),
        PromiseProjection(topics.SLA_BREACHES, BREACH_HANDLERS),
    )
