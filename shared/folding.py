"""A batch of records folded into a service's state, inside one transaction.

What a service adds is a `Projection` per topic: how the state of keys is loaded and saved, and a table of pure handlers.
Each record ends in one of four ways: applied, ignored as a repeat, parked, or parked behind an earlier one of its key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db, telemetry
from shared.clock import clock
from shared.events.base import Draft, Event, Fact, Writer
from shared.events.codec import Undecodable, UnknownType, source_of
from shared.events.topics import Topic
from shared.outbox import Outbox
from shared.parking import Parking, parked_draft
from shared.positions import Positions
from shared.records import Failure, Record, Subject, event_of
from shared.telemetry import log

State = TypeVar("State")
Context = TypeVar("Context")
Given = TypeVar("Given", contravariant=True)
NEVER = datetime.min.replace(tzinfo=UTC)  # the clock is asked only where something is decided


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
# What else a service decides in the transaction of a batch, once its states are saved.
Afterwards = Callable[[AsyncConnection], Awaitable[Sequence[Draft[Fact]]]]
Part = tuple[AnyProjection, Sequence[Record]]


@dataclass(slots=True)
class _Work:
    """What a batch comes to."""

    positions: Positions
    blocked: dict[Subject, Writer | None]
    drafts: list[Draft[Fact]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    filled: set[Subject] = field(default_factory=set)


@dataclass(slots=True)
class _Topic:
    """The batch's share of one projection: what was loaded of it, and which keys changed."""

    projection: AnyProjection
    loaded: Loaded[Any, Any]
    now: datetime
    traced: bool
    changed: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.projection.topic.name


