"""Metrics on a database of the test's own, fed without Kafka: records straight into the folder."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.metrics.settings import MetricsSettings
from services.metrics.store import projections
from shared import db
from shared.events.base import Event, Fact
from shared.events.codec import encode
from shared.events.topics import TOPIC_OF
from shared.folding import Folder
from shared.outbox import Outbox
from shared.parking import Parking
from shared.personal import KeyRing
from shared.records import Failure, Record
from tests.infra import create_template, fresh_database


@dataclass
class Metrics:
    """The service's folding on one database."""

    settings: MetricsSettings
    engine: AsyncEngine
    _offset: int = field(default=0)

    def folder(self) -> Folder:
        keys = KeyRing(self.settings.master_key_bytes())
        outbox = Outbox(schema="metrics", incarnation=1, keys=keys, wake=asyncio.Event())
        return Folder(outbox, Parking("metrics", "test"))

    async def fold(self, events: Sequence[Event[Fact]]) -> list[Failure]:
        """One batch, of any topics, in one transaction."""
        failures: list[Failure] = []
        async with db.transaction(self.engine) as conn:
            for projection in projections():
                own = [event for event in events if TOPIC_OF[type(event.data)] is projection.topic]
                if own:
                    failures += await self.folder().fold(conn, projection, [self._record(event) for event in own])
        return failures

    async def rows(self, statement: str) -> list[tuple[object, ...]]:
        async with db.transaction(self.engine) as conn:
            return [tuple(row) for row in await conn.execute(sa.text(statement))]

    async def tables(self) -> dict[str, list[tuple[object, ...]]]:
        """All that figures are made of."""
        return {
            "cell": await self.rows("SELECT * FROM metrics.cell ORDER BY measure, hour, dims, bin"),
            "fold": await self.rows("SELECT * FROM metrics.fold ORDER BY kind, key"),
            "key_position": await self.rows("SELECT * FROM metrics.key_position ORDER BY topic, key, writer"),
        }

    def _record(self, event: Event[Fact]) -> Record:
        self._offset += 1
        return Record(TOPIC_OF[type(event.data)].name, 0, self._offset, event.key, encode(event))


def _migrate(url: str) -> None:
    for schema in ("auth", "keys", "metrics"):
        db.migrate(url, schema)


@pytest_asyncio.fixture(scope="session")
async def metrics_template(database_url: str) -> str:
    """A database with only what metrics needs: it must not need another service's tables."""
    return await create_template(database_url, _migrate, "template_metrics")


@asynccontextmanager
async def _on(url: str) -> AsyncIterator[Metrics]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = MetricsSettings.model_validate(
        {"database": url, "master_key": key, "kafka": "127.0.0.1:1", "metrics_zone": "Asia/Jerusalem"}
    )
    engine = db.make_engine(settings, "metrics-test")
    yield Metrics(settings, engine)
    await engine.dispose()


@pytest_asyncio.fixture
async def metrics(database_url: str, metrics_template: str) -> AsyncIterator[Metrics]:
    """An empty metrics service."""
    async with fresh_database(database_url, metrics_template) as url, _on(url) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def module_metrics(database_url: str, metrics_template: str) -> AsyncIterator[Metrics]:
    """A metrics service that the tests of one module share."""
    async with fresh_database(database_url, metrics_template) as url, _on(url) as made:
        yield made
