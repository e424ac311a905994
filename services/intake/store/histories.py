"""What a customer may see of a ticket by its link: how it stands, and what was written to and fro."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.store.ways import ZONE
from shared import db
from shared.events.base import Sealed

_sealed = msgspec.json.Decoder(Sealed)

ENTRIES_CAP = 50  # the newest; older ones are counted only
PREFIX_BYTES = 256 * 1024  # of a mail, whose text comes before its files
READ_BYTES = 16 * 2**20  # in all, the newest first; what is more stands there without its text

# Where a merged ticket goes on, with the link's own number beside it.
PAGE = f"""
    WITH RECURSIVE way(id, depth) AS (
        SELECT $1::text, 0 UNION ALL
        SELECT t.merged_into, depth + 1 FROM way JOIN intake.ticket t USING (id) WHERE t.merged_into IS NOT NULL AND depth < 10
    )
    SELECT t.id, o.number, t.number, t.status, t.language, t.inbox, t.opened_at, t.changed_at, t.promised_by,
        t.customer_id, c.erased_at IS NULL
            AND NOT coalesce((s.story #>> '{{routing,spam}}')::boolean, (s.story #>> '{{intake,spam}}')::boolean, false) AS shown,
        {ZONE} AS zone
    FROM way JOIN intake.ticket t USING (id) JOIN intake.ticket o ON o.id = $1
    JOIN intake.customer c ON c.id = t.customer_id CROSS JOIN LATERAL (SELECT convert_from(t.story, 'UTF8')::jsonb AS story) s
    ORDER BY way.depth DESC LIMIT 1
    """
# Of the ticket and those that were merged into it, what this person wrote and what was written to them: not what others wrote
# who joined in, nor what machines sent.
_ENTRIES = """
    WITH RECURSIVE parts(id, depth) AS (
        SELECT $1::text, 0 UNION ALL
        SELECT t.id, depth + 1 FROM parts JOIN intake.ticket t ON t.merged_into = parts.id AND t.customer_id = $2 WHERE depth < 10
    ), family(id, depth) AS (
        SELECT $2::text, 0 UNION ALL
        SELECT c.id, depth + 1 FROM family JOIN intake.customer c ON c.merged_into = family.id WHERE depth < 10
    ), entries(id, at, ours, size) AS (
        SELECT m.id, m.received_at, false,
            CASE WHEN m.media_type LIKE 'message/rfc822%' THEN least(octet_length(m.body), $3::integer)
                 ELSE octet_length(m.body) END
        FROM intake.message m
        WHERE m.ticket_id IN (SELECT id FROM parts) AND m.customer_id IN (SELECT id FROM family) AND m.human
        UNION ALL
        SELECT d.message_id, d.created_at, true, 0 FROM intake.delivery d
        WHERE d.customer_id IN (SELECT id FROM family) AND d.ticket_id IN (SELECT id FROM parts) AND d.kind = 'reply'
          AND d.state <> 'failed'
    )
    """
COUNT = _ENTRIES + "SELECT count(*) FROM entries"
ENTRIES = (
    _ENTRIES
    + """
    SELECT e.id, e.at, e.ours, m.media_type,
        CASE WHEN e.total <= $5::bigint THEN substring(m.body FROM 1 FOR e.size) END AS body,
        d.event_id, d.sealed, d.language
    FROM (SELECT *, sum(size) OVER (ORDER BY at DESC, id) AS total FROM entries ORDER BY at DESC, id LIMIT $4::integer) e
    LEFT JOIN intake.message m ON NOT e.ours AND m.id = e.id
    LEFT JOIN intake.delivery d ON e.ours AND d.message_id = e.id
    ORDER BY e.at, e.id
    """
)
FILES = """
    SELECT message_id, id, name, media_type, size_bytes FROM intake.attachment WHERE message_id = ANY($1::text[])
    UNION ALL
    SELECT message_id, id, '', media_type, size_bytes FROM intake.file WHERE message_id = ANY($1::text[]) AND content IS NOT NULL
    """


@dataclass(frozen=True, slots=True)
class Page:
    """How a ticket stands. `number` is that of the link, `goes_on_as` that of the ticket where it goes on; `shown`: what was
    written may be seen, which it may not of spam, nor of somebody who was erased.
    """

    ticket_id: str
    number: int
    goes_on_as: int
    status: str
    language: str
    inbox: str
    opened_at: datetime
    changed_at: datetime
    promised_by: datetime | None
    customer_id: str
    shown: bool
    zone: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A message: of the customer as it came, or of ours, sealed for its event. `body` is None where it is not kept, or too large
    to be read here.
    """

    message_id: str
    at: datetime
    ours: bool
    media_type: str | None
    body: bytes | None
    event_id: str | None
    sealed: Sealed | None
    language: str | None


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message; of ours the name is sealed with its text."""

    id: str
    name: str
    media_type: str
    size_bytes: int


async def page(conn: AsyncConnection, ticket_id: str) -> Page | None:
    """How a ticket stands; None when there is no such one."""
    rows = await db.fetch(conn, PAGE, ticket_id)
    return Page(*rows[0]) if rows else None


async def entries(conn: AsyncConnection, of: Page) -> tuple[list[Entry], int]:
    """The newest messages in their order, and how many there are in all."""
    rows = await db.fetch(conn, ENTRIES, of.ticket_id, of.customer_id, PREFIX_BYTES, ENTRIES_CAP, READ_BYTES)
    found = [
        Entry(
            row["id"],
            row["at"],
            row["ours"],
            row["media_type"],
            bytes(row["body"]) if row["body"] is not None else None,
            row["event_id"],
            _sealed.decode(row["sealed"]) if row["sealed"] is not None else None,
            row["language"],
        )
        for row in rows
    ]
    if len(found) < ENTRIES_CAP:
        return found, len(found)
    [counted] = await db.fetch(conn, COUNT, of.ticket_id, of.customer_id, PREFIX_BYTES)
    return found, counted[0]


async def files(conn: AsyncConnection, message_ids: list[str]) -> dict[str, list[File]]:
    """The files of these messages."""
    found: dict[str, list[File]] = {}
    for row in await db.fetch(conn, FILES, message_ids):
        found.setdefault(row["message_id"], []).append(File(*row[1:]))
    return found
