"""What the routes of intake share: the process's parts, and contacts' fate as HTTP answers."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import Depends, Request
from msgspec.structs import replace
from pydantic import BaseModel

from services.intake.acceptor import Acceptor, NotTaken, Overloaded
from services.intake.api.large_bodies import LargeBodies, SmallBodies
from services.intake.channels import s3, ses
from services.intake.channels.clean import clean_line
from services.intake.channels.provided import JSON, ProviderSecrets, StoredMail
from services.intake.channels.sns import REACH, Sns
from services.intake.domain.contacts import Contact, Handle, InboundMessage
from services.intake.domain.identity import proven
from services.intake.domain.plan import Placement
from services.intake.domain.tokens import Signer
from services.intake.guarded_http import guarded_client
from services.intake.inboxes import InboxBook
from services.intake.limiting import LIMITED, Limiter, What
from services.intake.mail import PARSERS
from services.intake.s3_settings import Buckets
from services.intake.settings import IntakeSettings
from services.intake.store import parked, stored_mails
from services.intake.store.parked import Arrival, Naming, Way
from shared import db, telemetry
from shared.events.base import Channel
from shared.http import Problem, away
from shared.service import Resources
from shared.telemetry import log

LARGE_BYTES = 256 * 1024
Read = TypeVar("Read")


@dataclass(slots=True)
class Intake:
    """The parts of this process, as `app.state.intake`."""

    settings: IntakeSettings
    parts: Resources
    acceptor: Acceptor
    inboxes: InboxBook
    signer: Signer
    twilio_tokens: tuple[str, ...]
    webhook_secrets: dict[str, tuple[str, ...]]
    mail_providers: ProviderSecrets = field(default_factory=ProviderSecrets)
    sns: Sns = field(default_factory=lambda: Sns(guarded_client(REACH)))
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARSERS))  # of mail, off the event loop
    limiter: Limiter = field(init=False)
    bodies: LargeBodies = field(init=False)
    buckets: Buckets = field(init=False)
    unproven: SmallBodies = field(default_factory=SmallBodies.of_all)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.parts.engine, self.signer, self.settings)
        self.bodies = LargeBodies.of_mails(self.settings.smtp_max_bytes)
        self.buckets = self.settings.buckets

    def status_url(self, ticket_id: str) -> str:
        """The link under which a customer sees how the ticket stands."""
        return f"{self.settings.public_url}/status/{self.signer.status_token(ticket_id)}"

    async def check_rate(self, what: What, whose: str, per_minute: int, channels: Sequence[Channel] = ()) -> None:
        """Count one more, or the contacts that came on these channels, and refuse them where that is more than may come.

        Raises Problem 429, DatabaseAway.
        """
        seconds = await self.limiter.wait(what, whose, per_minute, max(1, len(channels)))
        if seconds:
            for channel in channels:
                LIMITED.labels(channel, "refused").inc()
            raise _too_much(seconds)

    def refuse_full(self, what: What, whose: str) -> None:
        """Refuse a request before it is read, where this process knows that nothing under this name may come.

        Raises Problem 429.
        """
        if seconds := self.limiter.full(what, whose):
            LIMITED.labels("unread", "refused").inc()
            raise _too_much(seconds)

    async def take(self, contact: Contact) -> Placement:
        """Accept one contact. Raises Problem 503 when nothing can be stored now, NotTaken when this one cannot."""
        try:
            return await self.acceptor.accept_one(replace(contact, traceparent=telemetry.current_traceparent()))
        except Overloaded:
            raise overloaded() from None
        except TimeoutError:
            raise away() from None

    async def park(self, way: Way, reason: str, media_type: str, body: bytes, query: str = "") -> None:
        """Keep what is authentic but cannot be taken, for people to look at; once, however often it comes.

        Raises Problem 503 where there is no room for it, DatabaseAway.
        """
        digest = await apart(len(body), lambda: _digest(way, body, query))
        await self._keep(Arrival(way, body, media_type=media_type, query=query), reason, digest)

    async def fetch_later(self, stored: StoredMail, notification: bytes) -> None:
        """Keep where a mail stands, until it is fetched; the notification, where it stands in no bucket of ours.

        Raises DatabaseAway.
        """
        if stored.bucket not in self.buckets:
            await self.park("ses", s3.reason(s3.NOT_NAMED), JSON, notification)
            return
        place, sender = (stored.bucket, stored.key), clean_line(stored.envelope.sender or "")
        async with db.transaction(self.parts.engine) as conn:
            await stored_mails.insert(conn, place, sender, ses.pointer(stored), telemetry.current_traceparent())

    async def keep(self, way: Way, contact: InboundMessage, error: NotTaken) -> None:
        """Keep a contact that passed every check and still could not be stored, with the names by which it is known when it comes
        again; once. Raises as `park`.
        """
        naming = Naming(contact.dedup_key, contact.unnamed, contact.request)
        whose = (contact.handle, *contact.also, *contact.vouched)
        unplaced = Unplaced(way, contact.inbox, contact.raw, contact.media_type, naming, whose)
        await self._keep_named(unplaced, contact.content_hash, error)

    async def keep_unread(self, one: Unplaced, error: Exception) -> None:
        """The same of what could not even be read."""
        log().error("contact not read", way=one.way, error=type(error).__name__, exc_info=error)
        await self._keep_named(one, hashlib.sha256(one.raw).hexdigest(), error)

    async def _keep_named(self, one: Unplaced, content_hash: str, error: Exception) -> None:
        whose = tuple(proven(handle).key for handle in one.handles if handle is not None)
        arrival = Arrival(one.way, one.raw, "", (one.inbox,), one.media_type, naming=one.naming, handles=whose)
        named = "" if one.naming.unnamed else msgspec.json.encode(one.naming).decode()
        said = "\n".join((one.way, one.inbox, named, content_hash))
        reason = str(error) if isinstance(error, NotTaken) else type(error).__name__
        await self._keep(arrival, reason, hashlib.sha256(said.encode()).digest())

    async def _keep(self, arrival: Arrival, reason: str, digest: bytes) -> None:
        most = self.settings.intake_parked_bytes
        async with db.transaction(self.parts.engine) as conn:
            kept = await parked.park(conn, arrival, reason, arrival.media_type, digest, most)
        if not kept:
            LIMITED.labels(parked.CHANNELS[arrival.way], "refused").inc()
            log().error("contact put off", way=arrival.way, reason="no room to keep it", most_bytes=most)
            raise _no_room()
        log().error("contact parked", way=arrival.way, reason=reason)


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A form, or a contact of a connector, that passed every check and came to no ticket: as it came, under which name it is
    known, and whose it says that it is.
    """

    way: Way
    inbox: str
    raw: bytes
    media_type: str
    naming: Naming
    handles: Sequence[Handle | None] = ()


