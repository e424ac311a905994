"""Tickets as told: their stories, their clocks for reading, and the projection of `tickets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain.policies import Book
from services.sla.domain.story import Story
from services.sla.handlers import HANDLERS
from services.sla.store.clocks import save_clocks
from services.sla.store.definitions import Shelf
from services.sla.store.timers import decode_story
from shared import db
from shared.events.base import Event, Fact
from shared.events.topics import TICKETS, Topic
from shared.folding import Handler, Loaded

_encoder = msgspec.json.Encoder()

LOAD = """
    WITH held AS MATERIALIZED (
        SELECT state FROM sla.ticket WHERE ticket_id = ANY($1::text[]) ORDER BY ticket_id FOR UPDATE
    )
    SELECT state, NULL FROM held UNION ALL SELECT NULL, count(*) FROM sla.definition
"""
FIND = "SELECT state FROM sla.ticket WHERE ticket_id = $1"
SAVE = """
    INSERT INTO sla.ticket (ticket_id, state, updated_at)
    SELECT *, $3::timestamptz FROM unnest($1::text[], $2::bytea[])
    ON CONFLICT (ticket_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at
"""


@dataclass(slots=True)
class Tickets:
    """The projection of `tickets`. `earliest` is the first instant for which the last `save` set a timer."""

    partitions: int
    topic: Topic = TICKETS
    handlers: Mapping[type[Fact], Handler[Book, Story]] = field(default_factory=lambda: HANDLERS)
    earliest: datetime | None = None
    _shelf: Shelf = field(default_factory=Shelf)
    _loaded: Mapping[str, Story] = field(default_factory=dict)

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Book, Story]:
        """The stories of these tickets, locked in the order of their ids, and the book."""
        keys = sorted({event.key for event in events})
        rows = await db.fetch(conn, LOAD, keys)
        stories = {key: Story(key) for key in keys}
        stories.update((story.ticket_id, story) for story in (decode_story(state) for state, _ in rows[:-1]))
        self._loaded = dict(stories)
        return Loaded(stories, await self._shelf.book_of(conn, rows[-1][1]))

    async def save(self, conn: AsyncConnection, states: Mapping[str, Story], now: datetime) -> None:
        """Write the stories that changed, and what changed of their clocks and timers. The tickets are locked since `load`,
        so what it found is still what the tables hold.
        """
        stories = [states[key] for key in sorted(states)]
        self.earliest = await save_stories(conn, stories, self.partitions, now, self._loaded)


async def find_story(conn: AsyncConnection, ticket_id: str) -> Story | None:
    """One ticket's story, without a lock; None for an unknown ticket."""
    rows = await db.fetch(conn, FIND, ticket_id)
    return decode_story(rows[0][0]) if rows else None


async def save_stories(
    conn: AsyncConnection,
    stories: Sequence[Story],
    partitions: int,
    now: datetime,
    before: Mapping[str, Story] | None = None,
    *,
    timers_taken: bool = False,
) -> datetime | None:
    """Write stories (of locked tickets, in the order of their ids), their clocks and their timers: of those that `before` has,
    only what changed, and the timer in any case where it was taken. Returns the earliest instant a timer was set for.
    """
    await db.fetch(conn, SAVE, [s.ticket_id for s in stories], [_encoder.encode(s) for s in stories], now)
    return await save_clocks(conn, stories, partitions, before or {}, timers_taken=timers_taken)
