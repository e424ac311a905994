"""A ticket's clocks for reading, and its timer: rows beside its story, written where they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain.clocks import Clock, Dimensions
from services.sla.domain.policies import WATCHED
from services.sla.domain.story import Story
from services.sla.domain.telling import next_due
from services.sla.store.timers import partition_of
from shared import db
from shared.events.config import TargetKind

COLUMNS = 13
SAVE = """
    WITH set_timers AS (
        INSERT INTO sla.timer AS t (ticket_id, partition, due_at)
        SELECT * FROM unnest($1::text[], $2::integer[], $3::timestamptz[])
        ON CONFLICT (ticket_id) DO UPDATE SET due_at = excluded.due_at, partition = excluded.partition
        WHERE (t.due_at, t.partition) IS DISTINCT FROM (excluded.due_at, excluded.partition)
    ), unset_timers AS (
        DELETE FROM sla.timer WHERE ticket_id = ANY($4::text[])
    ), never_begun AS (
        DELETE FROM sla.clock c USING unnest($5::text[], $6::text[], $7::integer[]) AS g(ticket_id, target, last)
        WHERE c.ticket_id = g.ticket_id AND c.target = g.target AND c.cycle > g.last
    )
    INSERT INTO sla.clock AS c (ticket_id, target, cycle, state, policy_id, channel, priority, started_at, target_us, deadline,
        ended_at, breached_at, partner_id)
    SELECT * FROM unnest($8::text[], $9::text[], $10::integer[], $11::text[], $12::text[], $13::text[], $14::smallint[],
        $15::timestamptz[], $16::bigint[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::text[])
    ON CONFLICT (ticket_id, target, cycle) DO UPDATE SET
        state = excluded.state, channel = excluded.channel, priority = excluded.priority, started_at = excluded.started_at,
        target_us = excluded.target_us, deadline = excluded.deadline, ended_at = excluded.ended_at,
        breached_at = excluded.breached_at, partner_id = excluded.partner_id
    WHERE c IS DISTINCT FROM excluded
"""

Row = tuple[object, ...]


@dataclass(slots=True)
class _Changes:
    """Rows to write: timers to set and to take away, cycles that never began, clocks."""

    timers: list[tuple[str, int, datetime]] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    gone: list[tuple[str, str, int]] = field(default_factory=list)
    clocks: list[Row] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.timers or self.unset or self.gone or self.clocks)


async def save_clocks(
    conn: AsyncConnection, stories: Sequence[Story], partitions: int, before: Mapping[str, Story], *, timers_taken: bool
) -> datetime | None:
    """Write clocks and timers of these stories (in the order of their ids): all of a ticket that `before` does not have, else
    what changed since. `timers_taken`: the rows of their timers are gone. Returns the earliest instant a timer was set for.
    """
    changes = _Changes()
    for story in stories:
        old = before.get(story.ticket_id)
        if old is None or timers_taken or not _same_clocks(old, story):
            _note_timer(changes, story, None if timers_taken else old, partitions)
            _note_clocks(changes, story, old)
    if changes.any:
        await db.fetch(
            conn,
            SAVE,
            *_columns(3, changes.timers),
            changes.unset,
            *_columns(3, changes.gone),
            *_columns(COLUMNS, changes.clocks),
        )
    return min((at for _, _, at in changes.timers), default=None)


def _same_clocks(one: Story, other: Story) -> bool:
    """Whether no row can have changed: the clocks, what was told of them, and what lists show of the ticket are the same."""
    first, second = one.standing, other.standing
    return first.clocks is second.clocks and one.told is other.told and _listed(first.whose) == _listed(second.whose)


def _listed(whose: Dimensions) -> tuple[object, ...]:
    return whose.channel, whose.priority, whose.partner_id


def _note_timer(changes: _Changes, story: Story, old: Story | None, partitions: int) -> None:
    due = next_due(story)
    if old is not None and next_due(old) == due:
        return
    if due is None:
        changes.unset.append(story.ticket_id)
    else:
        changes.timers.append((story.ticket_id, partition_of(story.ticket_id, partitions), due))


def _note_clocks(changes: _Changes, story: Story, old: Story | None) -> None:
    if story.promise is None:
        return
    known = {} if old is None else _rows(old)
    changes.clocks += [row for place, row in _rows(story).items() if known.get(place) != row]
    changes.gone += [(story.ticket_id, kind, _last(story, kind)) for kind in WATCHED if _vanished(story, old, kind)]


def _vanished(story: Story, old: Story | None, kind: TargetKind) -> bool:
    return old is None or _last(old, kind) > _last(story, kind)


def _last(story: Story, kind: TargetKind) -> int:
    clock = story.standing.last(kind)
    return 0 if clock is None else clock.cycle


def _rows(story: Story) -> dict[tuple[TargetKind, int], Row]:
    return {clock.place: _row(story, clock) for clock in story.standing.clocks}


def _row(story: Story, clock: Clock) -> Row:
    whose = story.standing.whose
    return (
        story.ticket_id,
        clock.target,
        clock.cycle,
        clock.state,
        story.promise.policy_id if story.promise else "",
        whose.channel,
        whose.priority,
        clock.started_at,
        clock.target_us,
        clock.deadline,
        clock.ended_at,
        story.told_of(clock).breach_at,
        whose.partner_id,
    )


def _columns(width: int, rows: Sequence[tuple[object, ...]]) -> list[Sequence[object]]:
    """Rows as the arrays that a statement unnests."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
