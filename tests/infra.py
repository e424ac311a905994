"""The servers that tests run on: a real broker and a real PostgreSQL of their own, a fresh database for each test."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.local import unprivileged
from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.postgres import LocalPostgres

__all__ = [
    "LocalKafka",
    "LocalPostgres",
    "Migrate",
    "ServerFolder",
    "create_template",
    "fresh_database",
    "make_kafka",
    "make_postgres",
    "url_of",
]

Migrate = Callable[[str], None]
"""Brings the database of a URL to the schema under test; may block."""


class ServerFolder:
    """A temporary folder that the unprivileged user PostgreSQL runs as can enter; deleted with `remove`."""

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        if not unprivileged.is_open_to_others(base / "x"):
            base = Path("/var/tmp")
        self.path = Path(tempfile.mkdtemp(prefix="patchbay-test-", dir=base))
        self.path.chmod(0o755)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def make_kafka(folder: Path) -> LocalKafka:
    """A broker (not started) on free ports with its data in `folder`/kafka."""
    port, controller_port = free_ports(2)
    return LocalKafka(folder / "kafka", port, controller_port, quick=True)


def make_postgres(folder: Path) -> LocalPostgres:
    """A server (not started) on a free port with its data in `folder`/postgres, without fsync."""
    return LocalPostgres(folder / "postgres", free_ports(1)[0], secrets.token_urlsafe(24), fsync=False)


def url_of(server_url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))


async def create_template(server_url: str, migrate: Migrate, name: str = "template_migrated") -> str:
    """Make a database, migrate it, and return its name, for `fresh_database` to copy."""
    await _execute(server_url, f'CREATE DATABASE "{name}"')
    await asyncio.to_thread(migrate, url_of(server_url, name))
    return name


@asynccontextmanager
async def fresh_database(server_url: str, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new copy of `template`, dropped afterwards with whatever is still connected to it."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    try:
        yield url_of(server_url, name)
    finally:
        await _execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(server_url: str, statement: str) -> None:
    connection = await asyncpg.connect(server_url, timeout=30)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=10)
