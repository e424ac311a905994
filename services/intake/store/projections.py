"""How a batch of the log finds and leaves intake's rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import handlers
from services.intake.domain import requests, surveys
from services.intake.handlers import HANDLERS, PROMISE_HANDLERS, PromiseState, TicketState
from services.intake.store import config, deliveries, tickets
from services.intake.store import surveys as rows
from services.intake.store.configured import SURVEYS
from shared.events.base import Event, Fact
from shared.events.ticket import TicketResolved
from shared.events.topics import SLA_CLOCKS, TICKETS
from shared.folding import Handler, Loaded
from shared.ticket import Ticket

Answering = Callable[[AsyncConnection, Sequence[Event[Fact]], datetime], Awaitable[None]]


def _nobody() -> None:
    """Where nobody waits for what is to be sent."""


class TicketProjection:
    """The tickets, for what routing says about them. `to_send` is called when a batch holds replies to carry out, `answer`
    with what agents ask for, once the stories are saved.
    """

    topic = TICKETS
    handlers: Mapping[type[Fact], Handler[None, TicketState]] = HANDLERS

    def __init__(self, answer: Answering, to_send: Callable[[], None] = _nobody) -> None:
        self._answer = answer
        self._to_send = to_send

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, TicketState]:
        """The stories, locked, with those of the tickets that agents' requests name. What intake says itself needs no story: it
        is in there already.
        """
        keys = {event.key for event in events}
        told = {event.key for event in events if type(event.data) in HANDLERS}
        asked = {ticket_id for event in events if handlers.asks(event) for ticket_id in requests.named(event)}
        if asked:
            stories = await tickets.locked_onward(conn, told | asked)
        else:
            stories = await tickets.locked(conn, sorted(told)) if told else {}
        return Loaded({key: TicketState(stories.get(key)) for key in keys}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, TicketState], now: datetime) -> None:
        """The stories, and the replies to carry out."""
        await tickets.update(conn, {key: state.story for key, state in states.items() if state.story is not None}, now)
        cleared = [key for key in sorted(states) if states[key].cleared]
        if cleared:
            await tickets.let_out(conn, cleared)
        if cleared and await deliveries.confirm_after_all(conn, cleared, (await config.inboxes(conn)).by_id, now):
            self._to_send()
        replies = [reply for key in sorted(states) for reply in states[key].replies]
        if replies:
            await deliveries.insert(conn, replies)
            self._to_send()
        resolved = [one for key in sorted(states) for one in states[key].resolved]
        if resolved:
            await plan_questions(conn, resolved)
        asked = [event for key in sorted(states) for event in states[key].asked]
        if asked:
            await self._answer(conn, asked, now)


async def plan_questions(conn: AsyncConnection, resolved: Sequence[tuple[Event[TicketResolved], Ticket]]) -> None:
    """Which resolutions are asked about, and when. Where no question is configured nothing is planned."""
    configured = [one.fact for one in await SURVEYS.in_force(conn)]
    planned = [one for event, story in resolved if (one := surveys.plan(configured, event, story)) is not None]
    if planned:
        await rows.plan(conn, planned)


class PromiseProjection:
    """The promises that sla makes, for the confirmations. `to_send` is called when one waited for them."""

    topic = SLA_CLOCKS
    handlers: Mapping[type[Fact], Handler[None, PromiseState]] = PROMISE_HANDLERS

    def __init__(self, to_send: Callable[[], None] = _nobody) -> None:
        self._to_send = to_send

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, PromiseState]:
        """Nothing needs to be known."""
        return Loaded({event.key: PromiseState() for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, PromiseState], now: datetime) -> None:
        """Note the promised times."""
        promises = {key: state.first_response_by for key, state in states.items() if state.first_response_by is not None}
        if promises and await tickets.promise(conn, promises, now):
            self._to_send()
