"""A house that is backed up, lost and restored: the hands of an operator in it, and all that was sent to it."""

import asyncio
import smtplib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.status import standings
from shared import db
from simulator.patience import Patience
from simulator.plan import Traffic
from simulator.run import Simulation
from simulator.truth import Answer, Sending, Truth
from tests.clients import TLS
from tests.system import ROOT, SERVICES, System, until

SEED = 20
BRISK = Traffic(longest_pause_seconds=0.3, longest=3)
# What is the same each time it is sent: a mail has another Date, and so is another one under the same Message-ID.
SAME_AGAIN = Traffic((("generic", 40), ("sms", 35), ("form", 10), ("voice", 15)), longest_pause_seconds=0.3, longest=3)
LETTER = """From: Ana <ana@customers.example>
To: support@patchbay.example
Subject: Broken lamp
Date: Tue, 03 Mar 2026 09:00:00 +0200
Message-ID: <lamp@customers.example>
Content-Type: text/plain; charset=utf-8

Hello, my new lamp does not work at all.
"""
PATIENCE = Patience(answer_seconds=4.0, first_wait_seconds=0.1, longest_wait_seconds=1.0, give_up_seconds=40.0)
PROMISED = {"kind": "first_response", "seconds": dict.fromkeys("1234", 3), "hours": "calendar", "warn_at_percent": [50]}
SOON = {
    "name": "Three seconds",
    "position": 0,
    "when": {"is": "test", "field": "inbox", "op": "equals", "value": "unattended"},
    "targets": [PROMISED],
}
OUTBOXES = " + ".join(f"(SELECT count(*) FROM {service}.outbox)" for service in SERVICES)
# What must be the same after the restore as it was before the loss, by what it is of.
STATE: Mapping[str, str] = {
    "tickets": "SELECT id, number, customer_id, channel, inbox, language, subject, conversation, status, closed, owned,"
    " merged_into, followed_up_by, rested_at, promised_by, opened_at, story FROM intake.ticket",
    "messages": "SELECT id, ticket_id, customer_id, content_hash, handle_kind, handle, message_ref, request, request_hash,"
    " human, opened, participant, received_at FROM intake.message",
    "refs": "SELECT * FROM intake.ref",
    "customers": "SELECT id, vip, plan, tier, language, merged_into, erased_at FROM intake.customer",
    "handles": "SELECT * FROM intake.handle",
    "calls": "SELECT provider, ref, id, ticket_id, convert_from(state, 'UTF8')::jsonb ->> 'phase' FROM intake.call",
    "deliveries": "SELECT message_id, ticket_id, kind, channel, language, state, attempts FROM intake.delivery",
    "inboxes": "SELECT * FROM intake.inbox",
    "work": "SELECT ticket_id, number, customer_id, status, agent_id, last_agent_id, queue_id, lane, priority, age_from,"
    " entered_at, offer_agent_id, offer_expires_at, attention FROM routing.ticket",
    "offers": "SELECT offer_id, ticket_id, agent_id, queue_id, visit, state, offered_at, expires_at FROM routing.offer",
    "agents": "SELECT agent_id, profile, state, used_units, tickets, by_channel FROM routing.agent",
    "history": "SELECT ticket_id, event_id, type, writer, at, customer_id, data FROM routing.entry",
    "definitions": "SELECT * FROM sla.definition",
    "clocks": "SELECT * FROM sla.clock",
    "timers": "SELECT * FROM sla.timer",
    "promises": "SELECT * FROM routing.promise",
}


