"""The inboxes as this process knows them: read anew every second, and at once when they are edited here."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.configuring import keep_fresh
from services.intake.domain.inboxes import Inboxes
from services.intake.store import config
from shared import db


@dataclass(slots=True)
class InboxBook:
    """`current` is a second old at most while PostgreSQL answers."""

    engine: AsyncEngine
    current: Inboxes = field(default_factory=Inboxes)

    async def refresh(self) -> None:
        """Read them. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            self.current = await config.inboxes(conn)

    async def run(self) -> None:
        """Until cancelled."""
        await keep_fresh(self.refresh)
