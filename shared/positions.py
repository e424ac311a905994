"""How far each writer's facts on each key have been applied: what tells a repeat, the next one and a gap apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.base import NOTHING_SEEN, Event, Fact, Position

Verdict = Literal["repeat", "next", "gap"]
Columns = tuple[list[str], list[str], list[str], list[int], list[int]]


class Heard(NamedTuple):
    """Whose facts on which key of which topic."""

    topic: str
    key: str
    writer: str


@dataclass(slots=True)
class Positions:
    """The positions of the keys of one batch."""

    schema: str
    known: dict[Heard, Position]
    changed: set[Heard] = field(default_factory=set)

    @classmethod
    async def load(cls, conn: AsyncConnection, schema: str, topic: str, keys: Sequence[str]) -> Positions:
        """Read the positions of these keys, one statement."""
        rows = await db.fetch(
            conn,
            f"SELECT key, writer, incarnation, seq FROM {schema}.key_position WHERE topic = $1 AND key = ANY($2)",
            topic,
            list(keys),
        )
        return cls(schema, {Heard(topic, row["key"], row["writer"]): Position(row["incarnation"], row["seq"]) for row in rows})

    def expected(self, topic: str, event: Event[Fact]) -> Position:
        """The position that would be next for this writer, in the event's incarnation."""
        last = self.known.get(Heard(topic, event.key, event.writer), NOTHING_SEEN)
        if event.position.incarnation > last.incarnation:
            return Position(event.position.incarnation, 1)
        return Position(last.incarnation, last.seq + 1)

    def judge(self, topic: str, event: Event[Fact]) -> Verdict:
        """Whether this event was applied before, is the next, or leaves others out."""
        expected = self.expected(topic, event)
        if event.position == expected:
            return "next"
        return "repeat" if event.position < expected else "gap"

    def advance(self, topic: str, event: Event[Fact]) -> None:
        """The event is applied."""
        self.set(Heard(topic, event.key, event.writer), event.position)

    def set(self, place: Heard, position: Position) -> None:
        """All up to here is applied, or given up."""
        self.known[place] = position
        self.changed.add(place)

    def columns(self) -> Columns:
        """What advanced, in order, for `HEARD`."""
        ordered = sorted(self.changed)
        return (
            [place.topic for place in ordered],
            [place.key for place in ordered],
            [place.writer for place in ordered],
            [self.known[place].incarnation for place in ordered],
            [self.known[place].seq for place in ordered],
        )

    async def save(self, conn: AsyncConnection) -> None:
        """Write what advanced, one statement."""
        if self.changed:
            await db.fetch(conn, heard(self.schema, 1), *self.columns())


def heard(schema: str, first: int) -> str:
    """The statement that writes `Positions.columns`, given as five parameters from the number `first` on."""
    columns = ", ".join(f"${first + n}::{kind}[]" for n, kind in enumerate(("text", "text", "text", "integer", "bigint")))
    return (
        f"INSERT INTO {schema}.key_position AS p (topic, key, writer, incarnation, seq) SELECT * FROM unnest({columns})"
        " ON CONFLICT (topic, key, writer) DO UPDATE SET incarnation = excluded.incarnation, seq = excluded.seq"
    )
