"""What stands at this moment: for the live stream, and for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from services.metrics import store
from services.metrics.domain.cells import Dims, Measure
from shared import db
from shared.clock import clock
from shared.deadlines import within
from shared.telemetry import log

MEASURES: tuple[Measure, ...] = ("backlog_now", "waiting_now", "agents_now", "commitment_running_now")
REFRESH_SECONDS = 0.4
# Timers of uvloop may be a millisecond early; who looks then must not be shown what was read at the last look.
SHARED_SECONDS = 0.9 * REFRESH_SECONDS
HEARTBEAT_SECONDS = 15.0
GAUGES_SECONDS = 5.0

BACKLOG = Gauge("patchbay_backlog_tickets", "Tickets in the backlog, and pending and on hold beside it", ["status", "channel"])
WAITING = Gauge("patchbay_waiting_tickets", "Tickets that wait in a queue", ["queue"])
AGENTS = Gauge("patchbay_agents", "Agents in each state", ["state"])
COMMITMENTS = Gauge("patchbay_open_commitments", "Commitments that run or are paused", ["state", "policy"])

GAUGES: tuple[tuple[Gauge, Measure, tuple[str, ...]], ...] = (
    (BACKLOG, "backlog_now", ("state", "channel")),
    (WAITING, "waiting_now", ("queue",)),
    (AGENTS, "agents_now", ("state",)),
    (COMMITMENTS, "commitment_running_now", ("state", "policy")),
)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All figures that stand now. `as_of` is the time of the newest record they contain, `at` when they were read."""

    at: datetime
    as_of: datetime | None
    backlog: int
    tickets_by_status: dict[str, int]
    tickets_by_queue: dict[str, int]
    tickets_by_agent: dict[str, int]
    waiting_by_queue: dict[str, int]
    agents_by_state: dict[str, int]
    commitments_by_state: dict[str, int]

    def same_as(self, other: Snapshot | None) -> bool:
        """Whether the figures are the same, whenever they were read."""
        return other is not None and msgspec.structs.replace(other, at=self.at) == self


Standing = Iterable[tuple[Measure, Dims, int]]


def summed(standing: Standing, measure: Measure, *names: str) -> dict[tuple[str, ...], int]:
    """The standing figures of a measure by some dimensions."""
    counts: Counter[tuple[str, ...]] = Counter()
    for one, dims, n in standing:
        if one == measure:
            counts[tuple(getattr(dims, name) for name in names)] += n
    return dict(sorted(counts.items()))


def _by(standing: Standing, measure: Measure, name: str) -> dict[str, int]:
    return {key: n for (key,), n in summed(standing, measure, name).items()}


@dataclass(slots=True)
class Picture:
    """What was read at one time, and what was made of it for the house (None) and for each partner who watches."""

    standing: list[tuple[Measure, Dims, int]]
    as_of: datetime | None
    at: datetime
    _made: dict[str | None, Snapshot] = field(default_factory=dict)

    def of(self, partner_id: str | None) -> Snapshot:
        """All of it, or what is of one partner."""
        if partner_id not in self._made:
            self._made[partner_id] = self._of([one for one in self.standing if partner_id in (None, one[1].partner)])
        return self._made[partner_id]

    def _of(self, standing: Standing) -> Snapshot:
        statuses = _by(standing, "backlog_now", "state")
        return Snapshot(
            at=self.at,
            as_of=self.as_of,
            backlog=statuses.get("new", 0) + statuses.get("open", 0),
            tickets_by_status=statuses,
            tickets_by_queue=_by(standing, "backlog_now", "queue"),
            tickets_by_agent=_by(standing, "backlog_now", "agent"),
            waiting_by_queue=_by(standing, "waiting_now", "queue"),
            agents_by_state=_by(standing, "agents_now", "state"),
            commitments_by_state=_by(standing, "commitment_running_now", "state"),
        )


@dataclass(slots=True)
class Live:
    """Reads the snapshot for all who watch, who share it for SHARED_SECONDS."""

    engine: AsyncEngine
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _read: float = 0.0
    _picture: Picture | None = None

    def stop(self) -> None:
        """End all streams, so that the server can."""
        self._stopping.set()

    async def snapshot(self, partner_id: str | None = None) -> Snapshot:
        """The figures as they stand, not older than SHARED_SECONDS; only a partner's when given. Raises DatabaseAway."""
        async with self._lock:
            if self._picture is None or time.monotonic() - self._read >= SHARED_SECONDS:
                self._picture = await self._load()
                self._read = time.monotonic()
            return self._picture.of(partner_id)

    async def watch(self, partner_id: str | None = None) -> AsyncIterator[Snapshot | None]:
        """The snapshot at once and whenever it changes; None now and then when it does not, as a sign of life."""
        last: Snapshot | None = None
        said = time.monotonic()
        while not self._stopping.is_set():
            snapshot = await self._snapshot_or(last, partner_id)
            if snapshot is not None and not snapshot.same_as(last):
                last, said = snapshot, time.monotonic()
                yield snapshot
            elif time.monotonic() - said > HEARTBEAT_SECONDS:
                said = time.monotonic()
                yield None
            await self._pause(REFRESH_SECONDS)

    async def publish_gauges(self) -> None:
        """Keep the Prometheus gauges up to date, until cancelled."""
        while True:
            try:
                async with db.transaction(self.engine) as conn:
                    set_gauges(await store.standing_now(conn, MEASURES))
            except db.DatabaseAway as error:
                log().warning("figures for Prometheus are not fresh", error=str(error))
            await asyncio.sleep(GAUGES_SECONDS)

    async def _snapshot_or(self, last: Snapshot | None, partner_id: str | None) -> Snapshot | None:
        try:
            return await self.snapshot(partner_id)
        except db.DatabaseAway:
            return last

    async def _pause(self, seconds: float) -> None:
        try:
            await within(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _load(self) -> Picture:
        async with db.transaction(self.engine) as conn:
            standing = await store.standing_now(conn, MEASURES)
            return Picture(standing, await store.as_of(conn), await clock(conn))


def set_gauges(standing: Standing) -> None:
    """Set the gauges; labels that stand for nothing any more disappear."""
    standing = list(standing)
    for gauge, measure, names in GAUGES:
        gauge.clear()
        for labels, n in summed(standing, measure, *names).items():
            gauge.labels(*labels).set(n)
