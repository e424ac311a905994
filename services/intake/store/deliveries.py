"""What is on its way out: claimed by one process at a time, in the order of each ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.confirmation import confirmed_on
from services.intake.domain.delivery import ALIKE_WINDOW, CAPS, PROMISE_WAIT, Automatic, Delivery, Refused, Verdict
from services.intake.domain.inboxes import Inbox
from services.intake.domain.words import Told
from services.intake.store import files
from services.intake.store.ways import THEIRS, WAY, ZONE, returned_to
from shared import db
from shared.events.base import Event, Sealed, derived_id
from shared.events.message import ReplyRequested

_sealed = msgspec.json.Decoder(Sealed)
_told = msgspec.json.Decoder(Told)

INSERT = """
    INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at, event_id,
                                 sealed, files, cc)
    SELECT message, ticket, customer, 'reply', channel, language, at, at, event, sealed,
           string_to_array(nullif(files, ''), ' '), string_to_array(nullif(cc, ''), ' ')
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::bytea[],
                $9::text[], $10::text[])
         WITH ORDINALITY AS r(message, ticket, customer, channel, language, at, event, sealed, files, cc, n)
    ORDER BY n ON CONFLICT (message_id) DO NOTHING
    """
OPENING = """
    SELECT t.id AS ticket, t.inbox, t.language, t.channel, m.id AS message, m.customer_id AS customer
    FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
    WHERE t.id = ANY($1::text[]) AND m.opened AND m.human
      AND (t.channel IN ('email', 'form') AND m.handle_kind = 'email'
           -- Of text messages those that Twilio brought.
           OR t.channel = 'sms' AND m.handle_kind = 'phone' AND m.media_type = 'application/x-www-form-urlencoded')
    ORDER BY t.id
    """
CONFIRM = """
    INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at)
    SELECT message, ticket, customer, 'confirmation', channel, language, $1::timestamptz, $2::timestamptz
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS c(message, channel, ticket, customer, language)
    ON CONFLICT (message_id) DO NOTHING
    """
CLAIM = """
    WITH due AS (
        SELECT d.message_id, d.state FROM intake.delivery d
        WHERE d.due_at <= clock_timestamp() AND (d.leased_until IS NULL OR d.leased_until < clock_timestamp())
          AND NOT EXISTS (SELECT 1 FROM intake.delivery e
                          WHERE e.ticket_id = d.ticket_id AND e.n < d.n AND e.due_at IS NOT NULL
                            AND e.kind <> 'survey' AND (e.kind <> 'confirmation' OR e.attempts <= 1)
                            -- Answers to a form are mail.
                            AND replace(e.channel, 'form', 'email') = replace(d.channel, 'form', 'email')
                            AND e.copies_left IS NULL)
        ORDER BY d.due_at LIMIT $1::integer FOR UPDATE SKIP LOCKED
    )
    UPDATE intake.delivery d SET state = 'sending', attempts = d.attempts + 1, uncertain = d.uncertain OR due.state = 'sending',
        leased_until = clock_timestamp() + make_interval(secs => $2::float8),
        -- What is sent again under the same Message-ID says the same: the promise as it was known at the first attempt.
        promised_by = CASE WHEN d.attempts > 0 THEN d.promised_by
                           ELSE (SELECT t.promised_by FROM intake.ticket t WHERE t.id = d.ticket_id) END
    FROM due WHERE d.message_id = due.message_id
    RETURNING d.message_id, d.ticket_id, d.customer_id, d.kind, d.channel, d.language, d.attempts, d.uncertain, d.event_id,
              d.sealed, d.files, d.cc, d.copies_left, d.created_at, due.state = 'sending' AS interrupted
    """
DETAILS = f"""
    SELECT d.message_id, t.number, t.subject, t.inbox, d.promised_by, m.handle_kind, m.handle, r.refs, l.last_ref, {ZONE} AS zone,
           -- Only numbers are refused, and they have no scope.
           EXISTS (SELECT 1 FROM intake.handle h WHERE h.kind = m.handle_kind AND h.scope = '' AND h.value = m.handle
                   AND d.channel = ANY(h.refuses)) AS opted_out,
           (SELECT min(nullif(h.scope, 'claimed')) FROM intake.handle h
            WHERE h.customer_id = t.customer_id AND h.kind = m.handle_kind AND h.value = m.handle) AS scope,
           EXISTS (SELECT 1 FROM intake.handle h WHERE h.kind = m.handle_kind AND h.scope = '' AND h.value = m.handle
                   AND {returned_to("h", "t.customer_id")}) AS returned,
           CASE WHEN d.kind <> 'reply' THEN ARRAY(
               SELECT count(c.n) FROM unnest($2::interval[]) WITH ORDINALITY AS l(span, place)
               LEFT JOIN intake.delivery c ON c.customer_id = d.customer_id AND c.kind <> 'reply'
                 -- Those on their way before it count too: a burst is claimed together. Not questions: most are never asked.
                 AND (c.state = 'delivered' OR c.state <> 'failed' AND c.n < d.n AND c.kind <> 'survey')
                 AND c.created_at > d.created_at - l.span
               GROUP BY place ORDER BY place) END AS automatic,
           CASE WHEN d.kind <> 'reply' THEN ARRAY(
               SELECT count(c.n) FROM unnest($2::interval[]) WITH ORDINALITY AS l(span, place)
               LEFT JOIN intake.delivery c ON c.ticket_id = d.ticket_id AND c.customer_id = d.customer_id AND c.kind <> 'reply'
                 AND (c.state = 'delivered' OR c.state <> 'failed' AND c.n < d.n AND c.kind <> 'survey')
                 AND c.created_at > d.created_at - l.span
               GROUP BY place ORDER BY place) END AS automatic_on_ticket,
           (SELECT count(*) FROM intake.message opening
            JOIN intake.delivery c ON c.customer_id = d.customer_id AND c.kind = 'confirmation' AND c.n <= d.n
              AND c.created_at > d.created_at - $3::interval
            JOIN intake.message same ON same.ticket_id = c.ticket_id AND same.opened AND same.text_hash = opening.text_hash
            WHERE d.kind = 'confirmation' AND opening.ticket_id = d.ticket_id AND opening.opened) AS alike
    FROM intake.delivery d JOIN intake.ticket t ON t.id = d.ticket_id
    CROSS JOIN LATERAL (SELECT CASE WHEN d.channel IN ('email', 'form') THEN 'email'
                                    WHEN d.channel IN ('sms', 'whatsapp') THEN 'phone' END AS kind) k
    LEFT JOIN LATERAL {WAY} m ON true
    LEFT JOIN LATERAL (SELECT array_agg(message_ref ORDER BY received_at) AS refs
                       FROM (SELECT message_ref, received_at FROM intake.message m
                             WHERE m.ticket_id = d.ticket_id AND m.message_ref LIKE '<%'
                             ORDER BY received_at DESC LIMIT 10) m) r ON true
    LEFT JOIN LATERAL (SELECT message_ref AS last_ref FROM intake.message m WHERE m.ticket_id = d.ticket_id
                       ORDER BY received_at DESC LIMIT 1) l ON true
    WHERE d.message_id = ANY($1::text[])
    """
RECORD = """
    UPDATE intake.delivery SET state = $3::text, due_at = $4::timestamptz, leased_until = NULL,
        uncertain = uncertain OR $6::boolean, provider_ref = coalesce($5::text, provider_ref), copies_left = $7::text[],
        ended_at = CASE WHEN $4::timestamptz IS NULL THEN clock_timestamp() END
    WHERE message_id = $1 AND attempts = $2::integer AND state = 'sending' RETURNING told
    """
# Of those who were merged since, the handles are under the id that goes on. Of several addresses the one counts that took part in
# the ticket last, at each attempt the same; none that mail came back from, while there is another.
ADDRESSES = """
    WITH RECURSIVE way(asked, id, depth) AS (
        SELECT id, id, 0 FROM unnest($1::text[]) AS w(id)
        UNION ALL
        SELECT w.asked, c.merged_into, depth + 1 FROM way w JOIN intake.customer c USING (id)
        WHERE c.merged_into IS NOT NULL AND depth < 10
    )
    SELECT DISTINCT ON (w.asked) w.asked AS customer_id, h.value FROM way w JOIN intake.handle h ON h.customer_id = w.id
    LEFT JOIN LATERAL (SELECT max(m.received_at) AS at FROM intake.message m
                       WHERE m.ticket_id = $2 AND m.received_at <= $3::timestamptz
                         AND ((m.handle_kind, m.handle) = ('email', h.value) OR m.cc_handles @> ARRAY[h.id])) seen ON true
    WHERE h.kind = 'email' AND h.scope = ''
    ORDER BY w.asked, h.returned_at IS NOT NULL, seen.at DESC NULLS LAST, h.id
    """
LAST_WRITTEN = f"""
    SELECT m.media_type, m.body, m.received_at FROM intake.delivery d JOIN intake.ticket t ON t.id = d.ticket_id
    JOIN intake.message m ON m.ticket_id = t.id
    WHERE d.message_id = $1 AND m.received_at <= d.created_at AND m.body IS NOT NULL AND {THEIRS}
    ORDER BY human DESC, received_at DESC LIMIT 1
    """


@dataclass(frozen=True, slots=True)
class LastWritten:
    """A message as it came, and when."""

    media_type: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process attempts now, and what it needs for it. `sealed` is the reply's text, for its event;
    `objection` is why a question is not asked after all.
    """

    delivery: Delivery
    customer_id: str
    uncertain: bool
    event_id: str | None
    sealed: Sealed | None
    files: tuple[str, ...]
    cc: tuple[str, ...]
    created_at: datetime
    number: int
    subject: str
    inbox: str
    handle_kind: str | None
    handle: str | None
    handle_scope: str
    last_ref: str | None
    opted_out: bool
    refs: tuple[str, ...]
    returned: bool
    zone: str | None
    automatic: Automatic
    objection: Refused | None = None


