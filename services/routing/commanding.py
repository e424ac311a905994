"""Group commit of what agents ask of tickets: commands that arrive together are decided and written together, and each waits
for the commit.

No delay is made for it: while one transaction runs, what comes in the meantime is the next group. Within a group commands are
decided in the order in which they came, each on what the ones before it left; one that is refused leaves no trace.

A group waits a moment for what somebody else has locked; what is locked for longer is waited for apart, in the order in which it
was asked, and the others go on.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.drafts import written
from services.routing.grouping import Decide as Decide
from services.routing.grouping import Group
from services.routing.grouping import NoSuchTicket as NoSuchTicket
from services.routing.grouping import Queues as Queues
from services.routing.settings import RoutingSettings
from services.routing.store import config, drafts, reading, streams
from shared import db
from shared.http import Problem
from shared.idempotency import Answer, Asked, Memory, check_key
from shared.service import Resources

GROUP = 100
QUEUE = 2_000
ANSWER_SECONDS = 30.0
LOCKED_MS = 500  # how long a group waits for a lock: longer than matching and the consumer hold theirs
AGAIN_MS = 50  # and each part of it, while it is looked for which command it is
LOCK_NOT_AVAILABLE = "55P03"


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

    `agent_id` is the agent who calls, None for other keys; `asked` is there when it came with an Idempotency-Key; `concerns` are
    agents whom it is about besides those of the ticket.
    """

    agent_id: str | None
    target: Target
    cause: str
    decide: Decide
    status: int
    asked: Asked | None
    traceparent: str | None
    concerns: frozenset[str] = frozenset()


class _Locked(Exception):
    """Somebody else has held a lock for longer than was waited."""


@dataclass(slots=True)
class _Waiting:
    command: Command
    answer: asyncio.Future[Answer]


@dataclass(slots=True)
class _Asked:
    """A group of commands being carried out: what they are about, which tickets are meant by offers, what was answered before."""

    group: Group
    offered: Mapping[tuple[str, str], str]
    memory: Memory

    def carry_out(self, command: Command) -> Answer | Exception:
        """The answer, or why the command is refused."""
        try:
            remembered = self.memory.answer(command.asked)
            return remembered if remembered is not None else self._decide(command)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are carried out
            return error

    def _decide(self, command: Command) -> Answer:
        body = self.group.decide(self._meant(command), command.cause, command.decide, command.traceparent)
        answer = Answer(command.status, json.dumps(body, ensure_ascii=False).encode())
        self.memory.note(command.asked, answer)
        return answer

    def _meant(self, command: Command) -> str:
        if not command.target.offer_id:
            return command.target.ticket_id
        offered = self.offered.get((command.target.offer_id, command.agent_id or ""))
        if offered is None:
            raise NoSuchOffer
        return offered


@dataclass(slots=True)
class Commander:
    """Carries out commands on tickets and answers when they are committed."""

    parts: Resources
    settings: RoutingSettings
    queues: config.QueueShelf = field(default_factory=config.QueueShelf)
    _queue: deque[_Waiting] = field(default_factory=deque)
    _working: asyncio.Task[None] | None = None
    _apart: deque[_Waiting] = field(default_factory=deque)
    _waiting_apart: asyncio.Task[None] | None = None
    _held: Counter[Target] = field(default_factory=Counter)

    async def carry_out(self, command: Command) -> Answer:
        """Carry it out once. Raises what `decide` raises, NoSuchTicket, NoSuchOffer, EventTooLarge, DatabaseAway; Problem 422
        for a key that cannot be used, 503 when too many wait.
        """
        if command.asked is not None:
            check_key(command.asked.key)
        if len(self._queue) + len(self._apart) >= QUEUE:
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
            free = []
            for one in group:
                if one.command.target in self._held:  # after those that wait for it
                    self._set_apart(one)
                elif not one.answer.done():
                    free.append(one)
            await self._take(free, LOCKED_MS)

    def _set_apart(self, one: _Waiting) -> None:
        self._held[one.command.target] += 1
        self._apart.append(one)
        if self._waiting_apart is None or self._waiting_apart.done():
            self._waiting_apart = asyncio.get_running_loop().create_task(self._work_apart(), context=Context())

    async def _work_apart(self) -> None:
        """One after the other, each for as long as a statement may take."""
        while self._apart:
            one = self._apart.popleft()
            if not one.answer.done():
                await self._take([one], None)
            self._held -= Counter([one.command.target])

    async def _take(self, group: Sequence[_Waiting], patience_ms: int | None) -> None:
        """Commit a group; where it fails for what one of them holds, halve it until that one stands alone."""
        if not group:
            return
        try:
            results = await db.retrying(lambda: self._patiently([one.command for one in group], patience_ms))
        except _Locked:
            if len(group) == 1:
                self._set_apart(group[0])
            else:
                await self._halved(group, AGAIN_MS)
            return
        except Exception as error:  # noqa: BLE001 - it is told to who waits, and answered there
            if len(group) > 1 and not isinstance(error, db.DatabaseAway):
                await self._halved(group, patience_ms)
                return
            results = [error] * len(group)
        for one, result in zip(group, results, strict=True):
            _tell(one.answer, result)

    async def _halved(self, group: Sequence[_Waiting], patience_ms: int | None) -> None:
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            # What one half has set apart, the other half must not overtake.
            for one in half:
                if one.command.target in self._held:
                    self._set_apart(one)
            await self._take([one for one in half if one.command.target not in self._held], patience_ms)

    async def _patiently(self, commands: Sequence[Command], patience_ms: int | None) -> list[Answer | Exception]:
        """Raises _Locked when a lock is not given for so long; None waits as long as a statement may take."""
        try:
            return await self._transaction(commands, patience_ms)
        except (DBAPIError, asyncpg.PostgresError) as error:
            if patience_ms is not None and db.sqlstate(error) == LOCK_NOT_AVAILABLE:
                raise _Locked from error
            raise

    async def _transaction(self, commands: Sequence[Command], patience_ms: int | None) -> list[Answer | Exception]:
        async with db.transaction(self.parts.engine) as conn:
            if patience_ms is not None:
                await db.fetch(conn, "SELECT set_config('lock_timeout', $1, true)", f"{patience_ms}ms")
            asked = await self._load(conn, commands)
            results = [asked.carry_out(command) for command in commands]
            await asked.group.write(conn, self.parts.outbox)
            await drafts.sent(conn, [one for turn in asked.group.turns for one in written(turn)])
            await asked.memory.save(conn)
        return results

    async def _load(self, conn: AsyncConnection, commands: Sequence[Command]) -> _Asked:
        """What the commands are about, under lock: keys, then tickets, then agents, each in order."""
        callers = {command.agent_id for command in commands if command.agent_id is not None}
        await streams.renew(conn, callers, self.settings.routing_presence_seconds)
        memory = await Memory.of(conn, "routing", [command.asked for command in commands if command.asked is not None])
        answered = {(one.target.offer_id, one.agent_id or "") for one in commands if one.target.offer_id}
        offered = await reading.tickets_offered(conn, answered)
        named = {command.target.ticket_id for command in commands if command.target.ticket_id}
        besides = {agent_id for command in commands for agent_id in command.concerns}
        group = await Group.load(conn, named | set(offered.values()), besides, self.queues)
        return _Asked(group, offered, memory)


def _tell(waiting: asyncio.Future[Answer], result: Answer | Exception) -> None:
    if waiting.done():
        return
    if isinstance(result, Exception):
        waiting.set_exception(result)
    else:
        waiting.set_result(result)
