"""One attempt to carry a reply or a confirmation to the customer: which way it goes, and what is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.channels import email, outgoing_webhook, twilio_sms
from services.intake.channels.language import direction_of
from services.intake.channels.outgoing_webhook import Hook, OutgoingMessage, Recipient
from services.intake.domain import confirmation, delivery
from services.intake.domain.delivery import Outcome, Refused
from services.intake.domain.inboxes import Inbox
from services.intake.domain.short_texts import write_short
from services.intake.domain.tokens import Signer
from services.intake.inboxes import InboxBook
from services.intake.settings import IntakeSettings
from services.intake.store.deliveries import Claimed
from shared import db
from shared.events.message import ReplyPersonal
from shared.personal import Erased, KeyRing

MAIL_CHANNELS = frozenset({"email", "form"})
TEXT_CHANNELS = frozenset({"sms", "whatsapp"})


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
        reply = await self._opened(claimed)
        if isinstance(reply, Refused):
            return reply
        inbox = self.inboxes.current.by_id.get(claimed.inbox)
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
        inbox = self._mail_inbox(claimed)
        language = confirmation.language_for(claimed.delivery.language, inbox.language)
        link = f"{self.settings.public_url}/status/{self.signer.status_token(claimed.delivery.ticket_id)}"
        promised_by = claimed.delivery.promised_by
        written = confirmation.write(claimed.number, link, language, promised_by, self.settings.intake_zone)
        mail = self._outgoing(claimed, inbox, claimed.handle, written.subject, written.text, automatic=True)
        return await email.send(self.settings.mail_server, mail.sender, mail.recipient, email.compose(mail))

    async def _confirm_shortly(self, claimed: Claimed) -> Outcome:
        inbox = self.inboxes.current.by_id.get(claimed.inbox)
        language = confirmation.language_for(claimed.delivery.language, inbox.language if inbox else "en")
        promised_by = claimed.delivery.promised_by
        return await self._text(claimed, write_short(claimed.number, language, promised_by, self.settings.intake_zone))

    async def _mail(self, claimed: Claimed, reply: ReplyPersonal) -> Outcome:
        if claimed.handle is None or claimed.handle_kind != "email":
            return Refused("no-address", "no e-mail address of the customer is known on this ticket")
        if claimed.returned:
            return Refused("address-returned", "mail to this address came back for good, and nobody wrote from it since")
        subject = email.reply_subject(reply.subject or claimed.subject or f"#{claimed.number}")
        mail = self._outgoing(claimed, self._mail_inbox(claimed), claimed.handle, subject, reply.text, automatic=False)
        return await email.send(self.settings.mail_server, mail.sender, mail.recipient, email.compose(mail))

    async def _text(self, claimed: Claimed, text: str) -> Outcome:
        if claimed.opted_out:
            return Refused(twilio_sms.OPTED_OUT, "the customer wants no more messages on this channel")
        account = self.settings.twilio_account
        inbox = self.inboxes.current.by_id.get(claimed.inbox)
        if account is None:
            return Refused("not-set-up", "set PATCHBAY_INTAKE_TWILIO_ACCOUNT and its tokens to send messages")
        if inbox is None or claimed.handle is None:
            return Refused("no-number", "configure the inbox with its number, and answer somebody who has one")
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
        )
        return await outgoing_webhook.send(self.http, Hook(url, secrets), message, claimed.created_at)

    def _mail_inbox(self, claimed: Claimed) -> Inbox:
        """The e-mail inbox to write from: the ticket's own, else the first one."""
        book = self.inboxes.current
        own = book.by_id.get(claimed.inbox)
        language = own.language if own else "en"
        mail = [inbox for inbox in (own, *book.by_id.values()) if inbox is not None and inbox.channel == "email"]
        chosen = mail[0] if mail else Inbox("email", "email", self.settings.intake_mail_from)
        return Inbox(chosen.id, "email", chosen.address, language)

    def _outgoing(
        self, claimed: Claimed, inbox: Inbox, recipient: str, subject: str, text: str, *, automatic: bool
    ) -> email.Outgoing:
        one = claimed.delivery
        written = confirmation.language_for(one.language, inbox.language) if automatic else one.language
        return email.Outgoing(
            message_ref=self.signer.message_ref(one.message_id, one.ticket_id, inbox.address.rpartition("@")[2]),
            sender=inbox.address,
            recipient=recipient,
            reply_to=self.signer.reply_address(one.ticket_id, inbox.address),
            subject=subject,
            text=text,
            language=written,
            direction=direction_of(text, written),
            at=_sent_at(),
            loop_mark=self.signer.loop_mark(),
            refs=claimed.refs,
            sender_name=self.settings.intake_sender_name,
            automatic=automatic,
        )


def _sent_at() -> datetime:
    """For the Date header, which decides nothing."""
    return datetime.now(UTC)
