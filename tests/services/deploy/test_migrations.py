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


async def test_what_was_configured_before_changes_had_numbers_is_version_1_and_who_waits_stays_in_the_queue(
    database: str,
) -> None:
    await asyncio.to_thread(db.migrate, database, "routing", "routing_0005", down=True)
    connection = await asyncpg.connect(database, timeout=10)
    try:
        await connection.execute(
            """
            INSERT INTO routing.config (kind, id, version, data, effective_from) VALUES
                ('queue', 'support', 7, '{"id": "support", "version": 7}', '2026-01-02T00:00:00Z'),
                ('agent', 'dana', 3, '{"id": "dana", "version": 3, "display_name": "Dana"}', '2026-01-03T00:00:00Z'),
                ('inbox', 'help', 1, '{}', '2026-01-04T00:00:00Z');
            INSERT INTO routing.agent (agent_id, profile, state, state_since, idle_since, ceiling_units)
                VALUES ('dana', '{"display_name": "Dana", "tier": 2}', 'offline', now(), now(), 10);
            INSERT INTO routing.ticket (ticket_id, number, customer_id, status, queue_id, lane, priority, filed_under, state,
                updated_at) VALUES ('t', 1, 'c', 'new', 'support', 'l', 2, 7, '', now());
            """
        )
        await asyncio.to_thread(db.migrate, database, "routing")
        numbered = await connection.fetch("SELECT number, at::date::text, changed_by FROM routing.config_version")
        assert [tuple(row) for row in numbered] == [(1, "2026-01-03", None)]
        history = await connection.fetch("SELECT kind, id, version, data->'abilities'->>'tier' FROM routing.config_history")
        assert {tuple(row) for row in history} == {("queue", "support", 7, None), ("agent", "dana", 3, "2")}
        assert await connection.fetchval("SELECT filed_under FROM routing.ticket") == -1
        await asyncio.to_thread(db.migrate, database, "routing", "routing_0005", down=True)
        assert await connection.fetchval("SELECT data ? 'abilities' FROM routing.config WHERE id = 'dana'") is False
    finally:
        await connection.close(timeout=5)
