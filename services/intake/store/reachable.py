"""On which channels a customer cannot be written to: reckoned from their handles, and kept as it was told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.reachable import Change
from services.intake.store.ways import returned_to
from shared import db
from shared.events.people import CustomerReachabilityChanged

# With them whoever only claims an address or number of theirs: what is known of it is known of both. Held, so that of two who
# learn something at once the second sees what the first learned.
HELD = """
    SELECT c.id FROM intake.customer c
    WHERE c.erased_at IS NULL AND c.id IN (
        SELECT unnest($1::text[])
        UNION SELECT o.customer_id FROM intake.handle h
        JOIN intake.handle o ON o.kind = h.kind AND o.scope = 'claimed' AND o.value = h.value
        WHERE h.customer_id = ANY($1::text[]) AND h.scope = '')
    ORDER BY c.id FOR UPDATE OF c
    """
# What is sent takes other ways only: see `ways.WAY`. `p` is the handle itself, where `h` may be a claim.
_NO_WAY = f"""
    EXISTS (SELECT FROM intake.handle h WHERE h.customer_id = c.id AND h.kind = w.kind)
    AND NOT EXISTS (
        SELECT FROM intake.handle h LEFT JOIN intake.handle p ON p.kind = h.kind AND p.scope = '' AND p.value = h.value
        WHERE h.customer_id = c.id AND h.kind = w.kind
          AND NOT CASE w.channel WHEN 'email' THEN {returned_to("p", "c.id")}
                                  ELSE coalesce(w.channel = ANY(p.refuses), false) END)
    AND NOT EXISTS (
        SELECT FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
        WHERE t.customer_id = c.id AND m.handle_kind = w.kind AND (m.participant OR m.customer_id = c.id)
          AND NOT EXISTS (SELECT FROM intake.handle x
                          WHERE x.kind = m.handle_kind AND x.scope IN ('', 'claimed') AND x.value = m.handle))"""
RECKON = f"""
    WITH found AS (
        SELECT c.id, c.unreachable AS before, ARRAY(
            SELECT w.channel FROM (VALUES ('email', 'email'), ('sms', 'phone'), ('whatsapp', 'phone')) AS w(channel, kind)
            WHERE {_NO_WAY} ORDER BY w.channel) AS after
        FROM intake.customer c WHERE c.id = ANY($1::text[])
    ), noted AS (
        UPDATE intake.customer c SET unreachable = f.after, reckoned_at = clock_timestamp()
        FROM found f WHERE c.id = f.id AND f.after <> f.before
    )
    SELECT f.id, u.channel, u.channel <> ALL(f.after) AS reachable
    FROM found f CROSS JOIN LATERAL (SELECT unnest(f.before) UNION SELECT unnest(f.after)) AS u(channel)
    WHERE u.channel <> ALL(f.before) OR u.channel <> ALL(f.after) ORDER BY f.id, u.channel
    """
UNREACHABLE = "SELECT id FROM intake.customer WHERE id = ANY($1::text[]) AND unreachable <> '{}'"
TO_LOOK_AT = """
    SELECT id FROM intake.customer WHERE reckoned_at < clock_timestamp() - make_interval(secs => $1::float8)
    ORDER BY reckoned_at LIMIT $2::integer
    """
LOOKED_AT = """
    UPDATE intake.customer SET reckoned_at = NULL
    WHERE id = ANY($1::text[]) AND reckoned_at < clock_timestamp() - make_interval(secs => $2::float8)
    """
MARKED = """
    SELECT c.id FROM intake.customer c
    WHERE c.id > $1 AND c.erased_at IS NULL
      AND (c.unreachable <> '{}' OR EXISTS (SELECT FROM intake.handle h WHERE h.customer_id = c.id
                                            AND (h.returned_at IS NOT NULL OR h.refuses <> '{}')))
    ORDER BY c.id LIMIT $2::integer
    """
WRITE_BACK = """
    UPDATE intake.customer SET unreachable = CASE WHEN $3::boolean THEN array_remove(unreachable, $2::text)
        ELSE ARRAY(SELECT unnest(unreachable) UNION SELECT $2::text ORDER BY 1) END
    WHERE id = $1
    """


async def reckon(conn: AsyncConnection, customer_ids: Collection[str]) -> list[Change]:
    """What changed for these customers, and for who claims what is theirs; it is noted as told."""
    ids = [row["id"] for row in await db.fetch(conn, HELD, sorted(customer_ids))]
    return [Change(*row) for row in await db.fetch(conn, RECKON, ids)] if ids else []


async def unreachable(conn: AsyncConnection, customer_ids: Collection[str]) -> list[str]:
    """Those of them who cannot be written to on some channel."""
    return [row["id"] for row in await db.fetch(conn, UNREACHABLE, sorted(customer_ids))] if customer_ids else []


async def to_look_at(conn: AsyncConnection, after_seconds: float, at_most: int) -> list[str]:
    """Of whom something was told so long ago, and not looked at again since."""
    return [row["id"] for row in await db.fetch(conn, TO_LOOK_AT, after_seconds, at_most)]


async def looked_at(conn: AsyncConnection, customer_ids: Sequence[str], after_seconds: float) -> None:
    """They were; but of whom something new was told."""
    await db.fetch(conn, LOOKED_AT, list(customer_ids), after_seconds)


async def marked(conn: AsyncConnection, after: str, at_most: int) -> list[str]:
    """Customers by id of whom something is known that may keep an answer from them. Reads the whole table: for a restore."""
    return [row["id"] for row in await db.fetch(conn, MARKED, after, at_most)]


async def write_back(conn: AsyncConnection, customer_id: str, told: CustomerReachabilityChanged) -> None:
    """What was told of a customer, after what was told before."""
    await db.fetch(conn, WRITE_BACK, customer_id, told.channel, told.reachable)
