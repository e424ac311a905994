"""What tells that a mail came by another way before, or a form was sent before: fingerprints of the last minutes, and other names
of messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Contact, InboundMessage
from services.intake.domain.decide import names_of
from services.intake.domain.fingerprints import WINDOW
from services.intake.domain.known import Coming, Known, Received
from services.intake.domain.plan import CameAgain, NewMessage, Plan
from shared import db

ALIKE_AT_MOST = 20  # the newest of one person's mails with the same words; more are a machine's, and need no looking through
FOUND = """
    SELECT n.id, m.id, m.ticket_id, t.number, m.customer_id, n.content_hash, m.opened, NULL::bytea, NULL::bytea, NULL::integer,
        NULL, NULL::timestamptz, NULL, NULL::timestamptz AS came_at
    FROM intake.other_name n JOIN intake.message m ON m.id = n.message_id JOIN intake.ticket t ON t.id = m.ticket_id
    WHERE n.id = ANY($1::text[])
    UNION ALL
    SELECT NULL, m.id, m.ticket_id, t.number, m.customer_id, m.content_hash, m.opened, f.shape, f.words, f.kept,
        f.way, f.sent_at, m.message_ref, f.came_at
    FROM unnest($2::bytea[]) AS w(shape) CROSS JOIN LATERAL (
        SELECT * FROM intake.fingerprint f WHERE f.shape = w.shape AND f.came_at > clock_timestamp() - $3::interval
        ORDER BY f.came_at DESC LIMIT $4) f
    JOIN intake.message m ON m.id = f.message_id JOIN intake.ticket t ON t.id = m.ticket_id
    ORDER BY came_at
    """
NOTE = """
    WITH names AS (
        INSERT INTO intake.other_name (id, message_id, content_hash)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
    )
    INSERT INTO intake.fingerprint (shape, words, kept, way, sent_at, message_id, came_at)
    SELECT *, $4::timestamptz
    FROM unnest($5::bytea[], $6::bytea[], $7::integer[], $8::text[], $9::timestamptz[], $10::text[])
    """
FORGET = "DELETE FROM intake.fingerprint WHERE came_at < clock_timestamp() - $1::interval"


async def find(conn: AsyncConnection, contacts: Sequence[Contact], known: Known) -> None:
    """What is known of mails that may have come by another way, and of forms without a name."""
    marks = [(one, one.fingerprint) for one in contacts if isinstance(one, InboundMessage) and one.fingerprint is not None]
    if not marks:
        return
    names = {name for one, _ in marks if not one.unnamed for name in names_of(one)}
    rows = await db.fetch(conn, FOUND, list(names), list({mark.shape for _, mark in marks}), WINDOW, ALIKE_AT_MOST)
    for name, message_id, ticket_id, number, customer_id, content_hash, opened, shape, *came, _ in rows:
        message = Received(message_id, ticket_id, number, customer_id, content_hash, opened)
        if name is not None:
            known.received[name] = message
        else:
            known.comings.setdefault(shape, []).append(Coming(message, *came))


async def note(conn: AsyncConnection, plan: Plan, now: datetime) -> None:
    """The fingerprints of mails and forms that came, and the names of those that were here before, where they have any."""
    came = [(step.contact.fingerprint, step) for step in plan.steps if isinstance(step, NewMessage | CameAgain)]
    prints = [(m.shape, m.words, m.kept, m.way, m.sent_at, step.message_id) for m, step in came if m is not None]
    if not prints:
        return
    copies = [step for step in plan.steps if isinstance(step, CameAgain) and not step.contact.unnamed]
    again = [(step.name_id, step.message_id, step.contact.content_hash) for step in copies]
    columns = list(zip(*again, strict=True)) if again else [()] * 3
    await db.fetch(conn, NOTE, *columns, now, *zip(*prints, strict=True))


async def forget_old(conn: AsyncConnection) -> None:
    """Delete the fingerprints after which nothing is looked for any more."""
    await db.fetch(conn, FORGET, WINDOW)
