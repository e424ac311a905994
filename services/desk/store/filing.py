"""What the log tells of tickets and their promises, as the projections load and save it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.promises import Promises
from services.desk.domain.tickets import Filed
from services.desk.domain.timeline import Entry
from shared import db

_encode = msgspec.json.Encoder().encode
_filed = msgspec.json.Decoder(Filed)
_promises = msgspec.json.Decoder(Promises)

LOAD = "SELECT state FROM desk.ticket WHERE ticket_id = ANY($1::text[]) ORDER BY ticket_id FOR UPDATE"
# Whether somebody is a VIP, and which plan is theirs, is as it is now; as the ticket was opened where nothing was told.
SAVE = """
    WITH w AS (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::boolean[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::smallint[], $17::boolean[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
            $23::timestamptz[], $24::timestamptz[], $25::timestamptz[], $26::bytea[])
            AS w(ticket_id, number, customer_id, status, live, spam, merged_into, partner_id, queue_id, team_id, agent_id,
                channel, inbox, language, direction, priority, vip, plan, tier, topic, product, tags, opened_at, updated_at,
                waiting_since, state)
    ), filed AS (
        INSERT INTO desk.ticket AS t (ticket_id, number, customer_id, status, live, spam, merged_into, partner_id, queue_id,
            team_id, agent_id, channel, inbox, language, direction, priority, vip, plan, tier, topic, product, tags, opened_at,
            updated_at, waiting_since, state)
        SELECT w.ticket_id, number, w.customer_id, status, live, spam, w.merged_into, partner_id, queue_id, team_id, agent_id,
            channel, inbox, language, direction, priority, coalesce(c.vip, w.vip),
            CASE WHEN c.plan IS NULL THEN w.plan ELSE nullif(c.plan, '') END,
            CASE WHEN c.tier IS NULL THEN w.tier ELSE nullif(c.tier, '') END,
            topic, product, string_to_array(tags, E'\\n'), opened_at, updated_at, waiting_since, w.state
        FROM w LEFT JOIN desk.customer c USING (customer_id)
        ON CONFLICT (ticket_id) DO UPDATE SET number = excluded.number, customer_id = excluded.customer_id,
            status = excluded.status, live = excluded.live, spam = excluded.spam, merged_into = excluded.merged_into,
            partner_id = excluded.partner_id, queue_id = excluded.queue_id, team_id = excluded.team_id,
            agent_id = excluded.agent_id, channel = excluded.channel, inbox = excluded.inbox, language = excluded.language,
            direction = excluded.direction, priority = excluded.priority, vip = excluded.vip, plan = excluded.plan,
            tier = excluded.tier, topic = excluded.topic, product = excluded.product, tags = excluded.tags,
            opened_at = excluded.opened_at, updated_at = excluded.updated_at, waiting_since = excluded.waiting_since,
            state = excluded.state
    ), stale AS (
        INSERT INTO desk.stale (ticket_id) SELECT unnest($27::text[])
    )
    INSERT INTO desk.entry (ticket_id, event_id, type, writer, at, person, box, data)
    SELECT ticket_id, event_id, type, writer, at, person, box, data
    FROM unnest($28::text[], $29::text[], $30::text[], $31::text[], $32::timestamptz[], $33::text[], $34::text[], $35::text[])
        WITH ORDINALITY AS e(ticket_id, event_id, type, writer, at, person, box, data, i) ORDER BY i
"""
# The rows are made first, so that of two processes that hear of one ticket on different topics the second waits for the first.
MAKE_PROMISED = """
    INSERT INTO desk.promised (ticket_id) SELECT unnest($1::text[]) ORDER BY 1 ON CONFLICT DO NOTHING
"""
LOAD_PROMISED = "SELECT ticket_id, state FROM desk.promised WHERE ticket_id = ANY($1::text[]) ORDER BY ticket_id FOR UPDATE"
SAVE_PROMISED = """
    UPDATE desk.promised p SET due_at = w.due_at, breached = w.breached, standing = w.standing, state = w.state
    FROM unnest($1::text[], $2::timestamptz[], $3::boolean[], $4::boolean[], $5::bytea[])
        AS w(ticket_id, due_at, breached, standing, state)
    WHERE p.ticket_id = w.ticket_id
"""
_TICKET_COLUMNS, _ENTRY_COLUMNS = 26, 8


async def tickets(conn: AsyncConnection, ticket_ids: Iterable[str]) -> dict[str, Filed]:
    """Those that are known, locked in the order of their ids."""
    found = (_filed.decode(row[0]) for row in await db.fetch(conn, LOAD, sorted(ticket_ids)))
    return {one.id: one for one in found}


async def save_tickets(conn: AsyncConnection, filed: Sequence[Filed], entries: Sequence[Entry], stale: Sequence[str]) -> None:
    """Write tickets and what was told of them, and which of them other words find now. One statement."""
    told = [(e.ticket_id, e.event_id, e.type, e.writer, e.at, e.person, e.box, e.data) for e in entries]
    await db.fetch(
        conn, SAVE, *_columns(_TICKET_COLUMNS, [_row(one) for one in filed]), list(stale), *_columns(_ENTRY_COLUMNS, told)
    )


async def promises(conn: AsyncConnection, ticket_ids: Iterable[str]) -> dict[str, Promises]:
    """What was promised on each of these tickets, locked in their order."""
    ids = sorted(ticket_ids)
    await db.fetch(conn, MAKE_PROMISED, ids)
    return {ticket_id: _promises.decode(state) for ticket_id, state in await db.fetch(conn, LOAD_PROMISED, ids)}


async def save_promises(conn: AsyncConnection, by_ticket: Mapping[str, Promises]) -> None:
    """Write what was loaded and has changed."""
    rows = [(key, one.due_at, one.breached, bool(one.standing), _encode(one)) for key, one in sorted(by_ticket.items())]
    await db.fetch(conn, SAVE_PROMISED, *_columns(5, rows))


def _row(filed: Filed) -> tuple[object, ...]:
    ticket = filed.ticket
    intake, routing = ticket.intake, ticket.routing
    opened_at = intake.opened_at
    assert opened_at is not None, "only tickets that were opened are kept"
    return (
        filed.id,
        intake.number,
        intake.customer_id,
        ticket.status,
        filed.live,
        ticket.spam,
        intake.merged_into,
        ticket.partner_id,
        routing.queue_id,
        routing.team_id if routing.agent_id is not None else None,
        routing.agent_id,
        intake.channel,
        _plain(intake.inbox),
        _plain(intake.language),
        filed.direction,
        ticket.priority,
        intake.vip,
        _plain(intake.plan),
        _plain(filed.tier),
        _plain(ticket.topic),
        _plain(ticket.product),
        "\n".join(sorted({(_plain(tag) or "").replace("\n", " ") for tag in ticket.tags} - {""})),
        opened_at,
        filed.changed_at or opened_at,
        ticket.waiting_since,
        _encode(filed),
    )


def _plain(label: str | None) -> str | None:
    """PostgreSQL's text holds no NUL, and one odd label must not stop the others."""
    return label.replace("\x00", "\ufffd") if label is not None else None


def _columns(width: int, rows: Sequence[tuple[object, ...]]) -> list[Sequence[object]]:
    """Rows as the arrays that a statement unnests."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
