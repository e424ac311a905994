"""The steps of a contact's way, each with what comes before it, and how a step that was killed is judged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import unified_diff
from typing import Any

import msgspec

from deploy.demo.receivers import Mailbox, Texts
from shared import kafka
from shared.events.base import Event, Position
from shared.events.codec import decode, encode
from shared.events.message import ConfirmationSent, DeliveryUncertain, MessageDelivered
from shared.events.ticket import TicketOpened
from shared.settings import Settings
from tests.faults.parts import PARTS
from tests.faults.rig import Ran, Rig
from tests.faults.stepping import Order, Point
from tests.faults.way import CONTACTS, MORE, Way, offers_to

TOO_LARGE = 2**63  # for a number in PostgreSQL: what a handler takes and no table does


@dataclass(slots=True)
class Stage:
    """Where the way is walked: what stands outside, how many steps are done, and where the log ended before the one at hand."""

    way: Way
    mailbox: Mailbox
    texts: Texts
    done: int = 0
    log_began: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outbox: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def rig(self) -> Rig:
        """The rig."""
        return self.way.rig


Prepare = Callable[[Stage], Awaitable[dict[str, Any]]]
Judge = Callable[[Stage, str], Awaitable[list[str]]]


async def _nothing_given(_stage: Stage) -> dict[str, Any]:
    return {}


async def _nothing_more(_stage: Stage, _database: str) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Step:
    """One part's work. `given` prepares it and says what it is told; `time_passes` is run before the next process starts; `judge`
    finds what else is wrong at the end. `counted` are tables in which a repeat may be seen, and that `judge` looks at instead.
    """

    name: str
    part: str
    given: Prepare = _nothing_given
    time_passes: str = ""
    judge: Judge = _nothing_more
    counted: tuple[str, ...] = ()
    at_once: int = 2


async def _contacts(_stage: Stage) -> dict[str, Any]:
    return {"contacts": CONTACTS}


async def _nobody_there(stage: Stage) -> dict[str, Any]:
    """The agent is on a break: what is read waits."""
    await _says(stage, {"state": "break"})
    return {}


async def _agent_comes(stage: Stage) -> dict[str, Any]:
    await _says(stage, {"state": "available"})
    return {}


async def _says(stage: Stage, state: dict[str, str]) -> None:
    asked = stage.way.asks("dana", "POST", "/v1/agents/dana/state", state)
    await stage.way.go("routing is asked", requests=[msgspec.structs.replace(asked, idempotency_key=None)])


async def _more_come(stage: Stage) -> dict[str, Any]:
    """The agent is there: what is read is offered at once."""
    await stage.way.go("intake accepts", contacts=MORE)
    await stage.way.go("intake relays")
    return {}


async def _offered_at_once(stage: Stage, database: str) -> list[str]:
    """Nobody waits for a matcher."""
    rows = await stage.rig.rows(database, "SELECT ticket_id FROM routing.ticket WHERE queue_id IS NOT NULL AND agent_id IS NULL")
    offered = await stage.rig.rows(database, "SELECT ticket_id FROM routing.offer WHERE state = 'live'")
    left = {row["ticket_id"] for row in rows} - {row["ticket_id"] for row in offered}
    return [f"{ticket_id} waits for a matcher" for ticket_id in left] + ([] if offered else ["nothing was offered"])


async def _poison(stage: Stage) -> dict[str, Any]:
    """What nobody can read, with a good record behind it, and a ticket that begins in its midst."""
    await _write(stage, ("poison", b"no event"), ("poison", _opened("poison", 1)), ("gap", _opened("gap", 3)))
    return {}


async def _what_no_table_takes(stage: Stage) -> dict[str, Any]:
    """A record that makes its whole batch of three fail; and somebody asks for what was parked before.

    All else is read before: after such a batch each record is tried alone, and each has all the awaits of a batch.
    """
    await stage.way.go("routing consumes")
    await _write(stage, *((key, _opened(key, 1, number)) for key, number in (("one", 8), ("large", TOO_LARGE), ("two", 9))))
    await stage.way.rows(
        "UPDATE routing.parked SET requested = CASE reason WHEN 'undecodable' THEN 'discard' WHEN 'gap' THEN 'skip' END"
    )
    return {}


def _opened(key: str, seq: int, number: int = 7) -> bytes:
    fact = TicketOpened(number=number, customer_id=key, channel="email", inbox="support")
    return encode(
        Event(
            id=f"{key}-{seq}",
            type=fact.TYPE,
            writer="intake",
            position=Position(1, seq),
            key=key,
            time=datetime(2026, 3, 1, tzinfo=UTC),
            data=fact,
        )
    )


async def _write(stage: Stage, *records: tuple[str, bytes]) -> None:
    producer = await kafka.start_producer(Settings(kafka=str(stage.rig.settings["kafka"])), "poison")
    try:
        for key, value in records:
            await producer.send_and_wait("tickets", value, key.encode())
    finally:
        await kafka.stop(producer)


async def _work(stage: Stage) -> dict[str, Any]:
    """The agent takes two of three tickets, answers both and resolves one."""
    way = stage.way
    offers = [(offer_id, channel) for offer_id, channel in await offers_to(way, "dana") if channel != "phone"]
    rows = await way.rows("SELECT id, channel FROM intake.ticket WHERE channel <> 'phone' ORDER BY channel")
    replied = [
        way.asks("dana", "POST", f"/v1/tickets/{row['id']}/reply", {"text": f"It is on its way ({row['channel']})."})
        for row in rows
    ]
    resolved = way.asks("dana", "POST", f"/v1/tickets/{rows[-1]['id']}/resolve", {})
    return {"requests": [*(way.asks("dana", "POST", f"/v1/offers/{offer}/accept") for offer, _ in offers), *replied, resolved]}


async def _agent_gone(stage: Stage) -> dict[str, Any]:
    """The agent was not heard of for long, and one offer nobody answered."""
    await stage.way.rows("UPDATE routing.presence SET until = now() - interval '1 second'")
    await stage.way.rows("UPDATE routing.ticket SET offer_expires_at = now() WHERE offer_expires_at IS NOT NULL")
    return {}


async def _outbox(stage: Stage) -> dict[str, Any]:
    rows = await stage.way.rows("SELECT topic, key, value FROM intake.outbox ORDER BY id")
    stage.outbox = [(row["topic"], row["key"], row["value"]) for row in rows]
    stage.log_began = await stage.rig.ends()
    return {}


async def _is_on_the_log(stage: Stage, _database: str) -> list[str]:
    """What was in the outbox stands on the log; without its repeats in the same order for each key."""
    wanted: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for topic, key, value in stage.outbox:
        wanted[topic, key].append(value)
    found: dict[tuple[str, str], dict[bytes, None]] = defaultdict(dict)
    for record in await stage.rig.records(stage.log_began):
        found[record.topic, record.key.decode()][record.value] = None
    return [f"{place}: not on the log as it was told" for place, values in wanted.items() if list(found[place]) != values]


async def _outside_empty(stage: Stage) -> dict[str, Any]:
    stage.mailbox.mails.clear()
    return {}


async def _went_out(stage: Stage, database: str) -> list[str]:
    """Everything was delivered and said so once; a mail that went twice is the same mail, and was counted."""
    rows = await stage.rig.rows(database, "SELECT message_id, kind, state, attempts FROM intake.delivery")
    facts = [decode(row["value"]).data for row in await stage.rig.rows(database, "SELECT value FROM intake.outbox")]
    delivered = Counter(fact.message_id for fact in facts if isinstance(fact, MessageDelivered | ConfirmationSent))
    uncertain = Counter(fact.message_id for fact in facts if isinstance(fact, DeliveryUncertain))
    wrong = [f"{row['kind']} is {row['state']}" for row in rows if row["state"] != "delivered"]
    wrong += [f"{row['kind']} was said {delivered[row['message_id']]} times" for row in rows if delivered[row["message_id"]] != 1]
    wrong += [
        f"{row['kind']}: {row['attempts']} attempts, {uncertain[row['message_id']]} of them said to be uncertain"
        for row in rows
        if uncertain[row["message_id"]] != row["attempts"] - 1
    ]
    arrived: dict[str, list[str]] = defaultdict(list)
    for recipient, mail in stage.mailbox.mails:
        arrived[str(mail["Message-ID"])].append(f"{recipient}\n{mail['Subject']}\n{mail.get_body(('plain',))}")
    stage.mailbox.mails.clear()
    if len(arrived) != 2:
        wrong.append(f"{len(arrived)} mails arrived")
    repeats = sum(len(mails) - 1 for mails in arrived.values())
    if repeats > uncertain.total():
        wrong.append(f"{repeats} mails arrived again, {uncertain.total()} attempts were said to be uncertain")
    return wrong + [f"{ref} stands on different mails" for ref, mails in arrived.items() if len(set(mails)) > 1]


LATER = "UPDATE intake.delivery SET leased_until = now(), due_at = least(due_at, now()) WHERE due_at IS NOT NULL"
COUNTED = ("intake.delivery", "intake.outbox", "intake.key_position")
STEPS = (
    Step("contacts come in", "intake accepts", _contacts),
    Step("intake's facts go to the log", "intake relays", _outbox, judge=_is_on_the_log),
    Step("sla reads", "sla consumes", _poison),
    Step("promises break", "sla rings"),
    Step("sla's facts go to the log", "sla relays"),
    Step("routing reads", "routing consumes", _nobody_there),
    Step("tickets are offered", "routing matches", _agent_comes),
    Step("an agent works", "routing is asked", _work),
    Step("routing's facts go to the log", "routing relays"),
    Step("intake reads", "intake consumes"),
    Step("replies go out", "intake sends", _outside_empty, LATER, _went_out, COUNTED, at_once=1),
    Step("what is resolved is closed", "intake closes"),
    Step("intake's later facts go to the log", "intake relays", _outbox, judge=_is_on_the_log),
    Step("routing offers what it reads", "routing consumes", _more_come, judge=_offered_at_once),
    # Before what tables refuse: after such a batch each record of the whole log would be tried alone, at hundreds of awaits.
    Step("the desk reads", "desk consumes"),
    Step("words are indexed", "desk indexes"),
    Step("routing reads what its tables refuse", "routing consumes", _what_no_table_takes),
    Step("nobody answers", "routing expires", _agent_gone),
    Step("metrics reads", "metrics consumes"),
    Step("what was parked is announced", "metrics relays"),
)


@dataclass(slots=True)
class Trial:
    """One step, done again and again from the same state, each time killed elsewhere."""

    stage: Stage
    step: Step
    given: dict[str, Any]
    since: datetime
    before: list[str]
    after: list[str]
    points: list[Point]
    answers: list[dict[str, Any]]

    @classmethod
    async def of(cls, stage: Stage, step: Step) -> Trial:
        """Prepare the step, and do it undisturbed in a copy."""
        since = await stage.way.now()
        given = await stage.way.given(step.part, **await step.given(stage))
        trial = cls(stage, step, given, since, [], [], [], [])
        trial.before = await trial._state(stage.way.database)
        async with stage.rig.copy(stage.way.database) as database:
            ran = await stage.rig.run(step.part, database, **given)
            trial.points, trial.answers = ran.points, ran.answers
            trial.after = trial._comparable(await trial._state(database))
            assert not (wrong := await step.judge(stage, database)), wrong
        return trial

    async def go(self) -> list[str]:
        """Do the step in earnest, undisturbed. Returns how it differs from the first time: by nothing, or it is no measure."""
        ran = await self.stage.way.go(self.step.part, **self.given)
        self.stage.done += 1
        once, again = ({point for point in points if not point.varies} for points in (self.points, ran.points))
        wrong = [f"{point} is not passed each time" for point in once ^ again]
        return wrong + _difference(self.after, self._comparable(await self._state(self.stage.way.database)), "the second time")

    async def killed_at(self, points: list[Point]) -> list[str]:
        """What is wrong after kills at these points, in as many copies as it takes."""
        wrong: list[str] = []
        left = list(points)
        while left:
            async with self.stage.rig.copy(self.stage.way.database) as database:
                last = await self._chain(database, left, wrong)
                wrong += [f"{last}: {what}" for what in await self._finished(database)]
        return wrong

    async def _chain(self, database: str, left: list[Point], wrong: list[str]) -> Point:
        """One kill after the other, as long as nothing has changed by it. Returns the last point."""
        while True:
            point = left.pop(0)
            ran = await self._run(database, Order(point))
            if not ran.killed and not point.varies:
                wrong.append(f"{point}: never passed")
            if not left or not ran.killed or await self._state(database) != self.before:
                return point

    async def _finished(self, database: str) -> list[str]:
        """What is wrong when the next process has done its work."""
        if self.step.time_passes:
            await self.stage.rig.rows(database, self.step.time_passes)
        ran = await self._run(database)
        wrong = _difference(self.after, self._comparable(await self._state(database)), "after a kill")
        if ran.answers != self.answers:
            wrong.append(f"answered {ran.answers}, not {self.answers}")
        return wrong + await self.step.judge(self.stage, database)

    async def _run(self, database: str, order: Order | None = None) -> Ran:
        return await self.stage.rig.run(self.step.part, database, order=order, **self.given)

    async def _state(self, database: str) -> list[str]:
        return await self.stage.rig.state(database, self.since, PARTS[self.step.part].service, "keys")

    def _comparable(self, state: list[str]) -> list[str]:
        """What must be the same at the end, however often a process died on the way."""
        return [line for line in state if not line.startswith(self.step.counted)] if self.step.counted else state


def _difference(expected: list[str], found: list[str], when: str) -> list[str]:
    if expected == found:
        return []
    lines = [line for line in unified_diff(expected, found, "undisturbed", when, n=0, lineterm="") if line[0] in "+-"]
    return ["\n".join(line[:1500] for line in lines[:12])]
