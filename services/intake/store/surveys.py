"""The questions after resolutions: planned with their delivery, asked, answered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Handle
from services.intake.domain.surveys import CORRECTABLE, Circumstances, Planned, Question
from services.intake.store.ways import BEGUN_BY
from shared import db
from shared.events.base import Channel
from shared.ticket import Ticket

_stories = msgspec.json.Decoder(Ticket)

PLAN = """
    WITH planned AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
                             $9::integer[], $10::bigint[], $11::bigint[], $12::timestamptz[], $13::timestamptz[], $14::text[])
            AS p(id, ticket, customer, channel, language, config, kind, low, high, quiet, open, resolved_at, ask_at, agent)
    ), deliveries AS (
        INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at)
        SELECT id, ticket, customer, 'survey', channel, language, ask_at, ask_at FROM planned ON CONFLICT DO NOTHING
    )
    INSERT INTO intake.survey (id, ticket_id, config_id, kind, scale_min, scale_max, quiet_seconds, open_seconds, resolved_at,
                               ask_at, agent_id)
    SELECT id, ticket, config, kind, low, high, quiet, open, resolved_at, ask_at, agent FROM planned ON CONFLICT DO NOTHING
    """
# Questions about one person are decided one after the other, so that two processes do not both ask.
LOCK_PEOPLE = """
    SELECT pg_advisory_xact_lock(hashtextextended('survey of ' || p.id, 0))
    FROM (SELECT DISTINCT t.customer_id AS id FROM intake.delivery d JOIN intake.ticket t ON t.id = d.ticket_id
          WHERE d.message_id = ANY($1::text[]) ORDER BY 1) p
    """
DUE = """
    SELECT s.id, t.id, d.customer_id, d.channel, d.language, s.config_id, s.kind, s.scale_min, s.scale_max, s.quiet_seconds,
        s.open_seconds, s.resolved_at, s.ask_at, s.agent_id, t.story, s.answers, s.open_until,
        -- What was refused under an id that was merged into this one is refused.
        c.erased_at IS NOT NULL OR EXISTS (
            WITH RECURSIVE family(id, depth) AS (
                SELECT t.customer_id, 0 UNION ALL
                SELECT m.id, depth + 1 FROM family JOIN intake.customer m ON m.merged_into = family.id WHERE depth < 10)
            SELECT FROM family JOIN intake.customer f USING (id)
            WHERE 'false' IN (f.profile #>> '{consents,survey}', f.profile #>> ARRAY['consents', d.channel])) AS refused,
        EXISTS (SELECT 1 FROM intake.message m WHERE m.ticket_id = t.id AND m.human) AS written_by_people,
        EXISTS (SELECT 1 FROM intake.ticket o JOIN intake.survey a ON a.ticket_id = o.id
                WHERE o.customer_id = t.customer_id AND a.id <> s.id AND s.asked_at IS NULL
                  AND a.asked_at > clock_timestamp() - make_interval(secs => s.quiet_seconds)) AS asked_lately
    FROM intake.survey s JOIN intake.delivery d ON d.message_id = s.id JOIN intake.ticket t ON t.id = s.ticket_id
    JOIN intake.customer c ON c.id = t.customer_id WHERE s.id = ANY($1::text[]) ORDER BY d.n
    """
ASK = """
    UPDATE intake.survey SET asked_at = coalesce(asked_at, clock_timestamp()),
        open_until = coalesce(open_until, clock_timestamp() + make_interval(secs => open_seconds))
    WHERE id = ANY($1::text[]) RETURNING id, open_until
    """
UNASK = "UPDATE intake.survey SET asked_at = NULL, open_until = NULL WHERE id = ANY($1::text[]) AND answers = 0"
# By a bare number the last question is answered that was asked in this conversation, until we wrote there again: then the number
# may be the answer to that.
OPEN = f"""
    SELECT DISTINCT ON (w.kind, w.scope, w.value, w.channel, w.inbox) w.kind, w.scope, w.value, w.channel, w.inbox,
        s.id, t.id, t.number, t.customer_id, s.kind, s.scale_min, s.scale_max, t.language, t.channel, t.inbox, s.open_until,
        s.answers, s.score, s.first_answer_at, {BEGUN_BY}
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS w(kind, scope, value, channel, inbox)
    JOIN intake.handle h USING (kind, scope, value)
    JOIN intake.ticket t ON t.customer_id = h.customer_id AND t.channel = w.channel AND t.inbox = w.inbox
    JOIN intake.survey s ON s.ticket_id = t.id AND s.open_until > clock_timestamp()
        AND coalesce(s.first_answer_at > clock_timestamp() - $6::interval, true)
    WHERE EXISTS (SELECT 1 FROM intake.message m WHERE m.ticket_id = t.id AND m.handle_kind = w.kind AND m.handle = w.value)
      AND NOT EXISTS (SELECT 1 FROM intake.delivery d WHERE d.customer_id = t.customer_id AND d.kind = 'reply'
                      AND d.channel = w.channel AND d.created_at > s.asked_at)
    ORDER BY w.kind, w.scope, w.value, w.channel, w.inbox, s.asked_at DESC
    """
_QUESTION = f"""
    SELECT s.id, t.id, t.number, t.customer_id, s.kind, s.scale_min, s.scale_max, t.language, t.channel, t.inbox, s.open_until,
        s.answers, s.score, s.first_answer_at, {BEGUN_BY}
    FROM intake.survey s JOIN intake.ticket t ON t.id = s.ticket_id WHERE s.id = $1
    """
LOCKED = _QUESTION + "FOR UPDATE OF s"
ANSWERED = """
    UPDATE intake.survey s SET answers = w.answers, score = w.score, first_answer_at = coalesce(s.first_answer_at, w.at)
    FROM unnest($1::text[], $2::integer[], $3::integer[], $4::timestamptz[]) AS w(id, answers, score, at) WHERE s.id = w.id
    """

Place = tuple[Handle, Channel, str]


@dataclass(frozen=True, slots=True)
class Due:
    """A question whose time has come, and what is to be looked at before it is asked."""

    planned: Planned
    story: Ticket
    known: Circumstances
    answers: int


async def plan(conn: AsyncConnection, planned: Sequence[Planned]) -> None:
    """Questions to ask when they are due."""
    rows = [
        (
            one.survey_id,
            one.ticket_id,
            one.customer_id,
            one.channel,
            one.language,
            one.config_id,
            one.kind,
            one.scale_min,
            one.scale_max,
            one.quiet_seconds,
            one.open_seconds,
            one.resolved_at,
            one.ask_at,
            one.agent_id,
        )
        for one in planned
    ]
    await db.fetch(conn, PLAN, *(list(column) for column in zip(*rows, strict=True)))


async def due(conn: AsyncConnection, survey_ids: Collection[str]) -> list[Due]:
    """These questions in the order in which they were planned, with no other question to the same people beside them until the
    transaction ends.
    """
    ids = list(survey_ids)
    await db.fetch(conn, LOCK_PEOPLE, ids)
    found = []
    for row in await db.fetch(conn, DUE, ids):
        known = Circumstances(row["refused"], row["written_by_people"], row["asked_lately"])
        found.append(Due(Planned(*row[:14]), _stories.decode(row["story"]), known, row["answers"]))
    return found


async def ask(conn: AsyncConnection, survey_ids: Sequence[str]) -> dict[str, datetime]:
    """These are asked now, or were at an earlier attempt. Returns until when each can be answered."""
    return {row["id"]: row["open_until"] for row in await db.fetch(conn, ASK, list(survey_ids))}


async def unask(conn: AsyncConnection, survey_ids: Sequence[str]) -> None:
    """They did not go out after all, or came back."""
    await db.fetch(conn, UNASK, list(survey_ids))


async def open_to(conn: AsyncConnection, places: Collection[Place]) -> dict[Place, Question]:
    """The question that a bare number answers, by who writes on which channel to which inbox."""
    handles = [place[0] for place in places]
    rows = await db.fetch(
        conn,
        OPEN,
        [handle.kind for handle in handles],
        [handle.scope for handle in handles],
        [handle.value for handle in handles],
        [channel for _, channel, _ in places],
        [inbox for _, _, inbox in places],
        CORRECTABLE,
    )
    return {(Handle(row[0], row[2], row[1]), row[3], row[4]): Question(*row[5:]) for row in rows}


async def question(conn: AsyncConnection, survey_id: str) -> Question | None:
    """A question that was planned."""
    rows = await db.fetch(conn, _QUESTION, survey_id)
    return Question(*rows[0]) if rows else None


async def locked(conn: AsyncConnection, survey_id: str) -> Question | None:
    """Like `question`, held until the transaction ends."""
    rows = await db.fetch(conn, LOCKED, survey_id)
    return Question(*rows[0]) if rows else None


async def answered(conn: AsyncConnection, questions: Sequence[Question], now: datetime) -> None:
    """Their last answers."""
    last = {one.survey_id: one for one in questions}
    rows = [(one.survey_id, one.answers, one.score, one.first_answer_at or now) for _, one in sorted(last.items())]
    await db.fetch(conn, ANSWERED, *(list(column) for column in zip(*rows, strict=True)))
