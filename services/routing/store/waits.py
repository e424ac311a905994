"""What a pass over those who wait reads and writes: visits that ended, places in line, agents who serve, what was said."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import ANY_LANGUAGE, DEFAULT_LIMITS, OTHER_UNITS, UNITS, needs
from services.routing.domain.estimates import Estimate, Seen
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.looking import teams_of
from services.routing.domain.scores import Score
from services.routing.domain.waiting import Answered, Ended, Saying, Standing, Told
from services.routing.store.matching import WAITING
from shared import db
from shared.events.base import Channel
from shared.events.config import EstimatorName, QueueConfigured

# Of several processes one gets the row, and holds it till its commit. A clock that went back does not stop it.
CLAIM = """
    UPDATE routing.wait_pass SET at = clock_timestamp() WHERE one IN (SELECT one FROM routing.wait_pass
        WHERE at <= clock_timestamp() - make_interval(secs => $1) OR at > clock_timestamp() FOR UPDATE SKIP LOCKED)
    RETURNING at
"""
TAKE_ENDED = """
    DELETE FROM routing.visit_end WHERE ctid = ANY(ARRAY(SELECT ctid FROM routing.visit_end ORDER BY at LIMIT $1))
    RETURNING ticket_id, queue_id, at, waited_us, outcome
"""
# A ticket may have ended a visit that nobody looked at besides the one that is open here, which is the first after it began.
END = """
    UPDATE routing.wait w SET ended_at = e.at, outcome = e.outcome, handling = e.outcome = 'assigned' FROM (
        SELECT DISTINCT ON (o.ticket_id, o.since) o.ticket_id, o.since, e.at, e.outcome
        FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS e(ticket_id, at, outcome)
        JOIN routing.wait o ON o.ticket_id = e.ticket_id AND o.ended_at IS NULL AND o.since < e.at
        ORDER BY o.ticket_id, o.since, e.at) e
    WHERE w.ticket_id = e.ticket_id AND w.since = e.since
    RETURNING w.queue_id, w.asked_at, w.ended_at, w.outcome, CAST(w.estimates AS text)
"""
# Through with a ticket is whose units it takes no more: who let it go or rest, and wrote what there was to write of it. After a
# day nobody waits for it any more.
HANDLED = """
    UPDATE routing.wait w SET handling = false FROM (
        SELECT o.ticket_id, o.since, CASE WHEN h.began IS NULL OR h.began > h.put_down THEN h.put_down
            WHEN h.wrapped IS NOT NULL THEN greatest(h.put_down, h.wrapped) END AS at
        FROM (SELECT w.ticket_id, w.since, w.ended_at FROM routing.wait w JOIN routing.ticket t USING (ticket_id)
            WHERE w.handling AND (t.agent_id IS NULL OR t.status NOT IN ('new', 'open')) ORDER BY w.ended_at LIMIT $1) o
        CROSS JOIN LATERAL (
            SELECT min(at) FILTER (WHERE type LIKE 'ticket.%') AS put_down,
                min(at) FILTER (WHERE type = 'wrap_up.started.v1') AS began,
                min(at) FILTER (WHERE type = 'wrap_up.completed.v1') AS wrapped
            FROM routing.entry e WHERE e.ticket_id = o.ticket_id AND e.at > o.ended_at AND e.type IN ('ticket.released.v1',
                'ticket.resolved.v1', 'ticket.pended.v1', 'ticket.put_on_hold.v1', 'wrap_up.started.v1', 'wrap_up.completed.v1')
        ) h) done
    WHERE w.ticket_id = done.ticket_id AND w.since = done.since
        AND (done.at IS NOT NULL OR w.ended_at < clock_timestamp() - interval '1 day')
    RETURNING w.queue_id, CAST(extract(epoch FROM done.at - w.ended_at) AS double precision)
