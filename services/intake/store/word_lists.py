"""The word lists."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.config import ConfigRemoved, WordListConfigured

Defined = WordListConfigured | ConfigRemoved
_lists = msgspec.json.Decoder(WordListConfigured)
_removals = msgspec.json.Decoder(ConfigRemoved)

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('word list ' || $1, 0))"
ONE = "SELECT removed, config FROM intake.word_list WHERE id = $1"
ALL = "SELECT config FROM intake.word_list WHERE NOT removed ORDER BY id"
PUT = """
    INSERT INTO intake.word_list (id, removed, version, config) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET removed = excluded.removed, version = excluded.version, config = excluded.config
    WHERE word_list.version < excluded.version
    """


async def all_of_them(conn: AsyncConnection) -> list[bytes]:
    """Those in force, as they are stored."""
    return [bytes(row["config"]) for row in await db.fetch(conn, ALL)]


def decoded(stored: Sequence[bytes]) -> list[WordListConfigured]:
    """What is stored, read."""
    return [_lists.decode(one) for one in stored]


async def one(conn: AsyncConnection, list_id: str) -> Defined | None:
    """A list, or that it was removed; None when it was never there."""
    rows = await db.fetch(conn, ONE, list_id)
    if not rows:
        return None
    return _removals.decode(rows[0]["config"]) if rows[0]["removed"] else _lists.decode(rows[0]["config"])


async def locked(conn: AsyncConnection, list_id: str) -> Defined | None:
    """Like `one`, held until the transaction ends, also while it does not exist yet."""
    await db.fetch(conn, LOCK, list_id)
    return await one(conn, list_id)


async def put(conn: AsyncConnection, list_id: str, fact: Defined) -> None:
    """Write it, unless what stands there is newer."""
    await db.fetch(conn, PUT, list_id, isinstance(fact, ConfigRemoved), fact.version, msgspec.json.encode(fact))
