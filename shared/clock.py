"""The one clock that decisions use: PostgreSQL's. No service reads the time of its own machine to decide anything."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db


async def clock(conn: AsyncConnection) -> datetime:
    """The database's clock now. Ask after the locks that order a subject's facts are held, so that time and seq agree."""
    return (await db.fetch(conn, "SELECT clock_timestamp()"))[0][0]  # type: ignore[no-any-return]
