"""An archive of tickets as desk keeps them, filled by statements and COPY: what reading the log would have made, in minutes.

What is listed and opened is sealed under its customers' keys, as it would be; histories have their first two facts only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.progress import tell
from services.desk.domain.documents import BITS
from services.desk.domain.tickets import Filed
from services.desk.domain.words import lexemes
from shared import db
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketOpened, TicketPersonal
from shared.personal import Seals
from shared.service import Resources
from simulator.texts import WORDINGS

LANGUAGES = ("en", "he", "ar", "ro")
CUSTOMERS = 20_000
ORDERS = 50_000  # numbers that customers write about: each stands on a few tickets of a million
KEYS_AT_ONCE = 5_000
ROWS_AT_ONCE = 50_000
SECONDS_APART = 20
ENTRY_COLUMNS = ("ticket_id", "event_id", "type", "writer", "at", "person", "box", "data")
INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'desk' AND indexdef NOT LIKE 'CREATE UNIQUE%' ORDER BY 1
    """
# The newest two of a hundred are live; of the others every tenth is resolved and not closed yet.
TICKETS = """
    INSERT INTO desk.ticket (ticket_id, number, customer_id, status, live, spam, merged_into, queue_id, team_id, agent_id,
        channel, inbox, language, direction, priority, vip, plan, tags, topic, opened_at, updated_at, waiting_since, state)
    SELECT 't' || n, n, 'c' || n % $2::integer,
        CASE WHEN live THEN (ARRAY['new', 'open', 'open', 'pending', 'on_hold'])[1 + n % 5]
            WHEN n % 10 = 0 THEN 'resolved' ELSE 'closed' END,
        live, n % 200 = 7, NULL, 'q' || n % 12, 'team' || n % 12, CASE WHEN n % 5 > 0 THEN 'a' || n % 400 END,
        (ARRAY['email', 'email', 'chat', 'sms', 'phone', 'form'])[1 + n % 6], 'support', ($3::text[])[1 + n % 4],
        CASE WHEN n % 4 IN (1, 2) THEN 'rtl' ELSE 'ltr' END, 1 + mixed % 4, n % 50 = 0, (ARRAY['free', 'gold', NULL])[1 + n % 3],
        CASE WHEN n % 3 = 0 THEN ARRAY['tag' || n % 30] ELSE '{}' END, 'topic' || n % 40,
        opened_at, opened_at + mixed % 86400 * interval '1 second', CASE WHEN live AND n % 2 = 0 THEN opened_at END, $6::bytea
    FROM (SELECT n, n::bigint * 7919 AS mixed, n > $1::integer * 0.98 AS live, $4::timestamptz + n * $5::interval AS opened_at
        FROM generate_series(1, $1::integer) n) one
"""
PROMISED = """
    INSERT INTO desk.promised (ticket_id, due_at, breached)
    SELECT ticket_id, CASE WHEN live AND number % 3 > 0 THEN opened_at + interval '1 day' END, number % 20 = 0
    FROM desk.ticket WHERE number % 2 = 0
"""
DOCUMENTS = """
    INSERT INTO desk.document (ticket_id, people, words)
    SELECT 't' || n, ARRAY['c' || n % $2::integer], array_to_tsvector(string_to_array(text.words, ' '))
        || array_to_tsvector(ARRAY[n::text, (10000000 + n % $3::integer)::text]
            || ARRAY(SELECT '~' || level - 1 || '/' || (n >> bits) FROM unnest($4::integer[]) WITH ORDINALITY AS b(bits, level)))
    FROM generate_series(1, $1::integer) n JOIN unnest($5::text[]) WITH ORDINALITY AS text(words, k)
        ON k = 1 + n % cardinality($5::text[])
"""


@dataclass(frozen=True, slots=True)
class Text:
    """What a customer wrote: `{n}` stands for the number of an order."""

    language: str
    name: str
    subject: str
    text: str


TEXTS = tuple(
    Text(language, name, subject, f"{text}\n{more}")
    for language in LANGUAGES
    for (name, _), (subject, text), more in product(
        WORDINGS[language].names, WORDINGS[language].openings, WORDINGS[language].follow_ups
    )
)