@dataclass(frozen=True, slots=True)
class Folder:
    """Folds batches for one service: `outbox.schema` is the writer whose own facts of this incarnation are not read back."""

    outbox: Outbox
    parking: Parking

    @property
    def schema(self) -> Writer:
        """The service's schema, and its name as a writer."""
        return self.outbox.schema

    async def fold_all(self, conn: AsyncConnection, parts: Sequence[Part], afterwards: Afterwards | None = None) -> list[Failure]:
        """Apply the records of several topics, topic by topic in this order; park what cannot be. Returns what was parked."""
        records = [record for _, of_topic in parts for record in of_topic]
        work = _Work(*await self.parking.standing(conn, records))
        for projection, of_topic in parts:
            await self._fold(conn, work, projection, of_topic)
        if afterwards is not None:
            work.drafts.extend(await afterwards(conn))
        await self._settle(conn, work)
        return work.failures

    async def fold(self, conn: AsyncConnection, projection: AnyProjection, records: Sequence[Record]) -> list[Failure]:
        """Apply the records of one topic in their order; park what cannot be. Returns what was parked."""
        return await self.fold_all(conn, [(projection, records)])

    async def fold_all_each(self, conn: AsyncConnection, parts: Sequence[Part]) -> list[Failure]:
        """Like `fold_all`, for records that failed together outside of their handlers: the one that no table takes is found."""
        return [failure for projection, records in parts for failure in await self.fold_each(conn, projection, records)]

    async def fold_each(self, conn: AsyncConnection, projection: AnyProjection, records: Sequence[Record]) -> list[Failure]:
        """Like `fold`, one by one: the record that no table takes is parked and announced. Raises what may pass by itself
        (`db.may_pass`).
        """
        parked: list[Failure] = []
        for record in records:
            try:
                async with db.savepoint(conn):
                    parked += await self.fold(conn, projection, [record])
            except Exception as error:
                if db.may_pass(error):
                    raise
                failure = Failure(record, "failed", telemetry.describe(error))
                await self._settle(conn, _Work(Positions(self.schema, {}), {}, failures=[failure]))
                parked.append(failure)
        return parked

    async def _fold(self, conn: AsyncConnection, work: _Work, projection: AnyProjection, records: Sequence[Record]) -> None:
        read = [(record, self._read(record)) for record in records]
        handled = [e for _, e in read if isinstance(e, Event) and type(e.data) in projection.handlers]
        loaded: Loaded[Any, Any] = await projection.load(conn, handled) if handled else Loaded({}, None)
        now = await clock(conn) if handled else NEVER
        topic = _Topic(projection, loaded, now, telemetry.recording())
        for record, event in read:
            if isinstance(event, Event):
                self._apply(work, topic, record, event)
            elif event is not None:
                self._park(work, event)
            else:
                self._settled(work, record)
        if topic.changed:
            await projection.save(conn, {key: loaded.states[key] for key in topic.changed}, now)

    def is_our_own(self, value: bytes) -> bool:
        """Whether this service said it, in this incarnation."""
        return source_of(value) == (self.schema, self.outbox.incarnation)

    def _read(self, record: Record) -> Event[Fact] | Failure | None:
        """The event, or why there is none; None for what we said ourselves: it is in our state since it was said."""
        if self.is_our_own(record.value):
            return None
        try:
            return event_of(record)
        except UnknownType as error:
            return Failure(record, "unknown_type", str(error))
        except Undecodable as error:
            return Failure(record, "undecodable", str(error))

    def _apply(self, work: _Work, topic: _Topic, record: Record, event: Event[Fact]) -> None:
        if self._waits(work, topic, record, event):
            self._park(work, Failure(record, "behind", "an earlier record of this key is parked", event.type))
            return
        verdict = work.positions.judge(topic.name, event)
        if verdict == "next":
            self._handle(work, topic, record, event)
        elif verdict == "repeat":
            telemetry.DUPLICATES.labels(self.schema, record.topic).inc()
            self._settled(work, record)
        else:
            expected = work.positions.expected(topic.name, event)
            why = f"{event.writer} said {event.position}, expected {expected}"
            self._park(work, Failure(record, "gap", why, event.type), event.writer)

    def _handle(self, work: _Work, topic: _Topic, record: Record, event: Event[Fact]) -> None:
        handler = topic.projection.handlers.get(type(event.data))
        if handler is not None:
            states, traceparent = topic.loaded.states, event.traceparent
            try:
                if topic.traced:
                    with telemetry.consumer_span(f"{self.schema} {event.type}", traceparent) as traceparent:
                        state, drafts = handler(topic.loaded.context, states[record.key], event, topic.now)
                else:
                    state, drafts = handler(topic.loaded.context, states[record.key], event, topic.now)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises parks its record, and only that
                log().error("record parked", type=event.type, event_id=event.id, error=type(error).__name__, exc_info=True)
                self._park(work, Failure(record, "failed", telemetry.describe(error), event.type))
                return
            if state is not states[record.key]:
                topic.changed.add(record.key)
                states[record.key] = state
            for draft in drafts:
                work.drafts.append(replace(draft, traceparent=traceparent, time=draft.time or topic.now))
        work.positions.advance(topic.name, event)
        self._settled(work, record)

    def _waits(self, work: _Work, topic: _Topic, record: Record, event: Event[Fact]) -> bool:
        """Whether the record has to wait behind a parked one. Not if it is what fills the gap that the others wait for."""
        if not work.blocked:
            return False
        place = Subject(record.topic, record.key)
        if place not in work.blocked:
            return False
        if work.blocked[place] != event.writer or work.positions.judge(topic.name, event) == "gap":
            return True
        work.filled.add(place)
        return False

    def _park(self, work: _Work, failure: Failure, gap_of: Writer | None = None) -> None:
        work.failures.append(failure)
        work.blocked.setdefault(Subject(failure.record.topic, failure.record.key), gap_of)

    def _settled(self, work: _Work, record: Record) -> None:
        if record.parked_id is not None:
            work.settled.append(record.parked_id)

    async def _settle(self, conn: AsyncConnection, work: _Work) -> None:
        """Parked rows, then positions and events in one."""
        await self.parking.release(conn, work.settled)
        fresh = [failure for failure in work.failures if failure.record.parked_id is None]
        await self.parking.keep(conn, work.failures)
        for failure in fresh:
            telemetry.PARKED_RECORDS.labels(self.schema, failure.record.topic, failure.reason).inc()
        drafts = work.drafts
        if announced := [failure for failure in fresh if failure.reason != "behind"]:
            now = await clock(conn)
            drafts = [*drafts, *(replace(parked_draft(self.schema, f, now), time=now) for f in announced)]
        await self.outbox.publish(conn, drafts, NEVER, heard=work.positions)
        for place in sorted(work.filled):
            await self.parking.ask(conn, "replay", *place)
