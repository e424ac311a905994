"""What the figures were measured on, and who else was using it."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from bench.interleave import quick, repeats

BUSY_SHARE = 0.15
LOOK_SECONDS = 1.0
SYNCS = 30
CAVEAT = "a short run or a shared, busy machine: these figures show that everything works and must not be quoted"


def facts() -> dict[str, str]:
    """Processor, memory, disk and versions, and the load when the run began."""
    memory = psutil.virtual_memory()
    return {
        "processor": _processor(),
        "cores": str(psutil.cpu_count() or 1),
        "memory": f"{memory.total / 2**30:.0f} GiB",
        "disk": f"a written 8 KiB page is safe (fsync) after {_sync_ms():.2f} ms",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "servers": "Apache Kafka 4.4.0 and PostgreSQL 18 of deploy/local on the same machine, fsync on",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "asyncpg", "aiokafka")),
        "code": _commit(),
        "load at start": f"{psutil.getloadavg()[0]:.1f}",
        "repeats": f"{repeats()} of each side{', short ones (BENCH_QUICK)' if quick() else ''}",
    }


def busy_now() -> float:
    """The share of all cores, 0 to 1, that is used over LOOK_SECONDS: by others, when nothing of ours runs."""
    return psutil.cpu_percent(LOOK_SECONDS) / 100


def others(busy: Mapping[str, float]) -> dict[str, str]:
    """How busy others kept the machine before each bench, and whether that spoils the figures."""
    shown = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
    spoilt = quick() or any(share > BUSY_SHARE for share in busy.values())
    return {"CPU of others before each bench": shown, **({"caveat": CAVEAT} if spoilt else {})}


def _sync_ms() -> float:
    """What a commit waits for at least: PostgreSQL's files lie in the same folder for temporary files."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(b"\0" * 8192)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took) * 1000


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    try:
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return "not in a git checkout"
    return done.stdout.strip()
