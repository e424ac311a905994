"""A database whose clock can be moved: `now()` and `clock_timestamp()` of a schema that its sessions look into first.

Every statement of every service asks these, so all of them live at the time that a test chooses, and none has to know of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from deploy import setup
from tests.infra import execute, fresh_database
from tests.system import System

FUNCTIONS = """
    CREATE SCHEMA moved;
    CREATE TABLE moved.by (seconds double precision NOT NULL);
    INSERT INTO moved.by VALUES (0);
    CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM moved.by))';
    CREATE FUNCTION moved.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.now() + make_interval(secs => (SELECT seconds FROM moved.by))';
"""


def migrate(database: str) -> None:
    """Every schema, its defaults taken from the clock that moves. What is copied from this database is opened by `fresh`."""
    asyncio.run(execute(database, FUNCTIONS, _look_there_first(database)))
    setup.migrate(database)


@asynccontextmanager
async def fresh(server_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a new copy of a database that `migrate` made; its clock goes right until it is moved."""
    async with fresh_database(server_url, template) as url:
        await execute(url, _look_there_first(url))  # a copy has none of the settings of what it is copied from
        yield url


async def move(system: System, seconds: float) -> None:
    """Set the clock so far ahead of the true one, or (below 0) behind it."""
    await system.rows("UPDATE moved.by SET seconds = $1", seconds)


def _look_there_first(database: str) -> str:
    name = urlsplit(database).path.lstrip("/")
    return f'ALTER DATABASE "{name}" SET search_path = moved, pg_catalog, public'
