"""What the figures were measured on."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.interleave import quick, repeats

BUSY_LOAD_PER_CORE = 0.5
CAVEAT = "a short run or a shared, busy machine: these figures show that everything works and must not be quoted"


def facts() -> dict[str, str]:
    """Processor, memory, disk and versions; and whether others were using the machine when the run began."""
    memory = psutil.virtual_memory()
    load = psutil.getloadavg()[0]
    cores = psutil.cpu_count() or 1
    busy = load > cores * BUSY_LOAD_PER_CORE
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{memory.total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "servers": "Apache Kafka 4.4.0 and PostgreSQL 18 of deploy/local on the same machine, fsync on",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "asyncpg", "aiokafka")),
        "code": _commit(),
        "load at start": f"{load:.1f} ({'others were using the machine' if busy else 'quiet'})",
        "repeats": f"{repeats()} of each side{', short ones (BENCH_QUICK)' if quick() else ''}; offers and pipeline run once",
        **({"caveat": CAVEAT} if busy or quick() else {}),
    }


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
