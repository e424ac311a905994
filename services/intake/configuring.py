"""Word lists, rules about spam, questions after a resolution: how each is put in force, taken out, and known to a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.store.configured import Newest, Said, Stored, Table
from shared import db
from shared.configuring import version_after, version_said
from shared.events.base import Draft, Fact, PersonalFact
from shared.events.config import ConfigRemoved
from shared.outbox import Outbox

FRESH_SECONDS = 1.0


async def enact(
    conn: AsyncConnection,
    outbox: Outbox,
    table: Table[Said],
    fact: Said,
    before: Newest[Said],
    now: datetime,
    personal: msgspec.Struct | None = None,
) -> Said:
    """Put a new version in force; what was sealed in the one before it is forgotten. `personal` is sealed under a key of its
    own. Returns the version as it was said.
    """
    draft = version_said(table.kind, fact.id, fact)
    if personal is not None:
        draft = replace(draft, person=f"{table.kind}:{uuid4()}", personal=personal)
    said = await _say(conn, outbox, table, fact.id, draft, before, now)
    assert isinstance(said, table.shape)
    return said


async def remove(
    conn: AsyncConnection, outbox: Outbox, table: Table[Said], config_id: str, before: Stored[Said], now: datetime
) -> None:
    """Take one out of force; what was sealed in it is forgotten."""
    fact = ConfigRemoved(version=version_after(before), effective_from=now)
    await _say(conn, outbox, table, config_id, version_said(table.kind, config_id, fact), before, now)


async def _say(
    conn: AsyncConnection,
    outbox: Outbox,
    table: Table[Said],
    config_id: str,
    draft: Draft[Fact],
    before: Newest[Said],
    now: datetime,
) -> Said | ConfigRemoved:
    [event] = await outbox.publish(conn, [draft], now)
    said = event.data
    assert isinstance(said, (table.shape, ConfigRemoved))
    await table.put(conn, config_id, said, event.id)
    keys = sealed_under([before.fact] if isinstance(before, Stored) else [])
    if keys:
        await outbox.keys.destroy(conn, keys)
    return said


def sealed_under(facts: Iterable[Fact]) -> list[str]:
    """The keys under which something is sealed in these versions."""
    sealed = (fact.personal for fact in facts if isinstance(fact, PersonalFact))
    return [personal.customer_id for personal in sealed if personal is not None]


async def keep_fresh(refresh: Callable[[], Awaitable[None]]) -> None:
    """Have it read anew every FRESH_SECONDS, until cancelled."""
    while True:
        with suppress(db.DatabaseAway):  # what was known last is good enough until it answers again
            await refresh()
        await asyncio.sleep(FRESH_SECONDS)
