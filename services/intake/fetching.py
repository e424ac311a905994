"""Fetching the files that messages only point to: claim, attempt, record; after the message itself was accepted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.channels import media
from services.intake.channels.dangerous import is_dangerous
from services.intake.channels.media import Credentials
from services.intake.domain.delivery import NotNow, Refused
from services.intake.domain.media import Fetch, Fetched, FetchOutcome, judge
from services.intake.settings import IntakeSettings
from services.intake.store import fetches, tickets
from shared import db
from shared.clock import clock
from shared.events.base import Attachment, Draft
from shared.outbox import Outbox
from shared.telemetry import log

FETCHES = Counter("patchbay_intake_fetches", "Attempts to fetch files of messages, by what came of them", ["outcome"])
AT_ONCE = 4  # each may hold a whole file in memory
FETCH_SECONDS = 60.0
LEASE_SECONDS = FETCH_SECONDS * 2
IDLE_SECONDS = 1.0
BACK_OFF_SECONDS = 2.0


async def fetch_until_cancelled(fetch_due: Callable[[], Awaitable[int]]) -> None:
    """Fetch what is due, again and again. A database that is away is waited out."""
    while True:
        try:
            fetched = await fetch_due()
        except db.DatabaseAway:
            await asyncio.sleep(BACK_OFF_SECONDS)
            continue
        if fetched == 0:
            await asyncio.sleep(IDLE_SECONDS)


@dataclass(slots=True)
class MediaFetcher:
    """Fetches what is due until cancelled, with a guarded client."""

    settings: IntakeSettings
    engine: AsyncEngine
    outbox: Outbox
    client: httpx.AsyncClient
    fetch_seconds: float = FETCH_SECONDS

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited out."""
        await fetch_until_cancelled(self.fetch_due)

    async def fetch_due(self) -> int:
        """Attempt what is due now, up to AT_ONCE. Returns how much there was. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            claimed = await fetches.claim(conn, AT_ONCE, LEASE_SECONDS)
        await asyncio.gather(*(self._attempt(one) for one in claimed))
        return len(claimed)

    async def _attempt(self, fetch: Fetch) -> None:
        outcome = await self._fetched(fetch)
        FETCHES.labels(type(outcome).__name__.lower()).inc()
        if isinstance(outcome, Fetched):
            described = await asyncio.to_thread(_described, fetch, outcome)
            await db.retrying(lambda: self._record(fetch, described, outcome.content))
        else:
            log().warning("file not fetched", attachment_id=fetch.attachment_id, code=outcome.code, attempt=fetch.attempts)
            await db.retrying(lambda: self._record(fetch, outcome))

    async def _fetched(self, fetch: Fetch) -> FetchOutcome:
        try:
            async with asyncio.timeout(self.fetch_seconds):
                return await media.fetch(self.client, fetch.url, self._credentials(), self.settings.intake_media_max_bytes)
        except TimeoutError:
            return NotNow("too-slow")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, it must not stop the others
            log().error("fetch failed", attachment_id=fetch.attachment_id, error=type(error).__name__, exc_info=True)
            return NotNow("internal-error")

    def _credentials(self) -> Credentials | None:
        account = self.settings.twilio_account
        return Credentials(account.base_url, account.account_sid, account.auth_token) if account is not None else None

    async def _record(self, fetch: Fetch, outcome: Attachment | Refused | NotNow, content: bytes = b"") -> None:
        async with db.transaction(self.engine) as conn:
            now = await clock(conn)
            verdict = judge(fetch, outcome, now)
            if verdict.due_at is not None:
                await fetches.postpone(conn, fetch, verdict.due_at)
                return
            ended = await fetches.end(conn, fetch)
            if ended is None:
                return
            if isinstance(outcome, Attachment):
                await fetches.keep(conn, fetch, ended, outcome, content)
            if verdict.fact is not None and not ended.told:
                onward = await tickets.merged_onward(conn, ended.ticket_id)
                keys = (ended.ticket_id, onward) if onward is not None else (ended.ticket_id,)
                said = [Draft(key=key, data=verdict.fact, cause=fetch.attachment_id) for key in keys]
                await self.outbox.publish(conn, said, now)
        self.outbox.wake.set()


def _described(fetch: Fetch, file: Fetched) -> Attachment:
    """The file as the log names it."""
    return Attachment(
        id=fetch.attachment_id,
        media_type=file.media_type,
        size_bytes=len(file.content),
        sha256=hashlib.sha256(file.content).hexdigest(),
        dangerous=is_dangerous(file.name, file.media_type, file.content),
    )
