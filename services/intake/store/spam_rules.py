"""The rules about spam."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.spam import PERSONAL, SpamRule
from shared import db
from shared.events.base import Fact
from shared.events.config import ConfigRemoved, SpamRuleConfigured, SpamRulePersonal
from shared.personal import Erased, KeyRing, NotLoaded
from shared.telemetry import log

Defined = SpamRuleConfigured | ConfigRemoved
_rules = msgspec.json.Decoder(SpamRuleConfigured)
_removals = msgspec.json.Decoder(ConfigRemoved)

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('spam rule ' || $1, 0))"
ONE = "SELECT removed, config, event_id FROM intake.spam_rule WHERE id = $1"
ALL = "SELECT removed, config, event_id FROM intake.spam_rule WHERE NOT removed ORDER BY id"
# Grows with every change: no row is ever deleted, and no version ever falls.
CHANGES = "SELECT coalesce(sum(version), 0) AS n FROM intake.spam_rule"
PUT = """
    INSERT INTO intake.spam_rule (id, removed, version, config, event_id) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO UPDATE SET removed = excluded.removed, version = excluded.version, config = excluded.config,
        event_id = excluded.event_id
    WHERE spam_rule.version < excluded.version
    """


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as it was said, or that it was removed; what is sealed in it is bound to `event_id`."""

    fact: Defined
    event_id: str


def keys_of(facts: Iterable[Fact]) -> list[str]:
    """Under whose keys addresses are sealed in these versions of rules."""
    sealed = (fact.personal for fact in facts if isinstance(fact, SpamRuleConfigured))
    return [personal.customer_id for personal in sealed if personal is not None]


async def changes(conn: AsyncConnection) -> int:
    """A number that another change makes larger."""
    return int((await db.fetch(conn, CHANGES))[0]["n"])


async def locked(conn: AsyncConnection, rule_id: str) -> StoredRule | None:
    """Like `one`, held until the transaction ends, also while it does not exist yet."""
    await db.fetch(conn, LOCK, rule_id)
    return await one(conn, rule_id)


async def one(conn: AsyncConnection, rule_id: str) -> StoredRule | None:
    """A rule, or that it was removed; None when it was never there."""
    rows = await db.fetch(conn, ONE, rule_id)
    return _stored(*rows[0]) if rows else None


async def all_of_them(conn: AsyncConnection) -> list[StoredRule]:
    """Those in force."""
    return [_stored(*row) for row in await db.fetch(conn, ALL)]


async def put(conn: AsyncConnection, rule_id: str, fact: Defined, event_id: str) -> None:
    """Write it, unless what stands there is newer."""
    await db.fetch(conn, PUT, rule_id, isinstance(fact, ConfigRemoved), fact.version, msgspec.json.encode(fact), event_id)


async def opened(conn: AsyncConnection, keys: KeyRing, stored: list[StoredRule]) -> list[SpamRule]:
    """Rules with the addresses that are sealed in them; without, where the key is lost."""
    rules = [(one, one.fact) for one in stored if isinstance(one.fact, SpamRuleConfigured)]
    await keys.load(conn, keys_of(fact for _, fact in rules))
    return [SpamRule(fact.id, fact.verdict, fact.part, _values(keys, one, fact), fact.inboxes) for one, fact in rules]


def _values(keys: KeyRing, stored: StoredRule, fact: SpamRuleConfigured) -> tuple[str, ...]:
    if fact.part not in PERSONAL:
        return fact.values
    try:
        content = keys.open(fact.personal, SpamRulePersonal, stored.event_id) if fact.personal is not None else None
    except (NotLoaded, ValueError):
        content = None
    if content is None or isinstance(content, Erased):
        log().error("the addresses of a spam rule cannot be opened; write it anew", rule_id=fact.id)
        return ()
    return content.values


def _stored(removed: bool, config: bytes, event_id: str) -> StoredRule:
    return StoredRule(_removals.decode(config) if removed else _rules.decode(config), event_id)
