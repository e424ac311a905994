"""What a composition root is made of: the resources of one process, and running its tasks until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sqlalchemy as sa
import uvloop
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db, telemetry
from shared.auth import Authenticator
from shared.backlog import measure
from shared.consumer import Consumer, LogLost, Stuck
from shared.events.base import Writer
from shared.events.topics import Topic
from shared.folding import Afterwards, AnyProjection, Folder
from shared.outbox import Outbox
from shared.parking import Parking, code_version
from shared.personal import KeyRing, WrongMasterKey
from shared.relay import Relay
from shared.settings import Settings, SettingsError, read
from shared.telemetry import log

START_SECONDS = 30.0
STOP_SECONDS = 9.0
Task = Callable[[], Coroutine[None, None, None]]


class NotReady(RuntimeError):
    """The process cannot start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process of one service has to work with."""

    name: Writer
    settings: Settings
    engine: AsyncEngine
    keys: KeyRing
    outbox: Outbox
    folder: Folder
    authenticator: Authenticator

    def relay(self, linger_seconds: float = 0.0) -> Relay:
        """The relay of this service's outbox; it gathers events for so long."""
        return Relay(self.settings, self.outbox, linger_seconds)

    def consumer(
        self,
        projections: tuple[AnyProjection, ...],
        committed: Callable[[], None] = lambda: None,
        *,
        linger_ms: int = 0,
        patient: Iterable[Topic] = (),
        afterwards: Afterwards | None = None,
    ) -> Consumer:
        """The consumer of these topics; the rest is as `Consumer` says."""
        return Consumer(
            settings=self.settings,
            engine=self.engine,
            schema=self.name,
            folder=self.folder,
            parking=self.folder.parking,
            projections=projections,
            committed=committed,
            linger_ms=linger_ms,
            patient=frozenset(topic.name for topic in patient),
            afterwards=afterwards,
        )

    async def measure(self) -> None:
        """Tell how much waits here, until cancelled."""
        await measure(self.engine, self.name)

    async def database_ready(self) -> str | None:
        """None, or why the database cannot be used: for /readyz."""
        try:
            async with asyncio.timeout(2), db.transaction(self.engine) as conn:
                await conn.execute(sa.text("SELECT 1"))
        except (db.DatabaseAway, TimeoutError):
            return "PostgreSQL does not answer"
        return None


@asynccontextmanager
async def resources(name: Writer, settings: Settings) -> AsyncIterator[Resources]:
    """Open what the process needs, waiting up to START_SECONDS for PostgreSQL. Raises NotReady, SettingsError."""
    engine = db.make_engine(settings, name)
    try:
        keys = KeyRing.of(settings.master_keys())
        number = await _incarnation(engine, name, keys)
        outbox = Outbox(schema=name, incarnation=number, keys=keys, wake=asyncio.Event())
        folder = Folder(outbox, Parking(name, code_version(name)))
        yield Resources(name, settings, engine, keys, outbox, folder, Authenticator(engine))
    finally:
        await engine.dispose()


async def _incarnation(engine: AsyncEngine, schema: str, keys: KeyRing) -> int:
    """The database's incarnation, once it answers and the master key is seen to be its own. Raises NotReady."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            number = await db.incarnation(engine, schema)
            async with db.transaction(engine) as conn:
                await keys.check_master_key(conn)
            return number
        except db.DatabaseAway:
            if asyncio.get_running_loop().time() > deadline:
                raise NotReady("PostgreSQL does not answer. Check PATCHBAY_DATABASE, and that the server runs.") from None
            await asyncio.sleep(0.3)
        except ProgrammingError:
            raise NotReady(f"The schema '{schema}' is not there. Run: python -m deploy.setup") from None
        except WrongMasterKey as error:
            raise NotReady(str(error)) from None


async def run_until_stopped(tasks: Mapping[str, Task], drain: Callable[[], None] = lambda: None) -> None:
    """Run all tasks. SIGTERM and SIGINT call `drain` (stop taking in), give tasks a moment, then cancel what is left.

    A task that ends or fails by itself ends the process, to be started again by whoever supervises it.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running = {asyncio.create_task(make(), name=name) for name, make in tasks.items()}
    stopper = asyncio.create_task(stopping.wait(), name="stop")
    done, _ = await asyncio.wait({*running, stopper}, return_when=asyncio.FIRST_COMPLETED)
    stopper.cancel()
    drain()
    if stopper in done:
        draining = {task for task in running if task.get_name().startswith("serve")}
        if draining:
            await asyncio.wait(draining, timeout=STOP_SECONDS)
    await _cancel(running)
    for task in running:
        _raise_failure(task, expected=stopper in done)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel, and again after a moment: a library may have swallowed the first time."""
    deadline = asyncio.get_running_loop().time() + STOP_SECONDS
    while (left := {task for task in tasks if not task.done()}) and asyncio.get_running_loop().time() < deadline:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=2)


def _raise_failure(task: asyncio.Task[None], *, expected: bool) -> None:
    if not task.done() or task.cancelled():
        return
    error = task.exception()
    if error is not None:
        raise error
    if not expected:
        log().error("a task ended by itself", task=task.get_name())


def main(name: Writer, settings: Callable[[], Settings], run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Be a service's process: logs, event loop, exit code. Ends with one sentence instead of a stack trace.

    Does not return: Python would wait at its end for threads that libraries left behind, and a process that does not end is
    not started again.
    """
    code = _run(name, settings, run)
    telemetry.send_last_spans()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(name: Writer, settings: Callable[[], Settings], run: Callable[[], Coroutine[None, None, None]]) -> int:
    try:
        chosen = read(settings)
        telemetry.set_up(name, chosen.log_level, chosen.log_json)
        log().info("starting", pid=os.getpid())
        uvloop.run(run())
        log().info("stopped")
    except (NotReady, SettingsError, LogLost, Stuck) as error:
        log().error("cannot go on", reason=str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - the last wall: Python's own report would print what the error says
        log().critical("ended by an error", exc_info=True)
        return 1
    return 0
