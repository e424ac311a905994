"""Writing what was said that is no message: of calls, of messages of ours, whether more may come, and scores. Each of these words
is kept once, under its own id.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.calls import Call
from services.intake.domain.hearing import word_id_of
from services.intake.domain.plan import CallWord, ConsentSaid, Scored, SentTold
from services.intake.domain.words import HARD
from services.intake.store import surveys
from services.intake.store.ways import WAY
from shared import db
from shared.events.base import derived_id
from shared.events.message import MessageBounced

CALLS = """
    INSERT INTO intake.call (provider, ref, id, ticket_id, state)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    ON CONFLICT (provider, ref) DO UPDATE SET state = excluded.state
    """
WORDS = """
    INSERT INTO intake.word (id, customer_id, media_type, body, received_at)
    SELECT *, $1::timestamptz FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) ON CONFLICT DO NOTHING
    """
REFUSES = """
    UPDATE intake.handle h SET refuses = array_remove(h.refuses, $1::text) || CASE WHEN w.given THEN '{}' ELSE ARRAY[$1::text] END
    FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[]) AS w(kind, scope, value, given)
    WHERE (h.kind, h.scope, h.value) = (w.kind, w.scope, w.value)
    """
TOLD = """
    UPDATE intake.delivery d SET told = w.told FROM unnest($1::text[], $2::bytea[]) AS w(id, told) WHERE d.message_id = w.id
    """
# The address that a mail went to. Where others had copies, nobody says whose came back.
RETURNED = f"""
    UPDATE intake.handle h SET returned_at = w.at
    FROM unnest($1::text[], $2::timestamptz[]) AS w(id, at) JOIN intake.delivery d ON d.message_id = w.id
    JOIN intake.ticket t ON t.id = d.ticket_id CROSS JOIN (SELECT 'email' AS kind) k CROSS JOIN LATERAL {WAY} m
    WHERE d.channel IN ('email', 'form') AND d.cc IS NULL AND (h.kind, h.scope, h.value) = ('email', '', m.handle)
    RETURNING h.customer_id
    """

Said = tuple[str, str, str, bytes]  # the id of a word, whose it is, and what came


async def of_calls(conn: AsyncConnection, words: Sequence[CallWord], now: datetime) -> None:
    """The calls as they stand after these words."""
    if not words:
        return
    last: dict[tuple[str, str], Call] = {(word.call.provider, word.call.call_ref): word.call for word in words}
    calls = [last[key] for key in sorted(last)]
    states = [(c.provider, c.call_ref, c.call_id, c.ticket_id, msgspec.json.encode(c)) for c in calls]
    await db.fetch(conn, CALLS, *zip(*states, strict=True))
    said = [(derived_id("word", w.cause), w.call.sealed_under, w.contact.media_type, w.contact.raw) for w in words]
    await _keep(conn, said, now)


async def of_what_went_out(conn: AsyncConnection, words: Sequence[SentTold], now: datetime) -> set[str]:
    """What is told of messages of ours; addresses that take no mail, and questions that nobody got. Returns to whom mail came
    back for good.
    """
    if not words:
        return set()
    last = {word.sent.message_id: word.sent.told for word in words}
    told = [(key, msgspec.json.encode(told)) for key, told in sorted(last.items())]
    await db.fetch(conn, TOLD, *zip(*told, strict=True))
    returned = sorted({w.sent.message_id for w in words if isinstance(w.fact, MessageBounced) and w.fact.hard})
    whose = await note_returned(conn, [(message_id, now) for message_id in returned]) if returned else set()
    unasked = sorted({w.sent.message_id for w in words if w.sent.kind == "survey" and w.sent.told.trouble == HARD})
    if unasked:
        await surveys.unask(conn, unasked)
    said = [(word_id_of(w.contact), w.sent.sealed_under, w.contact.media_type, w.contact.raw) for w in words]
    await _keep(conn, said, now)
    return whose


async def of_consent(conn: AsyncConnection, words: Sequence[ConsentSaid], now: datetime) -> None:
    """Who wants no more messages, or wants them again."""
    if not words:
        return
    for channel in sorted({word.contact.channel for word in words}):
        last = {numbers.line(word.handle): word.given for word in words if word.contact.channel == channel}
        rows = [(form.kind, form.scope, form.value, given) for handle, given in last.items() for form in numbers.forms(handle)]
        await db.fetch(conn, REFUSES, channel, *zip(*rows, strict=True))
    said = [(derived_id("word", w.cause), w.person, w.contact.media_type, w.contact.raw) for w in words]
    await _keep(conn, said, now)


async def of_scores(conn: AsyncConnection, words: Sequence[Scored], now: datetime) -> None:
    """Answers to questions."""
    if not words:
        return
    await surveys.answered(conn, [word.question for word in words], now)
    said = [(derived_id("word", w.cause), w.question.sealed_under, w.contact.media_type, w.contact.raw) for w in words]
    await _keep(conn, said, now)


async def note_returned(conn: AsyncConnection, returned: Sequence[tuple[str, datetime]]) -> set[str]:
    """The addresses to which these messages went take no mail, since then. Returns whose they are."""
    return {row["customer_id"] for row in await db.fetch(conn, RETURNED, *zip(*returned, strict=True))}


async def _keep(conn: AsyncConnection, said: Sequence[Said], now: datetime) -> None:
    await db.fetch(conn, WORDS, now, *zip(*said, strict=True))
