"""An agent's hand at the routing API: each act under an Idempotency-Key of its own, tried until it is answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TypeVar

import httpx

import client
from client import Json, NoAnswer, ProblemError, Routing, Waiting
from simulator.arrivals import Draw
from simulator.patience import Patience
from simulator.truth import Act, Truth

Told = TypeVar("Told")
Call = Callable[[str], Awaitable[Json]]  # takes the Idempotency-Key


@dataclass(frozen=True, slots=True)
class Conduct:
    """What agents are like: shares from 0 to 1, and seconds (least, most).

    `decline` and `miss` are of offers, `pend` of tickets before they are resolved, `takes_break` after a ticket, `repeats` of
    acts that are sent a second time, `hangs_up` of things heard on the stream after which it is connected anew, `moves` of
    tickets that are sent on, handed over, escalated … or about which a colleague is asked, instead of being resolved at once.
    `handling` is how long a ticket takes where it is not just between two times.
    """

    decline: float = 0.05
    miss: float = 0.02
    pend: float = 0.2
    takes_break: float = 0.03
    repeats: float = 0.03
    hangs_up: float = 0.02
    moves: float = 0.0
    handle_seconds: tuple[float, float] = (0.05, 0.5)
    handling: Draw | None = None
    pend_seconds: tuple[float, float] = (0.2, 1.0)
    break_seconds: tuple[float, float] = (0.3, 1.5)

    def handle(self, random: Random) -> float:
        """How long a ticket takes, in seconds."""
        return self.handling.draw(random) if self.handling is not None else random.uniform(*self.handle_seconds)


OBLIGING = Conduct(decline=0.0, miss=0.0, takes_break=0.0)


@dataclass(slots=True)
class Desk:
    """What all agents of a run share. `run` names it: Idempotency-Keys are its own. `agents` are all of them, `supervisor_key` is
    for what only a supervisor does.
    """

    run: str
    routing_url: str
    http: httpx.AsyncClient
    truth: Truth
    clock: Callable[[], float]
    patience: Patience
    conduct: Conduct
    agents: tuple[str, ...] = ()
    supervisor_key: str = ""


@dataclass(slots=True)
class Hand:
    """The API with one agent's key. What is tried again, and when, is ours to say: each attempt is in the truth."""

    agent_id: str
    key: str
    desk: Desk
    routing: Routing = field(init=False)
    _name: str = field(default_factory=lambda: secrets.token_hex(4))
    _numbers: count[int] = field(default_factory=count)
    _answers: dict[str, client.Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seconds = self.desk.patience.answer_seconds
        once = Waiting(attempt_seconds=seconds, call_seconds=seconds, attempts=1)
        self.routing = Routing(self.desk.routing_url, self.key, waiting=once, http=self.desk.http, heard=self._hear)

    def new_key(self) -> str:
        """An Idempotency-Key for the next act."""
        return f"{self.desk.run}-{self.agent_id}-{self._name}-{next(self._numbers)}"

    async def act(self, act: Act, call: Call) -> client.Answer | None:
        """Do it, again until it is answered, and sometimes once more after that. None when nobody answered in time."""
        truth, patience = self.desk.truth, self.desk.patience
        act = truth.acted(act)
        random, give_up = Random(act.key), self.desk.clock() + patience.give_up_seconds
        for failures in count(1):
            answer = await self._try(call, act.key)
            act = truth.tried(act, answer.status if answer else None, _message_id(answer))
            if answer is not None and not _is_passing(answer.status):
                break
            wait = patience.wait(failures, answer.retry_after_seconds if answer else None, random)
            if self.desk.clock() + wait > give_up:
                return None
            await asyncio.sleep(wait)
        if random.random() < self.desk.conduct.repeats:
            again = await self._try(call, act.key)
            truth.tried(act, again.status if again else None)
        return answer

    async def read(self, what: Callable[[], Awaitable[Told]]) -> Told | None:
        """What is there, asked again until answered. None when it is refused, or nobody answers in time."""
        patience, random = self.desk.patience, Random(self.agent_id)
        give_up = self.desk.clock() + patience.give_up_seconds
        for failures in count(1):
            try:
                return await what()
            except ProblemError as problem:
                if not _is_passing(problem.status):
                    return None
            except NoAnswer:
                pass
            wait = patience.wait(failures, None, random)
            if self.desk.clock() + wait > give_up:
                break
            await asyncio.sleep(wait)
        return None

    async def _try(self, call: Call, key: str) -> client.Answer | None:
        with suppress(NoAnswer, ProblemError):
            await call(key)
        return self._answers.pop(key, None)

    def _hear(self, request: client.Request, outcome: client.Answer | NoAnswer) -> None:
        key = request.headers.get("Idempotency-Key")
        if key is not None and isinstance(outcome, client.Answer):
            self._answers[key] = outcome


def _is_passing(status: int) -> bool:
    return status == 429 or status >= 500


def _message_id(answer: client.Answer | None) -> str | None:
    if answer is None or answer.status != 201:
        return None
    found = answer.json().get("message_id")
    return str(found) if found else None
