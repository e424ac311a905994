"""What guests wrote before to tickets that are closed, and that goes on beside them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import threads
from services.intake.domain.contacts import Contact
from services.intake.domain.known import Known
from shared import db

# The one that is open, else the last.
ASIDES = """
    SELECT DISTINCT ON (conversation) conversation, id FROM intake.ticket WHERE conversation = ANY($1::text[])
    ORDER BY conversation, closed OR merged_into IS NOT NULL, number DESC
    """


async def find(conn: AsyncConnection, contacts: Sequence[Contact], known: Known) -> list[str]:
    """Note the tickets beside closed ones in `known`, whose tickets are loaded; who answers none that is closed costs no
    statement. Returns their ids: they are to be loaded too.
    """
    names = threads.asides(contacts, known) if any(ticket.closed for ticket in known.tickets.values()) else set()
    rows = await db.fetch(conn, ASIDES, sorted(names)) if names else []
    known.conversations.update((row["conversation"], row["id"]) for row in rows)
    return [row["id"] for row in rows]
