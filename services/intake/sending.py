"""Carrying replies, confirmations and questions out: claim, attempt, record. The attempt is recorded before it is made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake import asking, consents
from services.intake.acceptor import folded
from services.intake.carrying import Carrier
from services.intake.channels.twilio_sms import OPTED_OUT
from services.intake.domain import delivery
from services.intake.domain.delivery import Accepted, NotNow, Outcome, Refused, Unknown
from services.intake.domain.tokens import Signer
from services.intake.domain.words import still_news
from services.intake.inboxes import InboxBook
from services.intake.settings import IntakeSettings
from services.intake.store import deliveries, surveys, tickets
from services.intake.store.deliveries import Claimed
from shared import db, telemetry
from shared.clock import clock
from shared.outbox import Outbox
from shared.telemetry import log

AT_ONCE = 20
IDLE_SECONDS = 0.5
BACK_OFF_SECONDS = 1.0


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
    _carrier: Carrier = field(init=False)

    def __post_init__(self) -> None:
        self._carrier = Carrier(self.settings, self.engine, self.outbox.keys, self.inboxes, self.signer, self.http)

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
            claimed = await asking.prepare(conn, await deliveries.claim(conn, AT_ONCE, self._lease_seconds))
            interrupted = [one.delivery for one in claimed if one.delivery.interrupted and one.objection is None]
            if interrupted:
                drafts = [d for one in interrupted for d in delivery.drafts(one, delivery.interrupted(one))]
                await self.outbox.publish(conn, drafts, await clock(conn))
        await asyncio.gather(*(self._attempt(one) for one in claimed))
        return len(claimed)

    async def _attempt(self, claimed: Claimed) -> None:
        with telemetry.span(f"deliver {claimed.delivery.kind}"):
            try:
                async with asyncio.timeout(self.settings.intake_attempt_seconds):
                    outcome = await self._carrier.carry(claimed)
            except TimeoutError:
                outcome = Unknown("attempt-timed-out")
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one delivery, it must not stop the others
                log().error("delivery failed", message_id=claimed.delivery.message_id, error=type(error).__name__, exc_info=True)
                outcome = NotNow("internal-error")
            if isinstance(outcome, NotNow):
                log().warning("delivery put off", message_id=claimed.delivery.message_id, code=outcome.code)
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
            ticket_id = claimed.delivery.ticket_id
            stories = await tickets.locked(conn, [ticket_id]) if delivery.is_tagged(outcome) else {}
            now = await clock(conn)
            verdict = delivery.judge(claimed.delivery, outcome, now)
            ref = outcome.ref if isinstance(outcome, Accepted) and not claimed.delivery.copies_left else None
            told = await deliveries.record(conn, claimed, verdict, ref, uncertain=isinstance(outcome, Unknown))
            if claimed.delivery.kind == "survey" and verdict.state == "failed" and not claimed.uncertain:
                await surveys.unask(conn, [claimed.delivery.message_id])
            if told is not None:
                onward = await tickets.merged_onward(conn, ticket_id) if verdict.state == "failed" else None
                facts = verdict.facts if claimed.delivery.copies_left else still_news(told, verdict.facts)
                if ticket_id in stories:
                    facts = delivery.beside(facts, stories[ticket_id].tags)
                said = delivery.drafts(claimed.delivery, facts, onward)
                events = await self.outbox.publish(conn, said, now)
                await tickets.update(conn, folded(stories, events) if stories else {}, now)
        self.outbox.wake.set()
        if isinstance(outcome, Refused) and outcome.code == OPTED_OUT and not claimed.opted_out and claimed.handle is not None:
            cause = f"{claimed.delivery.message_id}:{OPTED_OUT}"
            await consents.withdraw(self.engine, self.outbox, claimed.handle, claimed.delivery.channel, cause)
        if verdict.state == "failed" and claimed.objection is None:
            log().warning("delivery given up", message_id=claimed.delivery.message_id, outcome=type(outcome).__name__)
