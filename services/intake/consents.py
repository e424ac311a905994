"""Consent that is withdrawn behind our back: somebody wrote STOP to a provider, which tells us when we send something.

Twilio's error 21610 (https://www.twilio.com/docs/api/errors/21610) comes with the answer to the attempt, or in a status callback
later. It is heard after the attempt was written down: were it lost in between, the next attempt would bring it again.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake import reaching
from services.intake.store import consents
from shared import db
from shared.clock import clock
from shared.events.base import Channel, Draft, Fact
from shared.events.people import CustomerPersonal, CustomerProfileChanged
from shared.outbox import Outbox


async def withdraw(engine: AsyncEngine, outbox: Outbox, number: str, channel: Channel, cause: str) -> None:
    """Heed it and say so, once until its owner writes START. Raises DatabaseAway."""

    async def heed() -> bool:
        async with db.transaction(engine) as conn:
            whose = await consents.withdraw(conn, number, channel)
            if whose is None:
                return False
            customer_id, person = whose
            draft: Draft[Fact] = Draft(
                key=customer_id,
                data=CustomerProfileChanged(consents={channel: False}),
                cause=cause,
                person=person,
                personal=CustomerPersonal(handles=(number,)),
            )
            now = await clock(conn)
            await outbox.publish(conn, [draft], now)
            await reaching.look_at(conn, outbox, [customer_id], now)
            return True

    if await db.retrying(heed):
        outbox.wake.set()
