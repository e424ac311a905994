"""Forgetting a person: every row of desk that says something about them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

# Held by whoever indexes words, and here: what was opened with a key that is destroyed is written before, and found, or never.
HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('desk words', 0))"
TRY_HOLD = "SELECT pg_try_advisory_xact_lock(hashtextextended('desk words', 0))"
STATEMENTS = (
    "INSERT INTO desk.erased (customer_id) SELECT unnest($1::text[]) ORDER BY 1 ON CONFLICT DO NOTHING",
    # What others said on the same tickets is found again when these are indexed anew.
    """
    WITH gone AS (DELETE FROM desk.document WHERE people && $1::text[] RETURNING ticket_id)
    INSERT INTO desk.stale (ticket_id) SELECT ticket_id FROM gone
    """,
    "UPDATE desk.entry SET person = NULL, box = '' WHERE person = ANY($1::text[])",
    "DELETE FROM desk.customer_order WHERE customer_id = ANY($1::text[])",
    # Under which id the person went on says nothing of them, and leads a reader to whoever was erased.
    """
    UPDATE desk.customer SET vip = NULL, plan = NULL, tier = NULL,
        state = convert_to(json_build_object('id', customer_id, 'merged_into', merged_into)::text, 'UTF8')
    WHERE customer_id = ANY($1::text[])
    """,
)
ERASED = "SELECT customer_id FROM desk.erased WHERE customer_id = ANY($1::text[])"


async def scrub(conn: AsyncConnection, customer_ids: Collection[str]) -> None:
    """Take these people out of all rows, their words at once."""
    ids = sorted(set(customer_ids))
    await db.fetch(conn, HOLD)
    for statement in STATEMENTS:
        await db.fetch(conn, statement, ids)


async def erased(conn: AsyncConnection, customer_ids: Collection[str]) -> set[str]:
    """Which of these were erased."""
    return {row[0] for row in await db.fetch(conn, ERASED, sorted(set(customer_ids)))}
