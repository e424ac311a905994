"""What agents do with a ticket besides answering and resolving it: they send it on, hand it over, escalate it, ask a colleague,
have its customer called back, take it back; and what they do when a colleague asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from client.routing_types import CallBack, Consult, ConsultAnswer, Transfer
from simulator.hand import Call, Hand
from simulator.truth import Act, ActKind

Ticket = Mapping[str, Any]
CALLED_BACK_SECONDS = 1.0
LETS_WRAP_UP_END = 0.3  # of wrap-ups, by themselves
DECLINES = 0.3  # of what colleagues want to hand over
QUESTION, ANSWER = "Have you seen this before?", "Yes: it is known, and repaired tomorrow."


@dataclass(frozen=True, slots=True)
class Mover:
    """One agent's moves."""

    hand: Hand

    async def move(self, ticket: Ticket, random: Random) -> bool:
        """Perhaps move it. Returns whether it was: then somebody else may have it by now, or is asked."""
        colleagues = [name for name in self.hand.desk.agents if name != self.hand.agent_id]
        if random.random() >= self.hand.desk.conduct.moves or not colleagues:
            return False
        move = random.choice(MOVES)
        return await move(self, ticket, random.choice(colleagues))

    async def asked(self, kind: str, ticket_id: str, identity: str, random: Random) -> None:
        """Do what a colleague or a queue asks: take a ticket over or not, answer a question, say that a wrap-up is done."""
        await asyncio.sleep(self.hand.desk.conduct.handle(random))
        routing = self.hand.routing
        if kind == "consult":
            said: ConsultAnswer = {"text": ANSWER}
            await self._act("answer", ticket_id, lambda key: routing.answer_consult(ticket_id, identity, said, key))
        elif kind == "wrap_up":
            if random.random() >= LETS_WRAP_UP_END:
                await self._act("wrap_up", ticket_id, lambda key: routing.complete_wrap_up(ticket_id, {"code": "done"}, key))
        elif random.random() < DECLINES:
            await self._act("decline_transfer", ticket_id, lambda key: routing.decline_transfer(ticket_id, {}, key))
        else:
            await self._act("accept_transfer", ticket_id, lambda key: routing.accept_transfer(ticket_id, key))

    async def _to_the_queue(self, ticket: Ticket, _colleague: str) -> bool:
        return await self._sent_on(ticket, "queue", str(ticket["queue_id"]))

    async def _to_the_queue_and_back(self, ticket: Ticket, _colleague: str) -> bool:
        ticket_id = str(ticket["ticket_id"])
        sent = await self._sent_on(ticket, "queue", str(ticket["queue_id"]))
        if sent:
            await self._act("take", ticket_id, lambda key: self.hand.routing.take_ticket(ticket_id, key))
        return sent

    async def _to_a_colleague(self, ticket: Ticket, colleague: str) -> bool:
        return await self._sent_on(ticket, "agent", colleague)

    async def _sent_on(self, ticket: Ticket, to: Literal["queue", "agent"], identity: str) -> bool:
        ticket_id, place = str(ticket["ticket_id"]), Transfer(to=to, id=identity)
        return await self._act("transfer", ticket_id, lambda key: self.hand.routing.transfer_ticket(ticket_id, place, key))

    async def _hand_over(self, ticket: Ticket, colleague: str) -> bool:
        ticket_id = str(ticket["ticket_id"])
        body: Transfer = {"to": "agent", "id": colleague, "warm": True}
        return await self._act("hand_over", ticket_id, lambda key: self.hand.routing.transfer_ticket(ticket_id, body, key))

    async def _escalate(self, ticket: Ticket, _colleague: str) -> bool:
        ticket_id = str(ticket["ticket_id"])
        return await self._act("escalate", ticket_id, lambda key: self.hand.routing.escalate_ticket(ticket_id, {}, key))

    async def _ask(self, ticket: Ticket, colleague: str) -> bool:
        ticket_id = str(ticket["ticket_id"])
        body: Consult = {"agent_id": colleague, "text": QUESTION}
        return await self._act("consult", ticket_id, lambda key: self.hand.routing.consult_expert(ticket_id, body, key))

    async def _is_assigned_by_a_supervisor(self, ticket: Ticket, colleague: str) -> bool:
        ticket_id, desk = str(ticket["ticket_id"]), self.hand.desk
        if not desk.supervisor_key:
            return False
        rina = Hand("supervisor", desk.supervisor_key, desk)
        act = Act("assign", colleague, rina.new_key(), desk.clock(), ticket_id)
        reply = await rina.act(act, lambda key: rina.routing.assign_ticket(ticket_id, {"agent_id": colleague}, key))
        return reply is not None and reply.status < 300

    async def _is_called_back(self, ticket: Ticket, _colleague: str) -> bool:
        ticket_id, routing = str(ticket["ticket_id"]), self.hand.routing
        released = await self._act("release", ticket_id, lambda key: routing.release_ticket(ticket_id, key))
        if released:
            at = datetime.now(UTC) + timedelta(seconds=CALLED_BACK_SECONDS)
            body: CallBack = {"not_before": at}
            await self._act("call_back", ticket_id, lambda key: routing.call_back_later(ticket_id, body, key))
        return released

    async def _act(self, kind: ActKind, ticket_id: str, call: Call) -> bool:
        act = Act(kind, self.hand.agent_id, self.hand.new_key(), self.hand.desk.clock(), ticket_id)
        reply = await self.hand.act(act, call)
        return reply is not None and reply.status < 300


MOVES: tuple[Callable[[Mover, Ticket, str], Awaitable[bool]], ...] = (
    Mover._to_the_queue,
    Mover._to_the_queue_and_back,
    Mover._to_a_colleague,
    Mover._hand_over,
    Mover._escalate,
    Mover._ask,
    Mover._is_assigned_by_a_supervisor,
    Mover._is_called_back,
)
