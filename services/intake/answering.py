"""Carrying out what agents ask of intake: load under lock, decide, say, save; one request after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import requests
from services.intake.domain.requests import Asked
from services.intake.store import requests as rows
from services.intake.store import tickets
from shared.events.base import Event, Fact
from shared.events.ticket import TicketAbsorbed, TicketOpenRequested, TicketPersonal, TicketSplitRequested, TicketUnmerged
from shared.events.topics import TICKETS
from shared.outbox import Outbox
from shared.personal import Erased
from shared.positions import Heard, Positions
from shared.ticket import Ticket, apply


@dataclass(frozen=True, slots=True)
class Answerer:
    """Answers in the transaction in which the requests are read, so that each is answered once."""

    outbox: Outbox

    async def answer(self, conn: AsyncConnection, events: Sequence[Event[Fact]], now: datetime) -> None:
        """Carry the requests out in this order; each sees what the one before it brought about."""
        stories = await tickets.locked_onward(conn, {ticket_id for event in events for ticket_id in requests.named(event)})
        heard = Positions(self.outbox.schema, {})
        for event in events:
            heard.set(Heard(TICKETS.name, event.key, event.writer), event.position)
        for event in events:
            told = await self._one(conn, await self._asked(conn, event), stories, now, heard)
            while told := [one for one in told if _goes_further(one, stories)]:
                told = await self._one(conn, Asked(told[0]), stories, now, heard)

    async def _one(
        self, conn: AsyncConnection, asked: Asked, stories: dict[str, Ticket], now: datetime, heard: Positions
    ) -> Sequence[Event[Fact]]:
        answer = requests.answer(asked, stories)
        told = await self.outbox.publish(conn, answer.drafts, now, heard=heard)
        changed = {event.key: stories.get(event.key, Ticket()) for event in told}
        for event in told:
            changed[event.key] = apply(changed[event.key], event)
        opened = answer.opened
        if opened is not None:
            await rows.insert(conn, opened, changed[opened.ticket_id])
            if opened.split_from is not None:
                await rows.move(conn, opened.split_from, opened.ticket_id, opened.moved)
        stories.update({key: story for key, story in changed.items() if story.exists})
        back = [event.key for event in told if isinstance(event.data, TicketUnmerged)]
        if back:
            await tickets.yield_conversations(conn, back)
        await tickets.update(conn, {key: stories[key] for key in changed if key in stories}, now)
        return told

    async def _asked(self, conn: AsyncConnection, event: Event[Fact]) -> Asked:
        number = await rows.number(conn) if requests.wants_number(event) else 0
        match event.data:
            case TicketSplitRequested(message_ids=ids):
                return await self._to_split(conn, event, ids, number)
            case TicketOpenRequested(customer_id=customer_id) as wish:
                customer, language = await rows.customer(conn, customer_id)
                personal = await self._opened(conn, wish, event.id)
                return Asked(event, customer=customer, language=language, personal=personal, number=number)
            case _:
                return Asked(event)

    async def _to_split(self, conn: AsyncConnection, event: Event[Fact], message_ids: Sequence[str], number: int) -> Asked:
        subject, count = await rows.about(conn, event.key)
        stored = await rows.messages(conn, event.key, message_ids)
        writer, _ = await rows.customer(conn, stored[0].customer_id) if stored else (None, "und")
        return Asked(
            event,
            messages=stored,
            message_count=count,
            subject=subject,
            customer=writer,
            number=number,
        )

    async def _opened(self, conn: AsyncConnection, wish: TicketOpenRequested, event_id: str) -> TicketPersonal:
        if wish.personal is None:
            return TicketPersonal()
        await self.outbox.keys.load(conn, [wish.personal.customer_id])
        content = self.outbox.keys.open(wish.personal, TicketPersonal, event_id)
        return TicketPersonal() if isinstance(content, Erased) else content


def _goes_further(event: Event[Fact], stories: Mapping[str, Ticket]) -> bool:
    """What a merged ticket waits for has changed, and the ticket into which it was merged waits for it too."""
    return isinstance(event.data, TicketAbsorbed) and stories[event.key].intake.merged_into is not None
