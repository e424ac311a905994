"""What was said of waits, and what it was worth: what decisions and the API read of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain import sending
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.scores import Score
from services.routing.domain.waiting import Answered, Scores
from shared import db
from shared.events.config import QueueConfigured

FRESH_SECONDS = 120.0  # longer than any pause between two passes
FIGURES = Score.__struct_fields__
FORESEEN = """
    SELECT queue_id, wait_seconds, estimator FROM routing.line
    WHERE queue_id = ANY($1::text[]) AND wait_seconds IS NOT NULL AND as_of > clock_timestamp() - make_interval(secs => $2)
"""
# Of the visit that goes on: one before it is open until a pass has seen how it ended.
FORESEEN_OF = """
    SELECT w.ticket_id, w.seconds, w.estimator FROM routing.wait w
    JOIN routing.ticket t ON t.ticket_id = w.ticket_id AND t.entered_at = w.since
    WHERE w.ticket_id = ANY($1::text[]) AND w.ended_at IS NULL AND w.seconds IS NOT NULL
"""
SCORES = f"""
    SELECT queue_id, estimator, {", ".join(f"sum({name})" for name in FIGURES)} FROM routing.estimate_score
    WHERE queue_id = ANY($1::text[]) AND day BETWEEN $2 AND $3 GROUP BY queue_id, estimator
"""
LAST_SCORES = f"""
    SELECT queue_id, estimator, {", ".join(f"sum({name})" for name in FIGURES)} FROM routing.estimate_score
    WHERE queue_id = ANY($1::text[]) AND day > CAST(now() - make_interval(days => $2) AS date) GROUP BY queue_id, estimator
"""
ANSWERED = """
    SELECT queue_id, sum(answered), sum(within), sum(abandoned), sum(late) FROM routing.queue_minute
    WHERE queue_id = ANY($1::text[]) AND minute > clock_timestamp() - make_interval(secs => $2) GROUP BY queue_id
"""
OF_TICKET = """
    SELECT since, queue_id, asked_at, asked_place, CAST(estimates AS text), ended_at, outcome FROM routing.wait
    WHERE ticket_id = $1 ORDER BY since DESC LIMIT $2
"""
FORGET_WAITS = """
    DELETE FROM routing.wait WHERE ctid = ANY(ARRAY(SELECT ctid FROM routing.wait
        WHERE asked_at < now() - make_interval(days => $1) ORDER BY asked_at LIMIT $2))
"""
FORGET_SCORES = "DELETE FROM routing.estimate_score WHERE day < CAST(now() - make_interval(days => $1) AS date)"
FORGET_MINUTES = "DELETE FROM routing.queue_minute WHERE minute < now() - interval '1 day'"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was said when a ticket began to wait, as JSON, and what became of it; `ended_at` None: it still waits."""

    since: datetime
    queue_id: str
    asked_at: datetime
    place: int
    given: str
    ended_at: datetime | None
    outcome: str | None


async def foreseen_where_asked(conn: AsyncConnection, queues: Collection[QueueConfigured]) -> dict[str, Foreseen]:
    """How long whoever comes now would wait, in the queues that send on by it; nothing is looked up where there are none. What
    was said longer ago than FRESH_SECONDS says nothing of now.
    """
    asking = [queue.id for queue in queues if sending.by_wait(queue)]
    rows = await db.fetch(conn, FORESEEN, asking, FRESH_SECONDS) if asking else []
    return {queue_id: Foreseen(seconds, estimator) for queue_id, seconds, estimator in rows}


async def foreseen_of(conn: AsyncConnection, ticket_ids: Collection[str]) -> dict[str, Foreseen]:
    """How long these tickets still wait, as far as it was said of them."""
    rows = await db.fetch(conn, FORESEEN_OF, sorted(ticket_ids)) if ticket_ids else []
    return {ticket_id: Foreseen(seconds, estimator) for ticket_id, seconds, estimator in rows}


async def scores(conn: AsyncConnection, queue_ids: Collection[str], first: date, last: date) -> Scores:
    """What the estimators were worth in these queues, of waits that ended on these days (UTC)."""
    return _scores(await db.fetch(conn, SCORES, sorted(queue_ids), first, last))


async def last_scores(conn: AsyncConnection, queue_ids: Collection[str], days: int) -> Scores:
    """What the estimators were worth in these queues in the last so many days."""
    return _scores(await db.fetch(conn, LAST_SCORES, sorted(queue_ids), days) if queue_ids else [])


def _scores(rows: Sequence[asyncpg.Record]) -> Scores:
    return Scores({(row[0], row[1]): Score(**{name: int(n) for name, n in zip(FIGURES, row[2:], strict=True)}) for row in rows})


async def answered(conn: AsyncConnection, queue_ids: Collection[str], seconds: float) -> dict[str, Answered]:
    """What was answered in these queues in the last so many seconds, to the minute; those that promise nothing are left out."""
    rows = await db.fetch(conn, ANSWERED, sorted(queue_ids), seconds)
    return {row[0]: Answered(*(int(n) for n in row[1:])) for row in rows}


async def of_ticket(conn: AsyncConnection, ticket_id: str, at_most: int) -> list[Kept]:
    """The last waits of a ticket of which something was said, the newest first."""
    return [Kept(*row) for row in await db.fetch(conn, OF_TICKET, ticket_id, at_most)]


async def forget_old(conn: AsyncConnection, days: int, at_most: int) -> None:
    """Delete what was said so many days ago, and what it was worth; and what was answered more than a day ago."""
    await db.fetch(conn, FORGET_WAITS, days, at_most)
    await db.fetch(conn, FORGET_SCORES, days)
    await db.fetch(conn, FORGET_MINUTES)