def _hashable(row: Iterable[object]) -> tuple[object, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


@dataclass(slots=True)
class Drill:
    """A system, and all that was sent to it."""

    system: System
    folder: Path
    truth: Truth = field(default_factory=Truth)

    async def work(self, run: str, contacts: int, traffic: Traffic = BRISK) -> None:
        """Customers write and agents work, until all is acknowledged; then the agents leave, whatever they have in hand."""
        simulation = Simulation(
            self.system.places(), SEED, self.truth, rate_per_second=25, run=run, traffic=traffic, patience=PATIENCE
        )
        async with simulation, asyncio.timeout(60):
            await simulation.run(contacts)

    async def patchbay(self, *arguments: str) -> tuple[int, str]:
        """Run the operator's command line."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", *arguments,
            cwd=ROOT, env=self.system.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(errors="replace")

    async def told(self) -> None:
        """Wait until all that was decided stands on the log, and all of it was read."""

        async def done() -> bool:
            rows = await self.system.rows(
                f"SELECT {OUTBOXES} + (SELECT count(*) FROM intake.delivery WHERE due_at IS NOT NULL) AS n"
            )
            return bool(rows[0]["n"] == 0) and all(s.lag_records == 0 for s in await standings(self.system.settings, engine))

        engine = db.make_engine(self.system.settings, "test")
        try:
            await until("all is told and read", done, 30)
        finally:
            await engine.dispose()

    async def state(self) -> dict[str, set[tuple[object, ...]]]:
        """What the services hold."""
        return {name: {_hashable(row) for row in await self.system.rows(statement)} for name, statement in STATE.items()}

    async def lose(self) -> None:
        """kill -9 of every service."""
        for service in SERVICES:
            self.system.processes[service].kill()

    async def start(self) -> None:
        """All services again, ready."""
        for service in SERVICES:
            self.system.start(service)
        for service in SERVICES:
            await self.system.ready(service)

    async def killed_while_catching_up(self) -> None:
        """Start every service and kill it as soon as it says that it catches up."""
        for service in SERVICES:
            process = self.system.start(service)
            before = process.log.read_text().count("catching up after")
            await until("it catches up", lambda p=process, n=before: p.log.read_text().count("catching up after") > n)  # type: ignore[misc]
            process.kill()

    async def takes_nothing_while_it_catches_up(self) -> None:
        """Intake says so for as long as it cannot read the log to its end: the broker is away."""
        process = self.system.start("intake", PATCHBAY_KAFKA="127.0.0.1:1")

        async def says_so() -> bool:
            assert process.exit_code is None, process.tail()
            try:
                async with httpx.AsyncClient(trust_env=False, verify=TLS, base_url=self.system.url("intake")) as http:
                    ready = await http.get("/readyz")
                    taken = await http.post("/v1/contacts", json={})
            except httpx.TransportError:
                return False
            assert (ready.status_code, taken.status_code) == (503, 503)
            return "catching up" in ready.text and taken.json()["code"] == "catching-up"

        await until("it says that it catches up", says_so, 30)
        process.kill()

    async def contact(self, key: str, inbox: str = "support") -> Answer:
        """Somebody writes, and is answered."""
        text = "Hello, where is my order?"
        self.truth.begun(Sending(key, "generic", f"{key}@customers.example", "en", key, text))
        answer = await self.system.contact(key, text, inbox=inbox)
        body = answer.raise_for_status().json()
        told = Answer(0.0, answer.status_code, body["ticket_id"], body["message_id"], body["ticket_number"])
        self.truth.answered(key, told)
        return told

    async def letter(self) -> None:
        """The same mail as always, byte for byte."""
        self.truth.begun(Sending("<lamp@customers.example>", "email", "ana@customers.example", "en", "lamp", LETTER))
        await asyncio.to_thread(_send_letter, self.system.ports["smtp"])
        self.truth.answered("<lamp@customers.example>", Answer(0.0, 250))

    async def outbox_is_empty(self, service: str) -> bool:
        return not await self.system.rows(f"SELECT 1 FROM {service}.outbox LIMIT 1")

    async def attempted(self, key: str, how: str) -> bool:
        """Whether what goes to this sender is that far."""
        ticket = self.truth.sendings[key].answers[0].ticket_id
        return bool(await self.system.rows(f"SELECT 1 FROM intake.delivery WHERE ticket_id = $1 AND {how}", ticket))

    async def agent_owns(self, agent: str, key: str) -> None:
        """An agent comes and takes what this sender wrote."""
        http, ticket = self.system.client("routing", agent), self.truth.sendings[key].answers[0].ticket_id
        await self.system.agent_available(agent)

        async def offered() -> bool:
            items = (await http.get(f"/v1/agents/{agent}/offers")).json()["items"]
            return any(item["ticket_id"] == ticket for item in items)

        await until("it is offered", offered)
        for offer in (await http.get(f"/v1/agents/{agent}/offers")).json()["items"]:
            (await http.post(f"/v1/offers/{offer['offer_id']}/accept")).raise_for_status()

    async def broken_promises(self, number: int) -> None:
        """Wait until so many promises are broken."""

        async def done() -> bool:
            rows = await self.system.rows("SELECT count(*) AS n FROM sla.clock WHERE breached_at IS NOT NULL")
            return bool(rows[0]["n"] >= number)

        await until(f"{number} promises are broken", done, 20)


def _send_letter(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=15) as client:
        client.sendmail("ana@customers.example", ["support@patchbay.example"], LETTER.replace("\n", "\r\n").encode())
