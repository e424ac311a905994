"""Fixtures for everybody: servers are started once per run, when the first test asks for them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from hypothesis import settings
from xdist.remote import Producer

from shared.settings import Settings
from tests.counts import PROOF
from tests.infra import (
    LocalKafka,
    LocalPostgres,
    ServerFolder,
    create_template,
    fresh_database,
    make_kafka,
    make_postgres,
    settle_copies,
)
from tests.sides import Sides

settings.register_profile("patchbay", deadline=None)  # how fast an example is, is no matter of a test, on a machine at work least
settings.load_profile("patchbay")
# With the variables around it, as by default, an exception that is logged takes seconds to print.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sides | None:
    """How files are shared out; the proof has more of whole systems than one side could do in its hour."""
    return Sides(config, log) if config.getvalue("dist") == "loadfile" and not PROOF else None


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """As it was: a command of `patchbay` takes over what a Patchbay that was started in this folder was given."""
    before = dict(os.environ)
    yield
    if before != dict(os.environ):
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data, deleted at the end of the run."""
    folder = ServerFolder()
    yield folder.path
    folder.remove()


@pytest.fixture(scope="session")
def kafka_server(server_folder: Path) -> Iterator[LocalKafka]:
    """The run's broker. A test that stops it must start it again; one that harms it makes its own (`make_kafka`)."""
    kafka = make_kafka(server_folder)
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.stop()
    assert not kafka.alive


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LocalPostgres]:
    """The run's PostgreSQL. A test that harms it makes its own (`make_postgres`)."""
    folder = ServerFolder(in_memory=True)
    postgres = make_postgres(folder.path)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()
        folder.remove()


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_server: LocalKafka) -> str:
    """`host:port` of the run's broker; topics are not made for you."""
    return kafka_server.bootstrap


@pytest_asyncio.fixture(scope="module")
async def fresh_kafka_bootstrap(kafka_bootstrap: str) -> str:
    """`host:port` of the run's broker, whose topics are made anew: for tests of one module that read a whole log to its end."""
    from tests.system import fresh_topics  # here, because it imports everything

    await fresh_topics(Settings(kafka=kafka_bootstrap))
    return kafka_bootstrap


@pytest_asyncio.fixture(scope="session")
async def database_url(postgres_server: LocalPostgres) -> AsyncIterator[str]:
    """The run's PostgreSQL: an empty database; use `database` or `empty_database` for a test's own."""
    yield postgres_server.url
    await settle_copies()


@pytest_asyncio.fixture(scope="session")
async def migrated_template(database_url: str) -> str:
    """Name of a database with every schema migrated (`deploy.setup.migrate`), made once per run."""
    from deploy.setup import migrate  # here, because it imports everything and most tests need no database

    return await create_template(database_url, migrate)


@pytest_asyncio.fixture
async def database(database_url: str, migrated_template: str) -> AsyncIterator[str]:
    """URL of a migrated database of this test's own."""
    async with fresh_database(database_url, migrated_template) as url:
        yield url


@pytest_asyncio.fixture(scope="module")
async def module_database(database_url: str, migrated_template: str) -> AsyncIterator[str]:
    """URL of a migrated database that the tests of one module share."""
    async with fresh_database(database_url, migrated_template) as url:
        yield url


@pytest_asyncio.fixture
async def empty_database(database_url: str) -> AsyncIterator[str]:
    """URL of an empty database of this test's own."""
    async with fresh_database(database_url) as url:
        yield url
