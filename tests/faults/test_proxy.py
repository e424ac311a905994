"""The proxy does to connections what it says, and the recognisers find requests however they are cut into pieces."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.ports import HOST
from shared.deadlines import within
from tests.faults.proxy import BOTH, Direction, Proxy, Weather
from tests.faults.wire import Commits
from tests.infra import at_port, port_of
from tests.system import until


@dataclass
class Echo:
    """A server that answers each line with itself, and knows which lines it saw."""

    port: int = 0
    seen: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.seen.append(line)
                writer.write(line)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


@pytest_asyncio.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    proxy = Proxy("sender→echo", echo.port, seed=7)
    await proxy.start()
    yield proxy
    await proxy.close()


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, line: bytes, seconds: float = 5.0) -> bytes:
        """Raises ConnectionError when the connection breaks, TimeoutError when no answer comes."""
        self.writer.write(line + b"\n")
        answer = await within(self.reader.readline(), seconds)
        if not answer:
            raise ConnectionError("closed without an answer")
        return answer[:-1]


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_it_carries_what_is_sent_both_ways(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        assert await client.ask(b"x" * 50_000) == b"x" * 50_000
        client.writer.write_eof()
        assert await within(client.reader.read(), 5) == b""


async def test_latency_is_added_in_each_direction(proxy: Proxy) -> None:
    proxy.weather = Weather(latency_seconds=0.05, jitter_seconds=0.02)
    async with connected(proxy) as client:
        began = time.monotonic()
        await client.ask(b"slow")
        assert time.monotonic() - began >= 0.1


async def test_a_slow_line_takes_its_time(proxy: Proxy) -> None:
    proxy.weather = Weather(bytes_per_second=40_000)
    async with connected(proxy) as client:
        began = time.monotonic()
        await client.ask(b"x" * 8_000)
        assert time.monotonic() - began >= 0.3


async def test_what_is_held_comes_when_it_is_let_go(proxy: Proxy, echo: Echo) -> None:
    async with connected(proxy) as client:
        await client.ask(b"before")
        proxy.weather = Weather(held=BOTH)
        with pytest.raises(TimeoutError):
            await client.ask(b"during", 0.2)
        assert echo.seen == [b"before\n"]
        await proxy.heal()
        assert await within(client.reader.readline(), 5) == b"during\n"


@pytest.mark.parametrize(("direction", "seen"), [("request", []), ("answer", [b"lost\n"])])
async def test_a_half_open_connection_swallows_one_direction_and_is_cut_when_it_heals(
    proxy: Proxy, echo: Echo, direction: Direction, seen: list[bytes]
) -> None:
    async with connected(proxy) as client:
        proxy.weather = Weather(swallowed=frozenset([direction]))
        with pytest.raises(TimeoutError):
            await client.ask(b"lost", 0.2)
        assert echo.seen == seen
        await proxy.heal()
        with pytest.raises(ConnectionError):
            await client.ask(b"after")
    async with connected(proxy) as client:
        assert await client.ask(b"again") == b"again"


async def test_a_cut_resets_connections_and_takes_new_ones(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        await client.ask(b"before")
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await client.ask(b"after")
    async with connected(proxy) as client:
        assert await client.ask(b"again") == b"again"
    await until("connections are forgotten", lambda: not proxy.connections, 5)


async def test_refused_connections_are_taken_again_on_the_same_port_when_it_heals(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        await client.ask(b"before")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await client.ask(b"cut")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, proxy.port)
    await proxy.heal()
    async with connected(proxy) as client:
        assert await client.ask(b"again") == b"again"


async def test_it_refuses_also_while_a_process_is_being_started_that_has_all_we_have_open_for_an_instant(proxy: Proxy) -> None:
    assert proxy._listener is not None
    inherited = os.dup(proxy._listener.sockets[0].fileno())
    threading.Timer(0.1, os.close, (inherited,)).start()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, proxy.port)
    await proxy.heal()
    async with connected(proxy) as client:
        assert await client.ask(b"again") == b"again"


@pytest.mark.parametrize(("applied", "seen"), [(True, [b"lost\n", b"again\n"]), (False, [b"again\n"])])
async def test_a_request_is_broken_before_or_after_it_was_carried_out(
    proxy: Proxy, echo: Echo, applied: bool, seen: list[bytes]
) -> None:
    proxy.break_at(1, applied=applied)
    async with connected(proxy) as client:
        with pytest.raises(ConnectionError):
            await client.ask(b"lost")
    async with connected(proxy) as client:
        assert await client.ask(b"again") == b"again"
    assert echo.seen == seen
    assert proxy.broken == 1


async def test_a_server_that_is_away_resets_the_client(echo: Echo) -> None:
    proxy = Proxy("sender→nobody", upstream=1)
    await proxy.start()
    try:
        async with connected(proxy) as client:
            with pytest.raises(ConnectionError):
                await client.ask(b"anyone")
    finally:
        await proxy.close()


def test_jitter_is_the_seed_s_alone() -> None:
    draws = [[Proxy("a→b", 1, seed=seed)._random.random() for _ in range(2)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(("applied", "rows"), [(True, 1), (False, 0)])
async def test_a_commit_is_broken_in_its_middle_and_only_the_server_knows_what_became_of_it(
    empty_database: str, applied: bool, rows: int
) -> None:
    proxy = Proxy("client→postgres", port_of(empty_database), kind=Commits)
    await proxy.start()
    direct = await asyncpg.connect(empty_database, timeout=10)
    client = await asyncpg.connect(at_port(empty_database, proxy.port), timeout=10)
    try:
        await direct.execute("CREATE TABLE kept (n integer)")
        proxy.break_at(1, applied=applied)
        with pytest.raises((ConnectionError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
            async with client.transaction():
                await client.execute("INSERT INTO kept VALUES (1)")
        assert proxy.broken == 1
        assert await direct.fetchval("SELECT count(*) FROM kept") == rows
    finally:
        client.terminate()
        await direct.close(timeout=5)
        await proxy.close()
