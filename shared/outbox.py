"""The one way to publish: events go into the outbox in the transaction of the change they tell; a relay sends them.

`publish` takes the row of (topic, key, writer) in `key_position` under lock, so `seq` and the outbox row's id are given out
in the same order, and the other writer's row beside it is what `seen` says.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db, telemetry
from shared.events.base import NOTHING_SEEN, Draft, Event, Fact, PersonalFact, Position, Writer, event_id
from shared.events.codec import encode
from shared.events.topics import BY_NAME, TOPIC_OF, other_writer
from shared.personal import KeyRing, Seals
from shared.positions import Heard, Positions
from shared.positions import heard as heard_of_others
from shared.records import Subject

SHARDS = 8
# Below what a record may have (`kafka.MAX_RECORD_BYTES`) by its key, its headers and what Kafka puts around it.
EVENT_BYTES = 1_000_000


class EventTooLarge(ValueError):
    """An event that no broker would take; told before it is written, because the relay would stand before it for ever."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """Where one service writes its events. `wake` is set after the relay of this process has something to send."""

    schema: Writer
    incarnation: int
    keys: KeyRing
    wake: asyncio.Event

    async def publish(
        self, conn: AsyncConnection, drafts: Sequence[Draft[Fact]], now: datetime, *, heard: Positions | None = None
    ) -> list[Event[Fact]]:
        """Write the drafts, in their order, as events of the time `now`, and in the same statement what was `heard` of others.
        The caller's transaction must hold the locks of what was decided on (or of nothing, where nothing was read). Returns
        them as they will stand on the log. Raises EventTooLarge.
        """
        if not drafts:
            if heard is not None:
                await heard.save(conn)
            return []
        places = [Subject(TOPIC_OF[type(draft.data)].name, draft.key) for draft in drafts]
        seals = await self.keys.seals(conn, {draft.person for draft in drafts if draft.person and draft.personal is not None})
        positions, seen = await self._take_positions(conn, places, heard)
        traceparent = telemetry.current_traceparent()
        events = []
        for draft, place in zip(drafts, places, strict=True):
            position = positions[place] = Position(self.incarnation, positions[place].seq + 1)
            events.append(self._event(draft, seals, position, seen[place], now, traceparent))
        await self._insert(conn, places, events)
        return events

    async def _take_positions(
        self, conn: AsyncConnection, places: Sequence[Subject], heard: Positions | None
    ) -> tuple[dict[Subject, Position], dict[Subject, Position]]:
        """Count the places' seq on by what is needed, and tell where each stood before and what was seen of the other writer."""
        counts = sorted(Counter(places).items())
        hearing = f"heard AS ({heard_of_others(self.schema, 7)})," if heard is not None and heard.changed else ""
        rows = await db.fetch(
            conn,
            f"""
            WITH wanted AS (
                SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS w(topic, key, n, other)
            ), {hearing} taken AS (
                INSERT INTO {self.schema}.key_position AS p (topic, key, writer, incarnation, seq)
                SELECT topic, key, $5, $6::integer, n FROM wanted ORDER BY topic, key
                ON CONFLICT (topic, key, writer) DO UPDATE SET
                    seq = CASE WHEN p.incarnation = excluded.incarnation THEN p.seq ELSE 0 END + excluded.seq,
                    incarnation = excluded.incarnation
                RETURNING topic, key, seq
            )
            SELECT w.topic, w.key, t.seq - w.n AS before, w.other, o.incarnation, o.seq
            FROM wanted w JOIN taken t USING (topic, key)
            LEFT JOIN {self.schema}.key_position o ON (o.topic, o.key, o.writer) = (w.topic, w.key, w.other)
            """,
            [place.topic for place, _ in counts],
            [place.key for place, _ in counts],
            [count for _, count in counts],
            [self._other(place) for place, _ in counts],
            self.schema,
            self.incarnation,
            *(heard.columns() if heard is not None and heard.changed else ()),
        )
        positions, seen = {}, {}
        for topic, key, before, other, incarnation, seq in rows:
            place = Subject(topic, key)
            positions[place] = Position(self.incarnation, before)
            seen[place] = Position(incarnation, seq) if seq is not None else NOTHING_SEEN
            if heard is not None:  # what this statement itself writes, it does not see
                seen[place] = heard.known.get(Heard(topic, key, other), seen[place])
        return positions, seen

    def _other(self, place: Subject) -> str:
        return other_writer(BY_NAME[place.topic], self.schema) or ""

    def _event(
        self,
        draft: Draft[Fact],
        seals: Seals,
        position: Position,
        seen: Position,
        now: datetime,
        traceparent: str | None,
    ) -> Event[Fact]:
        identity = event_id(draft.cause, draft.data.TYPE, draft.key)
        data = draft.data
        if draft.personal is not None and draft.person is not None and isinstance(data, PersonalFact):
            data = msgspec.structs.replace(data, personal=seals.seal(draft.person, draft.personal, identity))
        return Event(
            id=identity,
            type=data.TYPE,
            writer=self.schema,
            position=position,
            key=draft.key,
            time=draft.time or now,
            data=data,
            seen=seen,
            traceparent=draft.traceparent or traceparent,
        )

    async def _insert(self, conn: AsyncConnection, places: Sequence[Subject], events: Sequence[Event[Fact]]) -> None:
        values = [encode(event) for event in events]
        for event, value in zip(events, values, strict=True):
            if len(value) > EVENT_BYTES:
                raise EventTooLarge(f"{event.type} has {len(value)} bytes; {EVENT_BYTES} fit into a record")
        # NOTIFY is sent at the commit: it wakes the relay that holds the shard, in whichever process that is.
        await db.fetch(
            conn,
            f"""
            WITH written AS (
                INSERT INTO {self.schema}.outbox (shard, topic, key, value, traceparent)
                SELECT shard, topic, key, value, traceparent
                FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bytea[], $5::text[])
                     WITH ORDINALITY AS e(shard, topic, key, value, traceparent, n)
                ORDER BY n
            )
            SELECT pg_notify('outbox_{self.schema}', '')
            """,
            [shard_of(place.key) for place in places],
            [place.topic for place in places],
            [place.key for place in places],
            values,
            [event.traceparent for event in events],
        )


def shard_of(key: str) -> int:
    """The relay's shard of a key: the same for one key always, so that its events keep their order."""
    return zlib.crc32(key.encode()) % SHARDS
