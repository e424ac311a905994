"""Configuration: queues, teams, skills, rules, agents' names, which routing owns, and intake's inboxes. The newest of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.commands import Signatures
from services.routing.domain.escalating import in_order as rules_in_order
from services.routing.domain.queues import in_order
from services.routing.domain.sendable import Senders
from shared import db
from shared.events.config import Configured, InboxConfigured, QueueConfigured, RuleConfigured

# Signatures and inboxes, in one statement: an answer needs both.
FOR_ANSWERS = """
    SELECT kind, id, CAST(CASE kind WHEN 'inbox' THEN data ELSE data->'signature' END AS text) FROM routing.config
    WHERE kind = 'inbox' OR (kind = 'queue' OR kind = 'agent' AND id = $1) AND data->'signature' IS NOT NULL
    """
# Rises with every change: versions count up, and neither a queue nor a rule is ever taken away.
QUEUES_VERSION = "(SELECT coalesce(sum(version), 0)::bigint FROM routing.config WHERE kind IN ('queue', 'rule'))"


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing as configured; `data` is its fact as JSON. `removed`: it is no longer in force, and its version is the last."""

    id: str
    version: int
    data: bytes
    removed: bool = False


@dataclass(slots=True)
class QueueShelf:
    """Keeps the queues, and the rules that move tickets between them, as long as they are the newest. `version` is QUEUES_VERSION
    as the transaction sees it. `rules` are as of the last look at the queues, in order of position.
    """

    rules: tuple[RuleConfigured, ...] = ()
    _version: int = -1
    _queues: tuple[QueueConfigured, ...] = ()

    async def of(self, conn: AsyncConnection, version: int) -> tuple[QueueConfigured, ...]:
        """All queues, in order of position."""
        if version != self._version:
            self._queues, self.rules, self._version = await queues(conn), await rules(conn), version
        return self._queues


async def queues(conn: AsyncConnection) -> tuple[QueueConfigured, ...]:
    """All queues, in order of position."""
    rows = await db.fetch(conn, "SELECT CAST(data AS text) FROM routing.config WHERE kind = 'queue'")
    return in_order([msgspec.json.decode(data, type=QueueConfigured) for (data,) in rows])


async def rules(conn: AsyncConnection) -> tuple[RuleConfigured, ...]:
    """All rules, in order of position."""
    rows = await db.fetch(conn, "SELECT CAST(data AS text) FROM routing.config WHERE kind = 'rule'")
    return rules_in_order([msgspec.json.decode(data, type=RuleConfigured) for (data,) in rows])


async def for_answers(conn: AsyncConnection, agent_id: str) -> tuple[Signatures, Senders]:
    """What stands below the answers of this agent, and of every queue that has such a text; and from where they can go out."""
    rows = await db.fetch(conn, FOR_ANSWERS, agent_id)
    inboxes = {one: msgspec.json.decode(data, type=InboxConfigured) for kind, one, data in rows if kind == "inbox"}
    found = {(kind, one): msgspec.json.decode(texts, type=dict[str, str]) for kind, one, texts in rows if kind != "inbox"}
    queues = {one: texts for (kind, one), texts in found.items() if kind == "queue"}
    return Signatures(found.get(("agent", agent_id), {}), queues), Senders(inboxes)


async def find(conn: AsyncConnection, kind: str, config_id: str, *, lock: bool = False) -> Stored | None:
    """The newest version; locked against other edits, also where there is none yet, when asked."""
    if lock:
        statement = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('routing config ' || :kind || ':' || :id, 0))")
        await conn.execute(statement, {"kind": kind, "id": config_id})
    row = (
        await conn.execute(
            sa.text(
                "SELECT id, version, CAST(data AS text) AS data, removed FROM routing.config WHERE kind = :kind AND id = :id"
            ),
            {"kind": kind, "id": config_id},
        )
    ).one_or_none()
    return Stored(row.id, row.version, row.data.encode(), row.removed) if row else None


async def page(conn: AsyncConnection, kind: str, after: str, at_most: int, partner_id: str | None = None) -> list[Stored]:
    """Those with an id after the one given, in order of id; only those of a partner when given."""
    rows = await conn.execute(
        sa.text(
            "SELECT id, version, CAST(data AS text) AS data FROM routing.config"
            " WHERE kind = :kind AND NOT removed AND id > :after"
            " AND (CAST(:partner AS text) IS NULL OR data->>'partner_id' = :partner)"
            " ORDER BY id LIMIT :at_most"
        ),
        {"kind": kind, "after": after, "at_most": at_most, "partner": partner_id},
    )
    return [Stored(row.id, row.version, row.data.encode()) for row in rows]


async def missing(conn: AsyncConnection, kind: str, ids: Sequence[str]) -> list[str]:
    """Those of the ids that are not configured."""
    rows = await conn.execute(
        sa.text("SELECT id FROM routing.config WHERE kind = :kind AND NOT removed AND id = ANY(:ids)"),
        {"kind": kind, "ids": list(ids)},
    )
    known = {row.id for row in rows}
    return [config_id for config_id in ids if config_id not in known]


async def wake_matchers(conn: AsyncConnection) -> None:
    """At the commit: there may be something to match that was not before."""
    await conn.execute(sa.text("NOTIFY routing_match"))


async def put(conn: AsyncConnection, kind: str, fact: Configured, now: datetime) -> None:
    """Write a version."""
    await conn.execute(
        sa.text(
            "INSERT INTO routing.config (kind, id, version, data, effective_from)"
            " VALUES (:kind, :id, :version, CAST(:data AS jsonb), :now)"
            " ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, data = excluded.data,"
            " effective_from = excluded.effective_from, removed = false"
        ),
        {"kind": kind, "id": fact.id, "version": fact.version, "data": msgspec.json.encode(fact).decode(), "now": now},
    )
