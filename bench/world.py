"""Servers and processes of a bench's own: a fresh broker and a fresh PostgreSQL on free ports, ended with the bench."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import msgspec

from bench.load import Job, Outcome
from deploy.local import unprivileged
from deploy.local.kafka import LocalKafka
from deploy.local.ports import HOST, free_ports
from deploy.local.postgres import LocalPostgres
from deploy.local.processes import Child
from deploy.setup import SCHEMAS
from shared import auth, db, kafka
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = ROOT / ".patchbay" / "bench"
READY_SECONDS = 40.0
STOP_SECONDS = 12.0
LOAD_SPARE_SECONDS = 60.0


class BenchFailed(RuntimeError):
    """A bench could not be carried out; the message says why, and where the log is."""


@dataclass(slots=True)
class World:
    """What a bench runs on."""

    folder: Path
    kafka: LocalKafka
    postgres: LocalPostgres
    master_key: str
    children: list[Child] = field(default_factory=list)

    def settings(self, database: str | None = None) -> Settings:
        """Settings of a process of this bench."""
        return Settings.model_validate(
            {"database": database or self.postgres.url, "master_key": self.master_key, "kafka": self.kafka.bootstrap}
        )

    async def database(self, schemas: Sequence[str] = SCHEMAS, template: str | None = None) -> str:
        """URL of a new database: with these schemas migrated, or a copy of `template`."""
        name = f"bench_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(self.postgres.url, timeout=30)
        try:
            source = f' TEMPLATE "{urlsplit(template).path[1:]}" STRATEGY file_copy' if template else ""
            await connection.execute(f'CREATE DATABASE "{name}"{source}', timeout=60)
        finally:
            await connection.close(timeout=10)
        url = urlunsplit(urlsplit(self.postgres.url)._replace(path=f"/{name}"))
        if template is None:
            for schema in schemas:
                await asyncio.to_thread(db.migrate, url, schema)
        return url

    async def topics(self) -> None:
        """Create the topics."""
        await kafka.create_topics(self.settings())

    async def api_key(self, database: str, key_id: str, *scopes: str) -> str:
        """An API key with these scopes."""
        engine = db.make_engine(self.settings(database), "bench")
        try:
            async with db.transaction(engine) as conn:
                return await auth.create_key(conn, key_id, f"bench {key_id}", scopes)
        finally:
            await engine.dispose()

    def spawn(self, name: str, *arguments: str, database: str, **environment: str) -> Child:
        """Start `python -m …` with the settings of this bench; it ends with the bench."""
        child = Child(
            name,
            [sys.executable, "-m", *arguments],
            log=self.folder / f"{name}.log",
            pid_file=self.folder / f"{name}.pid",
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("PATCHBAY_")},
                "PATCHBAY_DATABASE": database,
                "PATCHBAY_KAFKA": self.kafka.bootstrap,
                "PATCHBAY_MASTER_KEY": self.master_key,
                "PATCHBAY_LOG_LEVEL": "warning",
                **environment,
            },
            cwd=ROOT,
        )
        child.start()
        self.children.append(child)
        return child

    async def ready(self, child: Child, port: int, path: str = "/readyz") -> None:
        """Wait until a process that was spawned takes traffic. Raises BenchFailed."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            while asyncio.get_running_loop().time() < deadline and child.alive:
                try:
                    if (await client.get(f"http://{HOST}:{port}{path}")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)
        raise BenchFailed(f"{child.name} is not ready. Last line of its log: {child.last_line() or '(empty)'}")


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Start both servers, fsync on, and end everything that was started, also what was spawned."""
    folder = _folder()
    ports = free_ports(3)
    password = secrets.token_urlsafe(24)
    here = World(
        folder,
        LocalKafka(folder / "kafka", ports[0], ports[1]),
        LocalPostgres(folder / "postgres", ports[2], password),
        base64.b64encode(secrets.token_bytes(32)).decode(),
    )
    try:
        await asyncio.gather(asyncio.to_thread(here.kafka.start), asyncio.to_thread(here.postgres.start))
        yield here
    finally:
        await asyncio.to_thread(_end, here)


def _folder() -> Path:
    base = Path(tempfile.gettempdir())
    if not unprivileged.is_open_to_others(base / "x"):
        base = Path("/var/tmp")
    folder = Path(tempfile.mkdtemp(prefix="patchbay-bench-", dir=base))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    return folder


def _end(here: World) -> None:
    for child in here.children:
        child.ask_to_end()
    for child in here.children:
        child.stop(STOP_SECONDS)
    here.kafka.stop()
    here.postgres.stop()
    shutil.rmtree(here.folder, ignore_errors=True)


async def load(job: Job) -> Outcome:
    """Run the load generator in a process of its own. Raises BenchFailed when not every answer was a success."""
    outcome = await load_whatever(job)
    refused = {status: count for status, count in outcome.statuses.items() if not status.startswith("2")}
    if refused:
        raise BenchFailed(f"not all requests were accepted: {refused}; the first refusal: {outcome.first_refusal}")
    return outcome


async def load_whatever(job: Job) -> Outcome:
    """Run the load generator in a process of its own, whatever is answered. Raises BenchFailed when it breaks."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(job.seconds + LOAD_SPARE_SECONDS):
            output, _ = await process.communicate(msgspec.json.encode(job))
    except TimeoutError:
        raise BenchFailed("the load generator did not end in time") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise BenchFailed("the load generator failed; its error is above")
    return msgspec.json.decode(output, type=Outcome)
