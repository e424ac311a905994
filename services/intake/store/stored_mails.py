"""Mails that stand in S3 and are to be fetched: claimed by one process each. A row is gone when its mail was taken or parked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.store.leases import claiming, postponing
from shared import db
from shared.events.base import derived_id

INSERT = """
    INSERT INTO intake.stored_mail (id, sender, pointer, traceparent) VALUES ($1, $2, $3::bytea, $4) ON CONFLICT DO NOTHING
    """
CLAIM = claiming("intake.stored_mail", "id", "t.id, t.pointer, t.traceparent, t.attempts")
POSTPONE = postponing("intake.stored_mail", "id")
OURS = "SELECT FROM intake.stored_mail WHERE id = $1 AND attempts = $2::integer"
END = "DELETE FROM intake.stored_mail WHERE id = $1 AND attempts = $2::integer RETURNING id"


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A mail that is to be fetched; its pointer says where it is. `attempts` counts the one at hand."""

    id: str
    pointer: bytes
    traceparent: str | None
    attempts: int


async def insert(
    conn: AsyncConnection, place: tuple[str, str], sender: str, pointer: bytes, traceparent: str | None = None
) -> None:
    """A mail to be fetched, now; `place` is its bucket and key. One that is there already stays as it is."""
    await db.fetch(conn, INSERT, derived_id("stored mail", *place), sender, pointer, traceparent)


async def claim(conn: AsyncConnection, most: int, lease_seconds: float) -> list[StoredRow]:
    """What is due, for this process alone until the lease ends."""
    return [StoredRow(*row) for row in await db.fetch(conn, CLAIM, most, lease_seconds)]


async def is_ours(conn: AsyncConnection, row: StoredRow) -> bool:
    """Whether nobody else went on with it, and its sender was not erased meanwhile."""
    return bool(await db.fetch(conn, OURS, row.id, row.attempts))


async def postpone(conn: AsyncConnection, row: StoredRow, due_at: datetime) -> None:
    """Try again then."""
    await db.fetch(conn, POSTPONE, row.id, row.attempts, due_at)


async def end(conn: AsyncConnection, row: StoredRow) -> bool:
    """It is over, if it is still ours."""
    return bool(await db.fetch(conn, END, row.id, row.attempts))
