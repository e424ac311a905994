"""Alembic's environment: one schema at a time, its own version table in it, over asyncpg."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db import DIALECT


def _run(connection: sa.Connection) -> None:
    schema = context.config.attributes["schema"]
    # Two processes that start together migrate one after the other.
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('patchbay migrate'))"))
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    context.configure(connection=connection, version_table="alembic_version", version_table_schema=schema)
    context.run_migrations()


async def _migrate() -> None:
    engine = create_async_engine(DIALECT, connect_args={"dsn": context.config.attributes["url"], "timeout": 10})
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


asyncio.run(_migrate())
