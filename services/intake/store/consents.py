"""Numbers that refuse messages, where not their owner said so to us."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.base import Channel

WITHDRAW = """
    UPDATE intake.handle SET refuses = array_append(refuses, $2::text)
    WHERE kind = 'phone' AND scope = '' AND value = $1 AND NOT $2::text = ANY(refuses)
    RETURNING customer_id, coalesce(origin, customer_id)
    """


async def withdraw(conn: AsyncConnection, number: str, channel: Channel) -> tuple[str, str] | None:
    """Nothing may go to this number on this channel any more. Returns whose it is, and whose it was before they were merged; None
    where it was known, or nobody is.
    """
    rows = await db.fetch(conn, WITHDRAW, number, channel)
    return (rows[0][0], rows[0][1]) if rows else None
