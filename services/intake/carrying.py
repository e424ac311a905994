"""One attempt to carry a reply, a confirmation or a question to the customer: which way it goes, and what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake.channels import outgoing_mail, outgoing_webhook, twilio_sms
from services.intake.channels.language import direction_of
from services.intake.channels.outgoing_mail import MailFile, Outgoing, Quote, compose
from services.intake.channels.outgoing_webhook import Hook, OutgoingFile, OutgoingMessage, Recipient
from services.intake.channels.quoting import quote
from services.intake.domain import confirmation, delivery, subjects, survey_texts
from services.intake.domain.confirmation import Promise, Written
from services.intake.domain.delivery import Accepted, Asking, Outcome, Refused
from services.intake.domain.inboxes import Inbox
from services.intake.domain.speech import Speech, language_for, zone_for
from services.intake.domain.tokens import Signer
from services.intake.inboxes import InboxBook
from services.intake.settings import IntakeSettings
from services.intake.speaking import SPEECHES
from services.intake.store import deliveries, files
from services.intake.store.deliveries import Claimed, LastWritten
from shared import db
from shared.events.base import Channel
from shared.events.message import ReplyPersonal
from shared.personal import Erased, KeyRing

MAIL_CHANNELS = frozenset({"email", "form"})
TEXT_CHANNELS = frozenset({"sms", "whatsapp"})
_OPTED_OUT = Refused(twilio_sms.OPTED_OUT, "the customer wants no more messages on this channel")
FILES_BYTES = 18 * 2**20  # as base64 within the 25 MB that mail servers take


@dataclass(frozen=True, slots=True)
class Carrier:
    """Makes attempts; what they came to is written down by whoever asked for them."""

    settings: IntakeSettings
    engine: AsyncEngine
    keys: KeyRing
    inboxes: InboxBook
    signer: Signer
    http: httpx.AsyncClient

    async def carry(self, claimed: Claimed) -> Outcome:
        """Try once."""
        if claimed.delivery.kind == "confirmation":
            return await self._confirm(claimed)
        if claimed.delivery.kind == "survey":
            return await self._ask(claimed)
        if claimed.opted_out:
            return _OPTED_OUT
        reply = await self._opened(claimed)
        if isinstance(reply, Refused):
            return reply
        inbox = self.inboxes.current.by_id.get(claimed.inbox)
        if claimed.delivery.copies_left:
            return await self._mail(claimed, reply)  # as the customer's went, whatever was configured since
        if inbox is not None and inbox.webhook is not None and inbox.channel == claimed.delivery.channel:
            return await self._post(claimed, inbox, inbox.webhook, reply)
        if claimed.delivery.channel in MAIL_CHANNELS:
            return await self._mail(claimed, reply)
        if claimed.delivery.channel in TEXT_CHANNELS:
            return await self._text(claimed, reply.text)
        return Refused("channel-cannot-send", f"nothing is set up to send on channel {claimed.delivery.channel}")

    async def _opened(self, claimed: Claimed) -> ReplyPersonal | Refused:
        if claimed.sealed is None or claimed.event_id is None:
            return Refused("empty", "the reply has no text")
        async with db.transaction(self.engine) as conn:
            await self.keys.load(conn, [claimed.sealed.customer_id])
            opened = self.keys.open(claimed.sealed, ReplyPersonal, claimed.event_id)
        if isinstance(opened, Erased):
            return Refused("erased", "the customer's data was erased")
        return opened if opened.text else Refused("empty", "the reply has no text")

    async def _confirm(self, claimed: Claimed) -> Outcome:
        if claimed.automatic.repeats:
            return Refused(delivery.ALIKE, "the sender says the same again and again")
        if claimed.automatic.capped:
            return Refused(delivery.LOOP_CAP, "too much automatic mail to one person")
        if claimed.delivery.channel in TEXT_CHANNELS:
            return await self._confirm_shortly(claimed)
        if claimed.handle is None or claimed.handle_kind != "email":
            return Refused("no-address", "no e-mail address")
        link = f"{self.settings.public_url}/status/{self.signer.history_token(claimed.delivery.ticket_id)}"
        written = confirmation.write(claimed.number, link, self._speech(claimed), self._promise(claimed))
        return await self._hand_over(self._automatic(claimed, self._mail_inbox(claimed), claimed.handle, written, "replied"))

    async def _confirm_shortly(self, claimed: Claimed) -> Outcome:
        return await self._text(claimed, confirmation.write_short(claimed.number, self._speech(claimed), self._promise(claimed)))

    def _promise(self, claimed: Claimed) -> Promise | None:
        by = claimed.delivery.promised_by
        return Promise(by, claimed.created_at, self._zone(claimed)) if by is not None else None

    def _zone(self, claimed: Claimed) -> str:
        return zone_for(claimed.zone, self.settings.intake_zone)

    def _speech(self, claimed: Claimed) -> Speech:
        """The customer's language where we speak it, else that of the ticket's inbox."""
        inbox = self.inboxes.current.by_id.get(claimed.inbox)
        return SPEECHES[language_for(claimed.delivery.language, inbox.language if inbox else "en")]

    async def _ask(self, claimed: Claimed) -> Outcome:
        question = claimed.delivery.asking
        if question is None:
            return claimed.objection or Refused("unknown", "no such question was planned")
        if question.answered:
            return Accepted()
        if claimed.opted_out:
            return _OPTED_OUT
        if claimed.automatic.capped:
            return Refused(delivery.LOOP_CAP, "too much automatic mail to one person")
        inbox, channel = self.inboxes.current.by_id.get(claimed.inbox), claimed.delivery.channel
        if inbox is not None and inbox.webhook is not None and inbox.channel == channel:
            written = self._question(claimed, question)
            return await self._post(claimed, inbox, inbox.webhook, ReplyPersonal(text=written.text, subject=written.subject))
        if channel in TEXT_CHANNELS:
            return await self._ask_shortly(claimed, question, inbox)
        if channel not in MAIL_CHANNELS or claimed.handle is None or claimed.handle_kind != "email" or claimed.returned:
            return Refused("no-address", "no e-mail address that takes mail")
        written = self._question(claimed, question)
        return await self._hand_over(self._automatic(claimed, self._mail_inbox(claimed), claimed.handle, written, "generated"))

    async def _ask_shortly(self, claimed: Claimed, question: Asking, inbox: Inbox | None) -> Outcome:
        """By a text message from the number to which the customer wrote: there the answer is waited for."""
        if inbox is None or inbox.channel != claimed.delivery.channel:
            return Refused("no-number", "the inbox of the ticket has no number")
        planned = question.planned
        scale = planned.scale_min, planned.scale_max
        return await self._text(claimed, survey_texts.ask_shortly(claimed.number, planned.kind, scale, self._speech(claimed)))

    def _question(self, claimed: Claimed, question: Asking) -> Written:
        planned = question.planned
        link = f"{self.settings.public_url}/survey/{self.signer.survey_token(planned.survey_id)}"
        days = max(1, planned.open_seconds // 86_400)
        scale = planned.scale_min, planned.scale_max
        return survey_texts.ask(claimed.number, planned.kind, scale, link, days, self._speech(claimed))

    async def _mail(self, claimed: Claimed, reply: ReplyPersonal) -> Outcome:
        if claimed.handle is None or claimed.handle_kind != "email":
            return Refused("no-address", "no e-mail address of the customer is known")
        left = claimed.delivery.copies_left
        if claimed.returned and not left:
            return Refused("address-returned", "mail to this address came back for good, and nobody wrote from it since")
        async with db.transaction(self.engine) as conn:
            enclosed = await _enclosed(conn, claimed, reply)
            copies = await deliveries.addresses(conn, claimed) if claimed.cc else {}
            written = await deliveries.last_written(conn, claimed)
        if isinstance(enclosed, Refused):
            return enclosed
        if not left and len(copies) < len(set(claimed.cc)):
            return Refused("cc-no-address", "no e-mail address of somebody in copy is known")
        inbox = self._mail_inbox(claimed)
        subject = subjects.answering(reply.subject or claimed.subject, claimed.number)
        mail = replace(
            self._outgoing(claimed, inbox, claimed.handle, subject, reply.text),
            cc=tuple(sorted(set(copies.values()) - {claimed.handle})),
            signature=reply.signature,
            quote=await self._quoted(claimed, inbox, written),
            files=enclosed,
        )
        only = tuple(sorted({copies[one] for one in left if one in copies} - {claimed.handle})) if left else None
        outcome = await self._hand_over(mail, only) if only != () else Accepted()
        if not isinstance(outcome, Accepted):
            return outcome
        unreached = tuple(one for one in left if one not in copies)  # erased since
        return replace(outcome, without=(*_whose(copies, outcome.without), *unreached), later=_whose(copies, outcome.later))

    async def _quoted(self, claimed: Claimed, inbox: Inbox, written: LastWritten | None) -> Quote | None:
        """What is answered, read off the event loop: a mail may be large."""
        if written is None:
            return None
        speech = SPEECHES[language_for(claimed.delivery.language, inbox.language)]
        return await asyncio.to_thread(quote, written.media_type, written.body, written.received_at, speech, self._zone(claimed))

    async def _hand_over(self, mail: Outgoing, only: tuple[str, ...] | None = None) -> Outcome:
        content = await asyncio.to_thread(compose, mail) if mail.files else compose(mail)
        return await outgoing_mail.send(self.settings.mail_server, mail, content, only)

    async def _text(self, claimed: Claimed, text: str) -> Outcome:
        if claimed.opted_out:
            return _OPTED_OUT
        account = self.settings.twilio_account
        inbox = self._inbox_of(claimed, claimed.delivery.channel)
        if account is None:
            return Refused("not-set-up", "set PATCHBAY_INTAKE_TWILIO_ACCOUNT and its tokens to send messages")
        if claimed.files:
            return Refused("attachments-not-possible", "files cannot go out on this channel")
        if inbox is None or claimed.handle is None or claimed.handle_kind != "phone":
            return Refused("no-number", "configure an inbox with its number, and answer somebody who has one")
        return await twilio_sms.send(
            self.http,
            account,
            inbox.address,
            claimed.handle,
            text,
            channel=claimed.delivery.channel,
            tried_since=claimed.created_at if claimed.uncertain else None,
            callback=f"{self.settings.public_url}/v1/providers/twilio/sms/status?message={claimed.delivery.message_id}",
        )

    async def _post(self, claimed: Claimed, inbox: Inbox, url: str, reply: ReplyPersonal) -> Outcome:
        secrets = self.settings.webhook_secrets.get(inbox.id, ())
        if not secrets:
            return Refused("not-set-up", "set a secret of the inbox in PATCHBAY_INTAKE_WEBHOOK_SECRETS")
        async with db.transaction(self.engine) as conn:
            enclosed = await _enclosed(conn, claimed, reply)
        if isinstance(enclosed, Refused):
            return enclosed
        one = claimed.delivery
        known = claimed.handle_kind is not None and claimed.handle is not None
        message = OutgoingMessage(
            message_id=one.message_id,
            ticket_id=one.ticket_id,
            ticket_number=claimed.number,
            customer_id=claimed.customer_id,
            inbox=inbox.id,
            channel=inbox.channel,
            to=Recipient(claimed.handle_kind or "", claimed.handle or "", claimed.handle_scope) if known else None,
            text=reply.text,
            subject=reply.subject,
            language=one.language,
            direction=direction_of(reply.text, one.language),
            in_reply_to=claimed.last_ref,
            attachments=tuple(OutgoingFile(f.name, f.media_type, len(f.content), f.content) for f in enclosed),
        )
        return await outgoing_webhook.send(self.http, Hook(url, secrets), message, claimed.created_at)

    def _mail_inbox(self, claimed: Claimed) -> Inbox:
        """The e-mail inbox to write from: the ticket's own, else the first one."""
        own = self.inboxes.current.by_id.get(claimed.inbox)
        chosen = self._inbox_of(claimed, "email") or Inbox("email", "email", self.settings.intake_mail_from)
        return Inbox(chosen.id, "email", chosen.address, own.language if own else "en")

    def _inbox_of(self, claimed: Claimed, channel: Channel) -> Inbox | None:
        """The inbox of a channel to write from: the ticket's own, else the first one of the same partner."""
        book = self.inboxes.current
        own = book.by_id.get(claimed.inbox)
        if own is not None and own.channel == channel:
            return own
        partner = own.partner_id if own is not None else None
        return next((one for one in book.by_id.values() if one.channel == channel and one.partner_id == partner), None)

    def _automatic(
        self, claimed: Claimed, inbox: Inbox, recipient: str, written: Written, how: Literal["replied", "generated"]
    ) -> Outgoing:
        """A mail that nobody wrote. What becomes of a question is to be known: it comes back to its inbox, as replies do."""
        mail = self._outgoing(claimed, inbox, recipient, written.subject, written.text)
        speech = self._speech(claimed)
        return replace(mail, language=speech.language, direction=speech.direction, automatic=how, link=written.link)

    def _outgoing(self, claimed: Claimed, inbox: Inbox, recipient: str, subject: str, text: str) -> Outgoing:
        one = claimed.delivery
        return Outgoing(
            message_ref=self.signer.message_ref(one.message_id, one.ticket_id, inbox.address.rpartition("@")[2]),
            sender=inbox.address,
            recipient=recipient,
            reply_to=self.signer.reply_address(one.ticket_id, inbox.address),
            subject=subject,
            text=text,
            language=one.language,
            direction=direction_of(text, one.language),
            at=_sent_at(),
            loop_mark=self.signer.loop_mark(),
            refs=claimed.refs,
            sender_name=self.settings.intake_sender_name,
        )


async def _enclosed(conn: AsyncConnection, claimed: Claimed, reply: ReplyPersonal) -> tuple[MailFile, ...] | Refused:
    """The files of a reply, in the order in which it names them."""
    if not claimed.files:
        return ()
    kept = await files.of_message(conn, claimed.delivery.message_id)
    if not kept.keys() >= set(claimed.files):
        return Refused("attachment-unknown", "a file was never uploaded, was sent before, or is not kept any more")
    names = (*reply.attachment_names, *[""] * len(claimed.files))
    enclosed = [MailFile(name, kept[one].media_type, kept[one].content) for one, name in zip(claimed.files, names, strict=False)]
    if sum(len(file.content) for file in enclosed) > FILES_BYTES:
        return Refused("attachments-too-large", "the files are more than can go out at once")
    return tuple(enclosed)


def _whose(copies: Mapping[str, str], addresses: Sequence[str]) -> tuple[str, ...]:
    """The ids of the people in copy at these addresses."""
    return tuple(sorted(one for one, address in copies.items() if address in addresses))


def _sent_at() -> datetime:
    """For the Date header, which decides nothing."""
    return datetime.now(UTC)
