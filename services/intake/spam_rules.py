"""The rules about spam as this process knows them: asked for every second, and at once when they are edited here."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import CLAIMED
from services.intake.domain.spam import NO_RULES, PERSONAL, SpamRule, SpamRules
from services.intake.store import spam_rules
from services.intake.store.spam_rules import StoredRule
from shared import db
from shared.events.base import Draft, Fact
from shared.events.config import ConfigRemoved, SpamRuleConfigured, SpamRulePersonal
from shared.outbox import Outbox
from shared.personal import KeyRing

FRESH_SECONDS = 1.0


@dataclass(slots=True)
class SpamBook:
    """`current` is at most FRESH_SECONDS old while PostgreSQL answers. Read anew only when a rule has changed."""

    engine: AsyncEngine
    keys: KeyRing
    current: SpamRules = NO_RULES
    _changes: int = 0

    async def refresh(self) -> None:
        """Read them. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            changes = await spam_rules.changes(conn)
            if changes == self._changes:
                return
            rules = await spam_rules.opened(conn, self.keys, await spam_rules.all_of_them(conn))
        self.current, self._changes = SpamRules.of(rules), changes

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(db.DatabaseAway):  # what was known last is good enough until it answers again
                await self.refresh()
            await asyncio.sleep(FRESH_SECONDS)


async def enact(
    conn: AsyncConnection, outbox: Outbox, rule: SpamRule, before: StoredRule | None, since: datetime, now: datetime
) -> StoredRule:
    """Put a new version of a rule in force, and forget whom the one before it named. Returns it as it is stored."""
    sealed = rule.part in PERSONAL
    fact = SpamRuleConfigured(
        id=rule.id,
        version=_next(before),
        effective_from=since,
        verdict=rule.verdict,
        part=rule.part,
        values=() if sealed else rule.values,
        inboxes=rule.inboxes,
    )
    draft: Draft[Fact] = Draft(
        key=f"spam_rule:{rule.id}",
        data=fact,
        cause=f"spam_rule:{rule.id}:{fact.version}",
        person=f"spam_rule:{uuid4()}" if sealed else None,
        personal=SpamRulePersonal(values=rule.values) if sealed else None,
    )
    return await _put(conn, outbox, rule.id, draft, before, now)


async def remove(conn: AsyncConnection, outbox: Outbox, rule_id: str, before: StoredRule, now: datetime) -> None:
    """Take a rule out of force, and forget whom it named."""
    fact = ConfigRemoved(version=_next(before), effective_from=now)
    key = f"spam_rule:{rule_id}"
    await _put(conn, outbox, rule_id, Draft(key=key, data=fact, cause=f"{key}:{fact.version}"), before, now)


async def without(conn: AsyncConnection, outbox: Outbox, persons: Collection[Handle], now: datetime) -> None:
    """Take a person's addresses and numbers out of all rules: they were erased. What they only claimed is somebody else's."""
    named = {form.value for handle in persons if handle.scope != CLAIMED for form in numbers.forms(handle)}
    for found in await spam_rules.opened(conn, outbox.keys, await spam_rules.all_of_them(conn)):
        if found.part not in PERSONAL or named.isdisjoint(found.values):
            continue
        before = await spam_rules.locked(conn, found.id)
        if before is None or not isinstance(before.fact, SpamRuleConfigured):
            continue
        [rule] = await spam_rules.opened(conn, outbox.keys, [before])
        left = tuple(value for value in rule.values if value not in named)
        if left:
            await enact(conn, outbox, replace(rule, values=left), before, before.fact.effective_from, now)
        else:
            await remove(conn, outbox, rule.id, before, now)


async def _put(
    conn: AsyncConnection, outbox: Outbox, rule_id: str, draft: Draft[Fact], before: StoredRule | None, now: datetime
) -> StoredRule:
    [event] = await outbox.publish(conn, [draft], now)
    assert isinstance(event.data, SpamRuleConfigured | ConfigRemoved)
    await spam_rules.put(conn, rule_id, event.data, event.id)
    await outbox.keys.destroy(conn, spam_rules.keys_of([before.fact] if before is not None else []))
    return StoredRule(event.data, event.id)


def _next(before: StoredRule | None) -> int:
    return before.fact.version + 1 if before is not None else 1
