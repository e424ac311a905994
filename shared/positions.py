"""How far each writer's facts on each key have been applied: what tells a repeat, the next one and a gap apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.base import NOTHING_SEEN, Event, Fact, Position

Verdict = Literal["repeat", "next", "gap"]


@dataclass(slots=True)
class Positions:
    """The positions of the keys of one batch on one topic."""

    schema: str
    topic: str
    known: dict[tuple[str, str], Position]
    changed: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    async def load(cls, conn: AsyncConnection, schema: str, topic: str, keys: Sequence[str]) -> Positions:
        """Read the positions of these keys, one statement."""
        rows = await conn.execute(
            sa.text(f"SELECT key, writer, incarnation, seq FROM {schema}.key_position WHERE topic = :topic AND key = ANY(:keys)"),
            {"topic": topic, "keys": list(keys)},
        )
        return cls(schema, topic, {(row.key, row.writer): Position(row.incarnation, row.seq) for row in rows})

    def expected(self, event: Event[Fact]) -> Position:
        """The position that would be next for this writer, in the event's incarnation."""
        last = self.known.get((event.key, event.writer), NOTHING_SEEN)
        if event.position.incarnation > last.incarnation:
            return Position(event.position.incarnation, 1)
        return Position(last.incarnation, last.seq + 1)

    def judge(self, event: Event[Fact]) -> Verdict:
        """Whether this event was applied before, is the next, or leaves others out."""
        expected = self.expected(event)
        if event.position < expected:
            return "repeat"
        return "next" if event.position == expected else "gap"

    def advance(self, event: Event[Fact]) -> None:
        """The event is applied."""
        self.known[event.key, event.writer] = event.position
        self.changed.add((event.key, event.writer))

    async def save(self, conn: AsyncConnection) -> None:
        """Write what advanced, one statement."""
        if not self.changed:
            return
        ordered = sorted(self.changed)
        await conn.execute(
            sa.text(
                f"""
                INSERT INTO {self.schema}.key_position AS p (topic, key, writer, incarnation, seq)
                SELECT :topic, * FROM unnest(CAST(:keys AS text[]), CAST(:writers AS text[]),
                                             CAST(:incarnations AS integer[]), CAST(:seqs AS bigint[]))
                ON CONFLICT (topic, key, writer) DO UPDATE SET incarnation = excluded.incarnation, seq = excluded.seq
                """
            ),
            {
                "topic": self.topic,
                "keys": [key for key, _ in ordered],
                "writers": [writer for _, writer in ordered],
                "incarnations": [self.known[place].incarnation for place in ordered],
                "seqs": [self.known[place].seq for place in ordered],
            },
        )
