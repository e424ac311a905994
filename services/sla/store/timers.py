"""Timers: one a ticket, set beside its story, taken by the one statement that decides what may fire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from aiokafka.partitioner import murmur2
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain.story import Story
from shared import db


def partition_of(ticket_id: str, partitions: int) -> int:
    """The partition of `tickets` on which a ticket's facts lie: Kafka's default for a key (murmur2)."""
    return int(murmur2(ticket_id.encode()) & 0x7FFFFFFF) % partitions


def decode_story(state: bytes) -> Story:
    """A story as it was kept."""
    return _stories.decode(state)


_stories = msgspec.json.Decoder(Story)


class Due(NamedTuple):
    """The earliest timer of a partition."""

    partition: int
    at: datetime


class Reach(NamedTuple):
    """How far timers of a partition may fire: those up to `through`, if the input was read up to `end`."""

    partition: int
    end: int
    through: datetime


class Claimed(NamedTuple):
    """A ticket whose timer was taken, and the instant up to which it may be acted upon."""

    story: Story
    through: datetime


class Look(NamedTuple):
    """What a look at the timers found: the database's time, whether it went back, and what is due first."""

    now: datetime
    gone_back: timedelta
    due: tuple[Due, ...]


LOOK = """
    SELECT clock_timestamp(), at, ARRAY(
        SELECT (SELECT min(t.due_at) FROM sla.timer t WHERE t.partition = p.partition)
        FROM generate_series(0, $1::integer - 1) AS p(partition) ORDER BY p.partition)
    FROM sla.high_water
"""
RAISE = "UPDATE sla.high_water SET at = greatest(at, $1::timestamptz)"


async def look_at_timers(conn: AsyncConnection, partitions: int) -> Look:
    """The time and the earliest timer of each partition; raises the clock's high water, at most once a second."""
    [(now, highest, earliest)] = await db.fetch(conn, LOOK, partitions)
    if now > highest + timedelta(seconds=1):
        await db.fetch(conn, RAISE, now)
    due = tuple(Due(partition, at) for partition, at in enumerate(earliest) if at is not None)
    return Look(now, max(timedelta(0), highest - now), due)


CLAIM = """
    WITH reached AS (
        {reached}
    ), due AS (
        SELECT d.ticket_id, r.through FROM reached r CROSS JOIN LATERAL (
            SELECT t.ticket_id FROM sla.timer t
            WHERE t.partition = r.partition AND t.due_at <= r.through AND t.due_at <= now(){certain}
            ORDER BY t.due_at LIMIT :each FOR UPDATE OF t SKIP LOCKED) AS d
    ), held AS (
        SELECT k.ticket_id, k.state, due.through FROM sla.ticket k JOIN due USING (ticket_id)
        ORDER BY k.ticket_id FOR UPDATE OF k SKIP LOCKED
    ), fired AS (
        DELETE FROM sla.timer t USING held h WHERE t.ticket_id = h.ticket_id
    )
    SELECT state, through FROM held ORDER BY ticket_id
"""
# A claim waits for nobody: what is locked is left to the next one. So it may lock timer and ticket in the other order than
# a fold does. now() and not clock_timestamp(): a volatile bound cannot be a condition of the index. A parked fact may
# still disprove what is due on its ticket.
CLAIM_READ = CLAIM.format(
    reached="""
        SELECT w.partition, w.through
        FROM unnest(CAST(:partitions AS integer[]), CAST(:ends AS bigint[]), CAST(:throughs AS timestamptz[]))
            AS w(partition, until, through)
        LEFT JOIN sla.consumer_offset o ON o.topic = 'tickets' AND o.partition = w.partition
        WHERE coalesce(o.next_offset, 0) >= w.until""",
    certain="""
                AND NOT EXISTS (SELECT 1 FROM sla.parked q WHERE q.topic = 'tickets' AND q.key = t.ticket_id)""",
)
CLAIM_HELD = CLAIM.format(
    reached="""
        SELECT p.partition, CAST(:through AS timestamptz) AS through FROM generate_series(0, :last) AS p(partition)""",
    certain="",
)
_claim_read, _claim_held = sa.text(CLAIM_READ), sa.text(CLAIM_HELD)


async def claim(conn: AsyncConnection, reaches: Sequence[Reach], most: int) -> list[Claimed]:
    """Take timers that are due and whose ticket's facts were all read; their tickets are locked, the timers gone."""
    rows = await conn.execute(
        _claim_read,
        {
            "partitions": [reach.partition for reach in reaches],
            "ends": [reach.end for reach in reaches],
            "throughs": [reach.through for reach in reaches],
            "each": _each(most, len(reaches)),
        },
    )
    return [Claimed(decode_story(row.state), row.through) for row in rows]


async def claim_held(conn: AsyncConnection, through: datetime, partitions: int, most: int) -> list[Claimed]:
    """Take timers that were due by `through`, whatever of their tickets' facts was not read yet."""
    rows = await conn.execute(_claim_held, {"through": through, "last": partitions - 1, "each": _each(most, partitions)})
    return [Claimed(decode_story(row.state), row.through) for row in rows]


def _each(most: int, partitions: int) -> int:
    """How many of each partition: a claim must not lock more than it takes, or others find nothing beside it."""
    return max(1, most // max(1, partitions))


async def postpone(conn: AsyncConnection, ticket_id: str, partitions: int, until: datetime) -> None:
    """Set a ticket's timer again, which could not be acted upon."""
    await conn.execute(
        sa.text(
            "INSERT INTO sla.timer (ticket_id, partition, due_at) VALUES (:id, :partition, :until)"
            " ON CONFLICT (ticket_id) DO UPDATE SET due_at = excluded.due_at"
        ),
        {"id": ticket_id, "partition": partition_of(ticket_id, partitions), "until": until},
    )