"""
# The first of each lane are found by index, so the first of a queue are among them; queues in which nobody waits who is told
# of it are left out. Who is offered to somebody still stands in line.
PLACES = f"""
    WITH RECURSIVE lanes(lane) AS (
        (SELECT lane FROM routing.ticket WHERE {WAITING} ORDER BY lane LIMIT 1)
        UNION ALL
        SELECT (SELECT t.lane FROM routing.ticket t WHERE {WAITING} AND t.lane > lanes.lane ORDER BY t.lane LIMIT 1)
        FROM lanes WHERE lanes.lane IS NOT NULL
    ), offered AS MATERIALIZED (
        SELECT ticket_id, queue_id, lane, rank, entered_at FROM routing.ticket
        WHERE offer_expires_at IS NOT NULL AND queue_id IS NOT NULL
    ), there AS (
        SELECT lane, split_part(lane, '|', 1) AS queue_id FROM lanes WHERE lane IS NOT NULL
    ), asked AS (
        SELECT DISTINCT queue_id FROM (SELECT lane, queue_id FROM there UNION ALL SELECT lane, queue_id FROM offered) l
        WHERE queue_id = ANY($2::text[]) OR split_part(lane, '|', 2) = ANY($1::text[])
    ), placed AS (
        SELECT *, row_number() OVER line AS place, count(*) OVER (PARTITION BY queue_id) AS waiting,
            first_value(entered_at) OVER line AS head_since, first_value(lane) OVER line AS head_lane
        FROM (
            SELECT f.* FROM there JOIN asked USING (queue_id) CROSS JOIN LATERAL (
                SELECT ticket_id, queue_id, lane, rank, entered_at FROM routing.ticket t
                WHERE {WAITING} AND t.lane = there.lane ORDER BY t.rank, t.ticket_id LIMIT $3) f
            UNION ALL
            SELECT offered.* FROM offered JOIN asked USING (queue_id)) stands
        WINDOW line AS (PARTITION BY queue_id ORDER BY rank, ticket_id)
    )
    SELECT p.ticket_id, p.queue_id, p.place, p.entered_at, w.place, w.seconds, w.estimator, w.heard, p.waiting, p.head_since,
        split_part(p.head_lane, '|', 2), p.queue_id = ANY($2::text[]) OR split_part(p.lane, '|', 2) = ANY($1::text[])
    FROM placed p LEFT JOIN routing.wait w ON w.ticket_id = p.ticket_id AND w.since = p.entered_at
    WHERE p.place = 1 OR p.place <= $3 AND ($4::text IS NULL OR p.ticket_id = $4)
        AND (p.queue_id = ANY($2::text[]) OR split_part(p.lane, '|', 2) = ANY($1::text[]))
    ORDER BY p.queue_id, p.place
"""
SERVERS = """
    WITH present AS MATERIALIZED (
        SELECT a.agent_id, a.used_units, a.by_channel, a.profile->'channel_limits' AS limits, a.profile->>'partner_id' AS partner,
            greatest(coalesce(CAST(a.profile->>'capacity_units' AS integer), 10), 0) AS capacity
        FROM routing.agent a JOIN routing.presence p USING (agent_id)
        WHERE a.state = 'available' AND p.until > clock_timestamp() AND coalesce(CAST(a.profile->>'active' AS boolean), true)
    ), able AS (
        SELECT q.queue, p.capacity, p.used_units, least(q.units, greatest(p.capacity, 1)) AS units,
            coalesce(CAST(p.limits->>q.channel AS integer), q.at_most) AS at_most,
            coalesce(CAST(p.by_channel->>q.channel AS integer), 0) AS has
        FROM jsonb_to_recordset(CAST($1 AS jsonb))
            AS q(queue text, channel text, units integer, at_most integer, teams text[], needs text[], partner text)
        JOIN present p ON p.partner IS NOT DISTINCT FROM q.partner
        WHERE EXISTS (SELECT FROM routing.seat s WHERE s.agent_id = p.agent_id AND s.team_id = ANY(q.teams))
            AND NOT EXISTS (SELECT FROM unnest(q.needs) AS n(ability) WHERE NOT EXISTS (
                SELECT FROM routing.ability b WHERE b.agent_id = p.agent_id AND b.ability = n.ability))
    )
    SELECT queue, sum(least(capacity / units, at_most)),
        sum(greatest(least((capacity - used_units) / units, at_most - has), 0)) FROM able GROUP BY queue
"""
SEEN = "SELECT queue_id, CAST(seen AS text) FROM routing.line WHERE queue_id = ANY($1::text[])"
SAVE_LINES = """
    INSERT INTO routing.line AS l (queue_id, seen, as_of, wait_seconds, estimator)
    SELECT queue_id, CAST(seen AS jsonb), $1, seconds, estimator
    FROM unnest($2::text[], $3::text[], $4::float8[], $5::text[]) AS n(queue_id, seen, seconds, estimator)
    ON CONFLICT (queue_id) DO UPDATE SET seen = excluded.seen, as_of = excluded.as_of, wait_seconds = excluded.wait_seconds,
        estimator = excluded.estimator
