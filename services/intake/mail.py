"""Takes a mail, by whatever way it came: parsed off the event loop, accepted, or kept as it is for a person to look at."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.intake.acceptor import CONTACTS, Acceptor, NotTaken, Overloaded
from services.intake.channels import email
from services.intake.channels.authentication import NO_BORDER, Border
from services.intake.channels.email import Envelope
from services.intake.channels.provided import brought_by
from services.intake.domain.contacts import DeliveryWord, InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.plan import Placement
from services.intake.domain.tokens import Signer
from services.intake.inboxes import InboxBook
from services.intake.limiting import LIMITED, Limiter, TooMuch, quarantined
from services.intake.store import parked
from services.intake.store.parked import Arrival
from shared import db, telemetry
from shared.telemetry import log

PARSE_SECONDS = 60.0  # a mail that takes longer is kept for a person; one of 25 MB takes a second or two
PARSERS = 2  # mails parsed at the same time, off the event loop
MAIL, HEADERS = "message/rfc822", "text/rfc822-headers"
NONE_OF_OURS = "it reports on a mail that did not go out from here"


class NoRoom(Exception):
    """As much mail is kept for people to look at as there is room for. Nothing was taken; the same may be taken later."""


LATER = (db.DatabaseAway, Overloaded, TimeoutError, TooMuch, NoRoom)  # nothing was kept; the same mail may be taken later


@dataclass(slots=True)
class MailTaker:
    """What all ways of mail share."""

    acceptor: Acceptor
    signer: Signer
    inboxes: InboxBook
    limiter: Limiter
    border: Border = NO_BORDER
    parse_seconds: float = PARSE_SECONDS
    parsers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARSERS))

    async def take(self, arrival: Arrival, inbox: Inbox) -> Placement | None:
        """Where the mail came to be, after the commit; None when it was parked. Raises LATER."""
        try:
            async with self.parsers:
                contact = await self._read(arrival, inbox)
            if contact is None:
                await self.keep(arrival, NotTaken(email.OWN_LOOP))
                CONTACTS.labels("email", "own_loop").inc()
                return None
            if arrival.way == "smtp":
                await self._check_rate(contact, arrival.peer)
            contact = email.traced(contact, telemetry.current_traceparent())
            if isinstance(contact, InboundMessage):
                contact = await self._brought(contact, arrival.way)
            placement = await self.acceptor.accept_one(contact)
            if not placement.unknown:
                return placement
            await self.keep(arrival, NotTaken(NONE_OF_OURS))
        except LATER:
            raise
        except Exception as error:  # noqa: BLE001 - a mail must never be lost for what is in it
            await self.keep(arrival, error)
        return None

    async def _brought(self, contact: InboundMessage, way: str) -> InboundMessage:
        """As who brought it says who it is from. What SES left in a bucket nobody sends again: of who sends too much it is
        quarantined. Raises DatabaseAway.
        """
        if way != "ses":
            return replace(contact, way=way)
        told = brought_by(contact, "ses")
        return quarantined(told) if await self.limiter.of_sender(told, way) else told

    async def _check_rate(self, contact: InboundMessage | DeliveryWord, peer: str) -> None:
        """Whoever sent it keeps it and sends it again. What lies in a mailbox nobody sends again, and we read it as fast as we
        can take it. Raises TooMuch, DatabaseAway.
        """
        limiter = self.limiter
        if await (limiter.of_sender(contact, peer) if isinstance(contact, InboundMessage) else limiter.of_report(contact)):
            LIMITED.labels("email", "refused").inc()
            raise TooMuch

    async def _read(self, arrival: Arrival, inbox: Inbox) -> InboundMessage | DeliveryWord | None:
        """Off the event loop. Raises NotTaken when it takes too long: sent again it would take as long."""
        around = Envelope(arrival.sender, arrival.recipients)
        known = inbox, self.signer, self.border, self.inboxes.current
        try:
            async with asyncio.timeout(self.parse_seconds):
                return await asyncio.to_thread(email.parse, arrival.body, around, *known)
        except TimeoutError:
            raise NotTaken("it took too long to read") from None

    async def keep(self, arrival: Arrival, error: Exception) -> None:
        """Park it, once, however often it comes: of what comes one way so much in all, and by SMTP, where anybody sends anything,
        so much in a minute. Raises TooMuch, NoRoom, DatabaseAway: what is not kept, its sender keeps and sends again, and in a
        mailbox it stays.
        """
        reason = _reason(error)
        if arrival.way == "smtp" and await self.limiter.of_kept(reason):
            LIMITED.labels("email", "refused").inc()
            raise TooMuch
        most, digest = self.limiter.settings.intake_parked_bytes, await _digest(reason, arrival)
        async with db.transaction(self.acceptor.engine) as conn:
            kept = await parked.park(conn, arrival, reason, arrival.media_type or MAIL, digest, most)
        if not kept:
            LIMITED.labels("email", "refused").inc()
            log().error("mail put off", way=arrival.way, reason="no room to keep it", most_bytes=most)
            raise NoRoom
        log().error("mail parked", reason=reason, exc_info=error if not isinstance(error, NotTaken) else None)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, NotTaken) else type(error).__name__


async def _digest(reason: str, arrival: Arrival) -> bytes:
    """What the same mail has when it is sent, or read, again."""
    return await asyncio.to_thread(lambda: hashlib.sha256(reason.encode() + arrival.body).digest())
