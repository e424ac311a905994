"""Who was let in, who may do what since when, who did much at once: kept for AUDIT_DAYS. Ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

AUDIT_DAYS = 400
What = Literal[
    "key.made",
    "key.revoked",
    "person.put",
    "password.set",
    "sign_in.done",
    "sign_in.failed",
    "session.ended",
    "tickets.bulk",
]
FORGET = """
    DELETE FROM auth.audit WHERE id IN (
        SELECT id FROM auth.audit WHERE at < now() - make_interval(days => $1) ORDER BY id LIMIT 10000)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done, by whom, about which key, person or command; `detail`: scopes, ways, codes, how many."""

    at: datetime
    what: str
    by: str
    about: str
    detail: str


async def note(conn: AsyncConnection, what: What, by: str, about: str, detail: str = "") -> None:
    """Keep it with the transaction that does it. `by` is the id of a key, `person:<login>`, or the command line's `operator`."""
    await db.fetch(conn, "INSERT INTO auth.audit (what, by, about, detail) VALUES ($1, $2, $3, $4)", what, by, about, detail)


async def newest(conn: AsyncConnection, about: str | None, at_most: int) -> list[Entry]:
    """The last entries, newest first; only about this key or person when given."""
    rows = await db.fetch(
        conn,
        "SELECT at, what, by, about, detail FROM auth.audit WHERE $1::text IS NULL OR about = $1 ORDER BY id DESC LIMIT $2",
        about,
        at_most,
    )
    return [Entry(*row) for row in rows]


async def forget_old(conn: AsyncConnection) -> None:
    """Delete what is older than AUDIT_DAYS, so much at a time as a transaction can."""
    await db.fetch(conn, FORGET, AUDIT_DAYS)
