"""Beginning anew: all that was told by the log goes, so that it is read again. Saved views stay."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

TOLD = ("ticket", "entry", "customer", "customer_order", "promised", "named", "agent", "document", "stale", "erased")
READ = ("consumer_offset", "key_position", "parked")


async def forget_all(conn: AsyncConnection) -> None:
    """Empty the tables, and how far the log was read, together: a running service loses its fence, and reads on from the beginning.

    The positions first: whoever applies a batch holds them, and is waited for.
    """
    tables = ", ".join(f"desk.{name}" for name in (*READ, *TOLD))
    await db.fetch(conn, f"TRUNCATE {tables}")
