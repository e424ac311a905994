"""Writing what a transaction decided: tickets, agents, offers, live streams and history, all in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import count

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import Agent
from services.routing.domain.changes import Changes
from services.routing.domain.choice import used_share
from services.routing.domain.timeline import Entry
from services.routing.domain.tracing import Reason
from services.routing.domain.work import Entitlement, Work
from services.routing.store import timing
from shared import db

_encode = msgspec.json.Encoder().encode
_NOBODY = Entitlement()

# The types of the arrays that the statement unnests, in its order.
ROWS = {
    "works": "text bigint text text text text text text smallint bigint timestamptz timestamptz integer"
    " timestamptz text timestamptz text timestamptz text text bytea",
    "agents": "text text timestamptz timestamptz timestamptz integer integer integer integer text boolean",
    "ended": "text text",
    "made": "text text text text integer text timestamptz timestamptz timestamptz text text",
    "decisions": "text text",
    "entries": "text text text text timestamptz text text",
    "notices": "text text text",
    "channels": "text",
}
_WIDTHS = {rows: len(types.split()) for rows, types in ROWS.items()}


def _unnested() -> dict[str, str]:
    numbers = count(2)  # $1 is the time
    return {rows: ", ".join(f"${next(numbers)}::{kind}[]" for kind in types.split()) for rows, types in ROWS.items()}


# What an agent carries more or less is added to what the row has, and its ceiling only falls here: the database refuses more load
# than it, also of two who decided without seeing each other. The row of `stream_position` is held till the commit, so numbers of
# a stream commit in their order. NOTIFY is sent at the commit. Visits that end are noted for the pass that estimates waits, which
# takes them away.
SAVE = """
    WITH works AS (
        INSERT INTO routing.ticket AS t (ticket_id, number, customer_id, status, agent_id, last_agent_id, queue_id, lane,
            priority, rank, age_from, entered_at, filed_under, file_again_at, offer_agent_id, offer_expires_at, attention, due_at,
            live_agent_id, besides, state, updated_at)
        SELECT *, $1::timestamptz FROM unnest({works})
        ON CONFLICT (ticket_id) DO UPDATE SET number = excluded.number, customer_id = excluded.customer_id,
            status = excluded.status, agent_id = excluded.agent_id, last_agent_id = excluded.last_agent_id,
            queue_id = excluded.queue_id, lane = excluded.lane, priority = excluded.priority, rank = excluded.rank,
            age_from = excluded.age_from, entered_at = excluded.entered_at, filed_under = excluded.filed_under,
            file_again_at = excluded.file_again_at, offer_agent_id = excluded.offer_agent_id,
            offer_expires_at = excluded.offer_expires_at, attention = excluded.attention, due_at = excluded.due_at,
            live_agent_id = excluded.live_agent_id, besides = excluded.besides,
            state = excluded.state, updated_at = excluded.updated_at
    ), a AS (
        SELECT * FROM unnest({agents})
            AS a(agent_id, state, state_since, idle_since, given_at, more, used_share, capacity, tickets, by_channel, ready)
    ), agents AS (
        UPDATE routing.agent o SET state = a.state, state_since = a.state_since, idle_since = a.idle_since,
            given_at = a.given_at, used_units = o.used_units + a.more,
            ceiling_units = least(o.ceiling_units, greatest(a.capacity, o.used_units + a.more)),
            tickets = a.tickets, by_channel = CAST(a.by_channel AS jsonb)
        FROM a WHERE o.agent_id = a.agent_id
    ), seats AS (
        UPDATE routing.seat s SET ready = a.ready, idle_since = a.idle_since, given_at = a.given_at, used_share = a.used_share
        FROM a WHERE s.agent_id = a.agent_id
            AND (s.ready, s.idle_since, s.used_share) IS DISTINCT FROM (a.ready, a.idle_since, a.used_share)
    ), ended AS (
        UPDATE routing.offer o SET state = e.outcome, ended_at = $1
        FROM unnest({ended}) AS e(offer_id, outcome) WHERE o.offer_id = e.offer_id
    ), made AS (
        INSERT INTO routing.offer (offer_id, ticket_id, agent_id, queue_id, visit, state, offered_at, expires_at, ended_at,
            decision_id, reason)
        SELECT offer_id, ticket_id, agent_id, queue_id, visit, state, offered_at, expires_at, ended_at, decision_id,
            CAST(reason AS jsonb)
        FROM unnest({made}) AS m(offer_id, ticket_id, agent_id, queue_id, visit, state, offered_at, expires_at, ended_at,
            decision_id, reason)
    ), decided AS (
        INSERT INTO routing.decision (decision_id, at, data)
        SELECT decision_id, $1, CAST(data AS jsonb) FROM unnest({decisions}) AS d(decision_id, data)
    ), history AS (
        INSERT INTO routing.entry (ticket_id, event_id, type, writer, at, customer_id, data)
        SELECT ticket_id, event_id, type, writer, at, customer_id, CAST(data AS jsonb)
        FROM unnest({entries}) WITH ORDINALITY AS e(ticket_id, event_id, type, writer, at, customer_id, data, i)
        ORDER BY i
    ), visits AS (
        INSERT INTO routing.visit_end (ticket_id, queue_id, at, waited_us, outcome)
        SELECT ticket_id, fact->>'queue_id', at, CAST(fact->>'waited_us' AS bigint), coalesce(fact->>'reason', 'assigned')
        FROM (SELECT ticket_id, at, CAST(data AS jsonb) AS fact
            FROM unnest({entries}) AS e(ticket_id, event_id, type, writer, at, customer_id, data)
            WHERE type IN ('ticket.assigned.v1', 'ticket.left_queue.v1')) ended
        WHERE fact->>'visit' IS NOT NULL
    ), told AS (
        SELECT *, row_number() OVER mine AS k, count(*) OVER (PARTITION BY agent_id) AS total
        FROM unnest({notices}) WITH ORDINALITY AS t(agent_id, kind, payload, i)
        WINDOW mine AS (PARTITION BY agent_id ORDER BY i)
    ), counted AS (
        INSERT INTO routing.stream_position AS p (agent_id, n)
        SELECT agent_id, count(*) FROM told GROUP BY agent_id ORDER BY agent_id
        ON CONFLICT (agent_id) DO UPDATE SET n = p.n + excluded.n
        RETURNING agent_id, n
    ), streamed AS (
        INSERT INTO routing.stream (agent_id, n, kind, payload, at)
        SELECT told.agent_id, counted.n - total + k, kind, payload, $1 FROM told JOIN counted USING (agent_id)
    )
    SELECT pg_notify(channel, '') FROM unnest({channels}) AS channel
