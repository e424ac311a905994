"""The rules about spam as this process knows them: asked for every second, and at once when they are edited here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake import configuring
from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import CLAIMED
from services.intake.domain.spam import NO_RULES, PERSONAL, SpamRule, SpamRules
from services.intake.store.configured import SPAM_RULES, Newest, Stored
from shared import db
from shared.configuring import version_after
from shared.events.config import SpamRuleConfigured, SpamRulePersonal
from shared.outbox import Outbox
from shared.personal import Erased, KeyRing, NotLoaded
from shared.telemetry import log

StoredRule = Stored[SpamRuleConfigured]


@dataclass(slots=True)
class SpamBook:
    """`current` is a second old at most while PostgreSQL answers. Read anew only when a rule has changed."""

    engine: AsyncEngine
    keys: KeyRing
    current: SpamRules = NO_RULES
    _changes: int = 0

    async def refresh(self) -> None:
        """Read them. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            changes = await SPAM_RULES.changes(conn)
            if changes == self._changes:
                return
            rules = await opened(conn, self.keys, await SPAM_RULES.in_force(conn))
        self.current, self._changes = SpamRules.of(rules), changes

    async def run(self) -> None:
        """Until cancelled."""
        await configuring.keep_fresh(self.refresh)


async def opened(conn: AsyncConnection, keys: KeyRing, stored: Sequence[StoredRule]) -> list[SpamRule]:
    """Rules with the addresses that are sealed in them; without, where the key is lost."""
    await keys.load(conn, configuring.sealed_under(one.fact for one in stored))
    return [SpamRule(one.fact.id, one.fact.verdict, one.fact.part, _values(keys, one), one.fact.inboxes) for one in stored]


def _values(keys: KeyRing, stored: StoredRule) -> tuple[str, ...]:
    fact = stored.fact
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


async def enact(
    conn: AsyncConnection,
    outbox: Outbox,
    rule: SpamRule,
    before: Newest[SpamRuleConfigured],
    since: datetime,
    now: datetime,
) -> SpamRuleConfigured:
    """Put a new version of a rule in force, and forget whom the one before it named. Returns it as it was said."""
    sealed = rule.part in PERSONAL
    fact = SpamRuleConfigured(
        id=rule.id,
        version=version_after(before),
        effective_from=since,
        verdict=rule.verdict,
        part=rule.part,
        values=() if sealed else rule.values,
        inboxes=rule.inboxes,
    )
    personal = SpamRulePersonal(values=rule.values) if sealed else None
    return await configuring.enact(conn, outbox, SPAM_RULES, fact, before, now, personal)


async def without(conn: AsyncConnection, outbox: Outbox, persons: Collection[Handle], now: datetime) -> None:
    """Take a person's addresses and numbers out of all rules: they were erased. What they only claimed is somebody else's."""
    named = {form.value for handle in persons if handle.scope != CLAIMED for form in numbers.forms(handle)}
    for found in await opened(conn, outbox.keys, await SPAM_RULES.in_force(conn)):
        if found.part not in PERSONAL or named.isdisjoint(found.values):
            continue
        before = await SPAM_RULES.locked(conn, found.id)
        if not isinstance(before, Stored):
            continue
        [rule] = await opened(conn, outbox.keys, [before])
        left = tuple(value for value in rule.values if value not in named)
        if left:
            await enact(conn, outbox, replace(rule, values=left), before, before.fact.effective_from, now)
        else:
            await configuring.remove(conn, outbox, SPAM_RULES, rule.id, before, now)
