"""Tickets, messages and calls, written back from the log. Set-based, and harmless when it is done twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.calls import Call
from services.intake.domain.identity import TYPED
from services.intake.domain.requests import BY_HAND, by_hand
from services.intake.domain.threads import LETTERS, QUARANTINE
from services.intake.recalled_ticket import Opened, Written
from shared.db import execute_many
from shared.events.base import Channel
from shared.ticket import Ticket

_calls = msgspec.json.Decoder(Call)
# Numbers that were told to customers in the last instants before the loss, and did not reach the log, must not be told again.
NUMBERS_LEFT_OUT = 1000

TICKETS = sa.text(
    """
    INSERT INTO intake.ticket (id, number, customer_id, channel, inbox, language, subject, status, story, closed, owned,
                               rested_at, merged_into, opened_at, conversation, changed_at)
    SELECT w.*, CAST(:now AS timestamptz) FROM unnest(
        CAST(:ids AS text[]), CAST(:numbers AS bigint[]), CAST(:customers AS text[]), CAST(:channels AS text[]),
        CAST(:inboxes AS text[]), CAST(:languages AS text[]), CAST(:subjects AS text[]), CAST(:statuses AS text[]),
        CAST(:stories AS bytea[]), CAST(:closed AS boolean[]), CAST(:owned AS boolean[]), CAST(:rested AS timestamptz[]),
        CAST(:merged AS text[]), CAST(:opened AS timestamptz[]), CAST(:conversations AS text[])) AS w
    """
)
FOLLOWED = sa.text(
    """
    UPDATE intake.ticket t SET followed_up_by = w.new_id
    FROM unnest(CAST(:olds AS text[]), CAST(:news AS text[])) AS w(id, new_id) WHERE t.id = w.id
    """
)
MESSAGES = sa.text(
    """
    INSERT INTO intake.message (id, ticket_id, customer_id, content_hash, handle_kind, handle, message_ref,
                                request, request_hash, human, opened, participant, media_type, body, received_at, cc,
                                cc_handles)
    SELECT id, ticket, customer, hash, nullif(kind, ''), nullif(handle, ''), nullif(ref, ''), nullif(request, ''), digest,
           human, opened, participant, 'text/plain', body, at, string_to_array(nullif(cc, ''), ' '),
           string_to_array(nullif(cc_handles, ''), ' ')
    FROM unnest(CAST(:ids AS text[]), CAST(:tickets AS text[]), CAST(:customers AS text[]), CAST(:hashes AS text[]),
                CAST(:kinds AS text[]), CAST(:handles AS text[]), CAST(:refs AS text[]), CAST(:requests AS text[]),
                CAST(:digests AS bytea[]), CAST(:human AS boolean[]), CAST(:opened AS boolean[]),
                CAST(:participants AS boolean[]), CAST(:bodies AS bytea[]), CAST(:times AS timestamptz[]), CAST(:cc AS text[]),
                CAST(:cc_handles AS text[]))
        AS m(id, ticket, customer, hash, kind, handle, ref, request, digest, human, opened, participant, body, at, cc, cc_handles)
    ON CONFLICT DO NOTHING
    """
)
REFS = sa.text(
    """
    INSERT INTO intake.ref (inbox, value, ticket_id)
    SELECT * FROM unnest(CAST(:inboxes AS text[]), CAST(:values AS text[]), CAST(:tickets AS text[])) ON CONFLICT DO NOTHING
    """
)
CALLS = sa.text(
    """
    INSERT INTO intake.call (provider, ref, id, ticket_id, state)
    SELECT * FROM unnest(CAST(:providers AS text[]), CAST(:refs AS text[]), CAST(:ids AS text[]), CAST(:tickets AS text[]),
                         CAST(:states AS bytea[]))
    ON CONFLICT (provider, ref) DO UPDATE SET state = excluded.state
    """
)
CALLS_OF = sa.text("SELECT id, state FROM intake.call WHERE ticket_id = ANY(:tickets)")
WITH_MESSAGES = sa.text("SELECT DISTINCT ticket_id FROM intake.message WHERE ticket_id = ANY(:ids)")
# The story says whose a ticket is; the column follows it. What somebody wrote to a ticket that is another's now, by an unmerge
# or a split, is a guest's.
OWNERS = sa.text(
    """
    UPDATE intake.ticket t SET customer_id = w.customer_id
    FROM unnest(CAST(:ids AS text[]), CAST(:customers AS text[])) AS w(id, customer_id)
    WHERE t.id = w.id AND t.customer_id <> w.customer_id
    """
)
GUESTS = sa.text(
    """
    WITH RECURSIVE strangers(id, customer_id, owner, depth) AS (
        SELECT m.id, m.customer_id, t.customer_id, 0 FROM intake.ticket t JOIN intake.message m ON m.ticket_id = t.id
        WHERE t.id = ANY(:ids) AND m.participant AND m.customer_id <> t.customer_id
        UNION ALL
        SELECT s.id, c.merged_into, s.owner, s.depth + 1 FROM strangers s JOIN intake.customer c ON c.id = s.customer_id
        WHERE c.merged_into IS NOT NULL AND s.depth < 10
    )
    UPDATE intake.message SET participant = false
    WHERE id IN (SELECT id FROM strangers GROUP BY id HAVING NOT bool_or(customer_id = owner))
    """
)
# A claim that came to the owner has ended; of the two customers that became one, either may have been read first.
CLAIMS = sa.text(
    """
    DELETE FROM intake.handle h USING intake.handle o
    WHERE h.scope = 'claimed' AND o.customer_id = h.customer_id AND (o.kind, o.scope, o.value) = (h.kind, '', h.value)
    """
)
NUMBERS = sa.text(
    """
    SELECT setval('intake.ticket_number', greatest((SELECT last_value FROM intake.ticket_number),
                                                   (SELECT coalesce(max(number), 0) FROM intake.ticket)) + :left_out)
    """
)
# Which conversation a ticket is follows from the handle that its first message came from, of a call from the number; that spam
# opened, and no agent cleared, is one in quarantine. Only now, because while tickets come back in the order of the partitions,
# the one that was closed may come after the one that was opened in its place. What was cleared takes nobody's place.
CONVERSATIONS = sa.text(
    """
    WITH told AS (
        SELECT t.id, t.number, t.closed OR t.merged_into IS NOT NULL AS ended, s.spam,
            CASE WHEN s.spam AND NOT s.cleared THEN CAST(:quarantine AS text) ELSE '' END
                || concat_ws(E'\\x1f', t.channel, t.inbox, h.kind, h.scope, h.value) AS conversation
        FROM intake.ticket t
        CROSS JOIN LATERAL (SELECT CAST(convert_from(t.story, 'UTF8') AS jsonb) AS story) j
        CROSS JOIN LATERAL (SELECT coalesce(CAST(j.story #>> '{intake,spam}' AS boolean), false) AS spam,
                                   CAST(j.story #>> '{routing,spam}' AS boolean) IS FALSE AS cleared) s
        LEFT JOIN LATERAL (SELECT m.handle_kind, m.handle FROM intake.message m WHERE m.ticket_id = t.id
                           ORDER BY m.opened DESC, m.received_at LIMIT 1) m ON true
        JOIN LATERAL (
            SELECT * FROM intake.handle h WHERE h.customer_id = t.customer_id
            ORDER BY (h.kind, h.value) IS NOT DISTINCT FROM (m.handle_kind, m.handle) DESC,
                (h.scope = 'claimed') = (t.channel = ANY(:typed)) DESC,
                (h.kind = 'phone') = (t.channel = ANY(:by_number)) DESC, h.id LIMIT 1) h ON true
        WHERE t.conversation IS NULL AND NOT t.channel = ANY(:letters) AND t.inbox <> 'by_hand'
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY conversation, ended ORDER BY spam, number DESC) AS place FROM told
    )
    UPDATE intake.ticket t SET conversation = r.conversation FROM ranked r
    WHERE t.id = r.id AND (r.ended OR (r.place = 1 AND NOT EXISTS (
        SELECT 1 FROM intake.ticket o WHERE o.conversation = r.conversation AND NOT o.closed AND o.merged_into IS NULL)))
    """
)
BY_NUMBER: tuple[Channel, ...] = ("phone", "sms", "whatsapp")


class NewTicket(NamedTuple):
    """A ticket to write, as it stands by now."""

    ticket_id: str
    opened: Opened
    story: Ticket


async def insert(conn: AsyncConnection, tickets: Sequence[NewTicket], rested: Sequence[datetime | None], now: datetime) -> None:
    """Tickets that the backup did not know; `rested` since when each is resolved."""
    if not tickets:
        return
    facts = [ticket.opened.fact for ticket in tickets]
    stories = [ticket.story for ticket in tickets]
    await conn.execute(
        TICKETS,
        {
            "now": now,
            "ids": [ticket.ticket_id for ticket in tickets],
            "numbers": [fact.number for fact in facts],
            "customers": [story.intake.customer_id for story in stories],
            "channels": [fact.channel for fact in facts],
            "inboxes": [fact.inbox for fact in facts],
            "languages": [fact.language for fact in facts],
            "subjects": [ticket.opened.subject for ticket in tickets],
            "statuses": [story.status for story in stories],
            "stories": [msgspec.json.encode(story) for story in stories],
            "closed": [story.intake.closed for story in stories],
            "owned": [story.routing.agent_id is not None for story in stories],
            "rested": list(rested),
            "merged": [story.intake.merged_into for story in stories],
            "opened": [ticket.opened.at for ticket in tickets],
            "conversations": [_conversation(ticket) for ticket in tickets],
        },
    )


def _conversation(ticket: NewTicket) -> str | None:
    """What was split off has none, which goes on in the ticket it came from: a name that nothing else has. Others come later."""
    fact = ticket.opened.fact
    if fact.split_from is not None:
        return f"split\x1f{ticket.ticket_id}"
    return by_hand(fact.customer_id, ticket.ticket_id) if fact.inbox == BY_HAND else None


async def owners(conn: AsyncConnection, stories: Mapping[str, Ticket], split: Sequence[str]) -> None:
    """Whose these tickets are, as their stories say; and who wrote to them, and to those that were split off, as a guest."""
    await execute_many(conn, OWNERS, ids=list(stories), customers=[story.intake.customer_id for story in stories.values()])
    await conn.execute(GUESTS, {"ids": [*stories, *split]})


async def follow(conn: AsyncConnection, followed: Sequence[tuple[str, str]]) -> None:
    """Closed tickets know what follows them: (old, new)."""
    if followed:
        await execute_many(conn, FOLLOWED, olds=[old for old, _ in followed], news=[new for _, new in followed])


async def messages(conn: AsyncConnection, told: Sequence[tuple[str, Written]]) -> None:
    """Messages by ticket, with what they can be found by, and their text in place of what came: that is not on the log, and files
    are not either.
    """
    if not told:
        return
    facts, sealed = [one.fact for _, one in told], [one.told for _, one in told]
    await execute_many(
        conn,
        MESSAGES,
        ids=[fact.message_id for fact in facts],
        tickets=[ticket_id for ticket_id, _ in told],
        customers=[fact.customer_id for fact in facts],
        hashes=[one.content_hash for one in sealed],
        kinds=[one.handle_kind for one in sealed],
        handles=[one.handle for one in sealed],
        refs=[one.message_ref for one in sealed],
        requests=[one.request for one in sealed],
        digests=[bytes.fromhex(one.request_digest) or None for one in sealed],
        human=[fact.origin == "human" for fact in facts],
        opened=[one.opened for _, one in told],
        participants=[fact.participant for fact in facts],
        bodies=[one.text.encode() or None for one in sealed],
        times=[one.at for _, one in told],
        cc=[" ".join(fact.cc_customer_ids) for fact in facts],
        cc_handles=[" ".join(fact.cc_handle_ids) for fact in facts],
    )
    refs = {
        (one.fact.inbox, ref, one.fact.kept_from_ticket_id or ticket_id)
        for ticket_id, one in told
        for ref in (*one.told.reply_refs, one.told.message_ref)
        if ref
    }
    if refs:
        ordered = sorted(refs)
        await execute_many(
            conn, REFS, inboxes=[r[0] for r in ordered], values=[r[1] for r in ordered], tickets=[r[2] for r in ordered]
        )


async def calls(conn: AsyncConnection, told: Sequence[Call]) -> None:
    """Calls as they stand."""
    if told:
        await execute_many(
            conn,
            CALLS,
            providers=[call.provider for call in told],
            refs=[call.call_ref for call in told],
            ids=[call.call_id for call in told],
            tickets=[call.ticket_id for call in told],
            states=[msgspec.json.encode(call) for call in told],
        )


async def calls_of(conn: AsyncConnection, ticket_ids: Sequence[str]) -> list[Call]:
    """The calls of these tickets."""
    return [_calls.decode(row.state) for row in await conn.execute(CALLS_OF, {"tickets": list(ticket_ids)})]


async def with_messages(conn: AsyncConnection, ticket_ids: Sequence[str]) -> set[str]:
    """Those of the tickets that have a message."""
    return set((await conn.execute(WITH_MESSAGES, {"ids": list(ticket_ids)})).scalars())


async def leave_open(conn: AsyncConnection) -> None:
    """When all was read: claims that have ended, numbers that go on beyond what was given out, and conversations."""
    await conn.execute(CLAIMS)
    await conn.execute(NUMBERS, {"left_out": NUMBERS_LEFT_OUT})
    channels = {"letters": sorted(LETTERS), "typed": sorted(TYPED), "by_number": list(BY_NUMBER), "quarantine": QUARANTINE}
    await conn.execute(CONVERSATIONS, channels)


def fetches_of(told: Written) -> list[tuple[str, str, str, str]]:
    """The files that a message points to, to be fetched (again)."""
    fact = told.fact
    urls = zip(fact.attachments_awaited, told.told.attachment_urls, strict=False)
    return [(attachment_id, fact.message_id, fact.customer_id, url) for attachment_id, url in urls]
