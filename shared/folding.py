"""A batch of records folded into a service's state, inside one transaction.

What a service adds is a `Projection` per topic: how the state of keys is loaded and saved, and a table of pure handlers.
Each record ends in one of four ways: applied, ignored as a repeat, parked, or parked behind an earlier one of its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db, telemetry
from shared.clock import clock
from shared.events.base import Draft, Event, Fact, Writer
from shared.events.codec import Undecodable, UnknownType, decode
from shared.events.topics import Topic
from shared.outbox import Outbox
from shared.parking import Parking, parked_draft
from shared.positions import Positions
from shared.records import Failure, Record
from shared.telemetry import log

State = TypeVar("State")
Context = TypeVar("Context")
Given = TypeVar("Given", contravariant=True)


class Handler(Protocol[Given, State]):
    """What one event changes: pure. Raises anything to have the record parked."""

    def __call__(self, context: Given, state: State, event: Event[Any], now: datetime, /) -> tuple[State, Sequence[Draft[Fact]]]:
        """The state after the event, and what it brings about."""


@dataclass(slots=True)
class Loaded(Generic[Context, State]):
    """What `load` found: the state of each key, and what all handlers of the batch may look at."""

    states: dict[str, State]
    context: Context


class Projection(Protocol[Context, State]):
    """One service's view of one topic."""

    topic: Topic
    handlers: Mapping[type[Fact], Handler[Context, State]]

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Context, State]:
        """The state of every key among the events, locked in the order of the keys, with one statement per table."""

    async def save(self, conn: AsyncConnection, states: Mapping[str, State], now: datetime) -> None:
        """Write the states that changed, with one statement per table."""


AnyProjection = Projection[Any, Any]


@dataclass(slots=True)
class _Work:
    """What a batch comes to."""

    states: dict[str, Any]
    changed: set[str] = field(default_factory=set)
    drafts: list[Draft[Fact]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    blocked: dict[str, Writer | None] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Folder:
    """Folds batches for one service. `me` is the writer whose own facts of this incarnation need not be read back."""

    outbox: Outbox
    parking: Parking

    @property
    def schema(self) -> Writer:
        """The service's schema, and its name as a writer."""
        return self.outbox.schema

    async def fold(self, conn: AsyncConnection, projection: AnyProjection, records: Sequence[Record]) -> list[Failure]:
        """Apply the records of one topic in their order; park what cannot be. Returns what was parked."""
        readable, failures = self._decode(records)
        keys = sorted({record.key for record in records})
        positions = await Positions.load(conn, self.schema, projection.topic.name, keys)
        blocked = await self.parking.blocked(conn, projection.topic.name, keys, records)
        loaded = await projection.load(conn, [event for _, event in readable])
        now = await clock(conn)
        work = _Work(states=loaded.states, blocked=blocked)
        unreadable = {failure.record: failure for failure in failures}
        events = dict(readable)
        for record in records:
            if record in unreadable:
                self._park(work, unreadable[record])
            else:
                self._apply(work, projection, loaded.context, record, events[record], positions, now)
        if work.changed:
            await projection.save(conn, {key: work.states[key] for key in work.changed}, now)
        await positions.save(conn)
        await self._settle(conn, work, now)
        for key in sorted(work.filled):
            await self.parking.ask(conn, "replay", projection.topic.name, key)
        return work.failures

    async def fold_each(self, conn: AsyncConnection, projection: AnyProjection, records: Sequence[Record]) -> list[Failure]:
        """Like `fold`, for records that failed together outside of their handlers: the one that no table takes is found, parked
        and announced. Raises what may pass by itself (`db.may_pass`).
        """
        parked: list[Failure] = []
        for record in records:
            try:
                async with conn.begin_nested():
                    parked += await self.fold(conn, projection, [record])
            except Exception as error:
                if db.may_pass(error):
                    raise
                failure = Failure(record, "failed", telemetry.describe(error))
                await self._settle(conn, _Work(states={}, failures=[failure]), await clock(conn))
                parked.append(failure)
        return parked

    def _decode(self, records: Sequence[Record]) -> tuple[list[tuple[Record, Event[Fact]]], list[Failure]]:
        readable, failures = [], []
        for record in records:
            try:
                event = decode(record.value)
                if event.key != record.key:
                    raise Undecodable("the record's key is not the event's subject")
                readable.append((record, event))
            except UnknownType as error:
                failures.append(Failure(record, "unknown_type", str(error)))
            except Undecodable as error:
                failures.append(Failure(record, "undecodable", str(error)))
        return readable, failures

    def _apply(
        self,
        work: _Work,
        projection: AnyProjection,
        context: object,
        record: Record,
        event: Event[Fact],
        positions: Positions,
        now: datetime,
    ) -> None:
        if event.writer == self.schema and event.position.incarnation == self.outbox.incarnation:
            self._settled(work, record)  # what we said ourselves is in our state since the transaction that said it
            return
        if self._waits(work, record, event, positions):
            self._park(work, Failure(record, "behind", "an earlier record of this key is parked", event.type))
            return
        verdict = positions.judge(event)
        if verdict == "repeat":
            telemetry.DUPLICATES.labels(self.schema, record.topic).inc()
            self._settled(work, record)
        elif verdict == "gap":
            expected = positions.expected(event)
            self._park(
                work,
                Failure(record, "gap", f"{event.writer} said {event.position}, expected {expected}", event.type),
                event.writer,
            )
        else:
            self._handle(work, projection, context, record, event, positions, now)

    def _handle(
        self,
        work: _Work,
        projection: AnyProjection,
        context: object,
        record: Record,
        event: Event[Fact],
        positions: Positions,
        now: datetime,
    ) -> None:
        handler = projection.handlers.get(type(event.data))
        if handler is not None:
            try:
                with telemetry.consumer_span(f"{self.schema} {event.type}", event.traceparent) as traceparent:
                    state, drafts = handler(context, work.states[record.key], event, now)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises parks its record, and only that
                log().error("record parked", type=event.type, event_id=event.id, error=type(error).__name__, exc_info=True)
                self._park(work, Failure(record, "failed", telemetry.describe(error), event.type))
                return
            if state is not work.states[record.key]:
                work.changed.add(record.key)
                work.states[record.key] = state
            work.drafts.extend(replace(draft, traceparent=traceparent) for draft in drafts)
        positions.advance(event)
        self._settled(work, record)

    def _waits(self, work: _Work, record: Record, event: Event[Fact], positions: Positions) -> bool:
        """Whether the record has to wait behind a parked one. Not if it is what fills the gap that the others wait for."""
        if record.key not in work.blocked:
            return False
        if work.blocked[record.key] != event.writer or positions.judge(event) == "gap":
            return True
        work.filled.add(record.key)
        return False

    def _park(self, work: _Work, failure: Failure, gap_of: Writer | None = None) -> None:
        work.failures.append(failure)
        work.blocked.setdefault(failure.record.key, gap_of)

    def _settled(self, work: _Work, record: Record) -> None:
        if record.parked_id is not None:
            work.settled.append(record.parked_id)

    async def _settle(self, conn: AsyncConnection, work: _Work, now: datetime) -> None:
        await self.parking.release(conn, work.settled)
        fresh = [failure for failure in work.failures if failure.record.parked_id is None]
        await self.parking.keep(conn, work.failures)
        for failure in fresh:
            telemetry.PARKED_RECORDS.labels(self.schema, failure.record.topic, failure.reason).inc()
        drafts = work.drafts + [parked_draft(self.schema, f, now) for f in fresh if f.reason != "behind"]
        await self.outbox.publish(conn, drafts, now)
