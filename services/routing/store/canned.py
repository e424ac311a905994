"""Canned responses, and what is known of whoever uses them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.canned import KIND
from shared import db
from shared.events.config import AgentConfigured, CannedResponseConfigured, ConfigRemoved, QueueConfigured

# Rises with every change: versions count up, and what is removed stays as a version.
VERSION = f"SELECT coalesce(sum(version), 0)::bigint FROM routing.config WHERE kind = '{KIND}'"
IN_FORCE = f"SELECT CAST(data AS text) FROM routing.config WHERE kind = '{KIND}' AND NOT removed"
HOLD_SHORTCUT = "SELECT pg_advisory_xact_lock(hashtextextended('routing shortcut ' || $1, 0))"
WITH_SHORTCUT = f"""
    SELECT id, CAST(coalesce(data->'team_ids', '[]') AS text) FROM routing.config
    WHERE kind = '{KIND}' AND NOT removed AND data->>'shortcut' = $1 AND id <> $2 ORDER BY id
"""
REMOVE = """
    UPDATE routing.config SET version = $3, data = $4::jsonb, effective_from = $5, removed = true WHERE kind = $1 AND id = $2
"""
NAMES = """
    SELECT kind, CAST(data AS text) AS data FROM routing.config WHERE NOT removed
    AND (kind = 'agent' AND id = $1 OR kind = 'queue' AND id = $2)
"""
TEAMS = "SELECT CAST(profile->'team_ids' AS text) FROM routing.agent WHERE agent_id = $1"


@dataclass(slots=True)
class CannedShelf:
    """Keeps the responses in force, in order of id, as long as they are the newest."""

    _version: int = -1
    _responses: tuple[CannedResponseConfigured, ...] = ()

    async def of(self, conn: AsyncConnection) -> tuple[CannedResponseConfigured, ...]:
        """All in force."""
        [(version,)] = await db.fetch(conn, VERSION)
        if version != self._version:
            rows = await db.fetch(conn, IN_FORCE)
            responses = [msgspec.json.decode(data, type=CannedResponseConfigured) for (data,) in rows]
            self._responses = tuple(sorted(responses, key=lambda response: response.id))
            self._version = version
        return self._responses


async def with_shortcut(conn: AsyncConnection, shortcut: str, but: str) -> list[tuple[str, Collection[str]]]:
    """Other responses that have it, each with its teams. Nobody gives it to another one until the transaction ends."""
    await db.fetch(conn, HOLD_SHORTCUT, shortcut)
    rows = await db.fetch(conn, WITH_SHORTCUT, shortcut, but)
    return [(row[0], msgspec.json.decode(row[1], type=tuple[str, ...])) for row in rows]


async def remove(conn: AsyncConnection, config_id: str, removed: ConfigRemoved) -> None:
    """Take one out of force; what is left says up to which version it came."""
    data = msgspec.json.encode(removed).decode()
    await db.fetch(conn, REMOVE, KIND, config_id, removed.version, data, removed.effective_from)


async def names(conn: AsyncConnection, agent_id: str | None, queue_id: str | None) -> tuple[str | None, dict[str, str]]:
    """What the agent is called, and the queue, by language."""
    found = {row["kind"]: row["data"] for row in await db.fetch(conn, NAMES, agent_id, queue_id)}
    agent = msgspec.json.decode(found["agent"], type=AgentConfigured).display_name if "agent" in found else None
    return agent, msgspec.json.decode(found["queue"], type=QueueConfigured).name if "queue" in found else {}


async def teams(conn: AsyncConnection, agent_id: str) -> Collection[str]:
    """The agent's teams."""
    rows = await db.fetch(conn, TEAMS, agent_id)
    return msgspec.json.decode(rows[0][0], type=tuple[str, ...]) if rows and rows[0][0] is not None else ()
