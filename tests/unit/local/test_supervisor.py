"""The supervisor with small stand-ins for the services, and a real Kafka and PostgreSQL."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.instance import Instance
from deploy.local.ports import free_ports
from deploy.local.processes import PidRecord
from tests.infra import ServerFolder

PROJECT = Path(__file__).resolve().parents[3]
SERVICES = ("intake", "routing", "sla", "metrics", "desk")
SERVICE = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
name = __spec__.name.rpartition(".")[2].upper()
HTTPServer(("127.0.0.1", int(os.environ[f"PATCHBAY_{name}_PORT"])), Ready).serve_forever()
"""
SETUP = """
import asyncio, asyncpg, json, os
async def main():
    connection = await asyncpg.connect(os.environ["PATCHBAY_DATABASE"])
    await connection.execute("CREATE TABLE IF NOT EXISTS runs (n serial)")
    await connection.execute("INSERT INTO runs DEFAULT VALUES")
    runs = await connection.fetchval("SELECT count(*) FROM runs")
    await connection.close()
    print(json.dumps({"topics": ["tickets"], "keys": {"runs": f"run-{runs}"}}))
asyncio.run(main())
"""


class Trial:
    """A project folder with the local runtime and stand-ins, on ports of its own; `given`: further settings."""

    def __init__(self, folder: Path, **given: str) -> None:
        self.folder = folder
        shutil.copytree(PROJECT / "deploy" / "local", folder / "deploy" / "local")
        (folder / "deploy" / "__init__.py").touch()
        (folder / "deploy" / "setup.py").write_text(SETUP, encoding="utf-8")
        (folder / "deploy" / "demo_config.py").write_text("print('[]')", encoding="utf-8")
        (folder / "services").mkdir()
        (folder / "services" / "__init__.py").touch()
        for name in SERVICES:
            (folder / "services" / f"{name}.py").write_text(SERVICE, encoding="utf-8")
        names = [*SERVICES, "smtp", "kafka", "kafka_controller", "database"]
        settings = [f"PATCHBAY_{n.upper()}_PORT={p}" for n, p in zip(names, free_ports(len(names)), strict=True)]
        settings += [f"PATCHBAY_{name.upper()}={value}" for name, value in given.items()]
        (folder / "patchbay.env").write_text("\n".join(settings) + "\n", encoding="utf-8")
        self.instance = Instance(folder / ".patchbay")
        self._screen = folder / "screen.txt"

    def command(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.local", verb],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, until: str = "Patchbay runs") -> subprocess.Popen[bytes]:
        with self._screen.open("wb") as screen:
            run = subprocess.Popen(
                [sys.executable, "-m", "deploy.local", "run"],
                cwd=self.folder,
                env=self._environment(),
                stdout=screen,
                stderr=subprocess.STDOUT,
            )
        self.await_text(until, run)
        return run

    def screen(self) -> str:
        return self._screen.read_text(encoding="utf-8")

    def await_text(self, text: str, run: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and run.poll() is None:
            if text in self.screen():
                return
            time.sleep(0.05)
        pytest.fail(f"{text!r} never came on the screen:\n{self.screen()}")

    def process(self, name: str) -> PidRecord:
        record = PidRecord.read(self.instance.pid_file(name))
        assert record is not None
        return record

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}


@pytest.fixture
def trial() -> Iterator[Trial]:
    folder = ServerFolder()
    trial = Trial(folder.path)
    yield trial
    trial.instance.stop()
    folder.remove()


@pytest.fixture
def guest(kafka_bootstrap: str, empty_database: str) -> Iterator[Trial]:
    """One that is given the run's servers: starting them is not what is tried."""
    folder = ServerFolder()
    trial = Trial(folder.path, kafka=kafka_bootstrap, database=empty_database)
    yield trial
    trial.instance.stop()
    folder.remove()


def test_everything_starts_survives_kill_9_and_ends_in_ten_seconds_with_its_data(trial: Trial) -> None:
    first = trial.start()
    assert "run-1" in trial.screen()
    started = trial.instance.records()
    assert set(started) == {*SERVICES, "kafka", "postgres"}
    broker = started["kafka"].find()
    assert broker is not None
    assert broker.memory_info().rss <= 600 * 2**20

    refused = trial.command("run")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "already running" in refused.stderr
    assert "Traceback" not in refused.stderr

    first.send_signal(signal.SIGKILL)
    first.wait()
    second = trial.start()
    assert "run-2" in trial.screen()
    assert [name for name, record in started.items() if record.find() is not None] == []

    os.kill(trial.process("sla").pid, signal.SIGKILL)
    trial.await_text("sla was started again", second)
    assert "sla ended (killed by signal 9)" in trial.screen()

    left = trial.instance.records()
    began = time.monotonic()
    assert trial.command("stop").returncode == 0
    assert time.monotonic() - began < 10
    assert second.wait(10) == 0
    assert [name for name, record in left.items() if record.find() is not None] == []
    assert "Traceback" not in trial.screen()


def test_a_taken_port_is_one_sentence_and_nothing_is_left_running(trial: Trial) -> None:
    lines = (trial.folder / "patchbay.env").read_text(encoding="utf-8").split()
    port = int(dict(line.split("=") for line in lines)["PATCHBAY_SLA_PORT"])
    with socket.create_server(("127.0.0.1", port)):
        outcome = trial.command("run")
    assert outcome.returncode == 1
    assert f"Port {port} (for sla) is taken by another program" in " ".join(outcome.stderr.split())
    assert trial.instance.records() == {}


def test_preparing_that_fails_ends_the_start_with_what_it_said(trial: Trial) -> None:
    (trial.folder / "deploy" / "setup.py").write_text("import sys; sys.exit('The moon is in the wrong house.')", encoding="utf-8")
    outcome = trial.command("run")
    assert outcome.returncode == 1
    assert "The moon is in the wrong house." in " ".join(outcome.stderr.split())
    assert trial.instance.records() == {}


def test_a_service_that_ends_at_once_says_why_and_nobody_says_that_all_runs(guest: Trial) -> None:
    words = "import sys; sys.exit('No lamp is lit.')"
    (guest.folder / "services" / "routing.py").write_text(words, encoding="utf-8")
    run = guest.start(until="Not all of it is up: routing")
    screen = " ".join(guest.screen().split())
    assert "routing ended (exit code 1)" in screen
    assert 'It said last: "No lamp is lit."' in screen
    assert "Patchbay runs" not in screen
    assert "sla: http://127.0.0.1:" in screen
    assert guest.command("stop").returncode == 0
    assert run.wait(10) == 0


def test_a_key_file_that_was_named_and_is_not_there_ends_the_start(guest: Trial) -> None:
    with (guest.folder / "patchbay.env").open("a", encoding="utf-8") as settings:
        settings.write(f"PATCHBAY_MASTER_KEY_FILE={guest.folder / 'mounted.key'}\n")
    outcome = guest.command("run")
    assert outcome.returncode == 1
    assert "which PATCHBAY_MASTER_KEY_FILE names" in " ".join(outcome.stderr.split())
    assert not (guest.folder / "mounted.key").exists()
    assert guest.instance.records() == {}


def test_the_status_of_nothing_is_not_running(trial: Trial) -> None:
    assert trial.command("status").returncode == 3
    assert trial.command("stop").stdout == "Patchbay is not running from this folder.\n"
