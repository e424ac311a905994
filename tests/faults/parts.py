"""Pieces of the services as processes of their own: each does its work once, to the end, and can be killed at any await of it.

A process is forked (`multiprocessing`'s fork server has imported everything), runs the services' own code with their own
settings on a real database and a real broker, and ends when nothing is left to do. What it is told is a `Job`.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import sqlalchemy as sa
import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from fastapi import FastAPI

from services.desk.indexing import Indexer
from services.desk.projections import all_projections as desk_projections
from services.desk.settings import DeskSettings
from services.intake import __main__ as intake_process
from services.intake.acceptor import Acceptor
from services.intake.answering import Answerer
from services.intake.api.edge import Intake
from services.intake.closing import Ticker as IntakeTicker
from services.intake.domain.contacts import Contact
from services.intake.domain.plan import Placement
from services.intake.inboxes import InboxBook
from services.intake.sending import Sender
from services.intake.settings import IntakeSettings
from services.intake.store.projections import PromiseProjection, TicketProjection
from services.intake.word_lists import WordBook
from services.metrics.settings import MetricsSettings
from services.metrics.store import projections as metrics_projections
from services.routing import __main__ as routing_process
from services.routing.api import room
from services.routing.hub import Hub
from services.routing.matching import Matcher
from services.routing.settings import RoutingSettings
from services.routing.ticking import Ticker as RoutingTicker
from services.sla.api import make_router
from services.sla.ends import LogEnds
from services.sla.settings import SlaSettings
from services.sla.store.tickets import Tickets
from services.sla.timers import Ticker as SlaTicker
from shared import consumer as consuming
from shared import db, telemetry
from shared.consumer import Consumer
from shared.events.base import Writer
from shared.http import create_app
from shared.relay import Relay
from shared.service import Resources, resources
from shared.settings import Settings
from tests.faults import breaking, stepping

END_SECONDS = 60.0
SETTINGS: dict[Writer, type[Settings]] = {
    "intake": IntakeSettings,
    "routing": RoutingSettings,
    "sla": SlaSettings,
    "metrics": MetricsSettings,
    "desk": DeskSettings,
}


class Request(msgspec.Struct, frozen=True):
    """A request to a service's API, with the key of a caller."""

    method: str
    path: str
    api_key: str
    body: object = None
    idempotency_key: str | None = None


class Job(msgspec.Struct, frozen=True):
    """What a process is to do. `ends` says how far the log is to be read; `broken` names a change of `breaking.py`.

    `lasts`: it goes on until it is killed.
    """

    part: str
    settings: Mapping[str, object]
    folder: str
    contacts: tuple[Contact, ...] = ()
    requests: tuple[Request, ...] = ()
    ends: Mapping[str, tuple[int, ...]] = {}
    group: str = ""
    order: stepping.Order | None = None
    broken: str | None = None
    lasts: bool = False

    @property
    def log(self) -> Path:
        """What the process says."""
        return Path(self.folder) / "log"

    @property
    def answers(self) -> Path:
        """A line of JSON for each answer, written as it came."""
        return Path(self.folder) / "answers"

    @property
    def points(self) -> Path:
        """The points that were passed, written at the end."""
        return Path(self.folder) / "points"

    def answer(self, what: object) -> None:
        """Whoever asked has the answer now."""
        with self.answers.open("ab") as stream:
            stream.write(msgspec.json.encode(what) + b"\n")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a service's work, and the coroutine functions of which every await is a point: (class or module, name)."""

    service: Writer
    work: Callable[[Resources, Any, Job], Awaitable[None]]
    watched: tuple[tuple[Any, str], ...]


async def _accept(parts: Resources, _settings: IntakeSettings, job: Job) -> None:
    """Contacts come in together, in one group, and are answered."""
    acceptor = Acceptor(parts.engine, parts.outbox, asyncio.Event(), WordBook(parts.engine))
    async with _running(acceptor.run):
        for contact, placed in zip(job.contacts, await acceptor.accept(job.contacts), strict=True):
            if isinstance(placed, Placement):
                job.answer({"key": contact.dedup_key, "ticket_id": placed.ticket_id, "item_id": placed.item_id})
            else:
                raise placed


