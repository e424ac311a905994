"""Files that are kept by themselves: what agents upload to send along (and what was fetched: `fetches.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.base import Attachment

UPLOAD = """
    INSERT INTO intake.file (id, media_type, size_bytes, sha256, content) VALUES ($1, $2, $3::bigint, $4, $5::bytea)
    ON CONFLICT (id) DO NOTHING
    """
FOUND = "SELECT id, media_type, size_bytes, sha256 FROM intake.file WHERE id = $1"
# A reply may come to be known only after its customer was erased.
USE = """
    UPDATE intake.file f SET message_id = w.message_id, ticket_id = w.ticket_id, customer_id = w.customer_id,
        content = CASE WHEN NOT EXISTS (SELECT FROM intake.customer c WHERE c.id = w.customer_id AND c.erased_at IS NOT NULL)
                       THEN f.content END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS w(id, sha256, message_id, ticket_id, customer_id)
    WHERE f.id = w.id AND f.sha256 = w.sha256 AND f.message_id IS NULL
    """
OF_MESSAGE = "SELECT id, media_type, content FROM intake.file WHERE message_id = $1 AND content IS NOT NULL"
FORGET = """
    DELETE FROM intake.file WHERE message_id IS NULL AND id IN (
        SELECT id FROM intake.file WHERE message_id IS NULL AND created_at < now() - interval '1 day'
        ORDER BY created_at LIMIT 100)
    """


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file with its content."""

    id: str
    media_type: str
    content: bytes


async def upload(conn: AsyncConnection, file: Attachment, content: bytes) -> Attachment:
    """Keep a file; one that is there under its id stays. Returns what is kept."""
    await db.fetch(conn, UPLOAD, file.id, file.media_type, file.size_bytes, file.sha256, content)
    [row] = await db.fetch(conn, FOUND, file.id)
    return Attachment(id=row["id"], media_type=row["media_type"], size_bytes=row["size_bytes"], sha256=row["sha256"])


async def use(conn: AsyncConnection, rows: Sequence[tuple[str, str, str, str, str]]) -> None:
    """Files (by id and hash) belong to a message, its ticket and its customer from now on; one that belongs to another stays."""
    await db.fetch(conn, USE, *(list(column) for column in zip(*rows, strict=True)))


async def of_message(conn: AsyncConnection, message_id: str) -> dict[str, StoredFile]:
    """The files of a reply, by id."""
    return {row["id"]: StoredFile(*row) for row in await db.fetch(conn, OF_MESSAGE, message_id)}


async def forget_unused(conn: AsyncConnection) -> None:
    """Delete what was uploaded a day ago and never sent, so much at a time as a transaction can."""
    await db.fetch(conn, FORGET)