def text_of(number: int) -> Text:
    """What stands on the ticket of this number: of one language as its row says."""
    return IN_TURN[number % len(IN_TURN)]


def _in_turn() -> tuple[Text, ...]:
    """The texts, language by language by turns, as often as the shortest language has them."""
    by_language = [[text for text in TEXTS if text.language == language] for language in LANGUAGES]
    return tuple(text for texts in zip(*by_language, strict=False) for text in texts)


IN_TURN = _in_turn()


def order_of(number: int) -> int:
    """The order that the ticket of this number is about."""
    return 10_000_000 + number % ORDERS


async def fill(parts: Resources, url: str, tickets: int) -> None:
    """So many tickets of so many customers, with what they wrote; the indexes are made afterwards."""
    began = datetime.now(UTC) - timedelta(seconds=SECONDS_APART * (tickets + 1))
    connection = await asyncpg.connect(url, timeout=30, server_settings={"maintenance_work_mem": "1GB", "jit": "off"})
    try:
        async with _without_indexes(connection):
            tell(f"{tickets:,} tickets")
            state = msgspec.json.encode(Filed(id="t")) + b" " * 600  # about as long as a fold
            languages, apart = list(LANGUAGES), timedelta(seconds=SECONDS_APART)
            await connection.execute(TICKETS, tickets, CUSTOMERS, languages, began, apart, state, timeout=600)
            await connection.execute(PROMISED, timeout=300)
            await _write(parts, connection, tickets, began)
            tell("their words")
            words = [
                " ".join(sorted(lexemes([one.subject.replace("{n}", ""), one.text.replace("{n}", ""), one.name])))
                for one in IN_TURN
            ]
            await connection.execute(DOCUMENTS, tickets, CUSTOMERS, ORDERS, list(BITS), words, timeout=900)
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await connection.close(timeout=10)


@asynccontextmanager
async def _without_indexes(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """As long as the block lasts: kept up row by row they would take several times as long."""
    indexes = await connection.fetch(INDEXES)
    for row in indexes:
        await connection.execute(f"DROP INDEX desk.{row['indexname']}")
    yield
    for row in indexes:
        tell(f"index {row['indexname']}")
        await connection.execute(row["indexdef"], timeout=900)


async def _write(parts: Resources, connection: asyncpg.Connection, tickets: int, began: datetime) -> None:
    seals = await _seals(parts)
    for first in range(1, tickets + 1, ROWS_AT_ONCE):
        tell(f"what was written on them: {first / tickets:.0%}")
        numbers = range(first, min(first + ROWS_AT_ONCE, tickets + 1))
        records = await asyncio.to_thread(_entries, numbers, began, seals)
        await connection.copy_records_to_table("entry", schema_name="desk", columns=ENTRY_COLUMNS, records=records, timeout=300)


async def _seals(parts: Resources) -> Seals:
    """The keys of all customers, made now."""
    ciphers: dict[str, AESGCM | None] = {}
    for first in range(0, CUSTOMERS, KEYS_AT_ONCE):
        async with db.transaction(parts.engine) as conn:
            made = await parts.keys.seals(conn, [f"c{n}" for n in range(first, min(first + KEYS_AT_ONCE, CUSTOMERS))])
            ciphers.update(made.ciphers)
    return Seals(ciphers)


def _entries(numbers: range, began: datetime, seals: Seals) -> list[tuple[object, ...]]:
    """The first two facts of each, sealed."""
    rows: list[tuple[object, ...]] = []
    for n in numbers:
        written, at, person = text_of(n), began + timedelta(seconds=n * SECONDS_APART), f"c{n % CUSTOMERS}"
        order = str(order_of(n))
        title = TicketPersonal(subject=written.subject.replace("{n}", order), customer_name=written.name)
        message = MessagePersonal(text=written.text.replace("{n}", order), name=written.name)
        for kind, content in ((TicketOpened.TYPE, title), (MessageReceived.TYPE, message)):
            event_id = f"{kind}/{n}"
            rows.append((f"t{n}", event_id, kind, "intake", at, person, seals.seal(person, content, event_id).box, "{}"))
    return rows
