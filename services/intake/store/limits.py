"""What processes took out of each name's minute. Names stand there veiled, because nobody has to read them back."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.limits import Minute
from shared import db

HOLD = """
    INSERT INTO intake.allowance AS a (name, ends_at, given) VALUES ($1::bytea, clock_timestamp(), 0)
    ON CONFLICT (name) DO UPDATE SET given = a.given RETURNING a.ends_at, a.given, clock_timestamp()
    """
PUT = "UPDATE intake.allowance SET ends_at = $2::timestamptz, given = $3::bigint WHERE name = $1::bytea"
FORGET = """
    DELETE FROM intake.allowance WHERE name IN (
        SELECT name FROM intake.allowance WHERE ends_at < now() ORDER BY name LIMIT 10000 FOR UPDATE SKIP LOCKED)
    """


class Held(NamedTuple):
    """A name's minute, which is nobody else's to take from until the transaction ends, and the time."""

    minute: Minute
    now: datetime


async def hold(conn: AsyncConnection, name: bytes) -> Held:
    """The minute of this name; one that is over where there was none."""
    [(ends_at, given, now)] = await db.fetch(conn, HOLD, name)
    return Held(Minute(ends_at, given), now)


async def put(conn: AsyncConnection, name: bytes, minute: Minute) -> None:
    """Keep what was given away of it."""
    await db.fetch(conn, PUT, name, minute.ends_at, minute.given)


async def forget_over(conn: AsyncConnection) -> None:
    """Delete the minutes that are over, so many at a time as a transaction can."""
    await db.fetch(conn, FORGET)
