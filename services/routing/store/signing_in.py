"""Attempts to come in, and errands to a provider of identities (schema `auth`; names and secrets stand there hashed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

ERRAND_SECONDS = 600
HOLD = """
    INSERT INTO auth.attempt AS a (name, free_at) SELECT name, now() FROM unnest($1::bytea[]) name ORDER BY name
    ON CONFLICT (name) DO UPDATE SET free_at = a.free_at RETURNING a.name, a.free_at
"""
PUT = """
    UPDATE auth.attempt a SET free_at = w.free_at FROM unnest($1::bytea[], $2::timestamptz[]) AS w(name, free_at)
    WHERE a.name = w.name
"""
GIVE_BACK = """
    UPDATE auth.attempt a SET free_at = a.free_at - w.each FROM unnest($1::bytea[], $2::interval[]) AS w(name, each)
    WHERE a.name = w.name
"""
KNOW = """
    INSERT INTO auth.attempt (name, free_at) VALUES ($1, now() + $2::interval)
    ON CONFLICT (name) DO UPDATE SET free_at = excluded.free_at
"""
FORGET_ATTEMPTS = """
    DELETE FROM auth.attempt WHERE name IN (
        SELECT name FROM auth.attempt WHERE free_at < now() ORDER BY name LIMIT 10000 FOR UPDATE SKIP LOCKED)
"""


class Errand(NamedTuple):
    """Somebody was sent to the provider: what must come back with them, and where they wanted to go."""

    nonce: str
    verifier: str
    way_back: str


async def hold(conn: AsyncConnection, names: Sequence[bytes]) -> dict[bytes, datetime]:
    """When each name is free again; nobody else takes from them until the transaction ends."""
    return {row["name"]: row["free_at"] for row in await db.fetch(conn, HOLD, sorted(names))}


async def put(conn: AsyncConnection, free_at: Mapping[bytes, datetime]) -> None:
    """When they are free again, after one more attempt."""
    await db.fetch(conn, PUT, list(free_at), list(free_at.values()))


async def give_back(conn: AsyncConnection, taken: Mapping[bytes, timedelta]) -> None:
    """Who came in does not count: take so much off what each name was held up by."""
    ordered = sorted(taken)
    await db.fetch(conn, GIVE_BACK, ordered, [taken[name] for name in ordered])


async def know(conn: AsyncConnection, name: bytes, span: timedelta) -> None:
    """Remember this name for so long."""
    await db.fetch(conn, KNOW, name, span)


async def send_off(conn: AsyncConnection, state: bytes, errand: Errand) -> None:
    """Keep what has to come back, for ERRAND_SECONDS. `state` is the SHA-256 of what the browser holds."""
    await db.fetch(
        conn,
        "INSERT INTO auth.errand (state, nonce, verifier, way_back, expires_at)"
        f" VALUES ($1, $2, $3, $4, now() + interval '{ERRAND_SECONDS} seconds')",
        state,
        *errand,
    )


async def come_back(conn: AsyncConnection, state: bytes) -> Errand | None:
    """What was kept, once; None when nobody was sent off so, it was too long ago, or they came back before."""
    statement = "DELETE FROM auth.errand WHERE state = $1 RETURNING nonce, verifier, way_back, expires_at > now()"
    rows = await db.fetch(conn, statement, state)
    return Errand(*rows[0][:3]) if rows and rows[0][3] else None


async def forget_old(conn: AsyncConnection) -> None:
    """Delete attempts that count no longer, and errands from which nobody came back."""
    await db.fetch(conn, FORGET_ATTEMPTS)
    await db.fetch(conn, "DELETE FROM auth.errand WHERE expires_at < now()")
