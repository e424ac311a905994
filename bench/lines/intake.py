"""Intake beside a bare handler: contacts and signed SMS over loopback HTTP, each stored, numbered and in the outbox.

First as many as can be (closed load), then at fixed rates (open load), for the time from when a request was due until it
was answered. The relay sends what was accepted meanwhile, as in service; a baseline starts when the outbox is empty again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from statistics import median

import asyncpg
import httpx
import msgspec

from bench import bare
from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import interleaved, quick
from bench.load import Job, Outcome
from bench.requests import Target
from bench.world import BenchFailed, World, load, world
from deploy.local.ports import HOST, free_ports

NAME = "intake"
CONNECTIONS = 32
OPEN_CONNECTIONS = 256
SECONDS = 2.0
OPEN_SECONDS = 2.0
QUICK_SECONDS = 1.5
DRAIN_SECONDS = 60.0
PER_SECOND = 100.0
SHARES = (0.5, 0.8)
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - signs what this bench sends to itself
RATE = Goal("ratio", "at least", 1.0)
P99 = Goal("ratio", "at most", 2.0)
ROW = "a bare FastAPI handler that parses the same body and commits one row (SQLAlchemy, asyncpg)"
FORM_ROW = "for SMS, a bare handler that parses the form, verifies nothing and commits one row"
LEAN = "the same with asyncpg alone, one autocommitted INSERT"


@dataclass(slots=True)
class Stage:
    """Intake and the bare handler, both running on one database."""

    database: str
    contacts: Target
    sms: Target
    bare: Target
    next: int = 1

    async def flood(self, target: Target) -> Repeat:
        """As much as the target takes over keep-alive connections."""
        outcome = await self._flood(target, QUICK_SECONDS if quick() else SECONDS)
        return {"rate": outcome.rate}

    async def offer(self, target: Target, per_second: float) -> Repeat:
        """So many a second, whatever is answered when."""
        job = Job(
            mode="open",
            target=target,
            connections=OPEN_CONNECTIONS,
            seconds=QUICK_SECONDS if quick() else OPEN_SECONDS,
            first=self.next,
            per_second=per_second,
        )
        outcome = await load(job)
        self.next = outcome.next
        return {"p50": outcome.p50_ms, "p99": outcome.p99_ms}

    async def _flood(self, target: Target, seconds: float) -> Outcome:
        job = Job(mode="closed", target=target, connections=CONNECTIONS, seconds=seconds, first=self.next)
        outcome = await load(job)
        self.next = outcome.next
        return outcome

    async def warm_up(self) -> None:
        """Let both sides open their pools and prepare their statements."""
        for target in (self.bare_at("/contacts"), self.bare_at("/lean/contacts"), self.bare_sms, self.contacts, self.sms):
            await self._flood(target, 1.0)
        await self.drained()

    def bare_at(self, path: str) -> Target:
        """One of the bare handlers."""
        return replace_path(self.bare, path)

    @property
    def bare_sms(self) -> Target:
        """The bare handler of the same form; it verifies nothing."""
        return msgspec.structs.replace(self.sms, port=self.bare.port, path="/sms")

    async def drained(self) -> None:
        """Wait until the relay has nothing left. Raises BenchFailed."""
        connection = await asyncpg.connect(self.database, timeout=10)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await connection.fetchval("SELECT count(*) FROM intake.outbox", timeout=10):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise BenchFailed("the relay did not send everything in time") from None
        finally:
            await connection.close(timeout=10)


def replace_path(target: Target, path: str) -> Target:
    """Another path of the same server."""
    return msgspec.structs.replace(target, path=path)


async def run() -> list[Line]:
    """Measure."""
    async with world() as here:
        stage = await set_up(here)
        await stage.warm_up()
        return [*await _contacts(stage), *await _sms(stage)]


async def set_up(here: World) -> Stage:
    """Start intake and the bare handler."""
    await here.topics()
    database = await here.database(("auth", "keys", "intake"))
    connection = await asyncpg.connect(database, timeout=10)
    await connection.execute(bare.TABLE, timeout=10)
    await connection.close(timeout=10)
    port, smtp_port, bare_port = free_ports(3)
    intake = here.spawn(
        "intake",
        "services.intake",
        database=database,
        PATCHBAY_INTAKE_PORT=str(port),
        PATCHBAY_SMTP_PORT=str(smtp_port),
        PATCHBAY_INTAKE_TWILIO_TOKENS=TOKEN,
        PATCHBAY_INTAKE_KEY_PER_MINUTE="10000000",  # one connector brings as much as can be taken
    )
    await here.ready(here.spawn("bare", "bench.bare", str(bare_port), database=database), bare_port)
    await here.ready(intake, port)
    await configure_inbox(port, await here.api_key(database, "admin", "admin"))
    key = await here.api_key(database, "connector", "intake:write")
    path = "/v1/providers/twilio/sms"
    contacts = Target(kind="contact", host=HOST, port=port, path="/v1/contacts", key=key)
    return Stage(
        database=database,
        contacts=contacts,
        sms=Target(kind="sms", host=HOST, port=port, path=path, token=TOKEN, signed_url=f"http://{HOST}:{port}{path}"),
        bare=msgspec.structs.replace(contacts, port=bare_port),
    )


async def configure_inbox(port: int, admin_key: str) -> None:
    """The inbox that the contacts name. Raises BenchFailed."""
    body = {"channel": "chat", "address": "bench", "confirm": False}
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=10, trust_env=False) as client:
        answer = await client.put("/v1/inboxes/bench", json=body, headers={"Authorization": f"Bearer {admin_key}"})
    if answer.status_code >= 300:
        raise BenchFailed(f"the inbox was not taken: {answer.text[:300]}")


async def _contacts(stage: Stage) -> list[Line]:
    lean: list[Repeat] = []

    async def baseline() -> Repeat:
        lean.append(await stage.flood(stage.bare_at("/lean/contacts")))
        return await stage.flood(stage.bare_at("/contacts"))

    async def product() -> Repeat:
        return await _drained(stage, stage.flood(stage.contacts))

    products, baselines = await interleaved("contacts", baseline, product)
    bounded = Column("rate", "generic contacts accepted", "contacts/s", (RATE,))
    beside = Column("rate", "generic contacts accepted, beside asyncpg alone", "contacts/s")
    capacity = min(_median(products), _median(baselines))
    found = [
        *lines(NAME, (bounded,), products, baselines, ROW),
        *lines(NAME, (beside,), products, lean, LEAN),
        Line(NAME, "capacity of the slower of both, of which the rates below are shares", "contacts/s", (capacity,)),
    ]
    offered = {f"{PER_SECOND:.0f}/s": PER_SECOND, **{f"{share:.0%} of capacity": share * capacity for share in SHARES}}
    for name, per_second in offered.items():
        found += await _at(stage, "generic contact", name, per_second, stage.contacts, stage.bare_at("/contacts"), ROW)
    return found


async def _sms(stage: Stage) -> list[Line]:
    async def product() -> Repeat:
        return await _drained(stage, stage.flood(stage.sms))

    products, baselines = await interleaved("SMS", lambda: stage.flood(stage.bare_sms), product)
    column = Column("rate", "signed SMS accepted", "SMS/s", (RATE,))
    return [
        *lines(NAME, (column,), products, baselines, FORM_ROW),
        *await _at(stage, "signed SMS", f"{PER_SECOND:.0f}/s", PER_SECOND, stage.sms, stage.bare_sms, FORM_ROW),
    ]


async def _at(
    stage: Stage, what: str, name: str, per_second: float, product: Target, baseline: Target, baseline_name: str
) -> list[Line]:
    """The time to the answer at a rate that both sides are offered."""
    products, baselines = await interleaved(
        f"{what} at {name}",
        lambda: stage.offer(baseline, per_second),
        lambda: _drained(stage, stage.offer(product, per_second)),
    )
    columns = (
        Column("p50", f"{what} due → accepted, p50, {name}", "ms"),
        Column("p99", f"{what} due → accepted, p99, {name}", "ms", (P99,)),
    )
    return lines(NAME, columns, products, baselines, baseline_name)


async def _drained(stage: Stage, sending: Awaitable[Repeat]) -> Repeat:
    measured = await sending
    await stage.drained()
    return measured


def _median(found: Sequence[Repeat]) -> float:
    return median(repeat["rate"] for repeat in found)
