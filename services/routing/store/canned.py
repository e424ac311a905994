"""Canned responses, and what is known of whoever uses them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.canned import KIND
from shared import db
from shared.events.config import AgentConfigured, CannedResponseConfigured, QueueConfigured

# That of the configuration in which one was changed last.
VERSION = f"SELECT coalesce(max(number), 0) FROM routing.config_history WHERE kind = '{KIND}'"
IN_FORCE = f"SELECT CAST(data AS text) FROM routing.config WHERE kind = '{KIND}'"
WITH_SHORTCUT = f"SELECT id FROM routing.config WHERE kind = '{KIND}' AND data->>'shortcut' = $1"
NAMES = """
    SELECT kind, CAST(data AS text) AS data FROM routing.config WHERE (kind = 'agent' AND id = $1 OR kind = 'queue' AND id = $2)
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


async def with_shortcut(conn: AsyncConnection, shortcut: str) -> list[str]:
    """The responses that have it."""
    return [row[0] for row in await db.fetch(conn, WITH_SHORTCUT, shortcut)]


async def names(conn: AsyncConnection, agent_id: str | None, queue_id: str | None) -> tuple[str | None, dict[str, str]]:
    """What the agent is called, and the queue, by language."""
    found = {row["kind"]: row["data"] for row in await db.fetch(conn, NAMES, agent_id, queue_id)}
    agent = msgspec.json.decode(found["agent"], type=AgentConfigured).display_name if "agent" in found else None
    return agent, msgspec.json.decode(found["queue"], type=QueueConfigured).name if "queue" in found else {}


async def teams(conn: AsyncConnection, agent_id: str) -> Collection[str]:
    """The agent's teams."""
    rows = await db.fetch(conn, TEAMS, agent_id)
    return msgspec.json.decode(rows[0][0], type=tuple[str, ...]) if rows and rows[0][0] is not None else ()
