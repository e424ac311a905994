"""What processes use: CPU and memory of each with its children, read from the system."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the process began, its ended children included, and resident memory in MiB now."""

    cpu_seconds: float
    memory_mib: float


def usage(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Each named process with its live children. Pages that children share (PostgreSQL's buffers) count in each: compare
    such a sum only with itself. One that has ended is left out.
    """
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            found[name] = Usage(sum(map(_cpu, family)), sum(map(_memory, family)))
    return found


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0