async def _send(parts: Resources, settings: IntakeSettings, _job: Job) -> None:
    """Everything goes out that is on its way out."""
    inboxes = InboxBook(parts.engine)
    await inboxes.refresh()
    async with httpx.AsyncClient(trust_env=False) as http:
        signer = settings.signer()
        sender = Sender(settings, parts.engine, parts.outbox, inboxes, signer, http, asyncio.Event())
        while await _count(parts, "SELECT count(*) FROM intake.delivery WHERE due_at IS NOT NULL"):
            if not await sender.send_due():
                await asyncio.sleep(0.01)


async def _close(parts: Resources, settings: IntakeSettings, _job: Job) -> None:
    """What is resolved for long enough is closed."""
    while await IntakeTicker(settings, parts.engine, parts.outbox).close_rested():
        continue


async def _match(parts: Resources, settings: RoutingSettings, _job: Job) -> None:
    """Who waits is offered to who is free."""
    while await Matcher(parts, settings).once() == "more":
        continue


async def _expire(parts: Resources, settings: RoutingSettings, _job: Job) -> None:
    """Offers that nobody answered, agents who are gone."""
    await RoutingTicker(parts, settings).once()


async def _ring(parts: Resources, settings: SlaSettings, _job: Job) -> None:
    """Every timer fires that is due."""
    ends = LogEnds(settings)
    ticker = SlaTicker(parts.engine, parts.outbox, settings, ends.ask)
    try:
        while await _count(parts, "SELECT count(*) FROM sla.timer WHERE due_at <= clock_timestamp()"):  # noqa: ASYNC110
            await asyncio.sleep(min(0.02, await ticker.tick()))
    finally:
        await ends.close()


async def _index(parts: Resources, settings: DeskSettings, _job: Job) -> None:
    """Every word is found."""
    while await Indexer(parts, settings).once():
        continue


