"""Questions and their answers, written back from the log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.recalled_ticket import Scored
from shared import db
from shared.events.base import Event, derived_id
from shared.events.message import SurveySent

# Where the resolution planned it the row is there; what is configured may have changed since, so what was told goes before it.
# Whoever was erased, which is read before, is asked nothing any more.
ASKED = """
    WITH told AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[],
                             $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[])
            AS q(id, ticket, config, kind, low, high, agent, at, until, channel, language)
    ), deliveries AS (
        INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at)
        SELECT q.id, q.ticket, t.customer_id, 'survey', q.channel, q.language, q.at, q.at
        FROM told q JOIN intake.ticket t ON t.id = q.ticket ON CONFLICT DO NOTHING
    )
    INSERT INTO intake.survey AS s (id, ticket_id, config_id, kind, scale_min, scale_max, agent_id, asked_at, open_until,
                                    resolved_at, ask_at, quiet_seconds, open_seconds)
    SELECT id, ticket, config, kind, low, high, agent, at,
        CASE WHEN NOT EXISTS (SELECT FROM intake.ticket t JOIN intake.customer c ON c.id = t.customer_id
                              WHERE t.id = told.ticket AND c.erased_at IS NOT NULL) THEN until END,
        at, at, 0, 0 FROM told
    ON CONFLICT (id) DO UPDATE SET asked_at = excluded.asked_at, open_until = excluded.open_until, kind = excluded.kind,
        scale_min = excluded.scale_min, scale_max = excluded.scale_max
    """
ANSWERED = """
    UPDATE intake.survey s SET answers = s.answers + w.answers, score = w.score,
        first_answer_at = least(s.first_answer_at, w.first_at)
    FROM (SELECT id, count(*) AS answers, min(at) AS first_at, (array_agg(score ORDER BY n DESC))[1] AS score
          FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) WITH ORDINALITY AS a(id, score, at, n) GROUP BY id) w
    WHERE s.id = w.id
    """
# The message that was the answer came in once and is known again; what it looked like is not on the log.
HEARD = """
    INSERT INTO intake.word (id, customer_id, media_type, received_at)
    SELECT id, customer, 'text/plain', at FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS w(id, customer, at)
    ON CONFLICT DO NOTHING
    """


async def write_back(conn: AsyncConnection, asked: Sequence[Event[SurveySent]], scored: Sequence[Scored]) -> None:
    """Questions that went out, then answers in the order in which they were told."""
    if asked:
        rows = [
            (
                event.data.survey_id,
                event.key,
                event.data.config_id or "",
                event.data.kind,
                event.data.scale_min,
                event.data.scale_max,
                event.data.agent_id,
                event.time,
                event.data.open_until,
                event.data.channel,
                event.data.language,
            )
            for event in asked
        ]
        await db.fetch(conn, ASKED, *(list(column) for column in zip(*rows, strict=True)))
    if scored:
        answers = [(one.fact.survey_id, one.fact.score, one.at) for one in scored]
        await db.fetch(conn, ANSWERED, *(list(column) for column in zip(*answers, strict=True)))
    heard = [(derived_id("word", one.told_by), one.customer_id, one.at) for one in scored if one.told_by]
    if heard:
        await db.fetch(conn, HEARD, *(list(column) for column in zip(*heard, strict=True)))
