"""The live streams of this process: one connection listens, one query brings what all connected agents have to be told.

NOTIFY only wakes. What is told stands in the stream's rows, so any process serves any agent, and nothing is lost between two.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncpg

from services.routing.settings import RoutingSettings
from services.routing.store import streams
from services.routing.store.streams import Told
from shared import db
from shared.deadlines import within
from shared.service import Resources
from shared.telemetry import log

ROWS_AT_ONCE = 200
FALLBACK_SECONDS = 1.0
BACK_OFF_SECONDS = 1.0
SILENCE_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Subscriber:
    """One open stream. `cursor` is the last number fetched for it; what was fetched and not yet sent waits in `told`."""

    agent_id: str
    cursor: int
    present: bool = True
    told: deque[Told] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    async def rows(self) -> AsyncIterator[Told | None]:
        """What is told, until the stream is closed by us; None when nothing was for a while. The caller ends it by leaving."""
        while True:
            while self.told:
                yield self.told.popleft()
            if self.closed:
                return
            self.ready.clear()
            try:
                await within(self.ready.wait(), SILENCE_SECONDS)
            except TimeoutError:
                yield None


@dataclass(slots=True)
class Hub:
    """Feeds the open streams and renews their agents' presence until cancelled. Calls `matching_woken` for the matcher."""

    parts: Resources
    settings: RoutingSettings
    matching_woken: Callable[[], None]
    _subscribers: set[Subscriber] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def subscribed(self, agent_id: str, cursor: int, *, present: bool) -> Iterator[Subscriber]:
        """A subscriber for as long as the stream is open. `present`: it is the agent who listens, and so is there."""
        subscriber = Subscriber(agent_id, cursor, present)
        self._subscribers.add(subscriber)
        self._wake.set()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    @property
    def agents(self) -> set[str]:
        """Whose streams are open here."""
        return {subscriber.agent_id for subscriber in self._subscribers}

    def pass_by(self, told: Told) -> None:
        """Tell an agent who listens here something that is kept nowhere; who has much to read already is not told."""
        for subscriber in self._subscribers:
            if subscriber.agent_id == told.agent_id and len(subscriber.told) < ROWS_AT_ONCE:
                subscriber.told.append(told)
                subscriber.ready.set()

    def close(self) -> None:
        """End all streams: their clients connect again, to another process or to our successor."""
        for subscriber in self._subscribers:
            subscriber.closed = True
            subscriber.ready.set()

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        while True:
            try:
                await self._listen_and_feed()
            except (db.DatabaseAway, *db.DRIVER_ERRORS) as error:
                log().warning("live streams wait", error=type(error).__name__)
                await asyncio.sleep(BACK_OFF_SECONDS)

    async def renew(self) -> None:
        """Renew the presence of all agents with an open stream, until cancelled."""
        while True:
            present = {subscriber.agent_id for subscriber in self._subscribers if subscriber.present}
            try:
                if present:
                    async with db.transaction(self.parts.engine) as conn:
                        await streams.renew(conn, present, self.settings.routing_presence_seconds)
            except db.DatabaseAway as error:
                log().warning("presence is not renewed", error=type(error).__name__)
            await asyncio.sleep(self.settings.routing_presence_seconds / 4)

    async def _listen_and_feed(self) -> None:
        url = self.settings.database.get_secret_value()
        connection = await asyncpg.connect(url, timeout=5, server_settings={"application_name": "patchbay-routing-hub"})
        try:
            await connection.add_listener("routing_stream", lambda *_: self._wake.set())
            await connection.add_listener("routing_match", lambda *_: self.matching_woken())
            while not connection.is_closed():
                self._wake.clear()
                if not await self._feed():
                    await self._idle()
            raise ConnectionError("the listening connection was closed")
        finally:
            connection.terminate()

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(FALLBACK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _feed(self) -> bool:
        """Fetch for all who have nothing waiting. True when somebody may have more."""
        hungry = [subscriber for subscriber in self._subscribers if len(subscriber.told) < ROWS_AT_ONCE]
        if not hungry:
            return False
        cursors: dict[str, int] = {}
        for subscriber in hungry:
            cursors[subscriber.agent_id] = min(subscriber.cursor, cursors.get(subscriber.agent_id, subscriber.cursor))
        async with db.reading(self.parts.engine) as conn:
            rows = await streams.after(conn, cursors, ROWS_AT_ONCE)
        by_agent: dict[str, list[Told]] = {}
        for row in rows:
            by_agent.setdefault(row.agent_id, []).append(row)
        for subscriber in hungry:
            self._serve(subscriber, by_agent.get(subscriber.agent_id, []))
        return any(len(told) >= ROWS_AT_ONCE for told in by_agent.values())

    def _serve(self, subscriber: Subscriber, rows: list[Told]) -> None:
        fresh = [row for row in rows if row.n > subscriber.cursor]
        if fresh:
            subscriber.told.extend(fresh)
            subscriber.cursor = fresh[-1].n
            subscriber.ready.set()
