"""Mail comes in by IMAP. A mail is taken before its UID is stored as read, so a stop between the two repeats it, and the names
by which mail is known once (its Message-ID, or its content) make the repeat harmless. The same holds where a server numbers
its mails anew (another UIDVALIDITY).
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Gauge

from services.intake.acceptor import NotTaken
from services.intake.channels import mime
from services.intake.channels.clean import clean_text
from services.intake.domain.inboxes import Inbox
from services.intake.imap_connection import Connection, Refused, Waiting
from services.intake.imap_settings import Mailbox
from services.intake.imap_tokens import NotAdmitted, Tokens
from services.intake.inboxes import InboxBook
from services.intake.mail import HEADERS, MailTaker, NoRoom
from services.intake.store import mailboxes
from services.intake.store.parked import Arrival
from shared import db
from shared.telemetry import log

LAST_SUCCESS = Gauge("patchbay_imap_last_success_seconds", "When the mailbox was last read to its end (Unix time)", ["mailbox"])
WAITING = Gauge("patchbay_imap_waiting", "Mails of the mailbox that were seen and are not taken yet", ["mailbox"])
LEFT = PrometheusCounter(
    "patchbay_imap_left", "Mails that could be neither taken nor kept: they are in the mailbox only", ["mailbox"]
)
BATCH = 50
BATCH_BYTES = 16 * 2**20  # held at the same time; one mail alone is taken whatever its size
TRIES = 3  # of a mail that the server does not hand out, whole; and as many of its header
CONFIRMED_WITHIN = timedelta(days=7)
HEADER_BYTES = 64 * 2**10  # of a mail that are looked at for who sent it, and are kept where its header is all that is
UNKNOWN = "unknown"  # not empty: that is the null sender of bounces


class Unheld(Exception):
    """Another process reads the mailbox by now."""


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds. `idle`: RFC 2177 wants IDLE said anew within 29 minutes; a dead connection is also noticed by it."""

    idle: float = 300.0
    poll: float = 15.0
    lease: float = 30.0
    first_pause: float = 1.0
    longest_pause: float = 300.0


@dataclass(slots=True)
class ImapReader:
    """Reads all mailboxes, until cancelled; larger mails than `most_bytes` are kept by their header alone."""

    mailboxes: Sequence[Mailbox]
    taker: MailTaker
    inboxes: InboxBook
    most_bytes: int
    pace: Pace = field(default_factory=Pace)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as reading:
            for mailbox in self.mailboxes:
                reading.create_task(OneMailbox(mailbox, self.taker, self.inboxes, self.most_bytes, self.pace).run())
            await asyncio.Event().wait()  # also where there is none: a task that ends, ends the process


