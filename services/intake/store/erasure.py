"""Forgetting a person: every row of intake that says something about them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Handle
from services.intake.domain.redacting import without
from services.intake.store.mentions import AT_ONCE, BYTES_AT_ONCE
from shared import db

MERGE_SET = """
    WITH RECURSIVE way(id, depth) AS (
        SELECT id, 0 FROM intake.customer WHERE id = :id
        UNION ALL SELECT c.merged_into, depth + 1 FROM way JOIN intake.customer c USING (id)
        WHERE c.merged_into IS NOT NULL AND depth < 10
    ), family(id) AS (
        SELECT id FROM way UNION SELECT c.id FROM family JOIN intake.customer c ON c.merged_into = family.id
    )
    SELECT c.id FROM intake.customer c WHERE c.id IN (SELECT id FROM family) ORDER BY c.id
    """
HANDLES = sa.text("SELECT kind, scope, value FROM intake.handle WHERE customer_id = ANY(:ids)")
ADDRESSES = "SELECT value FROM intake.handle WHERE customer_id = ANY($1::text[]) AND kind = 'email' AND scope = ''"
# What others wrote, of which they had a copy.
COPIED = """
    WITH next AS (
        SELECT id, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS bytes_before
        FROM (SELECT id, body FROM intake.message WHERE cc && $1::text[] ORDER BY id LIMIT $2::integer) m
    )
    SELECT id, media_type, body FROM intake.message
    WHERE cc && $1::text[] AND id IN (SELECT id FROM next WHERE coalesce(bytes_before, 0) < $3::bigint) ORDER BY id FOR UPDATE
    """
# A body that stays is not written anew.
REDACT = """
    UPDATE intake.message m SET body = coalesce(w.body, m.body),
        cc = nullif(ARRAY(SELECT c FROM unnest(m.cc) AS c WHERE c <> ALL($1::text[])), '{}')
    FROM unnest($2::text[], $3::bytea[]) AS w(id, body) WHERE m.id = w.id
    """
DONE = sa.text("SELECT bool_and(erased_at IS NOT NULL) FROM intake.customer WHERE id = ANY(:ids)")
TICKETS = sa.text("SELECT id FROM intake.ticket WHERE customer_id = ANY(:ids) ORDER BY id FOR UPDATE")
# Whether an address or number of theirs stands in some bytes, in any letters, plain or as forms write it. Of other handles, such
# as other systems' numbers, only those that mean something wherever they stand.
_NAMED_IN = """
    SELECT FROM intake.handle h CROSS JOIN LATERAL (VALUES (ltrim(h.value, '+')), (replace(h.value, '@', '%40'))) AS v(said)
    WHERE h.customer_id = ANY(:customers) AND (h.kind IN ('email', 'phone') OR length(h.value) >= 8)
        AND position(lower(encode(convert_to(v.said, 'UTF8'), 'escape')) IN lower(encode({bytes}, 'escape'))) > 0
    """
SCRUBS = tuple(
    sa.text(statement)
    for statement in (
        # What could not be read, and what was uploaded and not sent yet, has no customer; it is theirs if it names them.
        f"""
        DELETE FROM intake.parked_contact p WHERE EXISTS ({_NAMED_IN.format(bytes="p.body")})
            OR EXISTS (
                SELECT FROM intake.handle h WHERE h.customer_id = ANY(:customers) AND (
                    h.value = lower(p.sender)
                    OR concat_ws(E'\\x1f', h.kind, CASE h.scope WHEN 'claimed' THEN '' ELSE h.scope END, h.value)
                        = ANY(p.handles)))
        """,
        f"DELETE FROM intake.file f WHERE f.message_id IS NULL AND EXISTS ({_NAMED_IN.format(bytes='f.content')})",
        # Theirs are the messages under their ids, on tickets of theirs, on those of others, and on those of whoever claimed their
        # address; and what came from their handles to their tickets while they were taken for somebody else.
        """
        WITH theirs AS (
            SELECT id, ticket_id, message_ref FROM intake.message m
            WHERE ticket_id = ANY(:tickets)
                AND (customer_id = ANY(:customers) OR EXISTS (
                    SELECT FROM intake.handle h
                    WHERE h.customer_id = ANY(:customers) AND h.scope <> 'claimed' AND h.kind = m.handle_kind
                        AND h.value = m.handle))
            UNION ALL
            SELECT id, ticket_id, message_ref FROM intake.message WHERE customer_id = ANY(:customers) AND NOT participant
            UNION ALL
            SELECT m.id, m.ticket_id, m.message_ref FROM intake.suggestion s JOIN intake.ticket t ON t.customer_id = s.customer_id
                JOIN intake.message m ON m.ticket_id = t.id
            WHERE s.other_id = ANY(:customers) AND m.customer_id = ANY(:customers)
        ), unnamed AS (
            DELETE FROM intake.ref r USING theirs m WHERE r.ticket_id = m.ticket_id AND r.value = m.message_ref
        ), unmarked AS (
            DELETE FROM intake.fingerprint WHERE message_id IN (SELECT id FROM theirs)
        ), renamed AS (
            UPDATE intake.other_name SET content_hash = '' WHERE message_id IN (SELECT id FROM theirs)
        ), scrubbed AS (
            UPDATE intake.message SET handle_kind = NULL, handle = NULL, message_ref = NULL, request = NULL, content_hash = '',
                body = NULL, text_hash = NULL
            WHERE id IN (SELECT id FROM theirs) RETURNING id
        )
        UPDATE intake.attachment SET name = '' WHERE message_id IN (SELECT id FROM scrubbed)
        """,
        """
        DELETE FROM intake.stored_mail s USING intake.handle h
        WHERE h.customer_id = ANY(:customers) AND h.kind = 'email' AND h.value = lower(s.sender)
        """,
        "DELETE FROM intake.handle WHERE customer_id = ANY(:customers)",
        "UPDATE intake.word SET body = NULL WHERE customer_id = ANY(:customers)",
        # Whoever just keeps a file holds its row here, and is waited for; then its file is among those that follow.
        """
        DELETE FROM intake.fetch f USING intake.message m
        WHERE m.id = f.message_id
            AND (f.customer_id = ANY(:customers) OR m.customer_id = ANY(:customers) OR m.ticket_id = ANY(:tickets))
        """,
        """
        UPDATE intake.file SET content = NULL WHERE id IN (
            SELECT id FROM intake.file WHERE customer_id = ANY(:customers)
            UNION SELECT id FROM intake.file WHERE ticket_id = ANY(:tickets)
            UNION SELECT f.id FROM intake.message m JOIN intake.file f ON f.message_id = m.id
            WHERE m.customer_id = ANY(:customers) AND NOT m.participant)
        """,
        "UPDATE intake.delivery SET sealed = NULL WHERE customer_id = ANY(:customers)",
        "UPDATE intake.survey SET open_until = NULL WHERE ticket_id = ANY(:tickets)",
        "DELETE FROM intake.customer_order WHERE customer_id = ANY(:customers)",
        "DELETE FROM intake.suggestion WHERE customer_id = ANY(:customers) OR other_id = ANY(:customers)",
        """
        UPDATE intake.customer SET erased_at = coalesce(erased_at, clock_timestamp()), profile = '{}' WHERE id = ANY(:customers)
        """,
        "DELETE FROM intake.ref WHERE ticket_id = ANY(:tickets)",
        "UPDATE intake.ticket SET subject = NULL, conversation = NULL WHERE id = ANY(:tickets)",
    )
)


async def merge_set(conn: AsyncConnection, customer_id: str, *, lock: bool = False) -> list[str]:
    """All ids under which this person is known; empty when there is no such person."""
    statement = sa.text(f"{MERGE_SET} FOR UPDATE" if lock else MERGE_SET)
    return list((await conn.execute(statement, {"id": customer_id})).scalars())


async def handles_of(conn: AsyncConnection, customer_ids: list[str]) -> list[Handle]:
    """The ways to reach them."""
    return [Handle(row.kind, row.value, row.scope) for row in await conn.execute(HANDLES, {"ids": customer_ids})]


async def is_done(conn: AsyncConnection, customer_ids: list[str]) -> bool:
    """Whether all of them were forgotten before."""
    return bool((await conn.execute(DONE, {"ids": customer_ids})).scalar_one())


async def redact(conn: AsyncConnection, customer_ids: Sequence[str]) -> list[str]:
    """Take their addresses out of what others wrote with a copy to them, so much at a time as a transaction can. Returns which
    messages it were; none when nothing is left to do.
    """
    ids = list(customer_ids)
    addresses = [row["value"] for row in await db.fetch(conn, ADDRESSES, ids)]
    rows = await db.fetch(conn, COPIED, ids, AT_ONCE, BYTES_AT_ONCE) if addresses else []
    if not rows:
        return []
    bodies = await asyncio.to_thread(lambda: [_redacted(row["body"], row["media_type"], addresses) for row in rows])
    done = [row["id"] for row in rows]
    await db.fetch(conn, REDACT, ids, done, bodies)
    return done


def _redacted(body: bytes | None, media_type: str, addresses: Sequence[str]) -> bytes | None:
    """What the body becomes; None where it stays."""
    kept = without(body, media_type, addresses) if body is not None else None
    return None if kept == body else kept


async def scrub(conn: AsyncConnection, customer_ids: list[str]) -> None:
    """Take everything personal out of the rows; what stays is ids, times and counts."""
    tickets = list((await conn.execute(TICKETS, {"ids": customer_ids})).scalars())
    while await redact(conn, customer_ids):
        pass
    for statement in SCRUBS:
        await conn.execute(statement, {"customers": customer_ids, "tickets": tickets})
