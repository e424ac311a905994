"""The demonstration's agents: each listens to the own stream, accepts what is offered, answers and resolves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

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
    http: httpx.AsyncClient
    answers: Mapping[str, str]

    async def work(self) -> None:
        """Go available, then take and answer whatever is offered, until cancelled."""
        await self._be_available()
        async for kind, ticket_id, offer_id in self._stream():
            if kind in ("ready", "reset"):
                await self._be_available()  # who was cut off for long was taken off
                await self._catch_up()
            elif kind == "offer.made" and offer_id:
                await self._take(offer_id, ticket_id)

    async def work_on(self) -> None:
        """Work, and begin again whenever the service is away, until cancelled."""
        while True:
            try:
                await self.work()
            except httpx.HTTPError:
                await asyncio.sleep(0.3)

    async def _be_available(self) -> None:
        await self._post(f"/v1/agents/{self.agent_id}/state", {"state": "available"})

    async def leave(self) -> None:
        """Go offline."""
        await self._post(f"/v1/agents/{self.agent_id}/state", {"state": "offline"})

    async def _catch_up(self) -> None:
        """What came while nobody listened: tickets that are already ours, and offers that wait."""
        for ticket in (await self._get(f"/v1/agents/{self.agent_id}/tickets"))["items"]:
            await self._answer(ticket["ticket_id"])
        for offer in (await self._get(f"/v1/agents/{self.agent_id}/offers"))["items"]:
            await self._take(offer["offer_id"], offer["ticket_id"])

    async def _take(self, offer_id: str, ticket_id: str) -> None:
        accepted = await self._post(f"/v1/offers/{offer_id}/accept", {}, allow=(409,))
        if accepted.status_code != 409:
            await self._answer(ticket_id)

    async def _answer(self, ticket_id: str) -> None:
        """Reply and resolve. The keys are the ticket's, so that what is repeated after a lost answer is not done twice."""
        ticket = await self._get(f"/v1/tickets/{ticket_id}")
        if ticket["channel"] == "phone" or ticket["status"] != "open":
            return
        if since := ticket["waiting_since"]:
            text = self.answers.get(ticket["subject"], ANSWERS_BY_LANGUAGE.get(ticket["language"], ANSWERS_BY_LANGUAGE["en"]))
            body = {"text": text, "language": ticket["language"]} if ticket["language"] != "und" else {"text": text}
            await self._post(f"/v1/tickets/{ticket_id}/reply", body, key=f"reply {ticket_id} {since}")
        await self._post(f"/v1/tickets/{ticket_id}/resolve", {"code": "answered"}, allow=(409,))

    async def resolve(self, ticket_id: str) -> None:
        """Resolve a ticket that this agent owns, as after a call."""
        await self._post(f"/v1/tickets/{ticket_id}/resolve", {"code": "answered"})

    async def _stream(self) -> AsyncIterator[tuple[str, str, str | None]]:
        """(kind, ticket, offer) of what comes on the stream, reconnecting where it left off."""
        last = ""
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            try:
                async with self.http.stream("GET", f"/v1/agents/{self.agent_id}/stream", headers=headers, timeout=30) as answer:
                    answer.raise_for_status()
                    kind = ""
                    async for line in answer.aiter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last = value
                        elif name == "event":
                            kind = value
                        elif name == "data":
                            data = json.loads(value)
                            yield kind, data.get("ticket_id", ""), data.get("offer_id")
            except httpx.TransportError:
                await asyncio.sleep(0.5)

    async def _get(self, path: str) -> dict[str, Any]:
        return (await self.http.get(path, timeout=15)).raise_for_status().json()  # type: ignore[no-any-return]

    async def _post(
        self, path: str, body: Mapping[str, str], allow: tuple[int, ...] = (), key: str | None = None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid4())}
        answer = await self.http.post(path, json=dict(body), headers=headers, timeout=15)
        if answer.status_code not in allow:
            answer.raise_for_status()
        return answer
