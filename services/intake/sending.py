"""Carrying replies and confirmations out: claim, attempt, record. The attempt is recorded before it is made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.channels import email, twilio_sms
from services.intake.channels.language import direction_of
from services.intake.domain import confirmation, delivery
from services.intake.domain.delivery import Accepted, NotNow, Outcome, Refused, Unknown
from services.intake.domain.inboxes import Inbox
from services.intake.domain.short_texts import write_short
from services.intake.domain.tokens import Signer
from services.intake.domain.words import still_news
from services.intake.inboxes import InboxBook
from services.intake.settings import IntakeSettings
from services.intake.store import deliveries
from services.intake.store.deliveries import Claimed
from shared import db, telemetry
from shared.clock import clock
from shared.events.message import ReplyPersonal
from shared.outbox import Outbox
from shared.personal import Erased
from shared.telemetry import log

AT_ONCE = 20
IDLE_SECONDS = 0.5
BACK_OFF_SECONDS = 1.0
MAIL_CHANNELS = frozenset({"email", "form"})
TEXT_CHANNELS = frozenset({"sms", "whatsapp"})


@dataclass(slots=True)
class ToSend:
    """Wakes the sender after the commit of a batch that left something to send; not after all the others."""

    wake: asyncio.Event
    noted: bool = False

    def note(self) -> None:
        """There will be something, if the transaction at hand is committed."""
        self.noted = True

    def committed(self) -> None:
        """It is."""
        if self.noted:
            self.noted = False
            self.wake.set()


@dataclass(slots=True)
class Sender:
    """Sends what is due until cancelled. `wake` is set when there may be something."""

    settings: IntakeSettings
    engine: AsyncEngine
    outbox: Outbox
    inboxes: InboxBook
    signer: Signer
    http: httpx.AsyncClient
    wake: asyncio.Event
    _pause: float = field(default=IDLE_SECONDS)

    @property
    def _lease_seconds(self) -> float:
        return delivery.lease_seconds(self.settings.intake_attempt_seconds)

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited out."""
        while True:
            self.wake.clear()
            try:
                sent = await self.send_due()
            except db.DatabaseAway:
                await asyncio.sleep(BACK_OFF_SECONDS)
                continue
            if sent == 0:
                await self._idle()

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(self._pause):
                await self.wake.wait()
        except TimeoutError:
            return

    async def send_due(self) -> int:
        """Attempt everything that is due now, up to AT_ONCE. Returns how much there was."""
        async with db.transaction(self.engine) as conn:
            claimed = await deliveries.claim(conn, AT_ONCE, self._lease_seconds)
            interrupted = [one.delivery for one in claimed if one.delivery.interrupted]
            if interrupted:
                drafts = [d for one in interrupted for d in delivery.drafts(one, delivery.interrupted(one))]
                await self.outbox.publish(conn, drafts, await clock(conn))
        await asyncio.gather(*(self._attempt(one) for one in claimed))
        return len(claimed)

    async def _attempt(self, claimed: Claimed) -> None:
        with telemetry.span(f"deliver {claimed.delivery.kind}"):
            try:
                async with asyncio.timeout(self.settings.intake_attempt_seconds):
                    outcome = await self._send(claimed)
            except TimeoutError:
                outcome = Unknown("attempt-timed-out")
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one delivery, it must not stop the others
                log().error("delivery failed", message_id=claimed.delivery.message_id, error=type(error).__name__, exc_info=True)
                outcome = NotNow("internal-error")
            await self._record(claimed, outcome)

    async def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        """Write it down, waiting for a database that is away as long as the delivery is ours: else it would be sent again."""
        for _ in range(int(self._lease_seconds / 2 / BACK_OFF_SECONDS)):
            try:
                return await self._record_once(claimed, outcome)
            except db.DatabaseAway:
                await asyncio.sleep(BACK_OFF_SECONDS)
        return await self._record_once(claimed, outcome)

    async def _record_once(self, claimed: Claimed, outcome: Outcome) -> None:
        async with db.transaction(self.engine) as conn:
            now = await clock(conn)
            verdict = delivery.judge(claimed.delivery, outcome, now)
            ref = outcome.ref if isinstance(outcome, Accepted) else None
            told = await deliveries.record(conn, claimed.delivery, verdict, ref, uncertain=isinstance(outcome, Unknown))
            if told is not None:
                await self.outbox.publish(conn, delivery.drafts(claimed.delivery, still_news(told, verdict.facts)), now)
        self.outbox.wake.set()
        if verdict.state == "failed":
            log().warning("delivery given up", message_id=claimed.delivery.message_id, outcome=type(outcome).__name__)

    async def _send(self, claimed: Claimed) -> Outcome:
        if claimed.delivery.kind == "confirmation":
            return await self._confirm(claimed)
        text = await self._text(claimed)
        if isinstance(text, Refused):
            return text
        if claimed.delivery.channel in MAIL_CHANNELS:
            return await self._mail(claimed, text)
        if claimed.delivery.channel in TEXT_CHANNELS:
            return await self._message(claimed, text.text)
        return Refused("channel-cannot-send", f"nothing is set up to send on channel {claimed.delivery.channel}")

    async def _text(self, claimed: Claimed) -> ReplyPersonal | Refused:
        if claimed.sealed is None or claimed.event_id is None:
            return Refused("empty", "the reply has no text")
        async with db.transaction(self.engine) as conn:
            await self.outbox.keys.load(conn, [claimed.sealed.customer_id])
            opened = self.outbox.keys.open(claimed.sealed, ReplyPersonal, claimed.event_id)
        if isinstance(opened, Erased):
            return Refused("erased", "the customer's data was erased")
        return opened if opened.text else Refused("empty", "the reply has no text")

    async def _confirm(self, claimed: Claimed) -> Outcome:
        if claimed.looping:
            return Refused("loop-cap", "too many confirmations to one person")
        if claimed.delivery.channel in TEXT_CHANNELS:
            return await self._confirm_shortly(claimed)
        if claimed.handle is None or claimed.handle_kind != "email":
            return Refused("no-address", "no e-mail address")
        inbox = self._inbox(claimed)
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
        return await self._message(claimed, write_short(claimed.number, language, promised_by, self.settings.intake_zone))

    async def _mail(self, claimed: Claimed, reply: ReplyPersonal) -> Outcome:
        if claimed.handle is None or claimed.handle_kind != "email":
            return Refused("no-address", "no e-mail address of the customer is known on this ticket")
        subject = email.reply_subject(reply.subject or claimed.subject or f"#{claimed.number}")
        mail = self._outgoing(claimed, self._inbox(claimed), claimed.handle, subject, reply.text, automatic=False)
        return await email.send(self.settings.mail_server, mail.sender, mail.recipient, email.compose(mail))

    async def _message(self, claimed: Claimed, text: str) -> Outcome:
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

    def _inbox(self, claimed: Claimed) -> Inbox:
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
