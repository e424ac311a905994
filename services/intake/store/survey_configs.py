"""Which questions are asked after a resolution."""

from __future__ import annotations

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.config import ConfigRemoved, SurveyConfigured

Defined = SurveyConfigured | ConfigRemoved
_configs = msgspec.json.Decoder(SurveyConfigured)
_removals = msgspec.json.Decoder(ConfigRemoved)

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('survey ' || $1, 0))"
ONE = "SELECT removed, config FROM intake.survey_config WHERE id = $1"
ALL = "SELECT config FROM intake.survey_config WHERE NOT removed ORDER BY id"
PUT = """
    INSERT INTO intake.survey_config (id, removed, version, config) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET removed = excluded.removed, version = excluded.version, config = excluded.config
    WHERE survey_config.version < excluded.version
    """


async def all_of_them(conn: AsyncConnection) -> list[SurveyConfigured]:
    """Those in force, by id."""
    return [_configs.decode(row["config"]) for row in await db.fetch(conn, ALL)]


async def one(conn: AsyncConnection, survey_id: str) -> Defined | None:
    """One, or that it was removed; None when it was never there."""
    rows = await db.fetch(conn, ONE, survey_id)
    if not rows:
        return None
    return _removals.decode(rows[0]["config"]) if rows[0]["removed"] else _configs.decode(rows[0]["config"])


async def locked(conn: AsyncConnection, survey_id: str) -> Defined | None:
    """Like `one`, held until the transaction ends, also while it does not exist yet."""
    await db.fetch(conn, LOCK, survey_id)
    return await one(conn, survey_id)


async def put(conn: AsyncConnection, survey_id: str, fact: Defined) -> None:
    """Write it, unless what stands there is newer."""
    await db.fetch(conn, PUT, survey_id, isinstance(fact, ConfigRemoved), fact.version, msgspec.json.encode(fact))