async def _relay(parts: Resources, _settings: Settings, job: Job) -> None:
    """Everything in the outbox goes to the log."""
    async with _running(parts.relay().run):
        while job.lasts or await _count(parts, f"SELECT count(*) FROM {parts.name}.outbox"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _act(parts: Resources, settings: Settings, job: Job) -> None:
    """People use the service's API, one after the other."""
    app = await _app(parts, settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service", timeout=10) as http:
        for asked in job.requests:
            headers = {"Authorization": f"Bearer {asked.api_key}"}
            if asked.idempotency_key:
                headers["Idempotency-Key"] = asked.idempotency_key
            answer = await http.request(asked.method, asked.path, json=asked.body, headers=headers)
            answer.raise_for_status()
            job.answer(answer.json())


async def _app(parts: Resources, settings: Settings) -> FastAPI:
    def alive() -> bool:
        return True

    if isinstance(settings, RoutingSettings):
        hub = Hub(parts, settings, asyncio.Event().set)
        return routing_process.make_app(parts, settings, hub, parts.database_ready, alive)
    if isinstance(settings, IntakeSettings):
        inboxes = InboxBook(parts.engine)
        signer = settings.signer()
        acceptor = Acceptor(parts.engine, parts.outbox, asyncio.Event(), WordBook(parts.engine))
        intake = Intake(settings, parts, acceptor, inboxes, signer, settings.twilio_tokens, settings.webhook_secrets)
        return intake_process.make_app(intake, parts.consumer(()))
    app = create_app("sla", "Patchbay sla", parts.database_ready, alive)
    app.state.authenticator = parts.authenticator
    app.include_router(make_router(parts.engine, parts.outbox))
    return app


async def _consume(parts: Resources, settings: Settings, job: Job) -> None:
    """The log is read up to `ends`, as one batch: a poll waits until everything is there, so that each run has the same one."""
    consumer = _consumer(parts, settings)
    consumer.group = job.group or f"crash-{uuid.uuid4()}"
    consumer._kept_house = -math.inf  # once at the start of each run, and not by chance once more
    consuming.HOUSEKEEPING_SECONDS = END_SECONDS
    finished = asyncio.Event()
    poll = AIOKafkaConsumer.getmany
    wanted = {TopicPartition(t, n): job.ends[t][n] for t in consumer.topics for n in range(len(job.ends[t]))}

    async def patiently(client: AIOKafkaConsumer, **how: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
        if wanted.keys() != consumer._next.keys():
            while client.assignment() != wanted.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            return {}
        if all(consumer._next[tp] >= end for tp, end in wanted.items()):
            finished.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]
        batches: dict[TopicPartition, list[ConsumerRecord]] = {}
        while any([await client.position(tp) < end for tp, end in wanted.items()]):
            for tp, records in (await poll(client, **how)).items():
                batches.setdefault(tp, []).extend(records)
        return dict(sorted(batches.items()))

    AIOKafkaConsumer.getmany = patiently
    async with _running(consumer.run):
        await finished.wait()


def _consumer(parts: Resources, settings: Settings) -> Consumer:
    if isinstance(settings, RoutingSettings):
        return routing_process.consumer_of(parts, Matcher(parts, settings))
    if isinstance(settings, IntakeSettings):
        return parts.consumer((TicketProjection(Answerer(parts.outbox).answer), PromiseProjection()))
    if isinstance(settings, SlaSettings):
        return parts.consumer((Tickets(settings.partitions),))
    if isinstance(settings, DeskSettings):
        return parts.consumer(desk_projections())
    return parts.consumer(metrics_projections())


async def _count(parts: Resources, statement: str) -> int:
    async with db.transaction(parts.engine) as conn:
        return int((await conn.execute(sa.text(statement))).scalar_one())


@asynccontextmanager
async def _running(work: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """While the block runs; what goes wrong with the work ends the block."""
    block = asyncio.current_task()
    assert block is not None
    task = asyncio.create_task(work())
    task.add_done_callback(lambda done: None if done.cancelled() else block.cancel())
    try:
        yield
    finally:
        failed = task.done()
        task.cancel()
        await asyncio.wait({task})
        if failed:
            task.result()


CONSUMING = ((Consumer, "_follow_assignment"), (Consumer, "_apply"), (Consumer, "_keep_house"))
RELAYING = ((Relay, "_take_shards"), (Relay, "_send_once"))
PARTS: dict[str, Part] = {
    "intake accepts": Part("intake", _accept, ((Acceptor, "_take"),)),
    "intake consumes": Part("intake", _consume, CONSUMING),
    "intake sends": Part("intake", _send, ((Sender, "send_due"), (Sender, "_attempt"))),
    "intake closes": Part("intake", _close, ((IntakeTicker, "close_rested"),)),
    "intake relays": Part("intake", _relay, RELAYING),
    "intake is asked": Part("intake", _act, ()),
    "routing consumes": Part("routing", _consume, CONSUMING),
    "routing matches": Part("routing", _match, ((Matcher, "once"),)),
    "routing expires": Part("routing", _expire, ((RoutingTicker, "once"),)),
    "routing is asked": Part("routing", _act, ((room, "once"),)),
    "routing relays": Part("routing", _relay, RELAYING),
    "sla consumes": Part("sla", _consume, CONSUMING),
    "sla rings": Part("sla", _ring, ((SlaTicker, "tick"), (SlaTicker, "_drain"))),
    "sla is asked": Part("sla", _act, ()),
    "sla relays": Part("sla", _relay, RELAYING),
    "metrics consumes": Part("metrics", _consume, CONSUMING),
    "metrics relays": Part("metrics", _relay, RELAYING),
    "desk consumes": Part("desk", _consume, CONSUMING),
    "desk indexes": Part("desk", _index, ((Indexer, "once"),)),
}


def run(job: Job) -> None:
    """Be the process: never returns."""
    _say_into(job.log)
    part = PARTS[job.part]
    if job.broken is not None:
        breaking.BREAKS[job.broken]()
    track = stepping.Track(job.order)
    for owner, name in part.watched:
        track.watch(owner, name)
    telemetry.set_up(part.service, "info", True)
    code = 0
    try:
        uvloop.run(_work(part, job))
        job.points.write_bytes(msgspec.json.encode(track.points))
    except BaseException:  # noqa: BLE001 - told in the log, and by the exit code
        telemetry.log().critical("ended by an error", exc_info=True)
        code = 1
    sys.stdout.flush()
    os._exit(code)


async def _work(part: Part, job: Job) -> None:
    settings = SETTINGS[part.service].model_validate(dict(job.settings))
    async with asyncio.timeout(None if job.lasts else END_SECONDS), resources(part.service, settings) as parts:
        await part.work(parts, settings, job)


def _say_into(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
