"""A whole Patchbay of a test's own: its services as processes, on the run's broker and a database of its own."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from client import Service, new_http
from deploy import demo_config, setup
from deploy.demo.receivers import Mailbox, Texts, mail_server, twilio_api
from deploy.local.ports import HOST
from shared import kafka
from shared.events.base import Event, Fact
from shared.events.codec import Undecodable, decode
from shared.events.topics import BY_NAME, TOPICS
from shared.settings import Settings
from simulator.places import NO_ACCOUNT, Places
from tests.clients import TLS
from tests.faults.links import Links
from tests.infra import READERS as READERS
from tests.infra import SERVICES as SERVICES
from tests.infra import at_port, port_of, server_ports
from tests.process import ROOT as ROOT
from tests.process import Process
from tests.waiting import until as until

Api = TypeVar("Api", bound=Service)
AGENTS = ("dana", "omar")
READY_SECONDS = 40.0


@dataclass
class System:
    """The running whole. With `links`, services, senders and agents reach each other and the servers through proxies; what the
    test itself asks goes past them. `through` is what each service's environment has of its own.
    """

    folder: Path
    settings: Settings
    database: str
    ports: dict[str, int]
    keys: dict[str, str]
    environment: dict[str, str]
    mailbox: Mailbox
    texts: Texts
    twilio_token: str
    links: Links | None = None
    through: dict[str, dict[str, str]] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    clients: dict[tuple[str, str], httpx.AsyncClient] = field(default_factory=dict)
    http: httpx.AsyncClient = field(default_factory=new_http)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def client(self, service: str, role: str = "admin") -> httpx.AsyncClient:
        """A client of a service's API with the key of a demo role (`""` for none)."""
        if (service, role) not in self.clients:
            headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
            self.clients[service, role] = httpx.AsyncClient(
                base_url=self.url(service), headers=headers, timeout=15, trust_env=False, verify=TLS
            )
        return self.clients[service, role]

    def api(self, service: type[Api], role: str = "admin") -> Api:
        """A service as its typed client calls it, with the key of a demo role (`""` for none)."""
        return service(self.url(service.__name__.lower()), self.keys[role] if role else "", http=self.http)

    def places(self) -> Places:
        """Where the outside finds it: through the proxies, where there are any."""
        return Places(
            intake=self._outside("senders-intake", "intake"),
            routing=self._outside("agents-routing", "routing"),
            sla=self.url("sla"),
            metrics=self.url("metrics"),
            smtp_host=HOST,
            smtp_port=self._port("senders-smtp", "smtp"),
            twilio_token=self.twilio_token,
            keys=self.keys,
            agents=AGENTS,
            public_url=self.url("intake"),
        )

    def _outside(self, link: str, service: str) -> str:
        return f"http://{HOST}:{self._port(link, service)}"

    def _port(self, link: str, name: str) -> int:
        return self.links.proxies[link].port if self.links else self.ports[name]

    def start(self, service: str, crash_at: str | None = None, name: str | None = None, **environment: str) -> Process:
        """Start a service; with `crash_at` one that kills itself at that boundary (see tests/faults/crashing.py)."""
        module = [f"services.{service}"] if crash_at is None else ["tests.faults.crashing", f"services.{service}", crash_at]
        process = Process(
            name or service,
            [sys.executable, "-m", *module],
            {**self.environment, **self.through.get(service, {}), **environment},
            self.folder / f"{name or service}.log",
        )
        process.start()
        self.processes[process.name] = process
        return process

    async def ready(self, service: str, port: int | None = None) -> None:
        """Wait until a service takes traffic. Raises AssertionError with its log when it died."""
        process = self.processes[service]

        async def answers() -> bool:
            assert process.exit_code is None, f"{service} ended with {process.exit_code}:\n{process.tail()}"
            try:
                return (await http.get(f"http://127.0.0.1:{port or self.ports[service]}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        async with httpx.AsyncClient(trust_env=False, timeout=2, verify=TLS) as http:
            await until(f"{service} is ready", answers, READY_SECONDS)

    async def restart(self, service: str) -> None:
        """Start it again after it died, and wait until it is ready."""
        self.processes[service].kill()
        self.start(service)
        await self.ready(service)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        """Look into the database."""
        connection = await asyncpg.connect(self.database, timeout=10)
        try:
            return list(await connection.fetch(statement, *values, timeout=20))
        finally:
            await connection.close(timeout=5)

    async def log_of(self, *topics: str) -> list[Event[Fact]]:
        """Everything on these topics, in the order of each partition."""
        client = await kafka.start_consumer(self.settings, "test", (), group=None)
        try:
            places = [
                TopicPartition(topic, n) for topic in topics for n in range(BY_NAME[topic].partitions or self.settings.partitions)
            ]
            client.assign(places)
            ends = await client.end_offsets(places)
            await client.seek_to_beginning(*places)
            events: list[Event[Fact]] = []
            async with asyncio.timeout(60):
                while any([await client.position(place) < ends[place] for place in places]):
                    for records in (await client.getmany(timeout_ms=200)).values():
                        events.extend(_decoded(record.value) for record in records)
            return events
        finally:
            await kafka.stop(client)

    async def agent_available(self, agent_id: str) -> None:
        """An agent goes available by the API."""
        answer = await self.client("routing", agent_id).post(f"/v1/agents/{agent_id}/state", json={"state": "available"})
        answer.raise_for_status()

    async def contact(self, key: str, text: str = "Hello, where is my order?", **more: object) -> httpx.Response:
        """Post one contact of its own sender with the Idempotency-Key `key`."""
        handle = {"kind": "email", "value": f"{key}@customers.example"}
        body = {"channel": "email", "inbox": "support", "text": text, "handle": handle} | more
        return await self.client("intake", "channels").post("/v1/contacts", json=body, headers={"Idempotency-Key": key})

    async def close(self) -> None:
        await self.http.aclose()
        for client in self.clients.values():
            await client.aclose()
        for process in self.processes.values():
            if process.popen is not None and process.popen.poll() is None:
                process.popen.send_signal(signal.SIGCONT)
                process.popen.terminate()
        # Beside us: the proxies, through which services take leave, are ours to turn.
        await asyncio.gather(*(asyncio.to_thread(process.end) for process in self.processes.values()))


def _decoded(raw: bytes | None) -> Event[Fact]:
    try:
        return decode(raw or b"")
    except Undecodable as error:
        raise AssertionError(f"a record on the log cannot be read: {error}") from error


async def fresh_topics(settings: Settings) -> None:
    """Delete all topics of the broker and make them anew, so that a system starts with an empty log."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        names = {topic.name for topic in TOPICS}
        existing = names & set(await admin.list_topics())
        if existing:
            await admin.delete_topics(sorted(existing))

        async def gone() -> bool:
            return not names & set(await admin.list_topics())

        await until("the topics are deleted", gone)
    finally:
        await admin.close()
    await until("the topics are made", lambda: _made(settings), 30)


async def _made(settings: Settings) -> bool:
    try:
        await kafka.create_topics(settings)
    except KafkaError:
        return False
    return True


@asynccontextmanager
async def running_system(
    kafka_bootstrap: str,
    database: str,
    folder: Path,
    start: tuple[str, ...] = SERVICES,
    *,
    links: Links | None = None,
    replication: int = 1,
    **environment: str,
) -> AsyncIterator[System]:
    """A system with the demonstration's company, its services ready; with `links`, through a proxy on each way."""
    names = (*SERVICES, *READERS, "smtp", "mail_out", "twilio")
    ports = dict(zip(names, server_ports(len(names)), strict=True))
    token = secrets.token_hex(16)
    master = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = Settings(kafka=kafka_bootstrap, database=database, master_key=master, replication=replication)
    await fresh_topics(settings)
    keys = await setup.demo_keys(settings, folder / "secrets")
    async with AsyncExitStack() as stack:
        system = System(
            folder=folder,
            settings=settings,
            database=database,
            ports=ports,
            keys=keys,
            environment=_environment(settings, master, token, ports, environment),
            mailbox=await stack.enter_async_context(mail_server(ports["mail_out"])),
            texts=await stack.enter_async_context(twilio_api(ports["twilio"])),
            twilio_token=token,
            links=links,
        )
        if links is not None:
            stack.push_async_callback(links.close)
            system.through = await _through(links, database, ports)
        try:
            for service in start:
                system.start(service)
            await asyncio.gather(*(system.ready(service) for service in start))
            if set(start) >= set(SERVICES):
                await asyncio.to_thread(demo_config.put_in_place, ports, keys["admin"])
            yield system
        finally:
            await system.close()


def _environment(
    settings: Settings, master: str, token: str, ports: Mapping[str, int], more: Mapping[str, str]
) -> dict[str, str]:
    return {
        **os.environ,
        "PATCHBAY_KAFKA": settings.kafka,
        "PATCHBAY_DATABASE": settings.database.get_secret_value(),
        "PATCHBAY_REPLICATION": str(settings.replication),
        "PATCHBAY_MASTER_KEY": master,
        "PATCHBAY_SMTP_PORT": str(ports["smtp"]),
        **{f"PATCHBAY_{name.upper()}_PORT": str(ports[name]) for name in (*SERVICES, *READERS)},
        "PATCHBAY_INTAKE_MAIL_HOST": HOST,
        "PATCHBAY_INTAKE_MAIL_PORT": str(ports["mail_out"]),
        "PATCHBAY_INTAKE_ATTEMPT_SECONDS": "3",  # what a killed process was sending is tried again after five
        "PATCHBAY_INTAKE_TWILIO_URL": f"http://{HOST}:{ports['twilio']}",
        "PATCHBAY_INTAKE_TWILIO_ACCOUNT": NO_ACCOUNT,
        "PATCHBAY_INTAKE_TWILIO_TOKENS": token,
        **more,
    }


async def _through(links: Links, database: str, ports: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Put a proxy on each way; what each service has to be told for it."""
    told = {}
    for service in SERVICES:
        kafka_address = await links.before_kafka(service)
        postgres_port = await links.before_postgres(service, port_of(database))
        told[service] = {"PATCHBAY_KAFKA": kafka_address, "PATCHBAY_DATABASE": at_port(database, postgres_port)}
    for name, port in (("senders-intake", "intake"), ("senders-smtp", "smtp"), ("agents-routing", "routing")):
        await links.before(name, ports[port])
    told["intake"] |= {
        "PATCHBAY_INTAKE_MAIL_PORT": str(await links.before("intake-mail", ports["mail_out"])),
        "PATCHBAY_INTAKE_TWILIO_URL": f"http://{HOST}:{await links.before('intake-twilio', ports['twilio'])}",
    }
    return told
