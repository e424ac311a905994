"""Sla after a restore: its calendars and policies, and what it had published of its clocks, read back from the log.

A ticket's facts and what sla said of them lie on partitions of the same number, so it goes partition by partition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain.policies import Book
from services.sla.domain.recalling import agree, hear_again
from services.sla.domain.story import Story
from services.sla.handlers import HANDLERS
from services.sla.settings import SlaSettings
from services.sla.store import definitions
from services.sla.store.tickets import Tickets, save_stories
from services.sla.store.timers import decode_story
from shared.clock import clock
from shared.events.base import Draft, Event, Fact
from shared.events.config import CalendarConfigured, ConfigRemoved, PolicyConfigured
from shared.events.ticket import TicketOpened
from shared.events.topics import CONFIG, SLA_BREACHES, SLA_CLOCKS, SLA_WARNINGS, TICKETS, Topic
from shared.folding import Handler, Loaded
from shared.recalling import Recall

AT_ONCE = 500
Noted = tuple[Event[Fact], ...]


def recall_with(settings: SlaSettings) -> Callable[[Recall], Awaitable[None]]:
    """Reads back all that sla said since the backup, hears the tickets' facts, and says what is missing."""

    async def recall(back: Recall) -> None:
        await back.fold(DefinitionsRecalled())
        for partition in range(settings.partitions):
            said = await _said(back, partition)
            told = TicketsRecalled(settings.partitions, said)
            await back.fold(told, partition)
            keys = sorted(told.touched | said.keys())
            for start in range(0, len(keys), AT_ONCE):
                async with back.transaction() as conn:
                    await _agree(conn, back, keys[start : start + AT_ONCE], said, settings.partitions)

    return recall


async def _said(back: Recall, partition: int) -> dict[str, list[Event[Fact]]]:
    """What sla said about each ticket of a partition since the backup, once each."""
    said: dict[str, dict[str, Event[Fact]]] = {}
    for topic in (SLA_CLOCKS, SLA_WARNINGS, SLA_BREACHES):
        await back.fold(OwnWord(topic, said), partition)
    return {key: list(events.values()) for key, events in said.items()}


async def _agree(
    conn: AsyncConnection, back: Recall, keys: Sequence[str], said: Mapping[str, list[Event[Fact]]], partitions: int
) -> None:
    rows = await conn.execute(
        sa.text("SELECT state FROM sla.ticket WHERE ticket_id = ANY(:keys) ORDER BY ticket_id FOR UPDATE"), {"keys": list(keys)}
    )
    stories = [decode_story(row.state) for row in rows]
    book, now = await definitions.read_book(conn), await clock(conn)
    agreed, drafts = [], []
    for story in stories:
        if story.promise is not None:
            after, missing = agree(story, said.get(story.ticket_id, []), book.terms(story.promise), now)
            agreed.append(after)
            drafts += missing
    if agreed:
        await save_stories(conn, agreed, partitions, now)
    await back.parts.outbox.publish(conn, drafts, now)


def _note(_context: None, noted: Noted, event: Event[Fact], _now: datetime) -> tuple[Noted, Sequence[Draft[Fact]]]:
    return (*noted, event), ()


class DefinitionsRecalled:
    """Calendars and policies that were made, changed or removed."""

    topic = CONFIG
    handlers: Mapping[type[Fact], Handler[None, Noted]] = dict.fromkeys(
        (CalendarConfigured, PolicyConfigured, ConfigRemoved), _note
    )

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Noted]:
        """Nothing needs to be known."""
        return Loaded({event.key: () for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Noted], _now: datetime) -> None:
        """Every version."""
        for key, noted in sorted(states.items()):
            kind, _, identity = key.partition(":")
            for event in noted:
                if isinstance(event.data, CalendarConfigured | PolicyConfigured | ConfigRemoved):
                    await definitions.add_definition(conn, "calendar" if kind == "calendar" else "policy", identity, event.data)


def _unchanged(_context: None, state: None, _event: Event[Fact], _now: datetime) -> tuple[None, Sequence[Draft[Fact]]]:
    return state, ()


class OwnWord:
    """What sla said on one of its topics, noted in `said` by ticket and event, also where it is no news to the state: after a
    process was killed in the middle all of it is read again.
    """

    def __init__(self, topic: Topic, said: dict[str, dict[str, Event[Fact]]]) -> None:
        self.topic = topic
        self.handlers: Mapping[type[Fact], Handler[None, None]] = dict.fromkeys(topic.facts, _unchanged)
        self.said = said

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, None]:
        """Note them."""
        for event in events:
            self.said.setdefault(event.key, {}).setdefault(event.id, event)
        return Loaded(dict.fromkeys([event.key for event in events]), None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, None], now: datetime) -> None:
        """Nothing changes by it: clocks follow from the tickets' facts."""


class TicketsRecalled:
    """The tickets' facts heard again; `touched` says of which tickets there were any."""

    topic = TICKETS

    def __init__(self, partitions: int, said: Mapping[str, Sequence[Event[Fact]]]) -> None:
        self.touched: set[str] = set()
        self.handlers: Mapping[type[Fact], Handler[Book, Story]] = dict.fromkeys(HANDLERS, self._again)
        self._tickets = Tickets(partitions)
        self._said = {key: frozenset(event.id for event in events) for key, events in said.items()}

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Book, Story]:
        """As always."""
        self.touched.update(event.key for event in events)
        return await self._tickets.load(conn, events)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Story], now: datetime) -> None:
        """As always."""
        await self._tickets.save(conn, states, now)

    def _again(self, book: Book, story: Story, event: Event[Fact], now: datetime) -> tuple[Story, Sequence[Draft[Fact]]]:
        if isinstance(event.data, TicketOpened):
            story = msgspec.structs.replace(story, known=True, promise=book.choose(event.data, event.time))
        if story.promise is None:
            return story, ()
        return hear_again(story, event, book.terms(story.promise), now, self._said.get(event.key, frozenset()))
