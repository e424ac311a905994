"""Tickets as told: their stories, their clocks for reading, and the projection of `tickets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain.policies import Book
from services.sla.domain.story import Story
from services.sla.handlers import HANDLERS
from services.sla.store.definitions import Shelf
from services.sla.store.timers import decode_story, set_timers
from shared.events.base import Event, Fact
from shared.events.topics import TICKETS, Topic
from shared.folding import Handler, Loaded

CLOCK_COLUMNS = (
    "ticket_ids",
    "targets",
    "cycles",
    "states",
    "policy_ids",
    "channels",
    "priorities",
    "queue_ids",
    "team_ids",
    "agent_ids",
    "partner_ids",
    "started",
    "target_us",
    "deadlines",
    "ended",
    "breached",
)


@dataclass(slots=True)
class Tickets:
    """The projection of `tickets`. `earliest` is the first instant for which the last `save` set a timer."""

    partitions: int
    topic: Topic = TICKETS
    handlers: Mapping[type[Fact], Handler[Book, Story]] = field(default_factory=lambda: HANDLERS)
    earliest: datetime | None = None
    _shelf: Shelf = field(default_factory=Shelf)

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Book, Story]:
        """The stories of these tickets, locked in the order of their ids, and the book."""
        keys = sorted({event.key for event in events})
        rows = await conn.execute(
            sa.text("SELECT ticket_id, state FROM sla.ticket WHERE ticket_id = ANY(:keys) ORDER BY ticket_id FOR UPDATE"),
            {"keys": keys},
        )
        stories = {key: Story(key) for key in keys}
        stories.update({row.ticket_id: decode_story(row.state) for row in rows})
        return Loaded(stories, await self._shelf.book(conn))

    async def save(self, conn: AsyncConnection, states: Mapping[str, Story], now: datetime) -> None:
        """Write the stories that changed, their clocks and their timers."""
        stories = [states[key] for key in sorted(states)]
        self.earliest = await save_stories(conn, stories, self.partitions, now)


async def find_story(conn: AsyncConnection, ticket_id: str) -> Story | None:
    """One ticket's story, without a lock; None for an unknown ticket."""
    statement = sa.text("SELECT state FROM sla.ticket WHERE ticket_id = :id")
    state = (await conn.execute(statement, {"id": ticket_id})).scalar_one_or_none()
    return None if state is None else decode_story(state)


async def save_stories(conn: AsyncConnection, stories: Sequence[Story], partitions: int, now: datetime) -> datetime | None:
    """Write stories (of locked tickets, in the order of their ids). Returns the earliest instant a timer was set for."""
    await conn.execute(
        sa.text(
            """
            INSERT INTO sla.ticket AS t (ticket_id, state, updated_at)
            SELECT *, :now FROM unnest(CAST(:ids AS text[]), CAST(:states AS bytea[]))
            ON CONFLICT (ticket_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at
            """
        ),
        {"ids": [s.ticket_id for s in stories], "states": [msgspec.json.encode(s) for s in stories], "now": now},
    )
    await _save_clocks(conn, stories)
    return await set_timers(conn, stories, partitions)


async def _save_clocks(conn: AsyncConnection, stories: Sequence[Story]) -> None:
    promised = [story for story in stories if story.promise is not None]
    if not promised:
        return
    rows = [_clock_row(story, index) for story in promised for index in range(len(story.standing.clocks))]
    await conn.execute(
        sa.text(
            """
            WITH kept AS (
                SELECT * FROM unnest(
                    CAST(:ticket_ids AS text[]), CAST(:targets AS text[]), CAST(:cycles AS integer[]), CAST(:states AS text[]),
                    CAST(:policy_ids AS text[]), CAST(:channels AS text[]), CAST(:priorities AS smallint[]),
                    CAST(:queue_ids AS text[]), CAST(:team_ids AS text[]), CAST(:agent_ids AS text[]),
                    CAST(:partner_ids AS text[]), CAST(:started AS timestamptz[]), CAST(:target_us AS bigint[]),
                    CAST(:deadlines AS timestamptz[]), CAST(:ended AS timestamptz[]), CAST(:breached AS timestamptz[]))
                AS k(ticket_id, target, cycle, state, policy_id, channel, priority, queue_id, team_id, agent_id, partner_id,
                     started_at, target_us, deadline, ended_at, breached_at)
            ), never_begun AS (
                DELETE FROM sla.clock c USING unnest(CAST(:promised AS text[])) AS p(ticket_id)
                WHERE c.ticket_id = p.ticket_id AND c.cycle > coalesce(
                    (SELECT max(k.cycle) FROM kept k WHERE (k.ticket_id, k.target) = (c.ticket_id, c.target)), 0)
            )
            INSERT INTO sla.clock AS c SELECT * FROM kept
            ON CONFLICT (ticket_id, target, cycle) DO UPDATE SET
                state = excluded.state, channel = excluded.channel, priority = excluded.priority,
                queue_id = excluded.queue_id, team_id = excluded.team_id, agent_id = excluded.agent_id,
                partner_id = excluded.partner_id, started_at = excluded.started_at, target_us = excluded.target_us,
                deadline = excluded.deadline, ended_at = excluded.ended_at, breached_at = excluded.breached_at
            WHERE c IS DISTINCT FROM excluded
            """
        ),
        {
            "promised": [story.ticket_id for story in promised],
            **{name: [row[place] for row in rows] for place, name in enumerate(CLOCK_COLUMNS)},
        },
    )


def _clock_row(story: Story, index: int) -> tuple[object, ...]:
    clock, whose, promise = story.standing.clocks[index], story.standing.whose, story.promise
    return (
        story.ticket_id,
        clock.target,
        clock.cycle,
        clock.state,
        promise.policy_id if promise else "",
        whose.channel,
        whose.priority,
        whose.queue_id,
        whose.team_id,
        whose.agent_id,
        whose.partner_id,
        clock.started_at,
        clock.target_us,
        clock.deadline,
        clock.ended_at,
        story.told_of(clock).breach_at,
    )