def _no_room() -> Problem:
    detail = "It could only be kept for people to look at, and there is no room for more of that just now. Send it again later."
    return Problem(503, "no-room", detail, headers={"Retry-After": "600"})


def _too_much(seconds: float) -> Problem:
    wait = math.ceil(max(1.0, seconds))
    detail = f"Too much was sent at once. Wait {wait} seconds, then send it again."
    return Problem(429, "too-many-requests", detail, headers={"Retry-After": str(wait)})


def _digest(way: Way, body: bytes, query: str) -> bytes:
    digest = hashlib.sha256(f"{way}{'?' if query else ''}{query}\n".encode())
    digest.update(body)
    return digest.digest()


async def apart(size: int, read: Callable[[], Read]) -> Read:
    """Read something of this size in bytes, off the event loop where it is large."""
    return await asyncio.to_thread(read) if size > LARGE_BYTES else read()


async def body_of(request: Request, most_bytes: int) -> bytes:
    """The body of a request whose sender is not known yet: no more of it is read than such requests have. Raises Problem 400,
    413, 503.
    """
    return await parts_of(request).unproven.of(request, most_bytes)


def overloaded() -> Problem:
    """Said when more waits than can be taken in time."""
    return Problem(
        503, "overloaded", "More is coming in than can be stored just now. Send it again.", headers={"Retry-After": "1"}
    )


class Kept(BaseModel):
    """Said with status 202 of a contact that could not be put on a ticket, by a defect of ours: it is kept as it came."""

    code: Literal["kept"] = "kept"
    detail: str = "It is kept as it came, and is put on a ticket when people have looked at it. Do not send it again."


class Accepted(BaseModel):
    """Where a contact came to be. The same contact gets the same answer, however often it is sent."""

    ticket_id: str
    ticket_number: int
    message_id: str
    customer_id: str
    opened: bool


def accepted(placement: Placement) -> dict[str, str | int]:
    """A placement as an answer: the fields of `Accepted`."""
    return {
        "ticket_id": placement.ticket_id,
        "ticket_number": placement.number,
        "message_id": placement.item_id,
        "customer_id": placement.customer_id,
        "opened": placement.opened,
    }


def parts_of(request: Request) -> Intake:
    """The parts of the process that got this request. The routes that take contacts call it themselves: FastAPI's
    resolution of dependencies costs as much as storing the contact.
    """
    intake: Intake = request.app.state.intake
    return intake


async def _parts(request: Request) -> Intake:
    return parts_of(request)


Parts = Annotated[Intake, Depends(_parts)]

__all__ = [
    "Accepted",
    "Intake",
    "Kept",
    "NotTaken",
    "Parts",
    "Unplaced",
    "accepted",
    "apart",
    "body_of",
    "overloaded",
    "parts_of",
]
