"""What is configured one by one and told as versions: the newest of each, or that it was removed. A table for each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.config import ConfigRemoved, SpamRuleConfigured, SurveyConfigured, WordListConfigured

Said = TypeVar("Said", SurveyConfigured, WordListConfigured, SpamRuleConfigured)
_removals = msgspec.json.Decoder(ConfigRemoved)

# With a space in place of `_`, as the version before says it: while one takes the place of the other both run.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(replace($1::text, '_', ' ') || ' ' || $2::text, 0))"


@dataclass(frozen=True, slots=True)
class Stored(Generic[Said]):
    """One that is in force, as it was said; what is sealed in it is bound to `event_id` ("" where nothing ever is)."""

    fact: Said
    event_id: str

    @property
    def version(self) -> int:
        """Its number."""
        return self.fact.version


Newest = Stored[Said] | ConfigRemoved | None  # None: it was never there


@dataclass(frozen=True, slots=True)
class Table(Generic[Said]):
    """Where one kind stands: `kind` as in its keys on `config`. `sealed`: something in it is, so the events' ids are kept."""

    kind: str
    name: str
    shape: type[Said]
    sealed: bool = False
    _decoder: msgspec.json.Decoder[Said] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_decoder", msgspec.json.Decoder(self.shape))

    async def in_force(self, conn: AsyncConnection) -> list[Stored[Said]]:
        """Those that are, by id."""
        rows = await db.fetch(conn, f"{self._select} WHERE NOT removed ORDER BY id")
        return [Stored(self._decoder.decode(config), event_id) for _, config, event_id in rows]

    async def one(self, conn: AsyncConnection, config_id: str) -> Newest[Said]:
        """One, or that it was removed; None when it was never there."""
        for removed, config, event_id in await db.fetch(conn, f"{self._select} WHERE id = $1", config_id):
            return _removals.decode(config) if removed else Stored(self._decoder.decode(config), event_id)
        return None

    async def locked(self, conn: AsyncConnection, config_id: str) -> Newest[Said]:
        """Like `one`, held until the transaction ends, also while it does not exist yet."""
        await db.fetch(conn, LOCK, self.kind, config_id)
        return await self.one(conn, config_id)

    async def changes(self, conn: AsyncConnection) -> int:
        """A number that another change makes larger: no row is ever deleted, and no version ever falls."""
        return int((await db.fetch(conn, f"SELECT coalesce(sum(version), 0) AS n FROM intake.{self.name}"))[0]["n"])

    async def put(self, conn: AsyncConnection, config_id: str, fact: Said | ConfigRemoved, event_id: str) -> None:
        """Write it, unless what stands there is newer."""
        columns = ("removed", "version", "config", "event_id") if self.sealed else ("removed", "version", "config")
        numbers = ", ".join(f"${n}" for n in range(2, len(columns) + 2))
        changed = ", ".join(f"{column} = excluded.{column}" for column in columns)
        values = (isinstance(fact, ConfigRemoved), fact.version, msgspec.json.encode(fact), event_id)
        await db.fetch(
            conn,
            f"INSERT INTO intake.{self.name} (id, {', '.join(columns)}) VALUES ($1, {numbers})"
            f" ON CONFLICT (id) DO UPDATE SET {changed} WHERE {self.name}.version < excluded.version",
            config_id,
            *values[: len(columns)],
        )

    @property
    def _select(self) -> str:
        event_id = "event_id" if self.sealed else "''"
        return f"SELECT removed, config, {event_id} FROM intake.{self.name}"


SURVEYS = Table("survey", "survey_config", SurveyConfigured)
WORD_LISTS = Table("word_list", "word_list", WordListConfigured)
SPAM_RULES = Table("spam_rule", "spam_rule", SpamRuleConfigured, sealed=True)