async def insert(conn: AsyncConnection, replies: Sequence[Event[ReplyRequested]]) -> None:
    """Replies to carry out, in their order."""
    await db.fetch(
        conn,
        INSERT,
        [reply.data.message_id for reply in replies],
        [reply.key for reply in replies],
        [reply.data.customer_id for reply in replies],
        [reply.data.channel for reply in replies],
        [reply.data.language for reply in replies],
        [reply.time for reply in replies],
        [reply.id for reply in replies],
        [msgspec.json.encode(reply.data.personal) if reply.data.personal else None for reply in replies],
        [" ".join(file.id for file in reply.data.attachments) for reply in replies],
        [" ".join(reply.data.cc_customer_ids) for reply in replies],
    )
    used = [
        (file.id, file.sha256, reply.data.message_id, reply.key, reply.data.customer_id)
        for reply in replies
        for file in reply.data.attachments
    ]
    if used:
        await files.use(conn, used)


async def confirm_after_all(conn: AsyncConnection, ticket_ids: Sequence[str], inboxes: Mapping[str, Inbox], now: datetime) -> int:
    """Confirmations of messages that were taken for spam, where the inbox confirms (of mail, also one that nobody set up); one
    that is there already stays as it is. Returns how many messages those are.
    """
    openings = [
        row
        for row in await db.fetch(conn, OPENING, list(ticket_ids))
        if (inboxes[row["inbox"]].confirm if row["inbox"] in inboxes else row["channel"] == "email")
    ]
    if openings:
        await db.fetch(
            conn,
            CONFIRM,
            now + PROMISE_WAIT,
            now,
            [derived_id("confirmation", row["message"]) for row in openings],
            [confirmed_on(row["channel"]) for row in openings],
            *([row[name] for row in openings] for name in ("ticket", "customer", "language")),
        )
    return len(openings)


