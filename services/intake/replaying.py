"""Tries parked contacts again when an operator asks for it, the way they came: same parser, same acceptor, same names, so that
one which was taken after all is still one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from msgspec.structs import replace
from prometheus_client import Gauge
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import consents
from services.intake.acceptor import Acceptor, NotTaken, Overloaded
from services.intake.channels import email, form, generic, provided, s3, twilio, twilio_sms, twilio_voice
from services.intake.channels.authentication import NO_BORDER, Border
from services.intake.channels.email import Envelope
from services.intake.channels.generic import ContactBody
from services.intake.channels.provided import Mail, Piece
from services.intake.channels.taken_apart import read
from services.intake.domain.contacts import Contact, DeliveryWord, InboundMessage
from services.intake.domain.inboxes import Inboxes
from services.intake.domain.tokens import Signer
from services.intake.inboxes import InboxBook
from services.intake.mail import HEADERS, MAIL
from services.intake.store import parked
from services.intake.store.parked import Arrival, Naming
from services.intake.stored_mail import Storage, carried, stored_in
from shared import db, telemetry
from shared.telemetry import log

PARKED_CONTACTS = Gauge("patchbay_parked_contacts", "Contacts that could not be taken and wait for a person to look at them")
PARKED_BYTES = Gauge("patchbay_parked_bytes", "How large those are together, by the way they came", ["way"])
LOOK_SECONDS = 1.0
COUNT_SECONDS = 10.0  # counting is work where much is kept
AT_ONCE = 50


class NotReplayable(ValueError):
    """It cannot be tried as it came; the message says why."""


@dataclass(slots=True)
class Replayer:
    """Looks for what was asked for, until cancelled; and counts what waits."""

    acceptor: Acceptor
    inboxes: InboxBook
    signer: Signer
    border: Border = NO_BORDER
    storage: Storage | None = None  # None: no bucket may be read
    _counted: float | None = None

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited out."""
        while True:
            settled = 0
            with suppress(db.DatabaseAway):
                settled = await self.once()
            if settled < AT_ONCE:  # else there may be more
                await asyncio.sleep(LOOK_SECONDS)

    async def once(self) -> int:
        """Try those that were asked for, up to AT_ONCE. Returns how many were settled. Raises DatabaseAway."""
        async with db.transaction(self.acceptor.engine) as conn:
            wanted = await parked.asked(conn, AT_ONCE)
            await self._count(conn)
        return sum([await self._replay(contact_id) for contact_id in wanted])

    async def _count(self, conn: AsyncConnection) -> None:
        now = asyncio.get_running_loop().time()
        if self._counted is not None and now < self._counted + COUNT_SECONDS:
            return
        self._counted, held = now, await parked.held(conn)
        PARKED_CONTACTS.set(sum(one.contacts for one in held.values()))
        for way in parked.CHANNELS:
            PARKED_BYTES.labels(way).set(held[way].size_bytes if way in held else 0)

    async def _replay(self, contact_id: int) -> bool:
        """Whether it is settled, one way or the other."""
        async with db.transaction(self.acceptor.engine) as conn:
            arrival = await parked.kept(conn, contact_id)
        if arrival is None:
            return True
        try:
            whole = await self._fetched(arrival)
            contacts = await asyncio.to_thread(contacts_of, whole, self.inboxes.current, self.signer, self.border)
            numbers = [await self._taken(contact) for contact in contacts]
        except (db.DatabaseAway, Overloaded, TimeoutError):
            return False  # the mark stays
        except Exception as error:  # noqa: BLE001 - what is kept stays kept, whatever is wrong with it
            await self._failed(contact_id, error)
            return True
        async with db.transaction(self.acceptor.engine) as conn:
            await parked.drop(conn, contact_id)
        log().info("parked contact replayed", parked_contact=contact_id, tickets=numbers)
        return True

    async def _fetched(self, arrival: Arrival) -> Arrival:
        """Of a notification whose mail stands in S3 the mail itself; all else as it is. Raises NotReplayable, Unreadable."""
        stored = await asyncio.to_thread(stored_in, arrival)
        if stored is None:
            return arrival
        mail = await self.storage.fetched(stored) if self.storage is not None else s3.NOT_NAMED
        if not isinstance(mail, bytes):
            raise NotReplayable(s3.reason(mail))
        return carried(stored, mail)

    async def _taken(self, contact: Contact) -> int:
        """The number of its ticket. What was taken of the same arrival before is taken no second time."""
        placement = await self.acceptor.accept_one(contact)
        if placement.unknown:
            raise NotReplayable("it speaks of a message that did not go out from here")
        if placement.conflict or placement.reused:
            raise NotReplayable("something else was taken under its name")
        if isinstance(contact, DeliveryWord) and contact.provider == twilio.PROVIDER:
            await self._heed(contact)
        return placement.number

    async def _heed(self, word: DeliveryWord) -> None:
        """What Twilio says of a message may say that nothing more may go to its number."""
        number = twilio_sms.refusing(word, twilio.form(word.raw))
        if number is not None:
            await consents.withdraw(self.acceptor.engine, self.acceptor.outbox, number, word.channel, word.cause)

    async def _failed(self, contact_id: int, error: Exception) -> None:
        told = isinstance(error, NotReplayable | NotTaken | twilio_sms.Unreadable | twilio_voice.Unreadable | provided.Unreadable)
        reason = str(error) if told else telemetry.describe(error)
        log().error("parked contact not taken", parked_contact=contact_id, reason=reason, exc_info=not told)
        async with db.transaction(self.acceptor.engine) as conn:
            await parked.fail(conn, contact_id, reason)


