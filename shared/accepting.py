"""Taking all connections that wait at a port, not one of them each time that the event loop turns.

libuv accepts one connection a turn (https://github.com/libuv/libuv/pull/3696), and uvloop stands on it. A turn of a busy process
takes long: then who comes anew waits for many turns, while those who are connected already are answered in time.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from shared.telemetry import log

IN_A_TURN = 200
AGAIN_SECONDS = 1.0  # after the process had no file descriptor left

ProtocolFactory = Callable[[], asyncio.Protocol]


class Doorman:
    """Lets in, beside the event loop itself, who waits at the ports of a server. To be closed before the server is."""

    def __init__(self, server: asyncio.Server, protocol: ProtocolFactory, again_seconds: float = AGAIN_SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._again_seconds = again_seconds
        self._ports = [socket.socket(fileno=os.dup(port.fileno())) for port in server.sockets]
        self._coming: set[asyncio.Task[object]] = set()
        for port in self._ports:
            self._watch(port)

    def _watch(self, port: socket.socket) -> None:
        if port in self._ports:
            self._loop.add_reader(port.fileno(), self._let_in, port)

    def _let_in(self, port: socket.socket) -> None:
        for _ in range(IN_A_TURN):
            try:
                connection, _ = port.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # nobody waits any more, or who waited has gone
            except OSError:
                self._loop.remove_reader(port.fileno())
                self._loop.call_later(self._again_seconds, self._watch, port)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._connect(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError as error:  # also of the protocol's making: a certificate that cannot be read
            connection.close()
            if not isinstance(error, ConnectionError):
                log().error("connection not taken", error=type(error).__name__)

    def close(self) -> None:
        """Let nobody in any more."""
        ports, self._ports = self._ports, []
        for port in ports:
            with suppress(OSError):
                self._loop.remove_reader(port.fileno())
            port.close()
        for task in self._coming:
            task.cancel()