"""
SAY = """
    INSERT INTO routing.wait AS w (ticket_id, since, queue_id, asked_at, asked_place, estimates, place, seconds, estimator, as_of)
    SELECT ticket_id, since, queue_id, $1, place, CAST(coalesce(given, '{}') AS jsonb), place, seconds, estimator, $1
    FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::integer[], $6::float8[], $7::text[], $8::text[])
        AS n(ticket_id, since, queue_id, place, seconds, estimator, given)
    ON CONFLICT (ticket_id, since) DO UPDATE SET place = excluded.place, seconds = excluded.seconds,
        estimator = excluded.estimator, as_of = excluded.as_of, heard = false
"""
HEARD = """
    UPDATE routing.wait w SET heard = true FROM unnest($2::text[], $3::timestamptz[]) AS h(ticket_id, since)
    WHERE w.ticket_id = h.ticket_id AND w.since = h.since AND w.as_of <= $1
"""
SAVE_SCORES = f"""
    INSERT INTO routing.estimate_score AS s (queue_id, estimator, day, {", ".join(Score.__struct_fields__)})
    SELECT queue_id, estimator, CAST($1::timestamptz AT TIME ZONE 'UTC' AS date), {", ".join(Score.__struct_fields__)}
    FROM jsonb_to_recordset(CAST($2 AS jsonb)) AS n(queue_id text, estimator text,
        {", ".join(f"{name} numeric" for name in Score.__struct_fields__)})
    ON CONFLICT (queue_id, day, estimator) DO UPDATE SET
        {", ".join(f"{name} = s.{name} + excluded.{name}" for name in Score.__struct_fields__)}
"""
SAVE_MINUTES = """
    INSERT INTO routing.queue_minute AS m (queue_id, minute, answered, within, abandoned, late)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::integer[], $4::integer[], $5::integer[], $6::integer[])
    ON CONFLICT (queue_id, minute) DO UPDATE SET answered = m.answered + excluded.answered, within = m.within + excluded.within,
        abandoned = m.abandoned + excluded.abandoned, late = m.late + excluded.late
"""

_seen = msgspec.json.Decoder(Seen)
_given = msgspec.json.Decoder(dict[EstimatorName, Estimate])
_encode = msgspec.json.Encoder().encode


async def claim(conn: AsyncConnection, every_seconds: float) -> datetime | None:
    """The database's clock, where the last pass began so many seconds ago and nobody is at one; else None."""
    rows = await db.fetch(conn, CLAIM, every_seconds)
    return rows[0][0] if rows else None


async def take_ended(conn: AsyncConnection, at_most: int) -> list[Ended]:
    """The visits that ended since, the oldest of them. Before `places`: a visit that ends after this stands in line there, or is
    found by the next pass; the other way round it could be missed.
    """
    rows = await db.fetch(conn, TAKE_ENDED, at_most)
    return [Ended(ticket_id, queue_id, at, us / 1e6, outcome) for ticket_id, queue_id, at, us, outcome in rows]


async def end(conn: AsyncConnection, ended: Sequence[Ended]) -> list[tuple[str, Mapping[EstimatorName, Estimate], float | None]]:
    """Note how the waits ended that were told of. Returns the queue of each, what was said when it began, and how many seconds
    from then an agent came; None where none did.
    """
    if not ended:
        return []
    columns = [one.ticket_id for one in ended], [one.at for one in ended], [one.outcome for one in ended]
    rows = await db.fetch(conn, END, *columns)
    return [
        (queue_id, _given.decode(given), (at - asked_at).total_seconds() if outcome == "assigned" else None)
        for queue_id, asked_at, at, outcome, given in rows
    ]


async def handled(conn: AsyncConnection, at_most: int) -> dict[str, list[float]]:
    """For how many seconds those who had waited were at work with an agent, by queue, where that is over by now."""
    found: dict[str, list[float]] = {}
    for queue_id, seconds in await db.fetch(conn, HANDLED, at_most):
        if seconds is not None:
            found.setdefault(queue_id, []).append(seconds)
    return found


