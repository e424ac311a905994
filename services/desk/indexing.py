"""Indexes the words of tickets beside the reading of the log, which never waits for it.

The transaction that files a fact with words leaves a mark. One process at a time takes marks, opens what is sealed in those
tickets' facts, and writes by which words they are found; while somebody is being erased it waits. So a word is found a moment
after it was filed, and a backlog of millions holds up no ticket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.documents import document, texts_of
from services.desk.domain.timeline import WORDED
from services.desk.opening import open_box, open_fact
from services.desk.settings import DeskSettings
from services.desk.store import documents, erasure
from services.desk.store.documents import Document, FactRow, Family
from shared import db, idempotency
from shared.events.codec import decode_data
from shared.events.message import MessageDeleted, MessageEdited, MessagePersonal, MessageReceived
from shared.events.topics import FACT_BY_TYPE
from shared.service import Resources
from shared.telemetry import log

UNINDEXED = Gauge(
    "patchbay_desk_unindexed_marks", "Tickets with words that are not indexed yet, counted up to a hundred thousand"
)
COUNTED_CAP = 100_000

GATHER_SECONDS = 0.2  # what is written within it on one ticket is indexed once
LOOK_SECONDS = 1.0
BACK_OFF_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 600.0
FACTS_CAP = 300  # of one ticket, the newest; what is older is found no more
READ = sorted([MessageDeleted.TYPE, *(fact.TYPE for fact in WORDED)])


@dataclass(frozen=True, slots=True)
class Told:
    """A fact with words. `changed`: a later one says how its text reads now."""

    row: FactRow
    changed: bool = False


@dataclass(slots=True)
class _Words:
    """What is found of one ticket, and whose words these are."""

    people: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)

    def take(self, person: str, content: msgspec.Struct | None, *, changed: bool = False) -> None:
        if content is not None:
            if changed and isinstance(content, MessagePersonal):
                content = replace(content, text="")
            self.people.add(person)
            self.texts += texts_of(content)


@dataclass(slots=True)
class Indexer:
    """Indexes until cancelled. `wake` is set when this process filed something."""

    parts: Resources
    settings: DeskSettings
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _kept_house: float = -HOUSEKEEPING_SECONDS

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), LOOK_SECONDS)
            self.wake.clear()
            await asyncio.sleep(GATHER_SECONDS)
            try:
                while await db.retrying(self.once):
                    await self._measure()
                await self._keep_house()
                await self._measure()
            except db.DatabaseAway as error:
                log().warning("indexing waits", error=type(error).__name__)
                await asyncio.sleep(BACK_OFF_SECONDS)

    async def once(self) -> int:
        """Index some of what is marked; returns how many tickets were, none when nothing is or another process does it."""
        async with db.transaction(self.parts.engine) as conn:
            if not await documents.hold(conn):
                return 0
            taken = await documents.take(conn, self.settings.desk_index_tickets)
            if taken:
                families = await documents.families(conn, sorted(taken))
                await self._index(conn, families, taken)
            return len(taken)

    async def _index(self, conn: AsyncConnection, families: Sequence[Family], taken: Collection[str]) -> None:
        rows = current(await documents.facts(conn, families, READ, FACTS_CAP))
        boxes = await documents.boxes(conn, sorted({family.customer_id for family in families}))
        people = {one.row.person for one in rows if one.row.person is not None}
        people |= {box.sealed.customer_id for of_one in boxes.values() for box in of_one}
        gone = await erasure.erased(conn, people)
        await self.parts.keys.load(conn, people - gone)
        found: dict[str, _Words] = {family.ticket_id: _Words() for family in families}
        for family in families:
            for box in boxes.get(family.customer_id, ()):
                if box.sealed.customer_id not in gone:
                    found[family.ticket_id].take(box.sealed.customer_id, open_box(self.parts.keys, box))
        for one in rows:
            row = one.row
            if row.person is not None and row.person not in gone:
                opened = open_fact(self.parts.keys, row.type, row.event_id, row.person, row.box)
                found[row.ticket_id].take(row.person, opened.content, changed=one.changed)
        written = [
            Document(of.ticket_id, sorted(found[of.ticket_id].people), document(of.number, found[of.ticket_id].texts))
            for of in families
        ]
        members = {member for family in families for member in family.members}
        await documents.save(conn, written, sorted((members | set(taken)) - found.keys()))

    async def _measure(self) -> None:
        async with db.transaction(self.parts.engine) as conn:
            UNINDEXED.set(await documents.waiting(conn, COUNTED_CAP))

    async def _keep_house(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._kept_house >= HOUSEKEEPING_SECONDS:
            self._kept_house = now
            async with db.transaction(self.parts.engine) as conn:
                await idempotency.forget_old(conn, "desk")


def current(rows: Sequence[FactRow]) -> list[Told]:
    """Without messages that were taken back. The newest come first."""
    changed: set[str] = set()
    deleted: set[str] = set()
    found = []
    for row in rows:
        fact = decode_data(row.data.encode(), FACT_BY_TYPE[row.type])
        if isinstance(fact, MessageDeleted):
            deleted.add(fact.message_id)
        elif isinstance(fact, MessageReceived | MessageEdited):
            if fact.message_id not in deleted:
                found.append(Told(row, changed=fact.message_id in changed))
            changed.add(fact.message_id)
        else:
            found.append(Told(row))
    return found
