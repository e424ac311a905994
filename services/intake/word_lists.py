"""The word lists as this process knows them: read anew every second, and at once when they are edited here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.domain.word_lists import NO_WORDS, Words
from services.intake.store import word_lists
from shared import db

FRESH_SECONDS = 1.0


@dataclass(slots=True)
class WordBook:
    """`current` is at most FRESH_SECONDS old while PostgreSQL answers. Made anew only when a list has changed."""

    engine: AsyncEngine
    current: Words = NO_WORDS
    _read: list[bytes] = field(default_factory=list)

    async def refresh(self) -> None:
        """Read them. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            read = await word_lists.all_of_them(conn)
        if read != self._read:
            self.current, self._read = Words.of(word_lists.decoded(read)), read

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(db.DatabaseAway):  # what was known last is good enough until it answers again
                await self.refresh()
            await asyncio.sleep(FRESH_SECONDS)