""".format(**_unnested())


async def save(conn: AsyncConnection, changes: Changes, now: datetime, *, wake: bool) -> None:
    """Write all changes. `wake` tells the matchers of all processes, at the commit, that there may be something to match."""
    decisions = {reason.decision_id: reason.looked for reason in changes.reasons}
    notices = [(notice.agent_id, notice.kind, _encode(notice.payload).decode()) for notice in changes.notices]
    wakes = ("routing_stream", bool(notices)), ("routing_match", wake)
    await db.fetch(
        conn,
        SAVE,
        now,
        *_columns("works", [_work(work) for work in changes.works.values()]),
        *_columns("agents", [_agent(agent) for agent in changes.agents.values()]),
        *_columns("ended", [(end.offer_id, end.outcome) for end in changes.ended if end.offer_id not in changes.made]),
        *_columns("made", _made(changes, now)),
        *_columns("decisions", [(of, _encode(looked).decode()) for of, looked in decisions.items()]),
        *_columns("entries", [_entry(entry) for entry in changes.entries]),
        *_columns("notices", notices),
        [channel for channel, told in wakes if told],
    )
    await timing.note(conn, changes.to_judge)


def _made(changes: Changes, now: datetime) -> list[tuple[object, ...]]:
    outcomes = {end.offer_id: end.outcome for end in changes.ended}
    reasons = {reason.offer_id: reason for reason in changes.reasons}
    return [
        (
            offer.id,
            ticket_id,
            offer.agent_id,
            offer.queue_id,
            offer.visit,
            outcomes.get(offer.id, "live"),
            offer.offered_at,
            offer.expires_at,
            now if offer.id in outcomes else None,
            *_why(reasons.get(offer.id)),
        )
        for ticket_id, offer in changes.made.values()
    ]


def _why(reason: Reason | None) -> tuple[str | None, str | None]:
    if reason is None:
        return None, None
    return reason.decision_id, _encode({"how": reason.how, "let_go": reason.let_go}).decode()


def _work(work: Work) -> tuple[object, ...]:
    ticket, visit, offer = work.ticket, work.visit, work.offer
    is_plain = work.entitlement == _NOBODY and not work.unreachable
    kept = work if is_plain else msgspec.structs.replace(work, entitlement=_NOBODY, unreachable={})
    return (
        work.id,
        ticket.intake.number,
        ticket.intake.customer_id,
        ticket.status,
        work.owner,
        work.last_agent_id,
        visit.queue_id if visit else None,
        visit.lane if visit else None,
        ticket.priority,
        work.rank,
        visit.age_from if visit else None,
        visit.entered_at if visit else None,
        visit.filed_under if visit else None,
        visit.file_again_at if visit else None,
        offer.agent_id if offer else None,
        offer.expires_at if offer else None,
        work.looked_at_for,
        work.due_at,
        work.live_agent_id,
        " ".join(sorted(work.besides.agents)) or None,
        _encode(kept),
    )


def _agent(agent: Agent) -> tuple[object, ...]:
    return (
        agent.id,
        agent.state,
        agent.state_since,
        agent.idle_since,
        agent.given_at,
        agent.used_units - agent.stored_units,
        used_share(agent),
        agent.capacity_units,
        agent.tickets,
        _encode(agent.by_channel).decode(),
        agent.ready,
    )


def _entry(entry: Entry) -> tuple[object, ...]:
    return (entry.ticket_id, entry.event_id, entry.type, entry.writer, entry.at, entry.customer_id, entry.data)


def _columns(kind: str, rows: Sequence[tuple[object, ...]]) -> list[Sequence[object]]:
    """Rows of this kind as the arrays that the statement unnests."""
    return list(zip(*rows, strict=True)) if rows else [()] * _WIDTHS[kind]
