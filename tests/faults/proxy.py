"""A TCP proxy between two parts of a system, whose faults are chosen at run time and drawn from a seed.

What it plays: latency with jitter, a slow line, a partition that heals (`held`: bytes come late), a half-open connection
(`swallowed`: bytes are taken and thrown away, in one direction or both), a cut (RST), a refused connection, and an answer that
never comes after its request was carried out.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from deploy.local.ports import HOST
from tests.faults.wire import Recogniser, any_request

Direction = Literal["request", "answer"]
BOTH: frozenset[Direction] = frozenset(("request", "answer"))
NEITHER: frozenset[Direction] = frozenset()
PIECE_BYTES = 64 * 1024
PORT_SECONDS = 1.0
SLOW_PIECES_PER_SECOND = 20
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to bytes on their way. All quiet by default."""

    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    bytes_per_second: float | None = None
    held: frozenset[Direction] = NEITHER
    swallowed: frozenset[Direction] = NEITHER


@dataclass(slots=True)
class Trap:
    """Breaks connections at their next requests of a kind: after these were carried out, or before they reach the server."""

    left: int
    applied: bool


@dataclass(eq=False, slots=True)
class Connection:
    """One client and its way to the server."""

    client: asyncio.StreamWriter
    recognises: Recogniser
    server: asyncio.StreamWriter | None = None
    holed: bool = False
    answer_lost: bool = False

    def reset(self) -> None:
        """RST to both sides."""
        for writer in (self.client, self.server):
            if writer is not None:
                reset(writer)

    def lose_answer(self) -> None:
        """RST to the client; the server is left to read what it was sent."""
        reset(self.client)
        if self.server is not None:
            self.server.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST instead of FIN (SO_LINGER with no time)."""
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass(slots=True)
class Proxy:
    """Listens on `port` (0: any that is free) and carries everything to `upstream`, both on loopback.

    `kind` makes a recogniser for each connection: what `break_at` takes for a request. `broken` counts the connections that it
    broke, so that a test can tell that its fault took place.
    """

    name: str
    upstream: int
    seed: int = 0
    port: int = 0
    kind: Callable[[], Recogniser] = any_request
    connections: set[Connection] = field(default_factory=set)
    accepted: int = 0
    broken: int = 0
    _weather: Weather = field(default_factory=Weather)
    _turned: asyncio.Event = field(default_factory=asyncio.Event)
    _trap: Trap = field(default_factory=lambda: Trap(0, applied=True))
    _random: random.Random = field(init=False)
    _listener: asyncio.Server | None = None
    _placeholder: socket.socket | None = None
    _pumps: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} {self.name}")

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        listening = _bound(self.port)
        self.port = int(listening.getsockname()[1])
        self._listener = await asyncio.start_server(self._serve, sock=listening, limit=PIECE_BYTES)

    async def close(self) -> None:
        """End everything."""
        self._stop_listening()
        self.weather = Weather()
        self.cut()
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=CLOSE_SECONDS)

    @property
    def weather(self) -> Weather:
        """What happens to bytes now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._turned.set()
        self._turned = asyncio.Event()

    def cut(self) -> int:
        """RST all connections; new ones are taken. Returns how many there were."""
        cut = tuple(self.connections)
        for connection in cut:
            connection.reset()
        return len(cut)

    def refuse(self) -> None:
        """Cut all connections, and refuse new ones."""
        if self._listener is not None:
            self._stop_listening()
            self._placeholder = _bound(self.port)  # not listening: the port stays ours, and whoever connects is refused
        self.cut()

    def break_at(self, times: int, *, applied: bool) -> None:
        """Break the connection at the next `times` requests: with the answer dropped, or else with the request dropped."""
        self._trap = Trap(times, applied)

    async def heal(self) -> None:
        """All quiet again. A connection that lost bytes cannot go on and is cut."""
        self.weather = Weather()
        self._trap = Trap(0, applied=True)
        for connection in tuple(self.connections):
            if connection.holed:
                connection.reset()
        if self._placeholder is not None:
            self._stop_listening()
            await self.start()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = Connection(writer, self.kind())
        self.connections.add(connection)
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        try:
            from_server, connection.server = await asyncio.open_connection(HOST, self.upstream, limit=PIECE_BYTES)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._carry(connection, "request", reader, connection.server))
                pumps.create_task(self._carry(connection, "answer", from_server, writer))
        except* OSError:  # one side broke it, or we did: the other side shall see that
            connection.reset()
        finally:
            self.connections.discard(connection)
            self._pumps.discard(task)
            writer.close()
            if connection.server is not None:
                connection.server.close()

    async def _carry(
        self, connection: Connection, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(PIECE_BYTES):
            if self._breaks(connection, direction, data):
                return
            await self._delay(direction)
            if direction in self._weather.swallowed:
                connection.holed = True
                continue
            await self._write(writer, data)
        await self._delay(direction)
        if direction not in self._weather.swallowed and writer.can_write_eof():
            writer.write_eof()

    def _breaks(self, connection: Connection, direction: Direction, data: bytes) -> bool:
        """Notes or springs the trap. True when the connection is broken now."""
        if direction == "answer":
            if connection.answer_lost:
                self.broken += 1
                connection.lose_answer()
            return connection.answer_lost
        if not connection.recognises(data) or self._trap.left <= 0 or connection.answer_lost:
            return False
        self._trap.left -= 1
        if self._trap.applied:
            connection.answer_lost = True
            return False
        self.broken += 1
        connection.reset()
        return True

    async def _delay(self, direction: Direction) -> None:
        while direction in self._weather.held:
            await self._turned.wait()
        if self._weather.latency_seconds or self._weather.jitter_seconds:
            await asyncio.sleep(self._weather.latency_seconds + self._random.random() * self._weather.jitter_seconds)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            rate = self._weather.bytes_per_second
            piece = len(data) if rate is None else max(1, int(rate / SLOW_PIECES_PER_SECOND))
            writer.write(data[:piece])
            await writer.drain()
            data = data[piece:]
            if rate is not None:
                await asyncio.sleep(piece / rate)


def _bound(port: int) -> socket.socket:
    """A socket of this port, which nobody listens on any more; but for an instant a process that is being started just then has
    all that we have open. Raises OSError.
    """
    give_up = time.monotonic() + PORT_SECONDS
    while True:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind((HOST, port))
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > give_up:
                raise
            time.sleep(0.002)
        else:
            return bound
