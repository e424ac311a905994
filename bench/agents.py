"""The world outside, in a process of its own: agents at work over HTTP, and the mail server that takes their answers.

`python -m bench.agents FILE` reads a job (JSON) and works until it is told to stop. Each agent follows the own stream; an
offer is accepted, its ticket read, answered and resolved, each a request of its own. It prints READY when it takes offers,
and at its end what was refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec
import uvloop

from bench.load import Pool
from bench.streams import following
from deploy.local.ports import HOST
from shared.service import run_until_stopped

READY = "the agents are there"
REPLY = b'{"text":"Thank you for writing. The parcel was handed over this morning and reaches you tomorrow before noon."}'
BUSY, AGAIN, AGAIN_SECONDS = 503, 20, 1.0  # a client that is told to come again does
RESOLVE = b'{"code":"answered"}'


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Where routing listens, where mail is to be taken, and the agents' keys."""

    routing_port: int
    mail_port: int
    keys: dict[str, str]


class Refused(Exception):
    """A request was not answered with success."""


class Agents:
    """All agents. `refused` counts what was not answered with success, by step and status."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.refused: Counter[str] = Counter()
        self._pool = Pool(HOST, work.routing_port, 200)
        self._busy: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        paths = {f"/v1/agents/{agent}/stream": key for agent, key in self.work.keys.items()}
        async with following(HOST, self.work.routing_port, paths, lambda path, kind, data: self._told(paths[path], kind, data)):
            print(READY, flush=True)
            await asyncio.Event().wait()

    def _told(self, key: str, kind: str, data: str) -> None:
        if kind == "offer.made":
            told = json.loads(data)
            task = asyncio.create_task(self._handle(key, told["offer_id"], told["ticket_id"]))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _handle(self, key: str, offer_id: str, ticket_id: str) -> None:
        """The life of a ticket with an agent; it ends where it is refused."""
        with suppress(Refused):
            await self._ask(key, "accept", "POST", f"/v1/offers/{offer_id}/accept", f"accept-{offer_id}")
            await self._ask(key, "read", "GET", f"/v1/tickets/{ticket_id}")
            await self._ask(key, "reply", "POST", f"/v1/tickets/{ticket_id}/reply", f"reply-{ticket_id}", REPLY)
            await self._ask(key, "resolve", "POST", f"/v1/tickets/{ticket_id}/resolve", f"resolve-{ticket_id}", RESOLVE)

    async def _ask(self, key: str, step: str, method: str, path: str, idempotency_key: str = "", body: bytes = b"") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n"
        if idempotency_key:
            head += f"Idempotency-Key: {idempotency_key}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        request = head.encode() + b"\r\n" + body
        status, answer = await self._exchange(request)
        for _ in range(AGAIN):
            if status != BUSY:
                break
            await asyncio.sleep(AGAIN_SECONDS)
            status, answer = await self._exchange(request)
        if not 200 <= status < 300:
            self.refused[f"{step} {status}"] += 1
            print(f"{step}: {status} {answer.decode()[:300]}", file=sys.stderr, flush=True)
            raise Refused

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        try:
            status, answer, _ = await self._pool.exchange(request)
        except (OSError, TimeoutError) as error:
            return 0, type(error).__name__.encode()
        return status, answer


class MailServer(asyncio.Protocol):
    """Takes every mail and forgets it: just enough of SMTP (RFC 5321) for a client that behaves."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._in_mail = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = transport  # type: ignore[assignment]
        self._say(b"220 bench ESMTP")

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        *whole, self._rest = (self._rest + data).split(b"\r\n")
        for line in whole:
            if self._in_mail:
                self._in_mail = line != b"."
                if not self._in_mail:
                    self._say(b"250 taken")
            else:
                self._answer(line[:4].upper())

    def _answer(self, command: bytes) -> None:
        if command == b"DATA":
            self._in_mail = True
            self._say(b"354 go on")
        elif command == b"QUIT":
            self._say(b"221 bye")
        elif command == b"EHLO":
            self._say(b"250-bench\r\n250-SMTPUTF8\r\n250 8BITMIME")
        else:
            self._say(b"250 fine")

    def _say(self, line: bytes) -> None:
        if self._transport is not None:
            self._transport.write(line + b"\r\n")


async def run(work: Work) -> None:
    """Until told to stop."""
    server = await asyncio.get_running_loop().create_server(MailServer, HOST, work.mail_port)
    agents = Agents(work)
    try:
        await run_until_stopped({"agents": agents.run})
    finally:
        server.close()
    print(dict(agents.refused), file=sys.stderr)


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Work)))
