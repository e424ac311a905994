"""The complete history of a run: what was sent and answered, the log, the tables, and what arrived outside.

`collect` takes it when all is quiet: what was published was read, what was decided was published, nothing is on its way out.
What does not come to rest in time is taken as it is, and the checker says what did not.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage

import asyncpg

from shared import db
from shared.deadlines import within
from shared.events.message import ReplyPersonal, ReplyRequested
from shared.events.topics import TICKETS
from shared.personal import Erased, KeyRing
from shared.records import Place
from shared.settings import Settings
from simulator.truth import Truth
from tests.faults.log import Log, LogReader, log_reader
from tests.faults.tables import OFFSETS, OUTBOX, SCHEMAS, Tables, load_tables
from tests.system import ROOT, System

__all__ = ["History", "Mail", "Text", "collect", "figures_differ"]

# A client whose group does not answer is replaced after 15 s, and its place in the group is free some 10 s later.
QUIET_SECONDS = 45.0
LOOK_SECONDS = 0.05
REBUILD_SECONDS = 120.0
BUSY = f"""
    SELECT coalesce((SELECT sum(rows) FROM ({OUTBOX}) o), 0)
         + (SELECT count(*) FROM intake.delivery WHERE due_at IS NOT NULL)
         + (SELECT count(*) FROM sla.timer WHERE due_at < clock_timestamp() - interval '1 second')
         + (SELECT count(*) FROM routing.ticket WHERE offer_expires_at < clock_timestamp() - interval '1 second')
"""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that arrived at a customer's server. `automatic`: a confirmation."""

    ref: str
    recipient: str
    subject: str
    text: str
    automatic: bool


@dataclass(frozen=True, slots=True)
class Text:
    """An SMS that was given to the provider."""

    to: str
    body: str


@dataclass(frozen=True, slots=True)
class History:
    """All there is to judge by. `mails` and `texts` are in the order in which they arrived; `replies` is what agents wrote,
    by message, as the log has it; `figures_differ` is what the rebuild of the figures found different, empty when nothing;
    `ran` are the services that were started.

    What the faults themselves explain: `poisoned` are keys on which a test wrote what it should not, of which nothing is
    asked but that it harmed no other; with `clock_moved` the database's clock was moved by hand, so that instants of the
    log cannot be compared.
    """

    truth: Truth
    log: Log
    tables: Tables
    mails: tuple[Mail, ...] = ()
    texts: tuple[Text, ...] = ()
    replies: Mapping[str, str] = field(default_factory=dict)
    figures_differ: str = ""
    ran: frozenset[str] = frozenset()
    poisoned: frozenset[str] = frozenset()
    clock_moved: bool = False


async def collect(
    system: System,
    truth: Truth,
    *,
    figures: bool = True,
    poisoned: frozenset[str] = frozenset(),
    clock_moved: bool = False,
    seconds: float = QUIET_SECONDS,
) -> History:
    """The history of this system, once it is quiet or after `seconds`. All servers must be there. `figures`: rebuild them too."""
    ran = frozenset(SCHEMAS).intersection(system.processes)
    async with log_reader(system.settings) as reader:
        ends, tables = await _at_rest(system.database, reader, ran, seconds)
        log = await reader.read(ends)
    return History(
        truth=truth,
        log=log,
        tables=tables,
        mails=tuple(_mail(recipient, mail) for recipient, mail in list(system.mailbox.mails)),
        texts=tuple(Text(to, body) for to, body in list(system.texts.sent)),
        replies=await _opened(system.settings, log),
        figures_differ=await figures_differ(system) if figures else "",
        ran=ran,
        poisoned=poisoned,
        clock_moved=clock_moved,
    )


async def _at_rest(database: str, reader: LogReader, ran: frozenset[str], seconds: float) -> tuple[dict[Place, int], Tables]:
    """Where the log ends and the tables at one instant, between which nothing was on its way."""
    give_up = time.monotonic() + seconds
    while True:
        late = time.monotonic() > give_up
        ends = await reader.ends()
        if late or await _is_quiet(database, ends, ran):
            tables = await load_tables(database)
            if late or (ends == await reader.ends() and _nothing_waits(tables, ends)):
                return ends, tables
        await asyncio.sleep(LOOK_SECONDS)


async def _is_quiet(database: str, ends: Mapping[Place, int], ran: frozenset[str]) -> bool:
    """A quick look, before all tables are read; whoever runs and has not read yet is still to begin."""
    connection = await asyncpg.connect(database, timeout=10)
    try:
        if await connection.fetchval(BUSY, timeout=20):
            return False
        rows = await connection.fetch(OFFSETS, timeout=20)
    finally:
        await connection.close(timeout=5)
    begun = {row["service"] for row in rows if row["topic"] == TICKETS.name}
    return ran <= begun and all(row["next_offset"] == ends[Place(row["topic"], row["partition"])] for row in rows)


def _nothing_waits(tables: Tables, ends: Mapping[Place, int]) -> bool:
    return not any(tables.outbox.values()) and all(ends[place] == offset for (_, place), offset in tables.offsets.items())


def _mail(recipient: str, mail: EmailMessage) -> Mail:
    body = mail.get_body(("plain",))
    text = str(body.get_content()) if body is not None else ""
    return Mail(str(mail["Message-ID"]).strip(), recipient, str(mail["Subject"]), text, bool(mail["Auto-Submitted"]))


async def _opened(settings: Settings, log: Log) -> dict[str, str]:
    """What agents wrote to customers who were not erased: unsealed with the keys of those under whom it was sealed."""
    replies = [(record.event, record.event.data) for record in log.records if isinstance(record.event.data, ReplyRequested)]
    keys, engine = KeyRing(settings.master_key_bytes()), db.make_engine(settings, "history")
    try:
        async with db.transaction(engine) as conn:
            await keys.load(conn, {reply.personal.customer_id for _, reply in replies if reply.personal is not None})
    finally:
        await engine.dispose()
    texts = {reply.message_id: _text(keys, event.id, reply) for event, reply in replies}
    return {message_id: text for message_id, text in texts.items() if text is not None}


def _text(keys: KeyRing, event_id: str, reply: ReplyRequested) -> str | None:
    if reply.personal is None:
        return None
    opened = keys.open(reply.personal, ReplyPersonal, event_id)
    return None if isinstance(opened, Erased) else opened.text


async def figures_differ(system: System) -> str:
    """Empty when the figures rebuilt from the beginning of the log equal the live ones; else what the command says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.metrics", "rebuild", "--check",
        cwd=ROOT, env=system.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await within(process.communicate(), REBUILD_SECONDS)
    return "" if process.returncode == 0 else output.decode(errors="replace")[-2000:]
