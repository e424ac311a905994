"""One process after the other over a database and a log, each killed where it is told; and what they left, to compare.

No whole system: each piece of a service (`parts.py`) runs alone, does all there is to do for it and ends, so that the same
work can be done again and again, killed at every point of it, in a copy of the same database.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from services.intake.domain.contacts import Contact
from shared import kafka
from shared.deadlines import within
from shared.events.topics import TOPICS
from shared.settings import Settings
from tests.faults.parts import Job, Request, run
from tests.faults.stepping import Order, Point
from tests.infra import fresh_database, url_of
from tests.system import until

END_SECONDS = 90.0

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["__main__", "tests.faults.parts"])


@dataclass(frozen=True, slots=True)
class Ran:
    """How a process ended: its exit code, the points it passed (unless it was killed), the answers it gave, what it said."""

    exit_code: int
    points: list[Point]
    answers: list[dict[str, Any]]
    log: str

    @property
    def killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self.exit_code == -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started."""

    process: ForkServerProcess
    job: Job

    async def stands_still(self) -> None:
        """Wait until it has stopped itself at its point."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        await until("the process stands still", lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 20)

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid or 0, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    async def ended(self) -> Ran:
        """Wait for its end. All of it in the thread that starts processes: starting one looks at the others, and of two threads
        that look at one that has just ended, the second is told that it ended with 255.
        """
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self.process.sentinel, over.set)
        try:
            with suppress(TimeoutError):
                await within(over.wait(), END_SECONDS)
        finally:
            loop.remove_reader(self.process.sentinel)
        code = self.process.exitcode
        assert code is not None, f"{self.job.part} does not end:\n{self.job.log.read_text(errors='replace')}"
        points = msgspec.json.decode(self.job.points.read_bytes(), type=list[Point]) if self.job.points.exists() else []
        answers = self.job.answers.read_bytes().splitlines() if self.job.answers.exists() else []
        log = self.job.log.read_text(errors="replace") if self.job.log.exists() else ""
        return Ran(code, points, [json.loads(line) for line in answers], log)


@dataclass(slots=True)
class Rig:
    """A broker, a server and a folder for processes to run on. `settings` are those of every process but the database."""

    settings: Mapping[str, object]
    server_url: str
    folder: Path
    log: AIOKafkaConsumer
    _started: int = 0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looks: dict[tuple[str, ...], str] = field(default_factory=dict)

    def start(
        self,
        part: str,
        database: str,
        *,
        contacts: Sequence[Contact] = (),
        requests: Sequence[Request] = (),
        ends: Mapping[str, tuple[int, ...]] | None = None,
        group: str = "",
        order: Order | None = None,
        broken: str | None = None,
        lasts: bool = False,
        **settings: object,
    ) -> Running:
        """Start a process that does this part."""
        self._started += 1
        folder = self.folder / f"{self._started}-{part.replace(' ', '-')}"
        folder.mkdir()
        job = Job(
            part=part,
            settings={**self.settings, **settings, "database": database},
            folder=str(folder),
            contacts=tuple(contacts),
            requests=tuple(requests),
            ends=ends or {},
            group=group,
            order=order,
            broken=broken,
            lasts=lasts,
        )
        process = forks.Process(target=run, args=(job,))
        process.start()
        return Running(process, job)

    async def run(self, part: str, database: str, **how: Any) -> Ran:
        """Do this part, to its end or until it is killed as ordered. Raises AssertionError when it fails of itself."""
        ran = await self.start(part, database, **how).ended()
        assert ran.exit_code == 0 or (how.get("order") and ran.killed), f"{part}: {ran.exit_code}\n{ran.log[-4000:]}"
        return ran

    async def ends(self) -> dict[str, tuple[int, ...]]:
        """Where each partition of each topic ends now."""
        partitions = Settings().partitions
        counts = {topic.name: topic.partitions or partitions for topic in TOPICS}
        places = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
        found = await self.log.end_offsets(places)
        return {topic: tuple(found[TopicPartition(topic, n)] for n in range(count)) for topic, count in counts.items()}

    async def records(self, since: Mapping[str, tuple[int, ...]]) -> list[ConsumerRecord]:
        """What was written to the log since then, partition by partition."""
        starts, ends = _by_place(since), _by_place(await self.ends())
        found: dict[TopicPartition, list[ConsumerRecord]] = defaultdict(list)
        async with self._reading, asyncio.timeout(30):
            self.log.assign(list(starts))
            for place, offset in starts.items():
                self.log.seek(place, offset)
            while any([await self.log.position(place) < ends[place] for place in starts]):
                for place, records in (await self.log.getmany(timeout_ms=100)).items():
                    found[place].extend(records)
        return [record for place in sorted(found) for record in found[place]]

    @asynccontextmanager
    async def copy(self, database: str) -> AsyncIterator[str]:
        """A copy of a database in which nobody works, dropped afterwards."""
        await self.left_alone(database)
        async with fresh_database(self.server_url, database.rpartition("/")[2]) as url:
            yield url

    async def left_alone(self, database: str) -> None:
        """Wait until the server has noticed that no process works in this database any more."""
        name = database.rpartition("/")[2]
        watcher = await asyncpg.connect(url_of(self.server_url, "postgres"), timeout=10)

        async def alone() -> bool:
            statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
            return int(await watcher.fetchval(statement, name, timeout=10)) == 0

        try:
            await until(f"nobody works in {name}", alone, 30)
        finally:
            await watcher.close(timeout=5)

    async def rows(self, database: str, statement: str, *values: object) -> list[asyncpg.Record]:
        """Look into a database, or reach into it."""
        connection = await asyncpg.connect(database, timeout=10)
        try:
            return list(await connection.fetch(statement, *values, timeout=20))
        finally:
            await connection.close(timeout=5)

    async def state(self, database: str, since: datetime, *schemas: str) -> list[str]:
        """All rows of these schemas, a line each, in an order that does not depend on when they were written, except the
        outbox, whose order is what it says. Times since `since` and what chance decides (nonces, traces, the numbers that a
        sequence skipped) are left out.
        """
        await self.left_alone(database)
        if schemas not in self._looks:
            self._looks[schemas] = await self._look_of(database, schemas)
        rows = await self.rows(database, self._looks[schemas])
        lines = [(row["place"], row["n"], _without_chance(json.loads(row["row"]), since)) for row in rows]
        return [f"{place} {line}" for place, _, line in sorted(lines)]

    async def _look_of(self, database: str, schemas: tuple[str, ...]) -> str:
        columns = await self.rows(
            database,
            "SELECT t.table_schema || '.' || t.table_name AS place,"
            " coalesce(array_agg(c.column_name::text) FILTER (WHERE c.is_identity = 'YES'), '{}') AS counted"
            " FROM information_schema.tables t JOIN information_schema.columns c USING (table_schema, table_name)"
            " WHERE t.table_schema = ANY($1) GROUP BY 1 ORDER BY 1",
            list(schemas),
        )
        parts = []
        for row in columns:
            place, counted = row["place"], row["counted"]
            n = "t.id" if place.endswith(".outbox") else "0::bigint"
            without = "".join(f" - '{column}'" for column in counted)
            parts.append(f"SELECT '{place}' AS place, {n} AS n, (to_jsonb(t){without})::text AS row FROM {place} t")
        return " UNION ALL ".join(parts)


def _by_place(offsets: Mapping[str, tuple[int, ...]]) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, n): offset for topic, of_topic in offsets.items() for n, offset in enumerate(of_topic)}


TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)")
BOX = re.compile(r'"box": ?"([^"]*)"')
CHANCE = {
    re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"): "<trace>",
    re.compile(r'"(published_late|answered|waited|in_state)_us": ?\d+'): r'"\1_us":<since>',
    re.compile(r"\b1000\d\d\b"): "<number>",
}


def _without_chance(row: dict[str, Any], since: datetime) -> str:
    text = json.dumps({name: _readable(value) for name, value in row.items()}, ensure_ascii=False)
    text = text.replace('\\"', '"')
    text = TIME.sub(lambda found: "<time>" if datetime.fromisoformat(found[0]) >= since else found[0], text)
    text = BOX.sub(lambda found: f'"box":<{len(found[1])} characters>', text)
    for pattern, instead in CHANCE.items():
        text = pattern.sub(instead, text)
    return text


def _readable(value: object) -> object:
    """A column of bytes as the text that it holds, or else as how many there are."""
    if not isinstance(value, str) or not value.startswith("\\x"):
        return value
    raw = bytes.fromhex(value[2:])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"<{len(raw)} bytes>"


@asynccontextmanager
async def open_rig(bootstrap: str, server_url: str, folder: Path, **settings: object) -> AsyncIterator[Rig]:
    """A rig on these servers. The topics must be there."""
    log = await kafka.start_consumer(Settings(kafka=bootstrap), "rig", (), group=None)
    try:
        yield Rig({"kafka": bootstrap, **settings}, server_url, folder, log)
    finally:
        await kafka.stop(log)
