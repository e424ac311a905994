"""The servers that tests run on: a real broker and a real PostgreSQL of their own, a fresh database for each test."""

import asyncio
import random
import secrets
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from deploy.local import unprivileged
from deploy.local.kafka import Listener, LocalKafka, Node, new_cluster_id
from deploy.local.ports import is_free
from deploy.local.postgres import LocalPostgres

__all__ = [
    "READERS",
    "SERVICES",
    "LocalKafka",
    "LocalPostgres",
    "Migrate",
    "ServerFolder",
    "at_port",
    "create_template",
    "execute",
    "fresh_database",
    "make_cluster",
    "make_kafka",
    "make_postgres",
    "port_of",
    "server_ports",
    "settle_copies",
    "url_of",
]

SERVICES = ("intake", "routing", "sla", "metrics")
READERS = ("desk",)  # which nobody waits for but people: whole systems have them where a test asks for it
Migrate = Callable[[str], None]
"""Brings the database of a URL to the schema under test; may block."""


MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30


class ServerFolder:
    """A temporary folder that the unprivileged user PostgreSQL runs as can enter; deleted with `remove`. `in_memory`: where there
    is room in memory it is there, because a database is some seven hundred files, which a disk takes ten times as long to make.
    """

    def __init__(self, *, in_memory: bool = False) -> None:
        base = MEMORY if in_memory and _has_room(MEMORY) else Path(tempfile.gettempdir())
        if not unprivileged.is_open_to_others(base / "x"):
            base = Path("/var/tmp")
        self.path = Path(tempfile.mkdtemp(prefix="patchbay-test-", dir=base))
        self.path.chmod(0o755)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _has_room(memory: Path) -> bool:
    return memory.is_dir() and min(shutil.disk_usage(memory).free, psutil.virtual_memory().available) > ROOM_BYTES


def server_ports(count: int) -> list[int]:
    """Different free ports below those that kernels give to outgoing connections: while its server is down, a port of theirs
    could be taken by any program's connection.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 32_000)
        if port not in found and is_free(port):
            found.append(port)
    return found


def make_kafka(folder: Path) -> LocalKafka:
    """A broker (not started) on free ports with its data in `folder`/kafka, and for each service an address that a proxy may
    stand before.
    """
    port, controller_port, *more = server_ports(2 + 2 * len(SERVICES))
    listeners = [Listener(name.upper(), *more[2 * n : 2 * n + 2]) for n, name in enumerate(SERVICES)]
    return LocalKafka(folder / "kafka", port, controller_port, quick=True, listeners=listeners)


def make_cluster(folder: Path, brokers: int = 3) -> list[LocalKafka]:
    """Several brokers (not started) of one cluster, with their data in `folder`. All have to be launched before one serves."""
    ports = server_ports(2 * brokers)
    controllers = {n + 1: ports[brokers + n] for n in range(brokers)}
    cluster_id = new_cluster_id()
    return [
        LocalKafka(
            folder / f"kafka-{number}", ports[number - 1], controller, quick=True, node=Node(number, controllers, cluster_id)
        )
        for number, controller in controllers.items()
    ]


def make_postgres(folder: Path) -> LocalPostgres:
    """A server (not started) on a free port with its data in `folder`/postgres, without fsync."""
    return LocalPostgres(folder / "postgres", server_ports(1)[0], secrets.token_urlsafe(24), fsync=False)


def url_of(server_url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))


def port_of(url: str) -> int:
    """The port of a server's URL."""
    port = urlsplit(url).port
    assert port is not None
    return port


def at_port(url: str, port: int) -> str:
    """The URL of the same database by another port: that of a proxy in front of it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}"))


async def create_template(server_url: str, migrate: Migrate, name: str = "template_migrated") -> str:
    """Make a database, migrate it, and return its name, for `fresh_database` to copy."""
    await execute(server_url, f'CREATE DATABASE "{name}"')
    await asyncio.to_thread(migrate, url_of(server_url, name))
    for statement in ("VACUUM FREEZE", "SELECT"):  # nothing of this is left to the first one to connect to each copy
        await execute(url_of(server_url, name), statement)
    _templates.add((server_url, name))
    return name


# A test waits for its database as long as making one takes. So the next copy of a template is made while a test runs, and what
# a test leaves is deleted while the next one does. Other databases change: of those no copy is made before it is asked for.
_templates: set[tuple[str, str]] = set()
_ahead: dict[tuple[str, str], asyncio.Task[str]] = {}
_leaving: set[asyncio.Task[None]] = set()
_kept: dict[tuple[str, str], asyncpg.Connection] = {}
_locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)


@asynccontextmanager
async def fresh_database(server_url: str, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new copy of `template`, dropped afterwards with whatever is still connected to it."""
    name = await _copied(server_url, template)
    if (server_url, template) in _templates:
        _ahead[server_url, template] = asyncio.create_task(_copy(server_url, template))
    try:
        yield url_of(server_url, name)
    finally:
        leaving = asyncio.create_task(_drop(server_url, name))
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)


async def settle_copies() -> None:
    """Wait for what is made and deleted in the background; before the server stops."""
    await asyncio.gather(*_ahead.values(), *_leaving, return_exceptions=True)
    _ahead.clear()
    for connection in _kept.values():
        connection.terminate()
    _kept.clear()


async def _copied(server_url: str, template: str) -> str:
    made = _ahead.pop((server_url, template), None)
    if made is not None:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):  # a test killed the server
            return await made
    return await _copy(server_url, template)


async def _copy(server_url: str, template: str) -> str:
    name = f"test_{secrets.token_hex(6)}"
    await _on_kept("making", server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    return name


async def _drop(server_url: str, name: str) -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):  # the server's folder is deleted too
        await _on_kept("deleting", server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _on_kept(purpose: str, server_url: str, statement: str) -> None:
    """Carry this out on a connection that is kept for it: making one takes as long."""
    async with _locks[purpose, server_url]:
        connection = _kept.pop((purpose, server_url), None)
        if connection is None or connection.is_closed():
            connection = await asyncpg.connect(server_url, timeout=30)
        try:
            await connection.execute(statement, timeout=60)
        except BaseException:
            connection.terminate()
            raise
        _kept[purpose, server_url] = connection


async def execute(url: str, *statements: str) -> None:
    """Carry these out in a database, one after the other, on a connection of their own."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=10)
