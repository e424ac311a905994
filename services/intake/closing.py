"""The tick of intake: closes what stayed resolved, forgets what need not be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake import merging, reaching
from services.intake.domain import closing
from services.intake.domain.closing import Resting
from services.intake.domain.identity import ANSWERED, MergeRefused
from services.intake.settings import IntakeSettings
from services.intake.store import customers, files, fingerprints, limits, merges, payloads, tickets
from shared import db
from shared.clock import clock
from shared.idempotency import forget_old
from shared.outbox import Outbox
from shared.telemetry import log
from shared.ticket import apply

AT_ONCE = 200
EVERY_SECONDS = 30.0


@dataclass(slots=True)
class Ticker:
    """Ticks until cancelled."""

    settings: IntakeSettings
    engine: AsyncEngine
    outbox: Outbox

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited out; what goes wrong with one part holds up no other."""
        while True:
            for part in (self.close_all_rested, self.merge_proven, self.reach_again, self.keep_house):
                try:
                    await part()
                except db.DatabaseAway:
                    break
                except Exception as error:  # noqa: BLE001 - a row that cannot be read must not end the process again and again
                    log().error("tick failed", part=part.__name__, error=type(error).__name__, exc_info=True)
            await asyncio.sleep(EVERY_SECONDS)

    async def close_all_rested(self) -> None:
        """Close all tickets that were resolved long enough ago."""
        while await self.close_rested() == AT_ONCE:
            continue

    async def reach_again(self) -> None:
        """Look once more at the customers of whom it was told that they can, or cannot, be written to."""
        settled_seconds = 2 * self.settings.transaction_seconds
        while await db.retrying(lambda: self._reach_again(settled_seconds)) == reaching.AT_ONCE:
            continue

    async def _reach_again(self, settled_seconds: float) -> int:
        async with db.transaction(self.engine) as conn:
            looked_at = await reaching.look_again(conn, self.outbox, settled_seconds)
        if looked_at:
            self.outbox.wake.set()
        return looked_at

    async def keep_house(self) -> None:
        """Forget what need not be kept any longer. A transaction for each kind: an erasure holds several in another order.

        Raises DatabaseAway.
        """
        kinds: tuple[Callable[[AsyncConnection], Awaitable[object]], ...] = (
            lambda conn: forget_old(conn, self.outbox.schema),
            files.forget_unused,
            fingerprints.forget_old,
            lambda conn: payloads.forget_parked(conn, self.settings.intake_parked_days),
            limits.forget_over,
        )
        for forget in kinds:
            async with db.transaction(self.engine) as conn:
                await forget(conn)

    async def merge_proven(self) -> int:
        """Merge customers who only claimed an address into those who answered from it, and those for whom a connector vouches.

        Returns how many were merged.
        """
        async with db.transaction(self.engine) as conn:
            pairs = await merges.proven(conn)
        merged = [await db.retrying(lambda pair=pair: self._merge(*pair)) for pair in pairs]  # type: ignore[misc]
        if any(merged):
            self.outbox.wake.set()
        return sum(merged)

    async def _merge(self, one_id: str, other_id: str, evidence: str) -> bool:
        """Merge a pair, under the ids they go on with now; what may not be merged is left to people."""
        async with db.transaction(self.engine) as conn:
            one, other = await customers.onward(conn, one_id), await customers.onward(conn, other_id)
            if one == other:  # another process or a supervisor was quicker
                await merges.settle(conn, [one_id], other_id, "accepted")
                return False
            if evidence == ANSWERED:
                await merging.hold(conn, [one, other])
                if await merges.brings_unproven(conn, one, other):
                    log().info("customers were not merged", one=one, other=other, reason="unproven-claim")
                    await merges.doubt(conn, one_id, other_id)
                    return False
            try:
                await merging.merge(conn, self.outbox, one, other, evidence)
            except MergeRefused as refused:
                log().info("customers were not merged", one=one, other=other, reason=refused.code)
                await merges.doubt(conn, one_id, other_id)
                return False
            await merges.settle(conn, [one_id], other_id, "accepted")
            return True

    async def close_rested(self) -> int:
        """Close tickets that were resolved long enough ago. Returns how many were looked at."""
        return await db.retrying(self._close_rested)

    async def _close_rested(self) -> int:
        async with db.transaction(self.engine) as conn:
            before = await clock(conn) - timedelta(days=self.settings.intake_close_after_days)
            stories = await tickets.resting(conn, before, AT_ONCE)
            if not stories:
                return 0
            now = await clock(conn)
            drafts = [closing.by_age(Resting(ticket_id, story)) for ticket_id, story in stories.items()]
            told = [draft for draft in drafts if draft is not None]
            events = await self.outbox.publish(conn, told, now)
            await tickets.update(conn, {event.key: apply(stories[event.key], event) for event in events}, now)
        self.outbox.wake.set()
        return len(stories)
