"""Who comes while a process is busy is let in at once."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest
import uvloop

from shared.accepting import Doorman

MANY = 150
TURNS = 12
NO_ROOM = 3  # file descriptors: all new ones would be higher


class Guest(asyncio.Protocol):
    """Somebody who was let in."""

    inside = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Guest.inside += 1


async def let_in(*, by_doorman: bool) -> int:
    """How many of MANY who wait are inside after a few turns of the event loop."""
    Guest.inside = 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Guest, "127.0.0.1", 0, backlog=MANY)
    doorman = Doorman(server, Guest) if by_doorman else None
    waiting = [socket.create_connection(server.sockets[0].getsockname(), timeout=5) for _ in range(MANY)]
    for _ in range(TURNS):
        await asyncio.sleep(0)
    if doorman is not None:
        doorman.close()
    server.close()
    for connection in waiting:
        connection.close()
    return Guest.inside


def test_all_who_wait_are_let_in_within_a_few_turns_of_the_loop() -> None:
    assert uvloop.run(let_in(by_doorman=True)) == MANY


def test_uvloop_by_itself_lets_in_one_a_turn() -> None:
    assert uvloop.run(let_in(by_doorman=False)) <= TURNS


def test_nobody_is_let_in_any_more_once_it_is_closed() -> None:
    async def closed() -> int:
        Guest.inside = 0
        port = socket.create_server(("127.0.0.1", 0))
        port.setblocking(False)

        class Ports:
            sockets = (port,)

        doorman = Doorman(Ports, Guest)  # type: ignore[arg-type]
        doorman.close()
        with socket.create_connection(port.getsockname(), timeout=5):
            await asyncio.sleep(0.05)
        port.close()
        return Guest.inside

    assert uvloop.run(closed()) == 0


def test_a_process_without_file_descriptors_looks_again_a_little_later() -> None:
    async def looked_again() -> tuple[int, int]:
        Guest.inside = 0
        port = socket.create_server(("127.0.0.1", 0))
        port.setblocking(False)

        class Ports:
            sockets = (port,)

        doorman = Doorman(Ports, Guest, again_seconds=0.1)  # type: ignore[arg-type]
        with socket.create_connection(port.getsockname(), timeout=5):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (NO_ROOM, hard))
            try:
                await asyncio.sleep(0.05)
                before = Guest.inside
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with asyncio.timeout(5):
                while not Guest.inside:  # noqa: ASYNC110 - the doorman tells nobody
                    await asyncio.sleep(0.02)
        doorman.close()
        port.close()
        return before, Guest.inside

    assert uvloop.run(looked_again()) == (0, 1)


def test_who_cannot_be_taken_is_sent_away_and_it_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    def unmade() -> asyncio.Protocol:
        raise FileNotFoundError("certificate.pem")

    async def sent_away() -> bytes:
        port = socket.create_server(("127.0.0.1", 0))
        port.setblocking(False)

        class Ports:
            sockets = (port,)

        doorman = Doorman(Ports, unmade)  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection(*port.getsockname())
        async with asyncio.timeout(5):
            said = await reader.read()
        writer.close()
        doorman.close()
        port.close()
        return said

    assert uvloop.run(sent_away()) == b""
    assert "connection not taken" in capsys.readouterr().out