@dataclass(slots=True)
class OneMailbox:
    """Reads one mailbox while this process holds its lease."""

    mailbox: Mailbox
    taker: MailTaker
    inboxes: InboxBook
    most_bytes: int
    pace: Pace
    holder: str = field(default_factory=partial(secrets.token_hex, 8))
    failures: Counter[int] = field(default_factory=Counter)
    tokens: Tokens = field(init=False)
    _pause: float = 0.0
    _fetching: int = 0

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.mailbox)

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited out."""
        while True:
            with suppress(db.DatabaseAway):
                if await self._hold():
                    await self._read_while_held()
            await asyncio.sleep(self.pace.lease / 3)

    async def _read_while_held(self) -> None:
        reading = asyncio.create_task(self._read())
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=self.pace.lease / 3)
                if not await self._hold():
                    return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            with suppress(db.DatabaseAway):
                async with db.transaction(self.taker.acceptor.engine) as conn:
                    await mailboxes.release(conn, self.mailbox.account, self.mailbox.folder, self.holder)

    async def _hold(self) -> bool:
        async with db.transaction(self.taker.acceptor.engine) as conn:
            return await mailboxes.hold(conn, self.mailbox.account, self.mailbox.folder, self.holder, self.pace.lease)

    async def _read(self) -> None:
        """Connect again and again, each time after a longer pause until a reading succeeded."""
        self._pause = self.pace.first_pause
        while True:
            connection = Connection(self.mailbox, self.tokens)
            try:
                await self._session(connection)
            except Unheld:
                return
            except Exception as error:  # noqa: BLE001 - servers say what they like; the other mailboxes are read on
                self.failures[self._fetching] += 1
                reason = {"reason": str(error)} if isinstance(error, NotAdmitted) else {}
                log().warning(
                    "mailbox not read", mailbox=self.mailbox.name, error=type(error).__name__, pause=self._pause, **reason
                )
            finally:
                connection.close()
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(self._pause * 2, self.pace.longest_pause)

    async def _session(self, connection: Connection) -> None:
        self._fetching = 0
        uidvalidity = await connection.call(connection.open)
        async with db.transaction(self.taker.acceptor.engine) as conn:
            last = await mailboxes.last_uid(conn, self.mailbox.account, self.mailbox.folder, uidvalidity)
        while True:
            while uids := await connection.call(partial(connection.after, last)):
                for first in range(0, len(uids), BATCH):
                    WAITING.labels(self.mailbox.name).set(len(uids) - first)
                    last = await self._batch(connection, uidvalidity, uids[first : first + BATCH])
            WAITING.labels(self.mailbox.name).set(0)
            LAST_SUCCESS.labels(self.mailbox.name).set_to_current_time()
            self._pause = self.pace.first_pause
            wait = partial(connection.wait, self.pace.idle, self.pace.poll)
            await asyncio.sleep(await connection.call(wait, self.pace.idle + 60))

    async def _batch(self, connection: Connection, uidvalidity: int, uids: Sequence[int]) -> int:
        """Take these mails. Returns the last UID."""
        waiting = await self._waiting(connection, uids)
        for group in groups(uids, {uid: one.size for uid, one in waiting.items()}):
            there = [uid for uid in group if uid in waiting]
            arrivals = [(uid, await self._fetch(connection, uid, waiting[uid].size)) for uid in there]
            self._fetching = 0
            left = await self._take_all(arrivals, waiting)
            await self._advance(uidvalidity, group[-1])
            await self._done(connection, [uid for uid in there if uid not in left])
        return uids[-1]

    async def _waiting(self, connection: Connection, uids: Sequence[int]) -> dict[int, Waiting]:
        """What the server knows of these, of each by itself where it refuses to tell of all: a damaged mail must not hold up the
        others. One of which it tells nothing is asked for like any other.
        """
        with suppress(Refused):
            return await connection.call(partial(connection.waiting, uids))
        if len(uids) == 1:
            return {uids[0]: Waiting(0)}
        found: dict[int, Waiting] = {}
        for uid in uids:
            found |= await self._waiting(connection, [uid])
        return found

    async def _fetch(self, connection: Connection, uid: int, size: int) -> tuple[Arrival, str] | None:
        """A mail, and why it is to be parked; None when it is there no more."""
        self._fetching, failures = uid, self.failures[uid]
        problem = f"the mail is in the mailbox under UID {uid}: "
        if failures >= 2 * TRIES:
            return self._arrival(b"", HEADERS), problem + "the server does not hand it out"
        if failures >= TRIES or size > self.most_bytes:
            header = await connection.call(partial(connection.fetch, uid, "HEADER"))
            reason = "the server does not hand it out whole" if failures else f"its {size} bytes are too many"
            return None if header is None else (self._arrival(header[:HEADER_BYTES], HEADERS), problem + reason)
        with suppress(Refused):
            raw = await connection.call(partial(connection.fetch, uid))
            return None if raw is None else (self._arrival(raw), "")
        return self._arrival(b"", HEADERS), problem + "the server refuses to hand it out"

    async def _take_all(
        self, arrivals: Sequence[tuple[int, tuple[Arrival, str] | None]], waiting: Mapping[int, Waiting]
    ) -> set[int]:
        """Take what is still there. Returns the UIDs of those that are left where they are."""
        now = datetime.now(UTC)
        async with asyncio.TaskGroup() as taking:
            tasks = {
                uid: taking.create_task(self._take(uid, *found, old=is_old(waiting[uid], now)))
                for uid, found in arrivals
                if found is not None
            }
        return {uid for uid, task in tasks.items() if not task.result()}

    async def _take(self, uid: int, arrival: Arrival, problem: str, *, old: bool) -> bool:
        """False where the mail can neither be taken nor be kept: the mailbox does not stand still for it. Raises LATER."""
        try:
            if problem:
                await self.taker.keep(arrival, NotTaken(problem))
            else:
                inbox = self._inbox()
                await self.taker.take(arrival, replace(inbox, confirm=inbox.confirm and not old))
        except NoRoom:
            LEFT.labels(self.mailbox.name).inc()
            log().error("mail left in its mailbox", mailbox=self.mailbox.name, uid=uid, reason="no room to keep it")
            return False
        return True

    async def _advance(self, uidvalidity: int, uid: int) -> None:
        async with db.transaction(self.taker.acceptor.engine) as conn:
            box = self.mailbox
            if not await mailboxes.advance(conn, box.account, box.folder, self.holder, uidvalidity, uid):
                raise Unheld
        self.failures.clear()

    async def _done(self, connection: Connection, uids: Sequence[int]) -> None:
        if uids and (self.mailbox.seen or self.mailbox.move_to):
            await connection.call(partial(connection.done, uids))

    def _inbox(self) -> Inbox:
        """The inbox of the mailbox's settings; what is in the mailbox is ours whether or not that is configured."""
        name = self.mailbox.inbox
        return self.inboxes.current.named(name, "email") or Inbox(id=name, channel="email", address=self.mailbox.user)

    def _arrival(self, raw: bytes, media_type: str = "") -> Arrival:
        return Arrival("imap", raw, _sender(raw), (self._inbox().address,), media_type)


def is_old(mail: Waiting, now: datetime) -> bool:
    """Whether it lay there for so long that nobody waits for a confirmation: a mailbox that is read first holds years of mail."""
    return mail.came_at is not None and mail.came_at < now - CONFIRMED_WITHIN


def groups(uids: Sequence[int], sizes: dict[int, int]) -> Iterator[list[int]]:
    """The UIDs in order, so many at a time as may be held in memory."""
    group: list[int] = []
    held = 0
    for uid in uids:
        size = sizes.get(uid, 0)
        if group and held + size > BATCH_BYTES:
            yield group
            group, held = [], 0
        group.append(uid)
        held += size
    yield group


def _sender(raw: bytes) -> str:
    """What SMTP said: the server that delivered wrote it down as Return-Path (RFC 5321, 4.4); where it did not, who wrote."""
    head = mime.parse(raw[:HEADER_BYTES].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    if any(value.strip() == "<>" for value in head.values_of("Return-Path")[:1]):
        return ""
    found = mime.addresses(head, "Return-Path", "From", "Sender")
    return clean_text(found[0][1]) if found else UNKNOWN
