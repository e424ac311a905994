"""Where the CPU goes: of each service and server while contacts go through everything, and inside each service.

First without a profiler, for what a contact costs each process; then with one (py-spy) on every service. BENCH_RATE sets
the contacts a second, BENCH_SECONDS how long each of both takes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

from bench import flame
from bench.figures import Line
from bench.interleave import quick
from bench.lines.system import SERVICES, System, system
from bench.load import Job
from bench.processes import usage
from bench.world import SCRATCH, BenchFailed, load

NAME = "profile"
RATE = 100.0
SECONDS = 12.0
QUICK_SECONDS = 6.0
WARM_UP_SECONDS = 4.0
SETTLE_SECONDS = 120.0
CONNECTIONS = 64
SAMPLES_PER_SECOND = 200
TOP = 25
FOLDER = SCRATCH / "profile"


async def run() -> list[Line]:
    """Measure, and write for each service its costliest functions, its stacks and a flame graph."""
    rate = float(os.environ.get("BENCH_RATE") or RATE)
    seconds = float(os.environ.get("BENCH_SECONDS") or (QUICK_SECONDS if quick() else SECONDS))
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with system(auto_accept=True) as running:
        number = await _through(running, rate, WARM_UP_SECONDS, 1)
        found, number = await _costs(running, rate, seconds, number)
        recorders = [await _record(running, name) for name in SERVICES]
        try:
            await _through(running, rate, seconds, number)
        finally:
            await asyncio.gather(*(_finish(recorder) for recorder in recorders))
        await running.refuse_parked()
    for name in SERVICES:
        _write(name, rate)
    return found


async def _through(running: System, rate: float, seconds: float, first: int) -> int:
    job = Job(mode="open", target=running.contacts, connections=CONNECTIONS, seconds=seconds, first=first, per_second=rate)
    outcome = await load(job)
    await running.settled(SETTLE_SECONDS)
    return outcome.next


async def _costs(running: System, rate: float, seconds: float, first: int) -> tuple[list[Line], int]:
    """CPU from the first contact until nothing is left to do: a share of one core, and what one contact costs."""
    pids = running.pids()
    before, began = usage(pids), time.monotonic()
    number = await _through(running, rate, seconds, first)
    took, after = time.monotonic() - began, usage(pids)
    used = {name: after[name].cpu_seconds - before[name].cpu_seconds for name in pids if name in before and name in after}
    used["all"] = sum(used.values())
    shares = [Line(NAME, f"CPU of {name} at {rate:g}/s", "% of a core", (100 * spent / took,)) for name, spent in used.items()]
    each = [Line(NAME, f"CPU of {name} for a contact", "ms", (1000 * spent / (number - first),)) for name, spent in used.items()]
    return [*shares, *each], number


async def _record(running: System, name: str) -> Process:
    command = Path(sys.executable).with_name("py-spy")
    options = ("--format", "raw", "--function", "--rate", str(SAMPLES_PER_SECOND), "--output", str(_file(name, "folded")))
    return await asyncio.create_subprocess_exec(
        command, "record", *options, "--pid", str(running.pids()[name]), stdout=DEVNULL, stderr=DEVNULL
    )


async def _finish(recorder: Process) -> None:
    if recorder.returncode is None:
        recorder.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        await recorder.wait()


def _write(name: str, rate: float) -> None:
    file = _file(name, "folded")
    if not file.exists():
        raise BenchFailed(f"py-spy recorded nothing of {name}: on macOS it needs root, in a container the right to trace")
    samples = flame.stacks(file.read_text(encoding="utf-8"))
    _file(name, "txt").write_text(flame.tops(samples, TOP), encoding="utf-8")
    _file(name, "svg").write_text(flame.svg(samples, f"{name} at {rate:g} contacts/s"), encoding="utf-8")


def _file(name: str, kind: str) -> Path:
    return FOLDER / f"{name}.{kind}"
