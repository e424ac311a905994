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
# The number of the last change of all that routing has configured, and of the last one that made, changed or removed a queue.
CONFIG_VERSION = "(SELECT coalesce(max(number), 0) FROM routing.config_version)"
QUEUES_VERSION = "(SELECT coalesce(max(number), 0) FROM routing.config_history WHERE kind = 'queue')"
# What was removed: its version goes on when it is made anew, and tickets may still wait in a queue.
REMOVED = "removed "


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing as configured; `data` is its fact as JSON."""

    id: str
    version: int
    data: bytes


@dataclass(slots=True)
class QueueShelf:
    """Keeps the queues, and the rules that move tickets between them, as long as they are the newest. `version` is CONFIG_VERSION
    as the transaction sees it. `rules` are as of the last look at the queues, in order of position; `read_under` is the version
    of the configuration in which the queues were read.
    """

    rules: tuple[RuleConfigured, ...] = ()
    read_under: int = 0
    _version: int = -1
    _queues: tuple[QueueConfigured, ...] = ()

    async def of(self, conn: AsyncConnection, version: int) -> tuple[QueueConfigured, ...]:
        """All queues, in order of position."""
        if version != self._version:
            queues, read_under = await _queues(conn)
            in_force = await rules(conn)
            # All at once: of two who read at the same time one may have begun before the change of which the other knows.
            self._queues, self.read_under, self.rules, self._version = queues, read_under, in_force, version
        return self._queues


async def version(conn: AsyncConnection) -> int:
    """QUEUES_VERSION, for who looks at nothing else."""
    return (await db.fetch(conn, f"SELECT {QUEUES_VERSION}"))[0][0]  # type: ignore[no-any-return]


async def queues(conn: AsyncConnection) -> tuple[QueueConfigured, ...]:
    """All queues, in order of position. The `config_version` of each is that of whichever queue was changed last: under it
    tickets are placed and filed.
    """
    return (await _queues(conn))[0]


async def _queues(conn: AsyncConnection) -> tuple[tuple[QueueConfigured, ...], int]:
    statement = f"SELECT CAST(data AS text), {QUEUES_VERSION}, {CONFIG_VERSION} FROM routing.config WHERE kind = 'queue'"
    rows = await db.fetch(conn, statement)
    found = [(msgspec.json.decode(data, type=QueueConfigured), number) for data, number, _ in rows]
    queues_read = in_order([msgspec.structs.replace(queue, config_version=number) for queue, number in found])
    return queues_read, max((read_under for *_, read_under in rows), default=0)


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


async def find(conn: AsyncConnection, kind: str, config_id: str) -> Stored | None:
    """The newest version."""
    row = (
        await conn.execute(
            sa.text("SELECT id, version, CAST(data AS text) AS data FROM routing.config WHERE kind = :kind AND id = :id"),
            {"kind": kind, "id": config_id},
        )
    ).one_or_none()
    return Stored(row.id, row.version, row.data.encode()) if row else None


async def page(conn: AsyncConnection, kind: str, after: str, at_most: int, partner_id: str | None = None) -> list[Stored]:
    """Those with an id after the one given, in order of id; only those of a partner when given."""
    rows = await conn.execute(
        sa.text(
            "SELECT id, version, CAST(data AS text) AS data FROM routing.config"
            " WHERE kind = :kind AND id > :after"
            " AND (CAST(:partner AS text) IS NULL OR data->>'partner_id' = :partner)"
            " ORDER BY id LIMIT :at_most"
        ),
        {"kind": kind, "after": after, "at_most": at_most, "partner": partner_id},
    )
    return [Stored(row.id, row.version, row.data.encode()) for row in rows]


async def missing(conn: AsyncConnection, kind: str, ids: Sequence[str]) -> list[str]:
    """Those of the ids that are not configured."""
    rows = await conn.execute(
        sa.text("SELECT id FROM routing.config WHERE kind = :kind AND id = ANY(:ids)"), {"kind": kind, "ids": list(ids)}
    )
    known = {row.id for row in rows}
    return [config_id for config_id in ids if config_id not in known]


async def wake_matchers(conn: AsyncConnection) -> None:
    """At the commit: there may be something to match that was not before."""
    await conn.execute(sa.text("NOTIFY routing_match"))


async def put(conn: AsyncConnection, kind: str, fact: Configured, now: datetime) -> None:
    """Write a version that another service said."""
    await conn.execute(
        sa.text(
            "INSERT INTO routing.config (kind, id, version, data, effective_from)"
            " VALUES (:kind, :id, :version, CAST(:data AS jsonb), :now)"
            " ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, data = excluded.data,"
            " effective_from = excluded.effective_from"
        ),
        {"kind": kind, "id": fact.id, "version": fact.version, "data": msgspec.json.encode(fact).decode(), "now": now},
    )
