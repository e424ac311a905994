"""Builds that are broken on purpose: each breaks one rule that a promise stands on, by replacing a function in the process.

The product knows nothing of it. A harness that does not find each of them proves nothing by finding nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.acceptor import Acceptor
from services.intake.domain.contacts import Contact
from shared import db, ticket
from shared.consumer import Consumer
from shared.events.base import Event, Fact, Position
from shared.offsets import Offsets, Place
from shared.outbox import Outbox
from shared.relay import ROWS_AT_ONCE, Relay
from shared.ticket import Routing

ALL_SEEN = Position(10**9, 0)


def _put(owner: object, name: str, function: object) -> None:
    setattr(owner, name, function)


def offset_before_transaction() -> None:
    """Positions are Kafka's group's, and committed to it before the transaction of what was read."""
    apply = Consumer._apply

    async def follow(self: Consumer, client: AIOKafkaConsumer) -> None:
        if client.assignment() == self._next.keys():
            return
        async with db.transaction(self.engine) as conn:
            await self.offsets.load(conn, sorted(Place(tp.topic, tp.partition) for tp in client.assignment()))
        self._next = {place: await client.committed(place) or 0 for place in client.assignment()}
        for place, offset in self._next.items():
            client.seek(place, offset)

    async def commit_and_apply(self: Consumer, batches: Mapping[TopicPartition, Sequence[Any]]) -> None:
        assert self._client is not None
        await self._client.commit({place: OffsetAndMetadata(rs[-1].offset + 1, "") for place, rs in batches.items()})
        await apply(self, batches)  # type: ignore[arg-type]

    _put(Consumer, "_follow_assignment", follow)
    _put(Consumer, "_apply", commit_and_apply)
    _put(Offsets, "move", _moved)


async def _moved(self: Offsets, conn: AsyncConnection, moves: Mapping[Place, tuple[int, int, datetime]]) -> bool:
    for place, (_, after, _) in moves.items():
        await conn.execute(
            sa.text(f"UPDATE {self.schema}.consumer_offset SET next_offset = :n WHERE topic = :t AND partition = :p"),
            {"n": after, "t": place.topic, "p": place.partition},
        )
    return True


def no_compare_and_set() -> None:
    """The offsets are written down when all is done, whatever they were before."""
    transaction = Consumer._transaction

    async def transact_and_note(self: Consumer, moves: Mapping[Place, tuple[int, int, datetime]], *what: Any) -> None:
        await transaction(self, moves, *what)
        async with db.transaction(self.engine) as conn:
            await _moved(self.offsets, conn, moves)

    _put(Consumer, "_transaction", transact_and_note)
    _put(Offsets, "move", _not_moved)


async def _not_moved(*_: object) -> bool:
    return True


def mark_before_acknowledgement() -> None:
    """The relay takes rows out of the outbox when it has read them, and sends them then."""
    oldest = Relay._oldest

    async def take(self: Relay, connection: asyncpg.Connection) -> Sequence[asyncpg.Record]:
        rows = await oldest(self, connection)
        await self._delete(connection, [row["id"] for row in rows])
        return rows

    _put(Relay, "_oldest", take)


def cursor_without_gate() -> None:
    """The relay remembers the last id that it read, and reads on behind it: a row that is committed later is passed by."""
    reached = 0

    async def behind(self: Relay, connection: asyncpg.Connection) -> Sequence[asyncpg.Record]:
        nonlocal reached
        statement = (
            f"SELECT id, topic, key, value, traceparent FROM {self.outbox.schema}.outbox"
            " WHERE shard = ANY($1::smallint[]) AND id > $2 ORDER BY id LIMIT $3"
        )
        rows = list(await connection.fetch(statement, sorted(self._held), reached, ROWS_AT_ONCE, timeout=10))
        reached = rows[-1]["id"] if rows else reached
        return rows

    _put(Relay, "_oldest", behind)


def seen_ignored() -> None:
    """What routing decides covers all that the customer wrote, whatever routing had seen of it."""
    routing = ticket._routing

    def blind(state: Routing, event: Event[Fact]) -> Routing:
        return routing(state, replace(event, seen=ALL_SEEN))

    _put(ticket, "_routing", blind)


def dedup_key_dropped() -> None:
    """What a contact is called at its provider is forgotten at the door: a repeat is another contact."""
    accept = Acceptor.accept

    async def accept_anew(self: Acceptor, contacts: Sequence[Contact]) -> Any:
        return await accept(self, [msgspec.structs.replace(contact, dedup_key=str(uuid.uuid4())) for contact in contacts])

    _put(Acceptor, "accept", accept_anew)


def timer_outside_transaction() -> None:
    """What a timer says is written in a transaction of its own, and not in that which takes the timer away."""
    publish = Outbox.publish

    async def publish_apart(self: Outbox, conn: AsyncConnection, *what: Any, **more: Any) -> Any:
        async with db.transaction(conn.engine) as other:
            return await publish(self, other, *what, **more)

    _put(Outbox, "publish", publish_apart)


BREAKS: Mapping[str, Callable[[], None]] = {
    broken.__name__.replace("_", " "): broken
    for broken in (
        offset_before_transaction,
        no_compare_and_set,
        mark_before_acknowledgement,
        cursor_without_gate,
        seen_ignored,
        dedup_key_dropped,
        timer_outside_transaction,
    )
}
