"""Names that are held until a transaction ends, so that no two decide the same thing at the same time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from shared import db

LOCK = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) k"
LOCK_BOTH_WAYS = """
    SELECT CASE WHEN alone THEN pg_advisory_xact_lock(k) ELSE pg_advisory_xact_lock_shared(k) END
    FROM unnest($1::bigint[], $2::boolean[]) AS w(k, alone)
    """


async def lock(conn: AsyncConnection, names: Iterable[str], together: Iterable[str] = ()) -> None:
    """Hold these names until the transaction ends; those of `together` beside others who hold them so, but beside nobody who
    holds them alone. All in one order, so that no two wait for each other crosswise.
    """
    alone = {_key(name) for name in names}
    shared = {_key(name) for name in together} - alone
    if not shared:
        await db.fetch(conn, LOCK, sorted(alone))
        return
    keys = sorted(alone | shared)
    await db.fetch(conn, LOCK_BOTH_WAYS, keys, [key in alone for key in keys])


def handle_lock(handle: Handle) -> str:
    """The name under which a person is held: the same for all forms of their number."""
    return f"handle\n{numbers.line(handle).key}"


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)
