"""Mail that stands in S3: its notification was accepted and kept; the mail is fetched afterwards and taken as any other.

It is taken before its row goes, so a stop between the two fetches it once more, and the names by which mail is known once make
the repeat harmless (docs/decisions/0023).
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import httpx
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake.channels import composed, s3, ses
from services.intake.channels.provided import JSON, StoredMail, inbox_of
from services.intake.domain.delivery import NotNow, Refused
from services.intake.domain.media import ATTEMPTS, due_again
from services.intake.fetching import fetch_until_cancelled
from services.intake.imap import UNKNOWN
from services.intake.mail import LATER, MAIL, MailTaker
from services.intake.s3_settings import Buckets
from services.intake.store import parked, stored_mails
from services.intake.store.parked import Arrival
from services.intake.store.stored_mails import StoredRow
from shared import db, telemetry
from shared.clock import clock
from shared.telemetry import log

FETCHES = Counter("patchbay_intake_stored_mail_fetches", "Attempts to fetch mails from S3, by what came of them", ["outcome"])
AT_ONCE = 4  # each may hold a mail of the largest size in memory
FETCH_SECONDS = 60.0
LEASE_SECONDS = 180.0  # for fetching, reading and storing
HOWEVER_MANY = 2**62  # a notification is small, and SES was told that it is kept


@dataclass(frozen=True, slots=True)
class Storage:
    """The buckets that may be read, with a client that goes to them alone."""

    buckets: Buckets
    client: httpx.AsyncClient
    most_bytes: int
    fetch_seconds: float = FETCH_SECONDS

    async def fetched(self, stored: StoredMail) -> bytes | Refused | NotNow:
        """The mail, marked as its notification judged it; or why it is not had."""
        bucket = self.buckets.get(stored.bucket)
        if bucket is None:
            return s3.NOT_NAMED
        try:
            keys = bucket.keys()
        except (OSError, ValueError) as error:
            log().error("the keys of a bucket cannot be read", bucket=stored.bucket, error=type(error).__name__)
            return NotNow("keys-not-readable")
        try:
            async with asyncio.timeout(self.fetch_seconds):
                mail = await s3.fetch(self.client, bucket, keys, stored.key, self.most_bytes)
        except TimeoutError:
            return NotNow("too-slow")
        return composed.judged(mail, spam=stored.spam, infected=stored.infected) if isinstance(mail, bytes) else mail


@dataclass(slots=True)
class StoredMailFetcher:
    """Fetches what is due until cancelled, and takes it."""

    engine: AsyncEngine
    storage: Storage
    taker: MailTaker

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited out."""
        await fetch_until_cancelled(self.fetch_due)

    async def fetch_due(self) -> int:
        """Attempt what is due now, up to AT_ONCE. Returns how much there was. Raises DatabaseAway."""
        async with db.transaction(self.engine) as conn:
            claimed = await stored_mails.claim(conn, AT_ONCE, LEASE_SECONDS)
        await asyncio.gather(*(self._attempt(one) for one in claimed))
        return len(claimed)

    async def _attempt(self, row: StoredRow) -> None:
        with telemetry.span("mail from S3", row.traceparent):
            outcome = await self._outcome(row)
        FETCHES.labels("taken" if outcome is None else type(outcome).__name__.lower()).inc()
        if outcome is not None:
            log().warning("mail in S3 not taken", stored_mail=row.id, code=outcome.code, attempt=row.attempts)
        await db.retrying(lambda: self._record(row, outcome))

    async def _outcome(self, row: StoredRow) -> Refused | NotNow | None:
        """None when it is settled: the mail was taken, or is kept by itself, or is nobody's any more."""
        if row.attempts > ATTEMPTS:  # nobody came to an end with it, so it may be what ends them
            return s3.INTERRUPTED
        try:
            [stored] = ses.read(row.pointer)
            assert isinstance(stored, StoredMail)
            mail = await self.storage.fetched(stored)
            if not isinstance(mail, bytes):
                return mail
            await self._take(row, stored, mail)
        except LATER:
            return NotNow("not-taken-now")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one mail, it must not stop the others
            log().error("mail in S3 failed", stored_mail=row.id, error=type(error).__name__, exc_info=True)
            return NotNow("internal-error")
        return None

    async def _take(self, row: StoredRow, stored: StoredMail, mail: bytes) -> None:
        async with db.transaction(self.engine) as conn:
            if not await stored_mails.is_ours(conn, row):
                return
        await self.taker.take(carried(stored, mail), inbox_of(stored.envelope, self.taker.inboxes.current))

    async def _record(self, row: StoredRow, outcome: Refused | NotNow | None) -> None:
        async with db.transaction(self.engine) as conn:
            due_at = due_again(row.attempts, await clock(conn)) if isinstance(outcome, NotNow) else None
            if due_at is not None:
                await stored_mails.postpone(conn, row, due_at)
            elif await stored_mails.end(conn, row) and outcome is not None:
                await _park(conn, row, s3.reason(outcome))


def stored_in(arrival: Arrival) -> StoredMail | None:
    """Where its mail stands, of a notification that says no more. Raises Unreadable."""
    if arrival.way != "ses" or arrival.media_type == MAIL:
        return None
    return next((piece for piece in ses.read(arrival.body) if isinstance(piece, StoredMail)), None)


def carried(stored: StoredMail, mail: bytes) -> Arrival:
    """The mail that was fetched, with what its notification said around it."""
    sender = UNKNOWN if stored.envelope.sender is None else stored.envelope.sender
    return Arrival("ses", mail, sender, stored.envelope.recipients, MAIL)


async def _park(conn: AsyncConnection, row: StoredRow, reason: str) -> None:
    log().error("mail in S3 parked", stored_mail=row.id, reason=reason)
    digest = hashlib.sha256(row.pointer).digest()
    await parked.park(conn, Arrival("ses", row.pointer), reason, JSON, digest, HOWEVER_MANY)
