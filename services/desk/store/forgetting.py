"""Beginning anew: all that the log told goes, so that it is read again. Saved views stay, and who was erased."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.store.erasure import HOLD
from shared import db

TOLD = ("ticket", "entry", "customer", "customer_order", "promised", "named", "agent", "document", "stale")
READ = ("consumer_offset", "key_position", "parked")


async def forget_all(conn: AsyncConnection) -> None:
    """Empty the tables, and how far the log was read, together: a running service loses its fence, and begins at the beginning.

    Whoever applies a batch is waited for first, then whoever indexes: in the order in which they wait for each other.
    """
    await db.fetch(conn, "LOCK TABLE desk.consumer_offset IN ACCESS EXCLUSIVE MODE")
    await db.fetch(conn, HOLD)
    await db.fetch(conn, "TRUNCATE " + ", ".join(f"desk.{name}" for name in (*READ, *TOLD)))
