"""Routing's configuration as a whole: its parts, and every version of it that there was."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.configuration import SHAPES, Configuration, Key, Kind, Part
from services.routing.store.config import CONFIG_VERSION, REMOVED
from shared import db
from shared.events.base import Event
from shared.events.config import ConfigRemoved, RoutingConfigured

# Whoever changes the configuration does it alone: versions count up in the order of the commits.
HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('routing config', 0))"
SOME = """
    SELECT c.kind, c.id, CAST(c.data AS text) FROM routing.config c
    JOIN unnest($1::text[], $2::text[]) AS wanted(kind, id) USING (kind, id)
"""
WHOLE = "SELECT kind, id, CAST(data AS text) FROM routing.config WHERE kind = ANY($1::text[])"
VERSIONS_OF = f"""
    SELECT w.kind, w.id, max(c.version) FROM unnest($1::text[], $2::text[]) AS w(kind, id)
    JOIN routing.config c ON c.id = w.id AND c.kind IN (w.kind, '{REMOVED}' || w.kind) GROUP BY w.kind, w.id
"""
PUT = f"""
    INSERT INTO routing.config (kind, id, version, data, effective_from)
    SELECT CASE WHEN data IS NULL THEN '{REMOVED}' || kind ELSE kind END, id, version, coalesce(CAST(data AS jsonb), '{{}}'), at
    FROM c ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, data = excluded.data,
        effective_from = excluded.effective_from
"""
GONE = f"""
    DELETE FROM routing.config o USING c
    WHERE o.id = c.id AND o.kind = CASE WHEN c.data IS NULL THEN c.kind ELSE '{REMOVED}' || c.kind END
"""
SAVE = f"""
    WITH c AS (SELECT *, $2::timestamptz AS at FROM unnest($4::text[], $5::text[], $6::integer[], $7::text[])
        AS c(kind, id, version, data)
    ), numbered AS (
        INSERT INTO routing.config_version (number, at, changed_by) VALUES ($1::bigint, $2, $3)
    ), history AS (
        INSERT INTO routing.config_history (kind, id, version, number, data)
        SELECT kind, id, version, $1, CAST(data AS jsonb) FROM c
    ), gone AS ({GONE})
    {PUT}
"""
# What was said before changes had numbers is of the first one.
RECALL = f"""
    WITH told AS (SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::bigint[], $6::timestamptz[],
        $7::text[]) AS t(kind, id, version, data, number, at, changed_by)
    ), numbered AS (
        INSERT INTO routing.config_version (number, at, changed_by)
        SELECT DISTINCT ON (number) number, at, changed_by FROM told ORDER BY number, at ON CONFLICT DO NOTHING
    ), history AS (
        INSERT INTO routing.config_history (kind, id, version, number, data)
        SELECT kind, id, version, number, CAST(data AS jsonb) FROM told ON CONFLICT DO NOTHING
    ), c AS (SELECT DISTINCT ON (kind, id) * FROM told ORDER BY kind, id, version DESC
    ), gone AS ({GONE})
    {PUT}
"""
NAMES = """
    SELECT DISTINCT ON (id) id, data->>'display_name' FROM routing.config_history
    WHERE kind = 'agent' AND id = ANY($1::text[]) AND data IS NOT NULL ORDER BY id, version DESC
"""
FILL_IN_ABILITIES = """
    UPDATE routing.config c SET data = c.data || jsonb_build_object('abilities', a.profile - 'display_name')
    FROM routing.agent a WHERE c.kind = 'agent' AND c.id = a.agent_id AND NOT c.data ? 'abilities'
"""
# A part was there before where its version before this one has data.
CHANGES = """
    SELECT h.kind, h.id, h.version, CASE WHEN h.data IS NULL THEN 'removed' WHEN EXISTS (
            SELECT FROM routing.config_history b
            WHERE b.kind = h.kind AND b.id = h.id AND b.version = h.version - 1 AND b.data IS NOT NULL)
        THEN 'changed' ELSE 'made' END AS what
    FROM routing.config_history h WHERE h.number = v.number ORDER BY h.kind, h.id LIMIT $3