class InLine(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands: how many wait, as far as was looked; since when its head does, and on which channel."""

    waiting: int
    head_since: datetime
    channel: Channel


async def places(
    conn: AsyncConnection, channels: Collection[Channel], queue_ids: Collection[str], at_most: int, ticket_id: str | None = None
) -> tuple[list[Standing], dict[str, InLine]]:
    """Those who wait on these channels or in these queues, with their places: the first `at_most` of each queue, or one of them.
    And how their queues stand.
    """
    rows = await db.fetch(conn, PLACES, sorted(channels), sorted(queue_ids), at_most, ticket_id)
    standing = [_standing(row) for row in rows if row[11] and row[2] <= at_most and ticket_id in (None, row[0])]
    heads = {row[1]: InLine(waiting=row[8], head_since=row[9], channel=row[10]) for row in rows if row[2] == 1}
    return standing, heads


def _standing(row: asyncpg.Record) -> Standing:
    ticket_id, queue_id, place, since, told_place, seconds, estimator, heard, *_ = row
    told = Told(told_place, seconds, estimator) if told_place is not None else None
    return Standing(ticket_id, queue_id, place, since, told, bool(heard))


async def servers(conn: AsyncConnection, queues: Mapping[str, tuple[QueueConfigured, Channel]]) -> dict[str, tuple[int, int]]:
    """How many tickets of this channel the agents who are there can have at once of each queue, and how many more than they have,
    as far as each may be asked at first.
    """
    asked = [
        {
            "queue": queue.id,
            "channel": channel,
            "units": UNITS.get(channel, OTHER_UNITS),
            "at_most": DEFAULT_LIMITS.get(channel, 1_000_000),
            "teams": teams_of(queue),
            "needs": needs(queue, ANY_LANGUAGE),
            "partner": queue.partner_id,
        }
        for queue, channel in queues.values()
    ]
    rows = await db.fetch(conn, SERVERS, _encode(asked).decode()) if asked else []
    return {queue_id: (int(number), int(free)) for queue_id, number, free in rows}


async def seen(conn: AsyncConnection, queue_ids: Collection[str]) -> dict[str, Seen]:
    """What was seen of these queues, those of which nothing was left out."""
    rows = await db.fetch(conn, SEEN, sorted(queue_ids))
    return {queue_id: _seen.decode(raw) for queue_id, raw in rows}


async def save_lines(conn: AsyncConnection, lines: Mapping[str, tuple[Seen, Foreseen | None]], now: datetime) -> None:
    """What was seen of queues, and how long whoever comes now would wait."""
    waits = [wait for _, wait in lines.values()]
    seconds = [wait.seconds if wait is not None else None for wait in waits]
    by = [wait.estimator if wait is not None else None for wait in waits]
    encoded = [_encode(one).decode() for one, _ in lines.values()]
    await db.fetch(conn, SAVE_LINES, now, list(lines), encoded, seconds, by)


async def say(conn: AsyncConnection, sayings: Sequence[Saying], now: datetime) -> None:
    """Keep what is said of tickets; of those that nothing was said of yet, all that was said."""
    if sayings:
        rows = [
            (
                one.ticket.ticket_id,
                one.ticket.since,
                one.ticket.queue_id,
                one.told.place,
                one.told.seconds,
                one.told.estimator,
                _encode(one.first).decode() if one.first is not None else None,
            )
            for one in sayings
        ]
        await db.fetch(conn, SAY, now, *zip(*rows, strict=True))


async def heard(conn: AsyncConnection, sayings: Sequence[Saying], as_of: datetime) -> None:
    """What was said of these then was published."""
    ids, since = [one.ticket.ticket_id for one in sayings], [one.ticket.since for one in sayings]
    await db.fetch(conn, HEARD, as_of, ids, since)


async def save_scores(conn: AsyncConnection, scores: Mapping[tuple[str, EstimatorName], Score], now: datetime) -> None:
    """Add to the scores of the day."""
    if scores:
        rows = [
            {"queue_id": queue, "estimator": by, **msgspec.structs.asdict(one)} for (queue, by), one in sorted(scores.items())
        ]
        await db.fetch(conn, SAVE_SCORES, now, json.dumps(rows))


async def save_minutes(conn: AsyncConnection, minutes: Mapping[tuple[str, datetime], Answered]) -> None:
    """Add to what was answered in these minutes."""
    if minutes:
        rows = [
            (queue_id, minute, one.answered, one.within, one.abandoned, one.late)
            for (queue_id, minute), one in sorted(minutes.items())
        ]
        await db.fetch(conn, SAVE_MINUTES, *zip(*rows, strict=True))
