"""Migrations go down as they went up, and what the version before would do twice is settled on the way."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from deploy.setup import SCHEMAS
from shared import db
from tests.services.intake.test_mail_refused import DAN, copied
from tests.services.intake.test_replies_out import answer

SHAPE = """
    SELECT 'column', table_name::text, column_name::text, concat_ws(' ', data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = $1
    UNION ALL
    SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = $1
    UNION ALL
    SELECT 'constraint', r.relname::text, c.conname::text, pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = $1
    ORDER BY 1, 2, 3
    """


async def shape(database: str, schema: str) -> list[tuple[str, ...]]:
    """Columns, indexes and constraints."""
    connection = await asyncpg.connect(database, timeout=10)
    try:
        return [tuple(row) for row in await connection.fetch(SHAPE, schema)]
    finally:
        await connection.close(timeout=5)


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_what_migrations_made_they_take_away_and_make_again(database: str, schema: str) -> None:
    before = await shape(database, schema)
    assert len({table for _, table, *_ in before}) > 1
    await asyncio.to_thread(db.migrate, database, schema, "base", down=True)
    assert {table for _, table, *_ in await shape(database, schema)} == {"alembic_version"}
    await asyncio.to_thread(db.migrate, database, schema)
    assert await shape(database, schema) == before


async def test_a_reply_of_which_only_copies_are_left_is_delivered_to_the_version_before(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        await answer(world, cc=(dan,))
        assert await world.count("delivery", "due_at IS NOT NULL") == 1
        await asyncio.to_thread(db.migrate, database, "intake", "intake_0017", down=True)
        settled = "state = 'delivered' AND due_at IS NULL AND leased_until IS NULL AND ended_at IS NOT NULL"
        assert await world.count("delivery", settled) == await world.count("delivery") == 1
