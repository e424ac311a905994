"""Telling when a customer cannot be written to any more, or again: in the transaction that learns it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.reachable import said
from services.intake.store import reachable
from shared.clock import clock
from shared.outbox import Outbox
from shared.recalling import Recall

AT_ONCE = 200


async def look_at(conn: AsyncConnection, outbox: Outbox, customer_ids: Collection[str], now: datetime) -> None:
    """Reckon anew who of them can be written to on which channel, and say what changed."""
    if customer_ids:
        await outbox.publish(conn, said(await reachable.reckon(conn, customer_ids), now), now)


async def look_again(conn: AsyncConnection, outbox: Outbox, after_seconds: float) -> int:
    """Once more at those of whom something was told so long ago that whatever crossed it is committed: a mail that was being
    taken while an older one came back may not have been seen. Returns how many were looked at.
    """
    ids = await reachable.to_look_at(conn, after_seconds, AT_ONCE)
    if ids:
        await look_at(conn, outbox, ids, await clock(conn))
        await reachable.looked_at(conn, ids, after_seconds)
    return len(ids)


async def look_at_all(back: Recall) -> None:
    """After a restore: what is not on the log may have been told of, and be unknown now."""
    after = ""
    while True:
        async with back.transaction() as conn:
            ids = await reachable.marked(conn, after, AT_ONCE)
            await look_at(conn, back.parts.outbox, ids, await clock(conn))
        if len(ids) < AT_ONCE:
            return
        after = ids[-1]
