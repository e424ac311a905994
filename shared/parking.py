"""Records that could not be taken: kept with their error, later ones of the same key behind them, all others flow.

An operator asks for `replay` (try again), `discard` (drop the first one of the key) or `skip` (go on over a gap) by a mark on
the row; the process that reads the partition does it, between two batches. A new version of the code tries all again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.events.base import Draft, Event, Fact, Position, Writer
from shared.events.codec import Undecodable, decode
from shared.events.signals import RecordParked
from shared.offsets import Offsets, Place
from shared.positions import Heard, Positions
from shared.records import Failure, Record, Subject, event_of
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.folding import AnyProjection, Folder

Request = Literal["replay", "discard", "skip"]
KEYS_AT_ONCE = 50
ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A key with parked records about which something is to be done."""

    topic: str
    key: str
    partition: int


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """A key as an operator sees it: its first parked record, and how many wait in all. `requested` is not done yet."""

    topic: str
    key: str
    partition: int
    offset: int
    first_id: int
    reason: str
    error: str
    event_type: str | None
    attempts: int
    parked_at: datetime
    records: int
    requested: Request | None


@cache
def code_version(service: str) -> str:
    """A fingerprint of the code that handles this service's records: another one means that parked keys are tried again."""
    digest = hashlib.sha256()
    for folder in (db.ROOT / "shared", db.ROOT / "services" / service):
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Parking:
    """The parked records of one service."""

    schema: Writer
    version: str
    rows_at_once: int = ROWS_AT_ONCE

    async def standing(self, conn: AsyncConnection, records: Sequence[Record]) -> tuple[Positions, dict[Subject, Writer | None]]:
        """How far each writer was applied on the records' keys, and which keys wait behind a record parked before these: with
        the writer whose gap it is, None for others. One statement.
        """
        keys = sorted({Subject(record.topic, record.key) for record in records})
        first = min((r.parked_id for r in records if r.parked_id is not None), default=None)
        rows = await db.fetch(
            conn,
            f"""
            WITH w AS (SELECT * FROM unnest($1::text[], $2::text[]) AS w(topic, key))
            SELECT topic, key, p.writer, p.incarnation, p.seq, NULL AS reason, NULL AS value
            FROM w JOIN {self.schema}.key_position p USING (topic, key)
            UNION ALL
            (SELECT DISTINCT ON (topic, key) topic, key, NULL, NULL, NULL, p.reason, p.value
             FROM w JOIN {self.schema}.parked p USING (topic, key) WHERE p.id < coalesce($3, p.id + 1) ORDER BY topic, key, p.id)
            """,
            [place.topic for place in keys],
            [place.key for place in keys],
            first,
        )
        positions = Positions(self.schema, {})
        blocked: dict[Subject, Writer | None] = {}
        for topic, key, writer, incarnation, seq, reason, value in rows:
            if writer is not None:
                positions.known[Heard(topic, key, writer)] = Position(incarnation, seq)
            else:
                blocked[Subject(topic, key)] = decode(value).writer if reason == "gap" else None
        return positions, blocked

    async def keep(self, conn: AsyncConnection, failures: Sequence[Failure]) -> None:
        """Park these records; one that is parked already gets its new error and loses the mark of what was asked."""
        if not failures:
            return
        await conn.execute(
            sa.text(
                f"""
                INSERT INTO {self.schema}.parked AS p
                    (topic, key, partition, "offset", value, reason, error, event_type, code_version)
                SELECT t.*, :version FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:partitions AS integer[]),
                    CAST(:offsets AS bigint[]), CAST(:values AS bytea[]), CAST(:reasons AS text[]), CAST(:errors AS text[]),
                    CAST(:types AS text[])) AS t
                ON CONFLICT (topic, partition, "offset") DO UPDATE SET reason = excluded.reason, error = excluded.error,
                    code_version = excluded.code_version, attempts = p.attempts + 1, requested = NULL
                """
            ),
            {
                "version": self.version,
                "topics": [f.record.topic for f in failures],
                "keys": [f.record.key for f in failures],
                "partitions": [f.record.partition for f in failures],
                "offsets": [f.record.offset for f in failures],
                "values": [f.record.value for f in failures],
                "reasons": [f.reason for f in failures],
                "errors": [f.error.replace("\x00", "\ufffd")[:2000] for f in failures],
                "types": [f.event_type for f in failures],
            },
        )

    async def release(self, conn: AsyncConnection, ids: Sequence[int]) -> None:
        """These parked records were applied, or turned out to be repeats."""
        if ids:
            await conn.execute(sa.text(f"DELETE FROM {self.schema}.parked WHERE id = ANY(:ids)"), {"ids": list(ids)})

    async def ask(self, conn: AsyncConnection, request: Request, topic: str, key: str) -> int:
        """Mark the records of a key (only the first for `discard` and `skip`). Returns how many were marked."""
        first = (
            ""
            if request == "replay"
            else f" AND id = (SELECT min(id) FROM {self.schema}.parked WHERE topic = :topic AND key = :key)"
        )
        result = await conn.execute(
            sa.text(f"UPDATE {self.schema}.parked SET requested = :request WHERE topic = :topic AND key = :key{first}"),
            {"request": request, "topic": topic, "key": key},
        )
        return result.rowcount

    async def keys(self, conn: AsyncConnection, topic: str | None = None, key: str | None = None) -> list[ParkedKey]:
        """The keys with parked records (or the one asked for), the longest parked first."""
        rows = await conn.execute(
            sa.text(
                f"""
                SELECT f.topic, f.key, f.partition, f."offset", f.id AS first_id, f.reason, f.error, f.event_type, f.attempts,
                       f.parked_at, k.records, k.requested
                FROM (SELECT min(id) AS id, count(*) AS records, max(requested) AS requested FROM {self.schema}.parked
                      WHERE topic = coalesce(:topic, topic) AND key = coalesce(:key, key) GROUP BY topic, key) k
                JOIN {self.schema}.parked f USING (id) ORDER BY f.parked_at, f.id
                """
            ),
            {"topic": topic, "key": key},
        )
        return [ParkedKey(**row._mapping) for row in rows]

    async def work_off(
        self,
        engine: AsyncEngine,
        folder: Folder,
        projections: Sequence[AnyProjection],
        mine: Collection[tuple[str, int]],
    ) -> None:
        """Do what was asked for the keys of the partitions read here, and try again what other code had parked."""
        by_topic = {projection.topic.name: projection for projection in projections}
        async with db.transaction(engine) as conn:
            waiting = [w for w in await self._waiting(conn) if (w.topic, w.partition) in mine and w.topic in by_topic]
        for key in waiting:
            await db.retrying(partial(self._try_again, engine, folder, by_topic[key.topic], key))

    async def _waiting(self, conn: AsyncConnection) -> list[Waiting]:
        rows = await conn.execute(
            sa.text(
                f"""
                SELECT topic, key, min(partition) AS partition FROM {self.schema}.parked
                GROUP BY topic, key HAVING bool_or(requested IS NOT NULL) OR bool_or(code_version <> :version)
                LIMIT :keys
                """
            ),
            {"version": self.version, "keys": KEYS_AT_ONCE},
        )
        return [Waiting(row.topic, row.key, row.partition) for row in rows]

    async def _try_again(self, engine: AsyncEngine, folder: Folder, projection: AnyProjection, key: Waiting) -> None:
        async with db.transaction(engine) as conn:
            await self._retry(conn, folder, projection, key)

    async def _retry(self, conn: AsyncConnection, folder: Folder, projection: AnyProjection, key: Waiting) -> None:
        await Offsets(self.schema).lock(conn, Place(key.topic, key.partition))
        records, request = await self._records(conn, key)
        if not records:
            return
        last = records[-1]
        if request != "replay":
            records = await self._step_over(conn, key, request, records)
        failures = await self._fold(conn, folder, projection, records)
        last = failures[0].record if failures else last
        await self._pass_on(conn, last, None if failures else "replay")
        log().info("parked key tried again", topic=key.topic, key=key.key, request=request, still_parked=len(failures))

    async def _fold(
        self, conn: AsyncConnection, folder: Folder, projection: AnyProjection, records: Sequence[Record]
    ) -> list[Failure]:
        """Fold them together; where a table does not take that, one by one as far as it goes. What failed stays parked."""
        try:
            async with db.savepoint(conn):
                return await folder.fold(conn, projection, records)
        except Exception as error:
            if db.may_pass(error):
                raise
            log().error("parked records failed together; taking them one by one", error=type(error).__name__, exc_info=True)
        for record in records:
            failures = await folder.fold_each(conn, projection, [record])
            if failures:
                return failures
        return []

    async def _records(self, conn: AsyncConnection, key: Waiting) -> tuple[list[Record], Request]:
        """The first records of the key, and what is asked. Locked, so that a mark set meanwhile is not wiped out unseen."""
        rows = (
            await conn.execute(
                sa.text(
                    f'SELECT id, topic, partition, "offset", key, value, requested FROM {self.schema}.parked'
                    " WHERE topic = :topic AND key = :key ORDER BY id LIMIT :rows FOR UPDATE"
                ),
                {"topic": key.topic, "key": key.key, "rows": self.rows_at_once},
            )
        ).all()
        records = [Record(row.topic, row.partition, row.offset, row.key, row.value or b"", row.id) for row in rows]
        return records, next((cast(Request, row.requested) for row in rows if row.requested), "replay")

    async def _pass_on(self, conn: AsyncConnection, last: Record, request: Request | None) -> None:
        """What is asked now of the key's records after those just tried: the same where all went well, else nothing."""
        await conn.execute(
            sa.text(
                f"UPDATE {self.schema}.parked SET requested = :request, code_version = :version"
                " WHERE topic = :topic AND key = :key AND id > :last"
            ),
            {"request": request, "version": self.version, "topic": last.topic, "key": last.key, "last": last.parked_id},
        )

    async def _step_over(self, conn: AsyncConnection, key: Waiting, request: Request, records: list[Record]) -> list[Record]:
        """Discard the first record, or accept the gap before it; then the rest can follow."""
        first = records[0]
        event = _readable(first)
        if event is not None:
            positions = await Positions.load(conn, self.schema, key.topic, [key.key])
            seq = event.position.seq - (1 if request == "skip" else 0)
            if positions.judge(key.topic, event) != "repeat":
                positions.set(Heard(key.topic, event.key, event.writer), Position(event.position.incarnation, seq))
                await positions.save(conn)
        if request == "discard":
            log().warning("parked record discarded", topic=first.topic, partition=first.partition, offset=first.offset)
            await self.release(conn, [first.parked_id] if first.parked_id is not None else [])
            return records[1:]
        return records


def _readable(record: Record) -> Event[Fact] | None:
    try:
        return event_of(record)
    except Undecodable:
        return None


def parked_draft(service: Writer, failure: Failure, now: datetime) -> Draft[Fact]:
    """The announcement of a parked record. Why one cannot be read stays in the table: it quotes the record."""
    record = failure.record
    fact = RecordParked(
        service=service,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        record_key=record.key,
        reason=failure.reason,  # type: ignore[arg-type]
        error=(failure.error if failure.reason in ("failed", "gap") else failure.reason)[:200],
        event_type=failure.event_type,
        parked_at=now,
    )
    return Draft(
        key=f"{record.topic}-{record.partition}",
        data=fact,
        cause=f"{service}:{record.topic}:{record.partition}:{record.offset}",
    )