"""
VERSIONS = f"""
    SELECT v.number, v.at, v.changed_by, (SELECT count(*) FROM routing.config_history h WHERE h.number = v.number),
        CAST((SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.kind, c.id), '[]') FROM ({CHANGES}) c) AS text)
    FROM routing.config_version v WHERE v.number < $1 ORDER BY v.number DESC LIMIT $2
"""
AS_OF = """
    SELECT kind, id, CAST(data AS text) FROM (SELECT DISTINCT ON (kind, id) kind, id, data FROM routing.config_history
        WHERE number <= $1 ORDER BY kind, id, version DESC) newest WHERE data IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the configuration: when and by which key or person it was made, None where nobody noted it; how many parts it
    changed, and the first of them as JSON.
    """

    number: int
    at: datetime
    changed_by: str | None
    change_count: int
    changes: bytes


async def hold(conn: AsyncConnection) -> None:
    """Until the transaction ends nobody else changes the configuration."""
    await db.fetch(conn, HOLD)


async def number(conn: AsyncConnection) -> int:
    """The newest version; 0 where nothing was configured yet. Read it before the parts, so that these are never older."""
    [row] = await db.fetch(conn, f"SELECT {CONFIG_VERSION}")
    return cast(int, row[0])


async def some(conn: AsyncConnection, keys: Collection[Key]) -> Configuration:
    """Those of the parts that are there."""
    return _configuration(await db.fetch(conn, SOME, *_columns(keys)))


async def whole(conn: AsyncConnection) -> Configuration:
    """All parts."""
    return await asyncio.to_thread(_configuration, await db.fetch(conn, WHOLE, list(SHAPES)))


async def as_of(conn: AsyncConnection, number: int) -> Configuration:
    """All parts as they were in this version."""
    return await asyncio.to_thread(_configuration, await db.fetch(conn, AS_OF, number))


async def versions_of(conn: AsyncConnection, keys: Collection[Key]) -> dict[Key, int]:
    """The last version of each part that is there, or was."""
    return {Key(kind, config_id): last for kind, config_id, last in await db.fetch(conn, VERSIONS_OF, *_columns(keys))}


async def save(conn: AsyncConnection, number: int, by: str, now: datetime, said: Mapping[Key, Part | ConfigRemoved]) -> None:
    """Write a version of the configuration: what was said in it."""
    rows = [(key.kind, key.id, fact.version, _data(fact)) for key, fact in said.items()]
    await db.fetch(conn, SAVE, number, now, by, *zip(*rows, strict=True))


async def recall(conn: AsyncConnection, told: Iterable[Event[RoutingConfigured | ConfigRemoved]]) -> None:
    """What was said since a backup: each version of it, and how it stands now. Those of a part are in order."""
    rows = []
    for event in told:
        kind, _, config_id = event.key.partition(":")
        fact = event.data
        rows.append((kind, config_id, fact.version, _data(fact), fact.config_version or 1, fact.effective_from, fact.changed_by))
    if rows:
        await db.fetch(conn, RECALL, *zip(*rows, strict=True))


async def names_of(conn: AsyncConnection, agent_ids: Collection[str]) -> dict[str, str]:
    """Under which name each agent appears, or did last."""
    return {row[0]: row[1] for row in await db.fetch(conn, NAMES, sorted(agent_ids))}


async def fill_in_abilities(conn: AsyncConnection) -> None:
    """Where an agent's part says nothing of what the agent can do, as those did that were said long ago: as the agent is."""
    await db.fetch(conn, FILL_IN_ABILITIES)


async def versions(conn: AsyncConnection, below: int, at_most: int, changes: int) -> list[Version]:
    """Those with a number below, newest first, each with at most so many of its changes."""
    rows = await db.fetch(conn, VERSIONS, below, at_most, changes)
    return [Version(n, at, by, total, told.encode()) for n, at, by, total, told in rows]


def _configuration(rows: Sequence[asyncpg.Record]) -> Configuration:
    parts: dict[Key, Part] = {}
    for kind, config_id, data in rows:
        shape: type[Part] = SHAPES[cast(Kind, kind)]
        parts[Key(kind, config_id)] = msgspec.json.decode(data, type=shape)
    return Configuration(parts)


def _data(fact: RoutingConfigured | ConfigRemoved) -> str | None:
    return None if isinstance(fact, ConfigRemoved) else msgspec.json.encode(fact).decode()


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [key.kind for key in keys], [key.id for key in keys]
