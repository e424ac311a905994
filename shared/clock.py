"""The one clock that decisions use: PostgreSQL's. No service reads the time of its own machine to decide anything."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


async def clock(conn: AsyncConnection) -> datetime:
    """The database's clock now. Ask after the locks that order a subject's facts are held, so that time and seq agree."""
    return (await conn.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()  # type: ignore[no-any-return]
