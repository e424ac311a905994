"""What the API shows: queues' figures, agents, tickets, histories. Reads only, takes no locks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import EVERYBODY, Agent, ability_of_skill
from services.routing.domain.work import Opening, Work
from services.routing.store.desk import AGENT_COLUMNS, WORK_COLUMNS, agent_of, works_of
from shared import db
from shared.events.base import Channel, Sealed
from shared.events.config import QueueConfigured
from shared.events.people import AgentState

BESIDES = """
    SELECT state FROM routing.ticket WHERE due_at IS NOT NULL AND $1 = ANY(string_to_array(besides, ' ')) ORDER BY ticket_id
"""
OF_CUSTOMER = "SELECT state FROM routing.ticket WHERE customer_id = $1 ORDER BY updated_at DESC LIMIT 200"
# Who wrote, and whoever was in copy of what was written and answered.
PEOPLE_ON = """
    SELECT data->>'customer_id' FROM routing.entry WHERE ticket_id = $1 AND type = 'message.received.v1'
    UNION SELECT jsonb_array_elements_text(data->'cc_customer_ids') FROM routing.entry
    WHERE ticket_id = $1 AND type IN ('message.received.v1', 'reply.requested.v1') AND data ? 'cc_customer_ids'
"""
EXPERTS = """
    SELECT a.agent_id FROM routing.ability b JOIN routing.agent a USING (agent_id) JOIN routing.presence p USING (agent_id)
    WHERE b.ability = $1 AND a.state = 'available' AND p.until > clock_timestamp()
    ORDER BY CAST(a.profile->'skills'->>$2::text AS integer) DESC, a.used_units, a.agent_id LIMIT $3
"""
WAITING = """
    SELECT ticket_id FROM routing.ticket WHERE queue_id IS NOT NULL
    UNION ALL SELECT ticket_id FROM routing.ticket WHERE attention = 'no_queue' AND queue_id IS NULL ORDER BY ticket_id
"""
UNHELD = f"""
    SELECT {WORK_COLUMNS} FROM routing.ticket t LEFT JOIN routing.customer c USING (customer_id)
    WHERE t.ticket_id = ANY($1::text[]) ORDER BY t.ticket_id
"""
WAITING_IN = "SELECT ticket_id FROM routing.ticket WHERE queue_id = $1 ORDER BY ticket_id"
RENAMED = """
    SELECT DISTINCT ON (ticket_id) ticket_id, event_id, CAST(data->'personal' AS text) FROM routing.entry
    WHERE ticket_id = ANY($1::text[]) AND type = 'ticket.renamed.v1' AND data ? 'personal' ORDER BY ticket_id, id DESC
"""

_works = msgspec.json.Decoder(Work)


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """A queue now. `channel`: on which most of those came who wait, None where nobody does."""

    waiting: int = 0
    offered: int = 0
    oldest_wait_seconds: float = 0.0
    available_agents: int = 0
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer as stored."""

    offer_id: str
    ticket_id: str
    agent_id: str
    queue_id: str
    state: str
    offered_at: datetime
    expires_at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One event of a ticket's history; `data` is the fact as JSON, its personal data sealed."""

    id: int
    event_id: str
    type: str
    writer: str
    at: datetime
    data: bytes


async def waiting_ids(conn: AsyncConnection) -> list[str]:
    """The tickets that wait, and those that no queue took, in order."""
    return [ticket_id for (ticket_id,) in await db.fetch(conn, WAITING)]


