"""The word lists as this process knows them: asked for every second, and at once when they are edited here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.configuring import keep_fresh
from services.intake.domain.word_lists import NO_WORDS, Words
from services.intake.store.configured import WORD_LISTS
from shared import db


@dataclass(slots=True)
class WordBook:
    """`current` is a second old at most while PostgreSQL answers. Read anew only when a list has changed."""

    engine: AsyncEngine
    current: Words = NO_WORDS
    _changes: int = 0

    async def refresh(self) -> None:
        """Read them. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            changes = await WORD_LISTS.changes(conn)
            if changes == self._changes:
                return
            lists = await WORD_LISTS.in_force(conn)
        self.current, self._changes = Words.of(one.fact for one in lists), changes

    async def run(self) -> None:
        """Until cancelled."""
        await keep_fresh(self.refresh)
