"""Group commit: contacts that arrive together are decided and written together, and each waits for the commit.

No delay is made for it: while one transaction runs, what comes in the meantime is the next group.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.intake import reaching
from services.intake.domain import decide as decisions
from services.intake.domain import fingerprints, looking, relabelling
from services.intake.domain.contacts import Contact
from services.intake.domain.identity import as_shown
from services.intake.domain.looking import Looked
from services.intake.domain.plan import Placement, Plan
from services.intake.domain.reachable import concerned
from services.intake.domain.tell import channel_of, tell
from services.intake.domain.threads import RULES, Rules
from services.intake.spam_rules import SpamBook
from services.intake.store import contacts as rows
from services.intake.store import known as facts
from services.intake.store import tickets
from services.intake.word_lists import WordBook
from shared import db
from shared.events.base import Event, Fact
from shared.events.topics import TICKETS, TOPIC_OF
from shared.outbox import Outbox
from shared.telemetry import log
from shared.ticket import Ticket, apply

CONTACTS = Counter("patchbay_intake_contacts", "Contacts that were committed, by what became of them", ["channel", "fate"])
GROUP = 200
QUEUE = 5_000
WAIT_SECONDS = 2.0  # whoever would wait longer is told to come again: providers give up after 10 to 15 s and send it again
QUEUE_BYTES = 64 * 2**20  # of requests as they came; one alone is taken whatever its size
WORKERS = 1
ACCEPT_SECONDS = 30.0
LETTERS = 4_000  # in which words are looked for on the event loop; what is more takes longer, and is looked through beside it


class Overloaded(Exception):
    """More contacts wait than can be taken in time; nothing was accepted."""


class NotTaken(Exception):
    """This one contact cannot be stored, for a reason of its own; the others were not harmed by it."""


@dataclass(slots=True)
class _Waiting:
    contact: Contact
    placed: asyncio.Future[Placement]
    since: float


@dataclass(slots=True)
class Acceptor:
    """Takes contacts and answers when they are committed. `opened` is set when something may be waiting to be sent."""

    engine: AsyncEngine
    outbox: Outbox
    opened: asyncio.Event
    words: WordBook
    rules: Rules = RULES
    wait_seconds: float = WAIT_SECONDS
    queue: deque[_Waiting] = field(default_factory=deque)
    _bytes: int = 0
    _key: bytes = field(init=False)
    spam: SpamBook = field(init=False)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.spam = SpamBook(self.engine, self.outbox.keys)
        self._key = self.outbox.keys.derived(fingerprints.PURPOSE)

    async def accept(self, contacts: Sequence[Contact]) -> list[Placement | BaseException]:
        """Where each contact came to be, after the commit; or why it could not be taken (NotTaken, DatabaseAway).

        Raises Overloaded when too many wait.
        """
        waiting = self._queue(contacts)
        async with asyncio.timeout(ACCEPT_SECONDS):
            return await asyncio.gather(*(one.placed for one in waiting), return_exceptions=True)

    async def accept_one(self, contact: Contact) -> Placement:
        """Like `accept`, for one contact; raises why it could not be taken."""
        [waiting] = self._queue([contact])
        async with asyncio.timeout(ACCEPT_SECONDS):
            return await waiting.placed

    def _queue(self, contacts: Sequence[Contact]) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        now, size = loop.time(), sum(len(contact.raw) for contact in contacts)
        if self._full(len(contacts), size, now):
            raise Overloaded
        waiting = [_Waiting(fingerprints.marked(as_shown(contact), self._key), loop.create_future(), now) for contact in contacts]
        self.queue.extend(waiting)
        self._bytes += size
        self._arrived.set()
        return waiting

    def _full(self, contacts: int, size: int, now: float) -> bool:
        """Whether so much more is too much: by number, by bytes, or because those who fill the next group wait too long."""
        if not self.queue:
            return contacts > QUEUE
        late = len(self.queue) >= GROUP and now - self.queue[0].since > self.wait_seconds
        return late or len(self.queue) + contacts > QUEUE or self._bytes + size > QUEUE_BYTES

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            if not self.queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            group = [self.queue.popleft() for _ in range(min(GROUP, len(self.queue)))]
            self._bytes -= sum(len(one.contact.raw) for one in group)
            await self._take([one for one in group if not one.placed.done()])

    async def _take(self, group: Sequence[_Waiting]) -> None:
        """Commit a group; where it fails for what one of them holds, halve it until that one stands alone."""
        if not group:
            return
        try:
            placements = await db.retrying(lambda: self._commit([one.contact for one in group]))
        except db.DatabaseAway as error:
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - one contact must not fail the others, whatever is wrong with it
            if len(group) == 1:
                log().error("contact not taken", provider=group[0].contact.provider, error=type(error).__name__, exc_info=True)
                _fail(group, NotTaken(type(error).__name__))
                return
            middle = len(group) // 2
            await self._take(group[:middle])
            await self._take(group[middle:])
        else:
            for one, placement in zip(group, placements, strict=True):
                if not one.placed.done():
                    one.placed.set_result(placement)

    async def _commit(self, contacts: Sequence[Contact]) -> list[Placement]:
        looked = await self._looked_through(contacts)
        try:
            return await self._transaction(looked)
        except asyncpg.IntegrityConstraintViolationError:
            # Another process stored the same name or handle under other locks; now it can be seen.
            return await self._transaction(looked)

    async def _looked_through(self, contacts: Sequence[Contact]) -> Looked:
        around = contacts, self.spam.current, self.words.current
        if looking.letters_of(*around) > LETTERS:
            return await asyncio.to_thread(looking.look, *around)
        return looking.look(*around)

    async def _transaction(self, looked: Looked) -> list[Placement]:
        async with db.transaction(self.engine) as conn:
            plan = await self._place(conn, looked)
        if any(ticket.confirmation_id for ticket in plan.opened()):
            self.opened.set()
        if plan.steps:
            self.outbox.wake.set()
        for contact, placement in zip(looked.contacts, plan.placements, strict=True):
            _count(contact, placement)
        return plan.placements

    async def _place(self, conn: AsyncConnection, looked: Looked) -> Plan:
        situation = await facts.load(conn, looked.contacts)
        plan = decisions.decide(looked.contacts, situation.known, self.rules)
        if not plan.steps:
            return plan
        drawn = await rows.draw(conn, len(plan.opened()))
        plan = decisions.numbered(plan, drawn.numbers)
        if looked.words:
            plan = relabelling.label(plan, looked.hits_in, situation.stories)
        events = await self.outbox.publish(conn, tell(plan), drawn.now)
        stories = folded(situation.stories, events)
        # What leaves a story as it was (a machine's mail, a link) is no life of the ticket.
        went_on = {t: story for t, story in stories.items() if t in situation.stories and story != situation.stories[t]}
        await tickets.update(conn, went_on, drawn.now)
        returned = await rows.save(conn, plan, stories, drawn.now)
        await reaching.look_at(conn, self.outbox, concerned(plan, situation.known) | returned, drawn.now)
        return plan


def folded(stories: dict[str, Ticket], events: Sequence[Event[Fact]]) -> dict[str, Ticket]:
    """The stories that these events of ours change, as they are afterwards."""
    changed: dict[str, Ticket] = {}
    for event in events:
        if TOPIC_OF[type(event.data)] is TICKETS:
            story = changed.get(event.key) or stories.get(event.key) or Ticket()
            changed[event.key] = apply(story, event)
    return changed


def _count(contact: Contact, placement: Placement) -> None:
    CONTACTS.labels(channel_of(contact), _fate(placement)).inc()
    if placement.conflict:
        log().warning(
            "a name was given twice to different things; the first was kept", provider=contact.provider, id=placement.item_id
        )


def _fate(placement: Placement) -> str:
    if placement.unknown:
        return "unknown"
    if placement.reused:
        return "key_reused"
    if placement.conflict:
        return "dedup_conflict"
    if placement.repeated:
        return "repeated"
    return "opened" if placement.opened else "joined"


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.placed.done():
            one.placed.set_exception(error)
