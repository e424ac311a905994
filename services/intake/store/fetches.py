"""Files that are to be fetched: claimed by one process at a time. A row is gone when its file is there, or will never come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.media import Fetch
from services.intake.store.leases import claiming, postponing
from shared import db
from shared.events.base import Attachment

INSERT = """
    INSERT INTO intake.fetch (attachment_id, message_id, customer_id, url, due_at)
    SELECT *, $1::timestamptz FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING
    """
CLAIM = claiming("intake.fetch", "attachment_id", "t.attachment_id, t.message_id, t.url, t.attempts")
POSTPONE = postponing("intake.fetch", "attachment_id")
# None where another process went on with it, or its person was erased in the meantime.
END = """
    WITH ended AS (DELETE FROM intake.fetch WHERE attachment_id = $1 AND attempts = $2::integer RETURNING message_id, told)
    SELECT m.ticket_id, m.customer_id, e.told FROM ended e JOIN intake.message m ON m.id = e.message_id
    """
KEEP = """
    INSERT INTO intake.file (id, media_type, size_bytes, sha256, content, message_id, ticket_id, customer_id)
    VALUES ($1, $2, $3::bigint, $4, $5::bytea, $6, $7, $8) ON CONFLICT (id) DO NOTHING
    """
TOLD = "UPDATE intake.fetch SET told = true WHERE attachment_id = ANY($1::text[])"
DROP = "DELETE FROM intake.fetch WHERE attachment_id = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Ended:
    """Whose file it is. `told`: what became of it stands on the log already, from before a backup was restored."""

    ticket_id: str
    customer_id: str
    told: bool


async def insert(conn: AsyncConnection, rows: Sequence[tuple[str, str, str, str]], due_at: datetime) -> None:
    """Files to be fetched: (attachment id, message id, customer id, URL). Those that are there already stay as they are."""
    if rows:
        await db.fetch(conn, INSERT, due_at, *(list(column) for column in zip(*rows, strict=True)))


async def claim(conn: AsyncConnection, most: int, lease_seconds: float) -> list[Fetch]:
    """What is due, for this process alone until the lease ends."""
    return [Fetch(*row) for row in await db.fetch(conn, CLAIM, most, lease_seconds)]


async def postpone(conn: AsyncConnection, fetch: Fetch, due_at: datetime) -> None:
    """Try again then."""
    await db.fetch(conn, POSTPONE, fetch.attachment_id, fetch.attempts, due_at)


async def end(conn: AsyncConnection, fetch: Fetch) -> Ended | None:
    """It is over, if it is still ours."""
    rows = await db.fetch(conn, END, fetch.attachment_id, fetch.attempts)
    return Ended(*rows[0]) if rows else None


async def keep(conn: AsyncConnection, fetch: Fetch, ended: Ended, file: Attachment, content: bytes) -> None:
    """Keep a file as one of its message's."""
    whose = fetch.message_id, ended.ticket_id, ended.customer_id
    await db.fetch(conn, KEEP, file.id, file.media_type, file.size_bytes, file.sha256, content, *whose)


async def note_told(conn: AsyncConnection, fetched: Sequence[str], failed: Sequence[str]) -> None:
    """As the log has it: of these the outcome was said. What was fetched is fetched again and not said again."""
    if fetched:
        await db.fetch(conn, TOLD, list(fetched))
    if failed:
        await db.fetch(conn, DROP, list(failed))
