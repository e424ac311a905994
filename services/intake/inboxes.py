"""The inboxes as this process knows them: read anew every second, and at once when they are edited here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.domain.inboxes import Inboxes
from services.intake.store import config
from shared import db

FRESH_SECONDS = 1.0


@dataclass(slots=True)
class InboxBook:
    """`current` is at most FRESH_SECONDS old while PostgreSQL answers."""

    engine: AsyncEngine
    current: Inboxes = field(default_factory=Inboxes)

    async def refresh(self) -> None:
        """Read them. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            self.current = await config.inboxes(conn)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(db.DatabaseAway):  # what was known last is good enough until it answers again
                await self.refresh()
            await asyncio.sleep(FRESH_SECONDS)
