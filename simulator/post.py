"""What arrives at the customers' mailboxes, for those who are going to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import parseaddr

from deploy.demo.receivers import Mailbox

HEADERS = BytesHeaderParser(policy=compat32)  # of a mail nothing else is needed; reading all of it takes ten times as long


@dataclass(frozen=True, slots=True)
class Letter:
    """What one needs of a mail to answer it."""

    message_ref: str
    reply_to: str
    automatic: bool


@dataclass(slots=True)
class _Pigeonhole:
    """The newest confirmation and the newest reply of one customer."""

    confirmation: Letter | None = None
    reply: Letter | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Post:
    """Hears of all mail that arrives while `listening`; keeps what is for somebody who expects it."""

    replies: int = 0
    confirmations: int = 0
    _holes: dict[str, _Pigeonhole] = field(default_factory=dict)

    @contextmanager
    def listening(self, mailbox: Mailbox) -> Iterator[None]:
        """Hear of what comes into this mailbox."""
        loop = asyncio.get_running_loop()

        def listener(recipient: str, content: bytes) -> None:
            loop.call_soon_threadsafe(self._take, recipient, content)

        mailbox.listeners.append(listener)
        try:
            yield
        finally:
            mailbox.listeners.remove(listener)

    @contextmanager
    def expecting(self, address: str) -> Iterator[None]:
        """Keep what arrives for this address."""
        self._holes[address] = _Pigeonhole()
        try:
            yield
        finally:
            del self._holes[address]

    async def letter(self, address: str, *, reply: bool, prefer_seconds: float) -> Letter:
        """The newest reply, or confirmation, to an address that is expecting; after `prefer_seconds` the other will do.

        Waits until something has arrived; the caller gives it a deadline.
        """
        hole = self._holes[address]
        try:
            async with asyncio.timeout(prefer_seconds):
                while (wanted := hole.reply if reply else hole.confirmation) is None:
                    hole.arrived.clear()
                    await hole.arrived.wait()
                return wanted
        except TimeoutError:
            while (found := hole.reply or hole.confirmation) is None:
                hole.arrived.clear()
                await hole.arrived.wait()
            return found

    def _take(self, recipient: str, content: bytes) -> None:
        mail = HEADERS.parsebytes(content)
        automatic = "Auto-Submitted" in mail
        if automatic:
            self.confirmations += 1
        else:
            self.replies += 1
        hole = self._holes.get(recipient)
        if hole is None:
            return
        letter = Letter(mail["Message-ID"], parseaddr(mail["Reply-To"] or mail["From"])[1], automatic)
        if automatic:
            hole.confirmation = letter
        else:
            hole.reply = letter
        hole.arrived.set()