def contacts_of(arrival: Arrival, inboxes: Inboxes, signer: Signer, border: Border = NO_BORDER) -> list[Contact]:
    """All that the arrival holds, as its channel reads it; nothing, where it says no news. Raises as contact_of."""
    if arrival.way not in provided.PROVIDERS:
        return [contact_of(arrival, inboxes, signer, border)]
    if arrival.media_type == MAIL:  # of a bucket; requests of providers are something else
        pieces: list[Piece] = [Mail(arrival.body, Envelope(arrival.sender, arrival.recipients))]
    else:
        pieces = read(arrival.way, arrival.body, arrival.media_type)
    found = provided.sort(pieces, arrival.way, inboxes, signer, border)
    if found.unknown:
        raise NotReplayable(found.unknown[0].reason)
    if found.stored:
        raise NotReplayable("the mail is in S3")
    return found.contacts


def contact_of(arrival: Arrival, inboxes: Inboxes, signer: Signer, border: Border = NO_BORDER) -> Contact:
    """The contact as its channel reads it. Raises what the channel's parser raises, NotReplayable."""
    body = arrival.body
    match arrival.way:
        case "imap" if arrival.media_type == HEADERS:
            raise NotReplayable("only its header was kept; put the mail into the folder of the mailbox once more")
        case "smtp" | "imap":
            inbox = inboxes.at("email", arrival.recipients[0])
            if inbox is None:
                raise NotReplayable("no inbox has the address it was sent to")
            mail = email.parse(body, Envelope(arrival.sender, arrival.recipients), inbox, signer, border, inboxes)
            if mail is None:
                raise NotReplayable(email.OWN_LOOP)
            return replace(mail, way=arrival.way) if isinstance(mail, InboundMessage) else mail
        case "twilio_sms":
            return twilio_sms.parse(body, twilio.form(body), inboxes)
        case "twilio_sms_status":
            word = twilio_sms.parse_status(body, twilio.form(body), twilio_sms.message_named(arrival.query))
            if word is None:
                raise NotReplayable("it says nothing that was not known")
            return word
        case "twilio_voice" | "twilio_status":
            return twilio_voice.parse(body, twilio.form(body), inboxes, incoming=arrival.way == "twilio_voice")
        case "form" | "generic" if arrival.naming is not None:
            return _posted(arrival, arrival.naming, inboxes)
        case _:
            raise NotReplayable("it was kept without the way it came; export it and send it again")


def _posted(arrival: Arrival, named: Naming, inboxes: Inboxes) -> InboundMessage:
    """A form or a contact of a connector, under the names it had."""
    try:
        contact = _form(arrival, inboxes) if arrival.way == "form" else _generic(arrival, inboxes)
    except ValidationError:  # which would repeat what was written
        raise NotReplayable("it does not fit the contract any more") from None
    except (form.Unusable, generic.UnusableHandle) as error:
        raise NotReplayable(str(error)) from None
    return replace(contact, dedup_key=named.dedup_key, unnamed=named.unnamed, request=named.request)


def _form(arrival: Arrival, inboxes: Inboxes) -> InboundMessage:
    inbox = inboxes.named(arrival.recipients[0], "form")
    if inbox is None:
        raise NotReplayable("there is no such form any more")
    body = form.read(arrival.body, arrival.media_type)
    return form.parse(body, inbox, arrival.body, arrival.media_type, submission="", unnamed="")


def _generic(arrival: Arrival, inboxes: Inboxes) -> InboundMessage:
    body = ContactBody.model_validate_json(arrival.body)
    if inboxes.named(body.inbox, body.channel) is None:
        raise NotReplayable("there is no such inbox any more")
    return generic.parse(body, inboxes, caller="", unnamed="", request=None, raw=arrival.body)
