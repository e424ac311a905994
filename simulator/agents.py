"""Agents at the public routing API: they accept, decline or let offers go, answer, resolve, and take breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Self

from client import Answer, NoAnswer, ProblemError, Routing
from client.routing_types import Reply, State
from simulator.figures import AgentFigures, Figures
from simulator.hand import Call, Desk, Hand
from simulator.moving import Mover
from simulator.texts import WORDINGS
from simulator.truth import Act, ActKind

RECONNECT_SECONDS = 0.3
LEAVE_SECONDS = 3.0
OFFERS_KEPT = 5_000  # the newest ones that were dealt with, which may be heard of again
LOOKS_CAP = 30  # at one ticket in a row
Ticket = Mapping[str, Any]
# What is heard on the stream that asks for something: which task it is, and by which field it is known.
TASKS: Mapping[str, tuple[str, str]] = {
    "transfer.offered": ("transfer", "transfer_id"),
    "consult.requested": ("consult", "consult_id"),
    "wrap_up.started": ("wrap_up", "ends_by"),
}


@dataclass(slots=True)
class Agent:
    """One agent, at work while in its `async with` block."""

    hand: Hand
    all_figures: Figures
    figures: AgentFigures = field(default_factory=AgentFigures)
    quiet_since: float = 0.0
    _last_event: str = ""
    _resting: bool = False
    _offers: dict[str, None] = field(default_factory=dict)
    _tasks_known: dict[str, None] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _news: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _working: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The agent's id."""
        return self.hand.agent_id

    @property
    def desk(self) -> Desk:
        """What the agents share."""
        return self.hand.desk

    @property
    def routing(self) -> Routing:
        """The API, as this agent."""
        return self.hand.routing

    async def __aenter__(self) -> Self:
        """Come to work."""
        self.all_figures.agents[self.id] = self.figures
        self._working = asyncio.create_task(self._work(), name=f"agent {self.id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, whatever is in hand, and say so if anybody answers."""
        assert self._working is not None
        self._working.cancel()
        with suppress(asyncio.CancelledError):
            await self._working
        with suppress(NoAnswer, ProblemError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.routing.change_agent_state(self.id, {"state": "offline"}, self.hand.new_key())
                self.figures.state = "offline"

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return not self._busy and not self._tasks

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    with suppress(NoAnswer, ProblemError):
                        if not self._resting:
                            await self._change_state("available")
                        await self._listen(group)
                    await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            self._tasks.clear()

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        """Hear the stream, from where it was left, until it ends."""
        async with aclosing(self.routing.stream_agent(self.id, self._last_event, resume=False)) as events:
            async for event in events:
                self._last_event = event.id or self._last_event
                self._hear(group, event.kind, event.data)
                begins = event.kind in ("ready", "reset")
                if event.id and not begins and self._random("stream", event.id).random() < self.desk.conduct.hangs_up:
                    return

    def _hear(self, group: asyncio.TaskGroup, kind: str, data: Ticket) -> None:
        self.quiet_since = self.desk.clock()
        ticket_id = str(data.get("ticket_id") or "")
        if kind in ("ready", "reset"):
            self._begin(group, self._catch_up(group))
        elif kind == "offer.made":
            self._begin(group, self._answer_offer(group, str(data["offer_id"]), ticket_id))
        elif kind in ("ticket.assigned", "message.received", "transfer.ended"):
            self._take_up(group, ticket_id)
        elif kind in TASKS:
            task, name = TASKS[kind]
            self._begin(group, self._do(task, ticket_id, str(data.get(name, ""))))
        elif kind == "agent.state_changed" and not self._resting:
            self.figures.state = str(data.get("state"))
            self._begin(group, self._rest(None))

    def _begin(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _catch_up(self, group: asyncio.TaskGroup) -> None:
        """What came while nobody listened: offers that wait, tickets that are ours."""
        tickets = await self.hand.read(lambda: self.routing.list_agent_tickets(self.id))
        offers = await self.hand.read(lambda: self.routing.list_offers(self.id))
        for ticket in tickets.items if tickets else ():
            self._take_up(group, str(ticket["ticket_id"]))
        tasks = await self.hand.read(lambda: self.routing.list_agent_tasks(self.id)) if self.desk.conduct.moves else None
        for task in tasks.items if tasks else ():
            self._begin(group, self._do(str(task["kind"]), str(task["ticket_id"]), str(task["id"] or "")))
        for offer in offers.items if offers else ():
            self._begin(group, self._answer_offer(group, str(offer["offer_id"]), str(offer["ticket_id"])))

    async def _answer_offer(self, group: asyncio.TaskGroup, offer_id: str, ticket_id: str) -> None:
        if offer_id in self._offers:
            return
        self._offers[offer_id] = None
        if len(self._offers) > OFFERS_KEPT:
            del self._offers[next(iter(self._offers))]
        self.figures.offers += 1
        conduct, chance = self.desk.conduct, self._random(offer_id).random()
        if chance < conduct.miss:
            self.figures.missed += 1
            self.desk.truth.acted(Act("miss", self.id, self.hand.new_key(), self.desk.clock(), ticket_id, offer_id))
            return
        if chance < conduct.miss + conduct.decline:
            reply = await self._act(
                "decline", lambda key: self.routing.decline_offer(offer_id, {"reason": "busy"}, key), ticket_id, offer_id
            )
            self.figures.declined += reply is not None and reply.status == 200
        else:
            reply = await self._act("accept", lambda key: self.routing.accept_offer(offer_id, key), ticket_id, offer_id)
            if reply is not None and reply.status == 200:
                self.figures.accepted += 1
                self._take_up(group, ticket_id)
            else:
                self.figures.gone += reply is not None

    async def _do(self, task: str, ticket_id: str, identity: str) -> None:
        """Something to do with a ticket that is not ours, or not any more; once, however often it is heard of."""
        name = f"{task} {ticket_id} {identity}"
        if name in self._tasks_known and identity:
            return
        self._tasks_known[name] = None
        await Mover(self.hand).asked(task, ticket_id, identity, self._random(name, len(self._tasks_known)))

    def _take_up(self, group: asyncio.TaskGroup, ticket_id: str) -> None:
        """See to a ticket of ours; when that is being done, once more afterwards."""
        self._news.add(ticket_id)
        if ticket_id not in self._busy:
            self._busy.add(ticket_id)
            self.figures.in_hand = len(self._busy)
            self._begin(group, self._see_to(ticket_id))

    async def _see_to(self, ticket_id: str) -> None:
        rounds = 0
        try:
            while ticket_id in self._news and rounds < LOOKS_CAP:
                self._news.discard(ticket_id)
                await self._handle(ticket_id, self._random(ticket_id, rounds), may_pend=rounds == 0)
                rounds += 1
        finally:
            self._busy.discard(ticket_id)
            self.figures.in_hand = len(self._busy)
        if self._random("break", ticket_id).random() < self.desk.conduct.takes_break and not self._resting:
            await self._rest("coffee")

    async def _handle(self, ticket_id: str, random: Random, *, may_pend: bool) -> None:
        """One look at a ticket: answer what waits, then wait for the customer or resolve."""
        await asyncio.sleep(self.desk.conduct.handle(random))
        ticket = await self.hand.read(lambda: self.routing.get_ticket(ticket_id, limit=1))
        if ticket is None or ticket["agent_id"] != self.id or ticket["status"] not in ("new", "open", "pending"):
            return
        if ticket["status"] != "pending" and ticket["waiting_since"] and ticket["channel"] != "phone":
            await self._reply(ticket, random)
        if ticket["status"] != "pending" and may_pend and random.random() < self.desk.conduct.pend:
            await self._act("pend", lambda key: self.routing.pend_ticket(ticket_id, idempotency_key=key), ticket_id)
            await asyncio.sleep(random.uniform(*self.desk.conduct.pend_seconds))
            self._news.add(ticket_id)
            return
        if may_pend and ticket["status"] != "pending" and await Mover(self.hand).move(ticket, random):
            await asyncio.sleep(random.uniform(*self.desk.conduct.pend_seconds))
            self._news.add(ticket_id)  # it may be ours still
            return
        resolved = await self._act(
            "resolve", lambda key: self.routing.resolve_ticket(ticket_id, {"code": "answered"}, key), ticket_id
        )
        if resolved is not None and resolved.status == 409:
            self._news.add(ticket_id)
        self.figures.resolved += resolved is not None and resolved.status == 200

    async def _reply(self, ticket: Ticket, random: Random) -> None:
        ticket_id, language = str(ticket["ticket_id"]), str(ticket["language"])
        body: Reply = {"text": random.choice(WORDINGS.get(language, WORDINGS["en"]).answers)}
        if language != "und":
            body["language"] = language
        replied = await self._act("reply", lambda key: self.routing.reply_to_ticket(ticket_id, body, key), ticket_id)
        self.figures.replies += replied is not None and replied.status == 201

    async def _rest(self, reason: str | None) -> None:
        """A break, or (without a reason) a moment until we say that we are there after an offer was missed."""
        self._resting = True
        try:
            if reason is not None:
                await self._change_state("break", reason)
            await asyncio.sleep(self._random("rest", self.desk.clock()).uniform(*self.desk.conduct.break_seconds))
        finally:
            self._resting = False
        await self._change_state("available")

    async def _change_state(self, state: Literal["available", "break"], reason: str | None = None) -> None:
        body: State = {"state": state, "reason": reason} if reason else {"state": state}
        reply = await self._act("state", lambda key: self.routing.change_agent_state(self.id, body, key), state=state)
        if reply is not None and reply.status == 200:
            self.figures.state = state

    async def _act(
        self,
        kind: ActKind,
        call: Call,
        ticket_id: str | None = None,
        offer_id: str | None = None,
        state: str | None = None,
    ) -> Answer | None:
        act = Act(kind, self.id, self.hand.new_key(), self.desk.clock(), ticket_id, offer_id, state=state)
        reply = await self.hand.act(act, call)
        self.figures.failed += reply is None
        return reply

    def _random(self, *names: object) -> Random:
        return Random("/".join(map(str, (self.desk.run, self.id, *names))))
