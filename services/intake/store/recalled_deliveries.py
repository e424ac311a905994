"""What went out, written back from intake's own facts on the log. Set-based, and harmless when it is done twice."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.confirmation import confirmed_on
from services.intake.domain.words import Told, recalled
from services.intake.recalled_ticket import Ended, Heard, Written
from services.intake.store.words import note_returned
from shared.db import execute_many
from shared.events.message import MessageBounced

_told = msgspec.json.Decoder(Told)

CONFIRMATIONS = sa.text(
    """
    INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at)
    SELECT id, ticket, customer, 'confirmation', channel, language, at, at
    FROM unnest(CAST(:ids AS text[]), CAST(:tickets AS text[]), CAST(:customers AS text[]), CAST(:channels AS text[]),
                CAST(:languages AS text[]), CAST(:times AS timestamptz[])) AS c(id, ticket, customer, channel, language, at)
    ON CONFLICT DO NOTHING
    """
)
ENDED = sa.text(
    """
    UPDATE intake.delivery d SET
        state = CASE WHEN w.goes_on THEN d.state ELSE w.state END,
        due_at = CASE WHEN w.goes_on THEN d.due_at END,
        ended_at = CASE WHEN w.goes_on THEN d.ended_at ELSE w.at END,
        copies_left = CASE WHEN w.state = 'uncertain' THEN d.copies_left ELSE string_to_array(nullif(w.awaited, ''), ' ') END,
        uncertain = d.uncertain OR w.uncertain, leased_until = NULL, attempts = greatest(d.attempts, w.attempts),
        provider_ref = coalesce(w.ref, d.provider_ref), promised_by = coalesce(w.promised_by, d.promised_by)
    FROM (SELECT DISTINCT ON (coalesce(message, ticket)) ticket, message, state, attempts, at, ref, awaited, by_word, promised_by,
                 state = 'uncertain' OR awaited <> '' AS goes_on,
                 bool_or(state = 'uncertain') OVER (PARTITION BY coalesce(message, ticket)) AS uncertain
          FROM unnest(CAST(:tickets AS text[]), CAST(:messages AS text[]), CAST(:states AS text[]), CAST(:attempts AS integer[]),
                      CAST(:times AS timestamptz[]), CAST(:refs AS text[]), CAST(:awaited AS text[]), CAST(:words AS boolean[]),
                      CAST(:promised AS timestamptz[]))
               WITH ORDINALITY AS e(ticket, message, state, attempts, at, ref, awaited, by_word, promised_by, n)
          ORDER BY coalesce(message, ticket), (state = 'uncertain'), n DESC) w
    WHERE d.due_at IS NOT NULL AND (d.copies_left IS NULL OR NOT w.by_word)
      AND (d.message_id = w.message OR (w.message IS NULL AND d.ticket_id = w.ticket AND d.kind = 'confirmation'))
    """
)
TOLD_OF = sa.text("SELECT message_id, told FROM intake.delivery WHERE message_id = ANY(:ids) ORDER BY message_id FOR UPDATE")
TOLD = sa.text(
    """
    UPDATE intake.delivery d SET told = w.told FROM unnest(CAST(:ids AS text[]), CAST(:tolds AS bytea[])) AS w(id, told)
    WHERE d.message_id = w.id
    """
)
# Nobody knows what became of these: their attempts may have been made, so they are taken for begun and never ended. Where it was
# said of the last attempt that it is uncertain, or put copies off, it is one after it of which nobody knows. Questions whose time
# has not come were not asked.
LEFT_OPEN = sa.text(
    """
    UPDATE intake.delivery SET state = 'sending', leased_until = NULL, due_at = clock_timestamp() + interval '2 seconds',
        attempts = attempts + (uncertain OR copies_left IS NOT NULL)::integer
    WHERE due_at IS NOT NULL AND (kind <> 'survey' OR due_at < clock_timestamp())
    """
)


async def confirmations(conn: AsyncConnection, wanted: Sequence[tuple[str, str, Written]]) -> None:
    """Confirmations (id, ticket, opening message) that were to go out."""
    if wanted:
        await execute_many(
            conn,
            CONFIRMATIONS,
            ids=[confirmation_id for confirmation_id, _, _ in wanted],
            tickets=[ticket_id for _, ticket_id, _ in wanted],
            customers=[one.fact.customer_id for _, _, one in wanted],
            channels=[confirmed_on(one.fact.channel) for _, _, one in wanted],
            languages=[one.fact.language for _, _, one in wanted],
            times=[one.at for _, _, one in wanted],
        )


async def outcomes(conn: AsyncConnection, ended: Sequence[tuple[str, Ended]]) -> None:
    """What became of what went out, by ticket."""
    if ended:
        await execute_many(
            conn,
            ENDED,
            tickets=[ticket_id for ticket_id, _ in ended],
            messages=[one.message_id for _, one in ended],
            states=[one.state for _, one in ended],
            attempts=[one.attempts for _, one in ended],
            times=[one.at for _, one in ended],
            refs=[one.ref for _, one in ended],
            awaited=[" ".join(one.awaited) for _, one in ended],
            words=[one.by_word for _, one in ended],
            promised=[one.promised_by for _, one in ended],
        )


async def told(conn: AsyncConnection, words: Sequence[Heard]) -> None:
    """What providers said of what went out, so that a word which comes again is no news."""
    if not words:
        return
    stored = await conn.execute(TOLD_OF, {"ids": sorted({word.message_id for word in words})})
    known = {row.message_id: _told.decode(row.told) if row.told is not None else Told() for row in stored}
    for word in words:
        if word.message_id in known:
            known[word.message_id] = recalled(known[word.message_id], word.fact)
    returned = [(w.message_id, w.at) for w in words if isinstance(w.fact, MessageBounced) and w.fact.hard]
    if returned:
        await note_returned(conn, list(dict(returned).items()))
    if known:
        encoded = [msgspec.json.encode(one) for one in known.values()]
        await execute_many(conn, TOLD, ids=list(known), tolds=encoded)


async def leave_open(conn: AsyncConnection) -> None:
    """When all was read: deliveries without an end are uncertain."""
    await conn.execute(LEFT_OPEN)
