"""Forgetting a person: every row of intake that says something about them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Handle

MERGE_SET = sa.text(
    """
    WITH RECURSIVE root(id) AS (
        SELECT coalesce(merged_into, id) FROM intake.customer WHERE id = :id
    ), family(id) AS (
        SELECT id FROM root UNION SELECT c.id FROM family JOIN intake.customer c ON c.merged_into = family.id
    )
    SELECT c.id FROM intake.customer c WHERE c.id IN (SELECT id FROM family) ORDER BY c.id FOR UPDATE
    """
)
HANDLES = sa.text("SELECT kind, scope, value FROM intake.handle WHERE customer_id = ANY(:ids)")
DONE = sa.text("SELECT bool_and(erased_at IS NOT NULL) FROM intake.customer WHERE id = ANY(:ids)")
TICKETS = sa.text("SELECT id FROM intake.ticket WHERE customer_id = ANY(:ids) ORDER BY id FOR UPDATE")
SCRUBS_BY_CUSTOMER = tuple(
    sa.text(statement)
    for statement in (
        "DELETE FROM intake.handle WHERE customer_id = ANY(:ids)",
        "UPDATE intake.raw SET body = NULL WHERE customer_id = ANY(:ids)",
        """
        UPDATE intake.attachment SET name = '' WHERE message_id IN (SELECT id FROM intake.message WHERE customer_id = ANY(:ids))
        """,
        """
        UPDATE intake.message SET handle_kind = NULL, handle = NULL, message_ref = NULL, content_hash = '',
            dedup_key = 'erased:' || encode(sha256(convert_to(dedup_key, 'UTF8')), 'hex')
        WHERE customer_id = ANY(:ids) AND dedup_key NOT LIKE 'erased:%'
        """,
        "UPDATE intake.delivery SET sealed = NULL WHERE customer_id = ANY(:ids)",
        "UPDATE intake.customer SET erased_at = coalesce(erased_at, clock_timestamp()) WHERE id = ANY(:ids)",
    )
)
SCRUBS_BY_TICKET = tuple(
    sa.text(statement)
    for statement in (
        "DELETE FROM intake.ref WHERE ticket_id = ANY(:ids)",
        "UPDATE intake.ticket SET subject = NULL, conversation = NULL WHERE id = ANY(:ids)",
    )
)


async def merge_set(conn: AsyncConnection, customer_id: str) -> list[str]:
    """All ids under which this person is known, locked; empty when there is no such person."""
    return list((await conn.execute(MERGE_SET, {"id": customer_id})).scalars())


async def handles_of(conn: AsyncConnection, customer_ids: list[str]) -> list[Handle]:
    """The ways to reach them: no contact of theirs may be placed while they are forgotten."""
    return [Handle(row.kind, row.value, row.scope) for row in await conn.execute(HANDLES, {"ids": customer_ids})]


async def is_done(conn: AsyncConnection, customer_ids: list[str]) -> bool:
    """Whether all of them were forgotten before."""
    return bool((await conn.execute(DONE, {"ids": customer_ids})).scalar_one())


async def scrub(conn: AsyncConnection, customer_ids: list[str]) -> None:
    """Take everything personal out of the rows; what stays is ids, times and counts."""
    tickets = list((await conn.execute(TICKETS, {"ids": customer_ids})).scalars())
    for statement in SCRUBS_BY_CUSTOMER:
        await conn.execute(statement, {"ids": customer_ids})
    for statement in SCRUBS_BY_TICKET:
        await conn.execute(statement, {"ids": tickets})
