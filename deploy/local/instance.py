"""One running Patchbay in one data folder: the lock that makes it one, and what is left of one that was killed."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.local.errors import already_running
from deploy.local.processes import PidRecord, end_recorded, wait_gone

_END_SIGNALS = {"postgres": signal.SIGINT}  # all others: SIGTERM
# How long each may take to end in good order; together with what is done by force at most STOP_SECONDS.
SERVICES_STOP_SECONDS = 3.5
KAFKA_STOP_SECONDS = 2.5
POSTGRES_STOP_SECONDS = 2.0
STOP_SECONDS = 10.0
_FORCE_SHARE = 0.1


class Instance:
    """The folder `run` of the data folder: a lock and the pid files."""

    def __init__(self, data: Path) -> None:
        self.folder = data.absolute() / "run"

    def pid_file(self, name: str) -> Path:
        """Where the process `name` is recorded."""
        return self.folder / f"{name}.pid"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the one that runs here. The lock ends with the process, however it ends. Raises LocalError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise already_running(self.supervisor_pid()) from error
            PidRecord.of(os.getpid()).write(self.pid_file("supervisor"))
            try:
                yield
            finally:
                self.pid_file("supervisor").unlink(missing_ok=True)

    def supervisor_pid(self) -> int | None:
        """The process that runs here, if one does."""
        record = PidRecord.read(self.pid_file("supervisor"))
        return record.pid if record is not None and record.find() is not None else None

    def records(self) -> dict[str, PidRecord]:
        """Live processes of this folder by name, the supervisor left out."""
        found = {}
        for path in sorted(self.folder.glob("*.pid")):
            record = PidRecord.read(path)
            if path.stem != "supervisor" and record is not None and record.find() is not None:
                found[path.stem] = record
        return found

    def clean_up(self) -> list[str]:
        """End what a killed supervisor left running: services first, then the broker, then the database; their names."""
        return self._clean_up(SERVICES_STOP_SECONDS, KAFKA_STOP_SECONDS, POSTGRES_STOP_SECONDS)

    def _clean_up(self, services_seconds: float, kafka_seconds: float, postgres_seconds: float) -> list[str]:
        names = [path.stem for path in sorted(self.folder.glob("*.pid")) if path.stem != "supervisor"]
        servers = [name for name in ("kafka", "postgres") if name in names]
        services = [name for name in names if name not in servers]
        with ThreadPoolExecutor(max(1, len(services))) as pool:  # together: one that does not listen holds up no other
            ended = list(pool.map(lambda name: self._end(name, services_seconds), services))
        left = [name for name, was_there in zip(services, ended, strict=True) if was_there]
        seconds = {"kafka": kafka_seconds, "postgres": postgres_seconds}
        return left + [name for name in servers if self._end(name, seconds[name])]

    def stop(self, within_seconds: float = STOP_SECONDS) -> bool:
        """End the running supervisor and wait for it, by force when it does not; False when nothing was running."""
        record = PidRecord.read(self.pid_file("supervisor"))
        supervisor = record.find() if record is not None else None
        if supervisor is None:
            return bool(self.clean_up())
        with contextlib.suppress(psutil.NoSuchProcess):
            supervisor.terminate()
            if wait_gone([supervisor], within_seconds * (1 - _FORCE_SHARE)):
                supervisor.kill()
                wait_gone([supervisor], 5.0)
        each = within_seconds * _FORCE_SHARE / 4  # they have been asked already, or by the kernel when the supervisor was killed
        self._clean_up(each, each, each)
        return True

    def _end(self, name: str, seconds: float) -> bool:
        return end_recorded(self.pid_file(name), _END_SIGNALS.get(name, signal.SIGTERM), seconds)


def uptime(record: PidRecord) -> str:
    """How long the process has run, as `1 h 02 min` or `12 s`."""
    seconds = max(0, int(time.time() - record.started))
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
