"""`patchbay keys rewrap`: while the master key is changed for another, all customers' keys are wrapped by the new one."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.screen import Screen
from shared import db
from shared.personal import KeyRing
from shared.settings import Settings

AT_ONCE = 500  # keys of one transaction, which nobody can destroy meanwhile


async def rewrap(engine: AsyncEngine, settings: Settings, screen: Screen) -> int:
    """Wrap those that the first master key does not open; returns how many. Raises SettingsError, WrongMasterKey."""
    ring = KeyRing.of(settings.master_keys())
    async with db.transaction(engine) as conn:
        total = await ring.count(conn)
    after, done, anew = "", 0, 0
    with screen.counted("Wrapping anew", total) as progress:
        while True:
            async with db.transaction(engine) as conn:
                seen, wrapped = await ring.wrap_anew(conn, after, AT_ONCE)
            if not seen:
                return anew
            after, done, anew = seen[-1], done + len(seen), anew + wrapped
            progress(done)
