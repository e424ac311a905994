"""What the routes of word lists, rules about spam and questions share: edits under If-Match, and what is not in force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic

from fastapi import Depends, Path
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import configuring
from services.intake.api.edge import Intake
from services.intake.store.configured import Newest, Said, Stored, Table
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.http import Problem, check_match

Admin = Annotated[Caller, Depends(requires("admin"))]
ConfigId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
Write = Callable[[AsyncConnection, Newest[Said], datetime], Awaitable[Said]]


@dataclass(frozen=True, slots=True)
class Kind(Generic[Said]):
    """One kind: where it stands, and what a client is told of one that is not in force."""

    table: Table[Said]
    code: str
    detail: str

    def in_force(self, found: Newest[Said]) -> Stored[Said]:
        """What was found, when it is. Raises Problem 404."""
        if not isinstance(found, Stored):
            raise Problem(404, self.code, self.detail)
        return found


async def put(intake: Intake, kind: Kind[Said], config_id: str, if_match: str | None, write: Write[Said]) -> Said:
    """Make or change one: `write` gets what is there, held, and the time. Raises Problem 412, 428."""

    async def attempt() -> Said:
        async with db.transaction(intake.parts.engine) as conn:
            before = await kind.table.locked(conn, config_id)
            check_match(if_match, before.version if isinstance(before, Stored) else None)
            return await write(conn, before, await clock(conn))

    said = await db.retrying(attempt)
    intake.parts.outbox.wake.set()
    return said


async def remove(intake: Intake, kind: Kind[Said], config_id: str, if_match: str | None) -> None:
    """Take one out of force. Raises Problem 404, 412, 428."""

    async def attempt() -> None:
        async with db.transaction(intake.parts.engine) as conn:
            before = kind.in_force(await kind.table.locked(conn, config_id))
            check_match(if_match, before.version)
            await configuring.remove(conn, intake.parts.outbox, kind.table, config_id, before, await clock(conn))

    await db.retrying(attempt)
    intake.parts.outbox.wake.set()
