"""Carries out a schedule of faults on a running system and undoes each; a supervisor's part is played for what was killed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg
import httpx
from aiokafka.errors import KafkaError

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from shared import kafka
from shared.deadlines import within
from shared.events.topics import TOPICS
from tests.clients import TLS
from tests.faults.proxy import BOTH, Direction, Proxy, Weather
from tests.faults.schedule import UNTIL_SETTLED, Schedule, Step
from tests.infra import READERS, server_ports
from tests.system import READY_SECONDS, SERVICES, System, until

CUT_LEAST_SECONDS = 0.05
LOOK_SECONDS = 0.05
SERVER_SECONDS = 20.0
KILLED = -signal.SIGKILL
HELD: Mapping[str, str] = {
    "rows": "CREATE SCHEMA IF NOT EXISTS somebody; CREATE TABLE IF NOT EXISTS somebody.rows (n integer);"
    " COMMIT; BEGIN; INSERT INTO somebody.rows VALUES (1)",
    "xmin": "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1",
}
DIRECTIONS: Mapping[str, frozenset[Direction]] = {
    "request": frozenset(["request"]),
    "answer": frozenset(["answer"]),
    "both": BOTH,
}


@dataclass(slots=True)
class Nemesis:
    """The faults of one system and its servers. `ended` is every end of a service that no schedule asked for."""

    system: System
    kafka: LocalKafka
    postgres: LocalPostgres
    ended: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    _down: set[str] = field(default_factory=set)
    _lasting: AsyncExitStack = field(default_factory=AsyncExitStack)
    _began: float = 0.0

    async def carry_out(self, schedule: Schedule) -> None:
        """All of it, from now on; returns when every service is ready again, and all is undone but what lasts until `settled`.

        A step that fails does not cancel the others: a broker that one of them killed is started again by it, and by nobody else.
        """
        self._began = time.monotonic()
        keeper = asyncio.create_task(self._keep_alive())
        self._lasting.callback(keeper.cancel)
        done = await asyncio.gather(*map(self._carry_out, schedule.steps), return_exceptions=True)
        if failed := [error for error in done if error is not None]:
            raise BaseExceptionGroup(f"steps could not be carried out: {failed}", failed)
        for service in self._running():
            await until(f"{service} is ready", lambda name=service: self._is_ready(name), READY_SECONDS)  # type: ignore[misc]

    async def _carry_out(self, step: Step) -> None:
        await asyncio.sleep(max(0.0, self._began + step.at - time.monotonic()))
        if step.seconds == UNTIL_SETTLED:
            await self._lasting.enter_async_context(FAULTS[step.fault](self, step))
            self._tell(f"{step.fault} {'+'.join(step.targets)}")
            return
        async with FAULTS[step.fault](self, step):
            self._tell(f"{step.fault} {'+'.join(step.targets)}")
            await asyncio.sleep(step.seconds)
        self._tell(f"{step.fault} {'+'.join(step.targets)} is over")

    async def settled(self) -> None:
        """Undo what lasted until now, and start nothing any more."""
        await self._lasting.aclose()

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self._began:6.2f} s  {what}")

    async def _is_ready(self, service: str) -> bool:
        """Unlike `System.ready` it waits for one that ended: that is started again."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2, verify=TLS) as http:
                return (await http.get(f"{self.system.url(service)}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def _keep_alive(self) -> None:
        """Start services again that ended, whether a fault killed them or they gave up."""
        while True:
            for service in self._running():
                process = self.system.processes[service]
                if process.exit_code is not None and service not in self._down:
                    if process.exit_code != KILLED:
                        self.ended.append(f"{service} ended with {process.exit_code}:\n{process.tail()}")
                    process.start()
                    self._tell(f"{service} is started again")
            await asyncio.sleep(LOOK_SECONDS)

    def _running(self) -> list[str]:
        """What is kept alive."""
        return [service for service in (*SERVICES, *READERS) if service in self.system.processes]

    def _hit(self, step: Step) -> list[str]:
        """The services that a step is about; what happens to one reader of the log happens to the others."""
        readers = [name for name in READERS if name in self.system.processes] if "metrics" in step.targets else []
        return [*step.targets, *readers]

    def links(self, step: Step) -> list[Proxy]:
        """The proxies that a step is about."""
        assert self.system.links is not None, "this fault needs a system with links"
        return [self.system.links.proxies[name] for name in step.targets]

    @asynccontextmanager
    async def kill(self, step: Step) -> AsyncIterator[None]:
        """kill -9; started again after the step."""
        self._down.update(self._hit(step))
        for service in self._hit(step):
            self.system.processes[service].kill()
        yield
        self._down.difference_update(self._hit(step))

    @asynccontextmanager
    async def pause(self, step: Step) -> AsyncIterator[None]:
        """SIGSTOP, then SIGCONT."""
        for service in self._hit(step):
            self.system.processes[service].signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for service in self._hit(step):
                self.system.processes[service].signal(signal.SIGCONT)

    @asynccontextmanager
    async def server(self, step: Step) -> AsyncIterator[None]:
        """The broker or PostgreSQL: killed, ended in good order, or paused."""
        server = self.kafka if step.targets == ("kafka",) else self.postgres
        how = step.parameters["how"]
        await asyncio.to_thread({"kill": server.kill, "restart": server.stop, "pause": server.pause}[str(how)])
        try:
            yield
        finally:
            await asyncio.to_thread(server.resume if how == "pause" else server.start)

    @asynccontextmanager
    async def weather(self, step: Step) -> AsyncIterator[None]:
        """Links that are slow, held or half-open."""
        weather = WEATHER[step.fault](step.parameters)
        for link in self.links(step):
            link.weather = weather
        try:
            yield
        finally:
            await self._heal(step)

    @asynccontextmanager
    async def cut(self, step: Step) -> AsyncIterator[None]:
        """RST on links, now and then again."""
        links = self.links(step)

        async def again() -> None:
            while True:
                for link in links:
                    link.cut()
                await asyncio.sleep(max(CUT_LEAST_SECONDS, float(step.parameters["every"])))

        cutting = asyncio.create_task(again())
        try:
            yield
        finally:
            cutting.cancel()

    @asynccontextmanager
    async def refuse(self, step: Step) -> AsyncIterator[None]:
        """Links that take no connection."""
        for link in self.links(step):
            link.refuse()
        try:
            yield
        finally:
            await self._heal(step)

    @asynccontextmanager
    async def break_at(self, step: Step) -> AsyncIterator[None]:
        """Links that break at their next requests, before or after these are carried out."""
        applied = step.fault == "lost-answer" or step.parameters.get("applied") == "yes"
        for link in self.links(step):
            link.break_at(int(step.parameters["times"]), applied=applied)
        try:
            yield
        finally:
            await self._heal(step)

    async def _heal(self, step: Step) -> None:
        for link in self.links(step):
            await link.heal()

    @asynccontextmanager
    async def foreign(self, step: Step) -> AsyncIterator[None]:
        """Somebody else's transaction in the same database, open for long: with rows of a schema of its own, or a snapshot.
        Begun when PostgreSQL is there; another fault may have it away.
        """
        connection: asyncpg.Connection | None = None

        async def begun() -> bool:
            nonlocal connection
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self.system.database, timeout=10)
                await connection.execute(HELD[str(step.parameters["holds"])])
                return True
            return False

        await until("a foreign transaction is open", begun, SERVER_SECONDS)
        assert connection is not None
        try:
            yield
        finally:
            connection.terminate()

    @asynccontextmanager
    async def twin(self, step: Step) -> AsyncIterator[None]:
        """A second process of one identity; the first is frozen for a while, so that the second takes over and is met again."""
        [service] = step.targets
        http, smtp = server_ports(2)
        name = f"{service}-twin"
        own = {f"PATCHBAY_{service.upper()}_PORT": str(http), "PATCHBAY_SMTP_PORT": str(smtp)}
        twin = self.system.start(service, name=name, **own)
        first = self.system.processes[service]
        try:
            await self.system.ready(name, http)
            if step.parameters["pause"]:
                first.signal(signal.SIGSTOP)
                await asyncio.sleep(float(step.parameters["pause"]))
                first.signal(signal.SIGCONT)
            yield
        finally:
            first.signal(signal.SIGCONT)
            del self.system.processes[name]
            await asyncio.to_thread(twin.end)

    @asynccontextmanager
    async def rebalance(self, step: Step) -> AsyncIterator[None]:
        """A stranger joins the service's group and leaves it, again and again."""
        [service] = step.targets
        topics = tuple(topic.name for topic in TOPICS if service in topic.readers)
        every, over = float(step.parameters["every"]), asyncio.Event()

        async def storm() -> None:
            while not over.is_set():
                with suppress(KafkaError, kafka.KafkaAway):
                    stranger = await kafka.start_consumer(self.system.settings, service, topics, group=f"patchbay-{service}")
                    await _pause(over, every)
                    await kafka.stop(stranger)
                await _pause(over, every)

        storming = asyncio.create_task(storm())
        try:
            yield
        finally:
            over.set()  # not cancelled: a stranger who never leaves would keep what was given to it
            await storming


async def _pause(over: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await within(over.wait(), seconds)


def _slow(parameters: Mapping[str, float | str]) -> Weather:
    return Weather(latency_seconds=float(parameters["latency"]), jitter_seconds=float(parameters["jitter"]))


def _thin(parameters: Mapping[str, float | str]) -> Weather:
    return Weather(bytes_per_second=float(parameters["bytes_per_second"]))


def _held(parameters: Mapping[str, float | str]) -> Weather:
    return Weather(held=DIRECTIONS[str(parameters["direction"])])


def _half_open(parameters: Mapping[str, float | str]) -> Weather:
    return Weather(swallowed=DIRECTIONS[str(parameters["direction"])])


WEATHER: Mapping[str, Callable[[Mapping[str, float | str]], Weather]] = {
    "slow": _slow,
    "thin": _thin,
    "held": _held,
    "half-open": _half_open,
}
FAULTS: Mapping[str, Callable[[Nemesis, Step], AbstractAsyncContextManager[None]]] = {
    "kill": Nemesis.kill,
    "pause": Nemesis.pause,
    "kafka": Nemesis.server,
    "postgres": Nemesis.server,
    **dict.fromkeys(WEATHER, Nemesis.weather),
    "cut": Nemesis.cut,
    "refused": Nemesis.refuse,
    "lost-answer": Nemesis.break_at,
    "lost-request": Nemesis.break_at,
    "commit": Nemesis.break_at,
    "foreign": Nemesis.foreign,
    "twin": Nemesis.twin,
    "rebalance": Nemesis.rebalance,
}
