"""What agents' requests need to know, and the rows that granting them changes. They are few: a statement each does."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.known import KnownCustomer
from services.intake.domain.requests import NewRow, Stored
from services.intake.store import customers
from shared import db
from shared.ticket import Ticket

MESSAGES = """
    SELECT id, customer_id, human FROM intake.message WHERE ticket_id = $1 AND id = ANY($2::text[]) ORDER BY received_at, id
    """
ABOUT = """
    SELECT coalesce(t.subject, ''), (SELECT count(*) FROM intake.message m WHERE m.ticket_id = t.id)
    FROM intake.ticket t WHERE t.id = $1
    """
CUSTOMER = "SELECT vip, plan, tier, language FROM intake.customer WHERE id = $1"
NUMBER = "SELECT nextval('intake.ticket_number') AS number"
INSERT = """
    INSERT INTO intake.ticket (id, number, customer_id, channel, inbox, language, subject, status, story, opened_at, changed_at,
                               conversation)
    VALUES ($1, $2::bigint, $3, $4, $5, $6, $7, $8, $9::bytea, $10::timestamptz, $10::timestamptz, $11)
    """
# Who of them wrote as a guest is told anew, of the customer under all ids.
MOVE = """
    WITH RECURSIVE family(id, depth) AS (
        SELECT customer_id, 0 FROM intake.ticket WHERE id = $2 UNION ALL
        SELECT c.id, depth + 1 FROM family JOIN intake.customer c ON c.merged_into = family.id WHERE depth < 10
    ), moved AS (
        UPDATE intake.message m SET ticket_id = $2,
            participant = CASE WHEN EXISTS (SELECT FROM family) THEN m.customer_id IN (SELECT id FROM family) ELSE participant END
        WHERE m.ticket_id = $1 AND m.id = ANY($3::text[]) RETURNING m.message_ref
    )
    UPDATE intake.ref r SET ticket_id = $2 FROM moved WHERE r.ticket_id = $1 AND r.value = moved.message_ref
    """


async def messages(conn: AsyncConnection, ticket_id: str, ids: Sequence[str]) -> tuple[Stored, ...]:
    """Those of the messages that are on the ticket, oldest first."""
    return tuple(Stored(*row) for row in await db.fetch(conn, MESSAGES, ticket_id, list(ids)))


async def about(conn: AsyncConnection, ticket_id: str) -> tuple[str, int]:
    """The subject of a ticket, and how many messages it has."""
    rows = await db.fetch(conn, ABOUT, ticket_id)
    return (rows[0][0], rows[0][1]) if rows else ("", 0)


async def customer(conn: AsyncConnection, customer_id: str) -> tuple[KnownCustomer | None, str]:
    """The customer under the id that goes on, held, and their language; none where there is no such person (any more)."""
    held = await customers.held(conn, await customers.onward(conn, customer_id))
    if held is None or held.erased:
        return None, "und"
    [row] = await db.fetch(conn, CUSTOMER, held.customer_id)
    return KnownCustomer(held.customer_id, row["vip"], row["plan"], row["tier"]), row["language"]


async def number(conn: AsyncConnection) -> int:
    """The next ticket number."""
    [row] = await db.fetch(conn, NUMBER)
    return int(row["number"])


async def insert(conn: AsyncConnection, opened: NewRow, story: Ticket) -> None:
    """A ticket that no contact opened."""
    said = story.intake
    await db.fetch(
        conn,
        INSERT,
        opened.ticket_id,
        said.number,
        said.customer_id,
        said.channel,
        said.inbox,
        said.language,
        opened.subject,
        story.status,
        msgspec.json.encode(story),
        said.opened_at,
        opened.conversation,
    )


async def move(conn: AsyncConnection, from_ticket: str, to_ticket: str, message_ids: Sequence[str]) -> None:
    """Messages go to another ticket; what answers them goes there too."""
    await db.fetch(conn, MOVE, from_ticket, to_ticket, list(message_ids))