async def works(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[Work]:
    """These tickets as they are now, in order, not held."""
    return list(works_of(await db.fetch(conn, UNHELD, ticket_ids)).values())


async def waiting_in(conn: AsyncConnection, queue_id: str) -> list[str]:
    """The tickets that wait in a queue, in order."""
    return [ticket_id for (ticket_id,) in await db.fetch(conn, WAITING_IN, queue_id)]


async def all_agents(conn: AsyncConnection) -> dict[str, Agent]:
    """Every agent, not held."""
    rows = await db.fetch(conn, f"SELECT {AGENT_COLUMNS} FROM routing.agent a")
    return await asyncio.to_thread(lambda: {row[0]: agent_of(*row) for row in rows})


async def queue_figures(conn: AsyncConnection, queues: Sequence[QueueConfigured]) -> dict[str, QueueFigures]:
    """Figures of these queues. Available are those who are there, with room, in a team that serves the queue, of its partner."""
    pairs = [(queue.id, team) for queue in queues for team in queue.team_ids or (EVERYBODY,)]
    rows = await conn.execute(
        sa.text(
            """
            SELECT q.id, count(t.ticket_id) AS waiting, count(t.offer_agent_id) AS offered,
                coalesce(extract(epoch FROM clock_timestamp() - min(t.entered_at)), 0) AS oldest,
                (SELECT count(DISTINCT s.agent_id)
                 FROM unnest(CAST(:queues AS text[]), CAST(:teams AS text[])) AS p(queue_id, team_id)
                 JOIN routing.seat s ON s.team_id = p.team_id AND s.ready
                 JOIN routing.presence here ON here.agent_id = s.agent_id AND here.until > clock_timestamp()
                 JOIN routing.agent a ON a.agent_id = s.agent_id
                 WHERE p.queue_id = q.id AND a.profile->>'partner_id' IS NOT DISTINCT FROM q.partner) AS available,
                mode() WITHIN GROUP (ORDER BY split_part(t.lane, '|', 2)) AS channel
            FROM unnest(CAST(:ids AS text[]), CAST(:partners AS text[])) AS q(id, partner)
            LEFT JOIN routing.ticket t ON t.queue_id = q.id GROUP BY q.id, q.partner
            """
        ),
        {
            "ids": [queue.id for queue in queues],
            "partners": [queue.partner_id for queue in queues],
            "queues": [queue_id for queue_id, _ in pairs],
            "teams": [team for _, team in pairs],
        },
    )
    return {
        row.id: QueueFigures(row.waiting, row.offered, round(float(row.oldest), 3), row.available, row.channel) for row in rows
    }


async def agent(conn: AsyncConnection, agent_id: str) -> tuple[Agent, datetime | None] | None:
    """The agent, and until when the presence holds."""
    row = (
        await conn.execute(
            sa.text(
                f"SELECT p.until, {AGENT_COLUMNS} FROM routing.agent a LEFT JOIN routing.presence p USING (agent_id)"
                " WHERE a.agent_id = :id"
            ),
            {"id": agent_id},
        )
    ).one_or_none()
    return (agent_of(*row[1:]), row[0]) if row else None


async def agents_page(
    conn: AsyncConnection,
    after: str,
    at_most: int,
    partner_id: str | None = None,
    state: AgentState | None = None,
    team_id: str | None = None,
) -> list[tuple[Agent, datetime | None]]:
    """Agents with an id after the one given, in order of id; only those of a partner, in a state, of a team when given."""
    rows = await conn.execute(
        sa.text(
            f"SELECT p.until, {AGENT_COLUMNS} FROM routing.agent a LEFT JOIN routing.presence p USING (agent_id)"
            " WHERE a.agent_id > :after AND (CAST(:partner AS text) IS NULL OR a.profile->>'partner_id' = :partner)"
            " AND (CAST(:state AS text) IS NULL OR a.state = :state)"
            " AND (CAST(:team AS text) IS NULL OR a.profile->'team_ids' @> to_jsonb(CAST(:team AS text)))"
            " ORDER BY a.agent_id LIMIT :at_most"
        ),
        {"after": after, "at_most": at_most, "partner": partner_id, "state": state, "team": team_id},
    )
    return [(agent_of(*row[1:]), row[0]) for row in rows]


async def tickets_offered(conn: AsyncConnection, offers: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The ticket of each offer to an agent, live or not, by (offer, agent)."""
    if not offers:
        return {}
    rows = await db.fetch(
        conn,
        "SELECT offer_id, agent_id, ticket_id FROM routing.offer"
        " JOIN unnest($1::text[], $2::text[]) AS asked(offer_id, agent_id) USING (offer_id, agent_id)",
        [offer_id for offer_id, _ in offers],
        [agent_id for _, agent_id in offers],
    )
    return {(offer_id, agent_id): ticket_id for offer_id, agent_id, ticket_id in rows}


async def live_offers(conn: AsyncConnection, agent_id: str) -> list[OfferRow]:
    """What the agent is offered now, oldest first."""
    rows = await conn.execute(
        sa.text(
            "SELECT o.offer_id, o.ticket_id, o.agent_id, o.queue_id, o.state, o.offered_at, o.expires_at, t.number"
            " FROM routing.offer o JOIN routing.ticket t USING (ticket_id)"
            " WHERE o.agent_id = :id AND o.state = 'live' ORDER BY o.offered_at, o.offer_id"
        ),
        {"id": agent_id},
    )
    return [OfferRow(*row) for row in rows]


async def owned(conn: AsyncConnection, agent_id: str, after: str, at_most: int) -> list[Work]:
    """Tickets of the agent with an id after the one given, in order of id."""
    rows = await conn.execute(
        sa.text(
            "SELECT state FROM routing.ticket WHERE agent_id = :agent AND ticket_id > :after ORDER BY ticket_id LIMIT :at_most"
        ),
        {"agent": agent_id, "after": after, "at_most": at_most},
    )
    return [_works.decode(row.state) for row in rows]


async def besides(conn: AsyncConnection, agent_id: str) -> list[Work]:
    """Tickets that the agent neither owns nor is offered, and has something to do with; few, so they are looked through."""
    rows = await db.fetch(conn, BESIDES, agent_id)
    return [_works.decode(row[0]) for row in rows]


async def experts(conn: AsyncConnection, skill: str, at_most: int) -> list[str]:
    """Agents who are there and have the skill, the best first, of equals who is least busy. Not locked."""
    rows = await db.fetch(conn, EXPERTS, ability_of_skill(skill, 1), skill, at_most)
    return [agent_id for (agent_id,) in rows]


async def needing_attention(conn: AsyncConnection, attention: str, after: str, at_most: int) -> list[Work]:
    """Tickets that people have to look at for this reason, with an id after the one given, in order of id."""
    rows = await conn.execute(
        sa.text(
            "SELECT state FROM routing.ticket WHERE attention = :attention AND ticket_id > :after"
            " ORDER BY ticket_id LIMIT :at_most"
        ),
        {"attention": attention, "after": after, "at_most": at_most},
    )
    return [_works.decode(row.state) for row in rows]


async def ticket(conn: AsyncConnection, ticket_id: str, *, lock: bool = False) -> Work | None:
    """The ticket, None where routing does not know it. `lock`: nobody changes it until the transaction ends."""
    statement = "SELECT state FROM routing.ticket WHERE ticket_id = $1"
    rows = await db.fetch(conn, f"{statement} FOR SHARE" if lock else statement, ticket_id)
    return _works.decode(rows[0][0]) if rows else None


async def of_customer(conn: AsyncConnection, customer_id: str) -> list[Work]:
    """The customer's tickets, those that changed last."""
    rows = await db.fetch(conn, OF_CUSTOMER, customer_id)
    return [_works.decode(row[0]) for row in rows]


async def people_on(conn: AsyncConnection, ticket_id: str) -> set[str]:
    """The customers who take part in the ticket."""
    return {customer_id for (customer_id,) in await db.fetch(conn, PEOPLE_ON, ticket_id)}


async def renamed(conn: AsyncConnection, ticket_ids: Sequence[str]) -> dict[str, Opening]:
    """What tickets were renamed to last, as it was sealed; those that have no other subject are left out."""
    rows = await db.fetch(conn, RENAMED, ticket_ids) if ticket_ids else []
    return {row[0]: Opening(event_id=row[1], sealed=msgspec.json.decode(row[2], type=Sealed)) for row in rows}


async def needs_people(conn: AsyncConnection, ticket_id: str) -> bool:
    """Whether a record of the ticket is parked: then a customer may wait unseen."""
    statement = "SELECT EXISTS (SELECT 1 FROM routing.parked WHERE topic = 'tickets' AND key = $1)"
    [(parked,)] = await db.fetch(conn, statement, ticket_id)
    return bool(parked)


async def history(conn: AsyncConnection, ticket_id: str, after: int, at_most: int) -> list[HistoryRow]:
    """Events of the ticket after the one given, in the order in which routing heard or said them."""
    rows = await db.fetch(
        conn,
        "SELECT id, event_id, type, writer, at, CAST(data AS text) FROM routing.entry"
        " WHERE ticket_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        ticket_id,
        after,
        at_most,
    )
    return [HistoryRow(entry, event_id, kind, writer, at, data.encode()) for entry, event_id, kind, writer, at, data in rows]


async def promises(conn: AsyncConnection, ticket_id: str) -> list[dict[str, object]]:
    """What sla promised on the ticket."""
    rows = await db.fetch(
        conn,
        "SELECT clock_id, target, cycle, policy_id, state, deadline, remaining_us, warned_percent, breached"
        " FROM routing.promise WHERE ticket_id = $1 ORDER BY target, cycle",
        ticket_id,
    )
    return [dict(row) for row in rows]
