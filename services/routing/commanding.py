"""Group commit of what agents ask of tickets: commands that arrive together are decided and written together, and each waits
for the commit.

No delay is made for it: while one transaction runs, what comes in the meantime is the next group. Within a group commands are
decided in the order in which they came, each on what the ones before it left; one that is refused leaves no trace.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import acting
from services.routing.domain.agents import Agent
from services.routing.domain.work import Turn, Work
from services.routing.settings import RoutingSettings
from services.routing.store import config, desk, reading, streams
from shared import db
from shared.clock import clock
from shared.events.config import QueueConfigured
from shared.http import Problem
from shared.idempotency import Answer, Asked, Memory, check_key
from shared.service import Resources

GROUP = 100
QUEUE = 2_000
ANSWER_SECONDS = 30.0

Queues = Sequence[QueueConfigured]
Decide = Callable[[Turn, Queues], Mapping[str, object]]


class NoSuchTicket(LookupError):
    """Routing does not know this ticket (yet)."""


class NoSuchOffer(LookupError):
    """There is no such offer to the agent who answers it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is about: a ticket by its id, or by that of an offer to the agent who gives the command."""

    ticket_id: str = ""
    offer_id: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody asks of a ticket. `decide` gives the answer's body, and is pure: it may be called again.

    `agent_id` is the agent who calls, None for other keys; `asked` is there when it came with an Idempotency-Key.
    """

    agent_id: str | None
    target: Target
    cause: str
    decide: Decide
    status: int
    asked: Asked | None
    traceparent: str | None


@dataclass(slots=True)
class _Waiting:
    command: Command
    answer: asyncio.Future[Answer]


@dataclass(slots=True)
class _Group:
    """One group being decided: tickets and agents as the commands so far left them."""

    works: dict[str, Work]
    agents: dict[str, Agent]
    offered: Mapping[tuple[str, str], str]
    queues: Queues
    memory: Memory
    now: datetime
    turns: list[Turn] = field(default_factory=list)
    worth_matching: bool = False

    def carry_out(self, command: Command) -> Answer | Exception:
        """The answer, or why the command is refused."""
        try:
            remembered = self.memory.answer(command.asked)
            return remembered if remembered is not None else self._decide(command)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are carried out
            return error

    def _decide(self, command: Command) -> Answer:
        work = self._work(command)
        turn = Turn(work, command.cause, self.now, self.agents)
        body = command.decide(turn, self.queues)
        answer = Answer(command.status, json.dumps(body, ensure_ascii=False).encode())
        if turn.work is not work or turn.changed:
            self._keep(turn, command.traceparent)
        self.memory.note(command.asked, answer)
        return answer

    def _work(self, command: Command) -> Work:
        ticket_id = command.target.ticket_id
        if command.target.offer_id:
            offered = self.offered.get((command.target.offer_id, command.agent_id or ""))
            if offered is None:
                raise NoSuchOffer
            ticket_id = offered
        work = self.works.get(ticket_id)
        if work is None:
            raise NoSuchTicket
        return work

    def _keep(self, turn: Turn, traceparent: str | None) -> None:
        turn.drafts = [replace(draft, traceparent=traceparent) for draft in turn.drafts]
        waits = turn.work.visit is not None and turn.work.offer is None
        self.worth_matching |= waits or any(_has_more_room(agent, self.agents) for agent in turn.changed.values())
        self.works[turn.work.id] = turn.work
        self.agents.update(turn.changed)
        self.turns.append(turn)


@dataclass(slots=True)
class Commander:
    """Carries out commands on tickets and answers when they are committed."""

    parts: Resources
    settings: RoutingSettings
    _queue: deque[_Waiting] = field(default_factory=deque)
    _working: asyncio.Task[None] | None = None
    _queues: config.QueueShelf = field(default_factory=config.QueueShelf)

    async def carry_out(self, command: Command) -> Answer:
        """Carry it out once. Raises what `decide` raises, NoSuchTicket, NoSuchOffer, EventTooLarge, DatabaseAway; Problem 422
        for a key that cannot be used, 503 when too many wait.
        """
        if command.asked is not None:
            check_key(command.asked.key)
        if len(self._queue) >= QUEUE:
            detail = "More is asked than can be done just now. Send it again, with the same Idempotency-Key."
            raise Problem(503, "overloaded", detail, headers={"Retry-After": "1"})
        waiting = _Waiting(command, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._working is None or self._working.done():
            # Its own context: what it does is not part of the request that happened to come first.
            self._working = asyncio.get_running_loop().create_task(self._work(), context=Context())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await waiting.answer
        except TimeoutError:
            raise db.DatabaseAway("the command was not committed in time") from None

    async def _work(self) -> None:
        while self._queue:
            group = [self._queue.popleft() for _ in range(min(GROUP, len(self._queue)))]
            await self._take([one for one in group if not one.answer.done()])

    async def _take(self, group: Sequence[_Waiting]) -> None:
        """Commit a group; where it fails for what one of them holds, halve it until that one stands alone."""
        if not group:
            return
        try:
            results = await db.retrying(lambda: self._transaction([one.command for one in group]))
        except Exception as error:  # noqa: BLE001 - it is told to who waits, and answered there
            if len(group) > 1 and not isinstance(error, db.DatabaseAway):
                middle = len(group) // 2
                await self._take(group[:middle])
                await self._take(group[middle:])
                return
            results = [error] * len(group)
        for one, result in zip(group, results, strict=True):
            _tell(one.answer, result)

    async def _transaction(self, commands: Sequence[Command]) -> list[Answer | Exception]:
        async with db.transaction(self.parts.engine) as conn:
            group = await self._load(conn, commands)
            results = [group.carry_out(command) for command in commands]
            if group.turns:
                await acting.write(conn, self.parts.outbox, group.turns, group.now, wake=group.worth_matching)
            await group.memory.save(conn)
        return results

    async def _load(self, conn: AsyncConnection, commands: Sequence[Command]) -> _Group:
        """What the commands are about, under lock: keys, then tickets, then agents, each in order."""
        callers = {command.agent_id for command in commands if command.agent_id is not None}
        await streams.renew(conn, callers, self.settings.routing_presence_seconds)
        memory = await Memory.of(conn, "routing", [command.asked for command in commands if command.asked is not None])
        answered = {(one.target.offer_id, one.agent_id or "") for one in commands if one.target.offer_id}
        offered = await reading.tickets_offered(conn, answered)
        named = {command.target.ticket_id for command in commands if command.target.ticket_id}
        works, version = await desk.works_and_queues(conn, named | set(offered.values()))
        queues = await self._queues.of(conn, version)
        agents = await desk.agents(conn, desk.concerned(works.values()))
        return _Group(works, agents, offered, queues, memory, await clock(conn))


def _has_more_room(agent: Agent, before: Mapping[str, Agent]) -> bool:
    """Whether the agent may take something now that did not fit before."""
    known = before.get(agent.id)
    return agent.ready and (known is None or not known.ready or agent.used_units < known.used_units)


def _tell(waiting: asyncio.Future[Answer], result: Answer | Exception) -> None:
    if waiting.done():
        return
    if isinstance(result, Exception):
        waiting.set_exception(result)
    else:
        waiting.set_result(result)
