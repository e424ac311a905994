"""Processes that this program starts, remembers on disk, recognises again after a crash, and ends."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.local.logs import emptied_at, keep_small, last_line, older_part

_START_TOLERANCE_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# The kernel sends the death signal when the *thread* that forked ends, so all forks are made by one that stays.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True)
class PidRecord:
    """What a pid file says of a process: enough not to mistake another one, with the same number, for it."""

    pid: int
    started: float
    command: tuple[str, ...]

    def is_same(self, started: float, command: Sequence[str]) -> bool:
        """Whether a live process with these properties is the recorded one. `started` is in seconds since 1970."""
        return abs(self.started - started) <= _START_TOLERANCE_SECONDS and self.command == tuple(command)

    def find(self) -> psutil.Process | None:
        """The live process of this record, or None when it has ended or its number belongs to another by now."""
        try:
            process = psutil.Process(self.pid)
            same = self.is_same(process.create_time(), process.cmdline())
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return None

    @classmethod
    def of(cls, pid: int) -> "PidRecord":
        """The record of a live process. Raises psutil.NoSuchProcess."""
        process = psutil.Process(pid)
        return cls(pid, process.create_time(), tuple(process.cmdline()))

    def write(self, path: Path) -> None:
        """Write the pid file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.draft")
        try:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> "PidRecord | None":
        """The record in a pid file, or None when there is none that can be read."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(stored["pid"]), float(stored["started"]), tuple(str(part) for part in stored["command"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Child:
    """A process with a log file and a pid file.

    `end` is the signal that asks it to finish in good order. What it prints goes to its log; with `output`, only its
    standard error does, and standard output to that file, which only we can read.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        pid_file: Path,
        end: signal.Signals = signal.SIGTERM,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        output: Path | None = None,
        user: int | None = None,
        group: int | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.pid_file = pid_file
        self.end = end
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._output = output
        self._user = user
        self._group = group
        self._process: subprocess.Popen[bytes] | None = None
        self._log_began = 0
        self._emptied = 0.0

    @property
    def pid(self) -> int | None:
        """The number of the live process, or None."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process runs (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the last process ended (negative: the signal that ended it), None while it runs or before it started."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start the process in a session of its own, so that the terminal's Ctrl-C reaches only us. Raises OSError."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        keep_small(self.log)
        self._log_began = self.log.stat().st_size if self.log.exists() else 0
        self._emptied = emptied_at(self.log)
        if self._output is not None:
            self._output.unlink(missing_ok=True)
            self._output.touch(mode=0o600)
        with self.log.open("ab") as log, (self._output or self.log).open("ab") as output:
            self._process = _SPAWNER.submit(
                subprocess.Popen,
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
                user=self._user,
                group=self._group,
                extra_groups=[] if self._group is not None else None,
                preexec_fn=_dies_with_parent(self.end),
            ).result()
        try:
            PidRecord.of(self._process.pid).write(self.pid_file)
        except psutil.NoSuchProcess:
            pass  # it has ended already, which the caller will see
        except OSError:
            self.kill()  # never a process that a later start could not recognise
            raise

    def ask_to_end(self) -> None:
        """Send the signal for a good end; returns at once."""
        if self.alive:
            self.signal(signal.SIGCONT)
            self.signal(self.end)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end; False when it still runs after the timeout."""
        if self._process is not None:
            try:
                self._process.wait(max(0.0, timeout_seconds))
            except subprocess.TimeoutExpired:
                return False
        self.pid_file.unlink(missing_ok=True)
        return True

    def stop(self, timeout_seconds: float) -> None:
        """End in good order, or by force after the timeout."""
        self.ask_to_end()
        if not self.wait(timeout_seconds):
            self.kill()

    def kill(self) -> None:
        """End at once, with every process it started (kill -9)."""
        family = self._family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.wait(5.0)
        wait_gone(family, 5.0)

    def pause(self) -> None:
        """Freeze it and its processes (SIGSTOP): it holds its connections and answers nothing."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Undo `pause`."""
        for process in reversed(self._family()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself; nothing happens when it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def last_line(self) -> str:
        """What it said last since its start, for a person; an empty string when it said nothing."""
        line = last_line(self.log, self._log_began)
        if not line and emptied_at(self.log) != self._emptied:
            return last_line(older_part(self.log))
        return line

    def _family(self) -> list[psutil.Process]:
        if self._process is None or not self.alive:
            return []
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _dies_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What the child runs before its program: ask the kernel for `number` when the parent ends, even by kill -9."""
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it ended in between
            os._exit(1)

    return arm


def end_recorded(pid_file: Path, end: signal.Signals, timeout_seconds: float) -> bool:
    """End the process that a pid file names, if it still is that process; whether there was one to end."""
    record = PidRecord.read(pid_file)
    process = record.find() if record is not None else None
    if process is None:
        pid_file.unlink(missing_ok=True)
        return False
    family = [process, *process.children(recursive=True)]
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()
        process.send_signal(end)
    left = wait_gone(family, timeout_seconds)
    for stubborn in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            stubborn.kill()
    wait_gone(left, 5.0)
    pid_file.unlink(missing_ok=True)
    return True


def wait_gone(processes: Sequence[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    """Wait for processes to end; those that still run after the timeout.

    One that has ended and was not collected by its parent counts as ended: a container may have nobody who collects.
    """
    deadline = time.monotonic() + timeout_seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(answers: Callable[[], bool], child: Child, timeout_seconds: float) -> bool:
    """Ask until `answers` says yes; False when the child ended or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if answers():
            return True
        if not child.alive:
            return False
        time.sleep(0.05)
    return False
