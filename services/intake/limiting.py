"""Limits on what comes from one sender, with one key, from one address in a minute, to whichever processes it comes.

A process lets in the first few under a name without asking anybody: most senders never send more, and cost a look into memory.
For whoever does, it takes parts of the name's minute out of the database, where all processes take from the same one
(docs/decisions/0018-limits-that-all-processes-share.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.domain.contacts import DeliveryWord, InboundMessage, SpamVerdict
from services.intake.domain.identity import as_shown
from services.intake.domain.limits import MINUTE, free_of, give
from services.intake.domain.tokens import Signer
from services.intake.settings import IntakeSettings
from services.intake.store import limits
from shared import db
from shared.telemetry import log

LIMITED = Counter("patchbay_intake_limited", "Contacts over a limit, refused until later or quarantined", ["channel", "fate"])
FLOOD = SpamVerdict("rule", rule_id="flood")
MINUTE_SECONDS = MINUTE.total_seconds()
What = Literal["mail", "report", "kept", "sms", "key", "form", "form_sender", "form_token", "history"]


class TooMuch(Exception):
    """More came from one sender than may in a minute. Nothing was taken; the same may be taken later."""


@dataclass(slots=True, eq=False)
class _Hand:
    """What this process may let in under a name until then (by its clock). `free`: what it had without asking; 0 once it asked.
    `full`: there is nothing more before.
    """

    until: float
    left: int
    free: int
    full: bool = False
    asking: asyncio.Lock | None = None  # of those who ask only: most never do


@dataclass(slots=True)
class Limiter:
    """The limits as one process keeps them."""

    engine: AsyncEngine
    signer: Signer
    settings: IntakeSettings
    clock: Callable[[], float] = time.monotonic
    _hands: dict[str, _Hand] = field(default_factory=dict)
    _tidy_at: float = 0.0

    async def of_sender(self, message: InboundMessage, brought_by: str = "") -> float:
        """`wait` for whoever wrote this message, by mail or by text message. `brought_by`: the server or provider that brought
        it, as far as that is known. Mail that proves nothing is counted with what the same server brought as from the same
        address, so that who writes in somebody else's name does not use up what that one may send.
        """
        handle = as_shown(message).handle
        whose = handle.key if handle is not None else ""
        if message.channel != "email":
            return await self.wait("sms", whose, self.settings.intake_sms_per_minute)
        if not message.authentication.proven:
            whose = f"{whose}\n{brought_by}"
        return await self.wait("mail", whose, self.settings.intake_mail_per_minute)

    def full(self, what: What, whose: str) -> float:
        """After how many seconds anything may come under this name, as far as this process knows without asking; 0.0: now."""
        hand = self._hands.get(f"{what}\n{whose}")
        return max(0.0, hand.until - self.clock()) if hand is not None and hand.full and not hand.left else 0.0

    async def of_report(self, word: DeliveryWord) -> float:
        """`wait` for what mail says about one mail of ours: as much as of one sender. One that names none of ours is kept for a
        person, which has a limit of its own.
        """
        if word.message_id is None:
            return 0.0
        return await self.wait("report", word.message_id, self.settings.intake_mail_per_minute)

    async def of_kept(self, reason: str) -> float:
        """`wait` for mail that is to be kept for a person for this reason, whoever is said to have sent it."""
        return await self.wait("kept", reason, self.settings.intake_mail_per_minute)

    async def wait(self, what: What, whose: str, per_minute: int, count: int = 1) -> float:
        """0.0 where so many more may come now, which are counted; else after how many seconds. `per_minute` 0 is no limit.

        Raises DatabaseAway.
        """
        if not per_minute:
            return 0.0
        name = f"{what}\n{whose}"
        hand = self._hand(name, per_minute)
        if count > hand.left:
            hand.asking = hand.asking or asyncio.Lock()
            async with hand.asking:
                if count > hand.left:  # nobody else of this name asked meanwhile
                    return await self._ask(name, hand, per_minute, count)
        hand.left -= count
        return 0.0

    def _hand(self, name: str, per_minute: int) -> _Hand:
        now = self.clock()
        hand = self._hands.get(name)
        if hand is not None and hand.until > now:
            return hand
        if now >= self._tidy_at:
            self._hands = {name: hand for name, hand in self._hands.items() if hand.until > now}
            self._tidy_at = now + MINUTE_SECONDS
        hand = self._hands[name] = _Hand(now + MINUTE_SECONDS, free_of(per_minute), free_of(per_minute))
        return hand

    async def _ask(self, name: str, hand: _Hand, per_minute: int, count: int) -> float:
        """Take a part out of the name's minute, with what came before it was asked for."""
        if not hand.full:
            left, needed = hand.left, count + hand.free - hand.left
            given, seconds = await db.retrying(lambda: self._take(name, needed, per_minute))
            hand.until = self.clock() + seconds
            if given:
                hand.free = 0
                hand.left += given - needed - left  # without what was used up meanwhile
                return 0.0
            hand.full = True
            log().warning("more came than may in a minute", limit=name.partition("\n")[0], wait_seconds=seconds)
        return max(0.0, hand.until - self.clock())

    async def _take(self, name: str, needed: int, per_minute: int) -> tuple[int, float]:
        """How many may come, and in how many seconds the minute ends."""
        veiled = self.signer.veil(name)
        async with db.transaction(self.engine) as conn:
            held = await limits.hold(conn, veiled)
            given = give(held.minute, needed, per_minute, held.now)
            if given.amount:
                await limits.put(conn, veiled, given.minute)
        return given.amount, (given.minute.ends_at - held.now).total_seconds()


def quarantined(message: InboundMessage) -> InboundMessage:
    """The message, so that a ticket which it opens is in quarantine: of who sends too much, where refusing would lose it."""
    LIMITED.labels(message.channel, "quarantined").inc()
    return replace(message, spam=message.spam or FLOOD)
