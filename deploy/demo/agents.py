"""The demonstration's agents: each listens to the own stream, accepts what is offered, answers and resolves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from client import ProblemError, Routing
from client.routing_types import Reply

CONFLICT = 409  # somebody was faster, or the customer wrote meanwhile
ANSWERS_BY_LANGUAGE = {
    "he": "שלום, בדקנו את הפנייה והטיפול הושלם.",
    "ar": "مرحبا، راجعنا طلبك وتمت معالجته.",
    "ro": "Bună ziua, am verificat solicitarea și am rezolvat-o.",
    "en": "Hello, we have looked into it and it is done.",
}


@dataclass
class Agent:
    """One agent at the routing API."""

    agent_id: str
    routing: Routing
    answers: Mapping[str, str]

    async def work(self) -> None:
        """Take and answer whatever is offered, until cancelled. Raises ProblemError, NoAnswer."""
        async with aclosing(self.routing.stream_agent(self.agent_id)) as stream:
            async for event in stream:
                if event.kind in ("ready", "reset"):
                    # Also when it goes on: who was cut off for long was taken off.
                    await self.routing.change_agent_state(self.agent_id, {"state": "available"})
                    await self._catch_up()
                elif event.kind == "offer.made":
                    await self._take(event.data["offer_id"], event.data["ticket_id"])

    async def leave(self) -> None:
        """Go offline."""
        await self.routing.change_agent_state(self.agent_id, {"state": "offline"})

    async def resolve(self, ticket_id: str) -> None:
        """Resolve a ticket that this agent owns, as after a call."""
        await self.routing.resolve_ticket(ticket_id, {"code": "answered"})

    async def _catch_up(self) -> None:
        """What came while nobody listened: tickets that are already ours, and offers that wait."""
        for ticket in (await self.routing.list_agent_tickets(self.agent_id)).items:
            await self._answer(ticket["ticket_id"])
        for offer in (await self.routing.list_offers(self.agent_id)).items:
            await self._take(offer["offer_id"], offer["ticket_id"])

    async def _take(self, offer_id: str, ticket_id: str) -> None:
        try:
            await self.routing.accept_offer(offer_id)
        except ProblemError as refused:
            if refused.status != CONFLICT:
                raise
            return
        await self._answer(ticket_id)

    async def _answer(self, ticket_id: str) -> None:
        """Reply and resolve. The reply's key is the ticket's, so that what is repeated after a lost answer is not done twice."""
        ticket = await self.routing.get_ticket(ticket_id)
        if ticket["channel"] == "phone" or ticket["status"] != "open":
            return
        if since := ticket["waiting_since"]:
            text = self.answers.get(ticket["subject"], ANSWERS_BY_LANGUAGE.get(ticket["language"], ANSWERS_BY_LANGUAGE["en"]))
            reply: Reply = {"text": text}
            if ticket["language"] != "und":
                reply["language"] = ticket["language"]
            await self.routing.reply_to_ticket(ticket_id, reply, f"reply {ticket_id} {since}")
        try:
            await self.resolve(ticket_id)
        except ProblemError as refused:
            if refused.status != CONFLICT:
                raise
