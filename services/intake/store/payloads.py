"""What came in, as it came."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.ticket import Ticket

RAW = sa.text("SELECT media_type, body FROM intake.message WHERE id = :id")


def _with_story(columns: str, source: str, ticket_id: str, asked_id: str) -> sa.TextClause:
    """What stands in a row of `source`, and the story of its ticket. Of a merged ticket, who has the one that it went on as has
    its files.
    """
    return sa.text(
        f"""
        WITH RECURSIVE chain(id, merged_into, story, depth) AS (
            SELECT t.id, t.merged_into, t.story, 0 FROM {source} JOIN intake.ticket t ON t.id = {ticket_id} WHERE {asked_id} = :id
            UNION ALL
            SELECT t.id, t.merged_into, t.story, depth + 1 FROM chain JOIN intake.ticket t ON t.id = chain.merged_into
            WHERE depth < 10
        )
        SELECT {columns}, (SELECT story FROM chain ORDER BY depth DESC LIMIT 1) AS story
        FROM {source} WHERE {asked_id} = :id AND {ticket_id} IS NOT NULL
        """
    )


ATTACHMENT = _with_story(
    "a.part, a.media_type, a.name, m.media_type AS carrier_type, m.body",
    "intake.attachment a JOIN intake.message m ON m.id = a.message_id",
    "m.ticket_id",
    "a.id",
)
MESSAGE = _with_story("m.media_type, m.body", "intake.message m", "m.ticket_id", "m.id")
# What was fetched for a message goes with it to another ticket.
KEPT = _with_story(
    "f.media_type, f.content",
    "intake.file f LEFT JOIN intake.message m ON m.id = f.message_id",
    "coalesce(m.ticket_id, f.ticket_id)",
    "f.id",
)
_stories = msgspec.json.Decoder(Ticket)
FORGET_PARKED = sa.text(
    """
    DELETE FROM intake.parked_contact WHERE id IN (
        SELECT id FROM intake.parked_contact WHERE parked_at < now() - make_interval(days => :days) ORDER BY id LIMIT 1000)
    """
)


FILE_ITSELF = "file"  # in place of a payload's type: the body is the file


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload; its body is None after the person was erased. `part` is where in it a file stands; `agent_id` and
    `partner_id` say who has its ticket, as far as intake has heard; `carrier_type` is the type of the payload, where `media_type`
    is that of the file.
    """

    media_type: str
    body: bytes | None
    part: int = 0
    agent_id: str | None = None
    carrier_type: str = ""
    name: str = ""
    partner_id: str | None = None


async def raw(conn: AsyncConnection, message_id: str) -> Payload | None:
    """A message's payload."""
    row = (await conn.execute(RAW, {"id": message_id})).one_or_none()
    return Payload(row.media_type, row.body) if row else None


async def attachment(conn: AsyncConnection, attachment_id: str) -> Payload | None:
    """The mail in which a file stands, or the file itself."""
    row = (await conn.execute(ATTACHMENT, {"id": attachment_id})).one_or_none()
    if row is not None:
        return _whose(row.media_type, row.body, row.story, row.carrier_type, row.part, row.name)
    row = (await conn.execute(KEPT, {"id": attachment_id})).one_or_none()
    return _whose(row.media_type, row.content, row.story, FILE_ITSELF) if row is not None else None


async def message(conn: AsyncConnection, message_id: str) -> Payload | None:
    """A message's payload, and who has its ticket."""
    row = (await conn.execute(MESSAGE, {"id": message_id})).one_or_none()
    return _whose(row.media_type, row.body, row.story) if row else None


def _whose(media_type: str, body: bytes | None, story: bytes, carrier: str = "", part: int = 0, name: str = "") -> Payload:
    ticket = _stories.decode(story)
    return Payload(media_type, body, part, ticket.routing.agent_id, carrier, name, ticket.partner_id)


async def forget_parked(conn: AsyncConnection, days: int) -> None:
    """Delete what was parked longer ago, so much at a time as a transaction can."""
    await conn.execute(FORGET_PARKED, {"days": days})