async def claim(conn: AsyncConnection, limit: int, lease_seconds: float) -> list[Claimed]:
    """Take what is due for so long, its attempt counted. Nothing of a ticket is taken while something earlier of it that goes the
    same way is not out; but a confirmation that failed at first holds no answer back, and neither a question after a resolution
    nor a copy that was put off holds anything back.
    """
    rows = {row["message_id"]: row for row in await db.fetch(conn, CLAIM, limit, lease_seconds)}
    if not rows:
        return []
    claimed = []
    for more in await db.fetch(conn, DETAILS, list(rows), [cap.span for cap in CAPS], ALIKE_WINDOW):
        row = rows[more["message_id"]]
        delivery = Delivery(
            message_id=row["message_id"],
            ticket_id=row["ticket_id"],
            kind=row["kind"],
            channel=row["channel"],
            language=row["language"],
            attempts=row["attempts"],
            interrupted=row["interrupted"],
            promised_by=more["promised_by"],
            copies_left=tuple(row["copies_left"] or ()),
        )
        claimed.append(
            Claimed(
                delivery=delivery,
                customer_id=row["customer_id"],
                uncertain=row["uncertain"],
                event_id=row["event_id"],
                sealed=_sealed.decode(row["sealed"]) if row["sealed"] else None,
                files=tuple(row["files"] or ()),
                cc=tuple(row["cc"] or ()),
                created_at=row["created_at"],
                number=more["number"],
                subject=more["subject"] or "",
                inbox=more["inbox"],
                handle_kind=more["handle_kind"],
                handle=more["handle"],
                handle_scope=more["scope"] or "",
                last_ref=more["last_ref"],
                opted_out=more["opted_out"],
                refs=tuple(more["refs"] or ()),
                returned=more["returned"],
                zone=more["zone"],
                automatic=Automatic(more["automatic"] or (), more["automatic_on_ticket"] or (), more["alike"]),
            )
        )
    return claimed


async def record(conn: AsyncConnection, claimed: Claimed, verdict: Verdict, ref: str | None, *, uncertain: bool) -> Told | None:
    """Write what an attempt came to. Returns what a provider said of the message already; None when another process has taken
    the delivery over in the meantime.
    """
    delivery = claimed.delivery
    values = (delivery.message_id, delivery.attempts, verdict.state, verdict.due_at, ref, uncertain)
    rows = await db.fetch(conn, RECORD, *values, list(verdict.copies_left) or None)
    if not rows:
        return None
    told = rows[0]["told"]
    return _told.decode(told) if told is not None else Told()


async def addresses(conn: AsyncConnection, claimed: Claimed) -> dict[str, str]:
    """An e-mail address of each of those who are to have a copy, those without one left out."""
    rows = await db.fetch(conn, ADDRESSES, list(claimed.cc), claimed.delivery.ticket_id, claimed.created_at)
    return {row["customer_id"]: row["value"] for row in rows}


async def last_written(conn: AsyncConnection, claimed: Claimed) -> LastWritten | None:
    """What the customer had written last when the agent answered, the same at each attempt; None where nothing is kept."""
    rows = await db.fetch(conn, LAST_WRITTEN, claimed.delivery.message_id)
    return LastWritten(*rows[0]) if rows else None
