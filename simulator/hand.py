"""An agent's hand at the routing API: each act under an Idempotency-Key of its own, tried until it is answered."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from simulator.arrivals import Draw
from simulator.http_client import HttpClient, NoAnswer, Reply
from simulator.patience import Patience
from simulator.truth import Act, Truth

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conduct:
    """What agents are like: shares from 0 to 1, and seconds (least, most).

    `decline` and `miss` are of offers, `pend` of tickets before they are resolved, `takes_break` after a ticket, `repeats` of
    acts that are sent a second time, `hangs_up` of things heard on the stream after which it is connected anew.
    `handling` is how long a ticket takes where it is not just between two times.
    """

    decline: float = 0.05
    miss: float = 0.02
    pend: float = 0.2
    takes_break: float = 0.03
    repeats: float = 0.03
    hangs_up: float = 0.02
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
    """What all agents of a run share. `run` names it: Idempotency-Keys are its own."""

    run: str
    http: HttpClient
    truth: Truth
    clock: Callable[[], float]
    patience: Patience
    conduct: Conduct


@dataclass(slots=True)
class Hand:
    """The API with one agent's key."""

    agent_id: str
    key: str
    desk: Desk
    _name: str = field(default_factory=lambda: secrets.token_hex(4))
    _numbers: count[int] = field(default_factory=count)

    def new_key(self) -> str:
        """An Idempotency-Key for the next act."""
        return f"{self.desk.run}-{self.agent_id}-{self._name}-{next(self._numbers)}"

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.key}"}

    async def act(self, act: Act, path: str, body: Body | None) -> Reply | None:
        """Do it, again until it is answered, and sometimes once more after that. None when nobody answered in time."""
        truth, patience = self.desk.truth, self.desk.patience
        act = truth.acted(act)
        random, give_up = Random(act.key), self.desk.clock() + patience.give_up_seconds
        for failures in count(1):
            reply = await self._try(path, body, act.key)
            act = truth.tried(act, reply.status if reply else None, _message_id(reply))
            if reply is not None and not _is_passing(reply.status):
                break
            wait = patience.wait(failures, reply.retry_after_seconds if reply else None, random)
            if self.desk.clock() + wait > give_up:
                return None
            await asyncio.sleep(wait)
        if random.random() < self.desk.conduct.repeats:
            again = await self._try(path, body, act.key)
            truth.tried(act, again.status if again else None)
        return reply

    async def get(self, path: str) -> Body | None:
        """What is there, asked again until answered. None when it is refused, or nobody answers in time."""
        patience, random = self.desk.patience, Random(path)
        give_up = self.desk.clock() + patience.give_up_seconds
        for failures in count(1):
            with suppress(NoAnswer):
                reply = await self.desk.http.request("GET", path, self.headers())
                if not _is_passing(reply.status):
                    return reply.json() if reply.status == 200 else None
            wait = patience.wait(failures, None, random)
            if self.desk.clock() + wait > give_up:
                break
            await asyncio.sleep(wait)
        return None

    async def post(self, path: str, body: Body | None, key: str) -> Reply:
        """One attempt at an act. Raises NoAnswer."""
        headers = {**self.headers(), "Idempotency-Key": key}
        if body is None:
            return await self.desk.http.request("POST", path, headers)
        headers["Content-Type"] = "application/json"
        return await self.desk.http.request("POST", path, headers, json.dumps(body, ensure_ascii=False).encode())

    async def _try(self, path: str, body: Body | None, key: str) -> Reply | None:
        try:
            return await self.post(path, body, key)
        except NoAnswer:
            return None


def _is_passing(status: int) -> bool:
    return status == 429 or status >= 500


def _message_id(reply: Reply | None) -> str | None:
    if reply is None or reply.status != 201:
        return None
    found = reply.json().get("message_id")
    return str(found) if found else None
