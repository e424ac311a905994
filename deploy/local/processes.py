"""Processes that this program starts, remembers on disk, recognises again after a crash, and ends."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_START_TOLERANCE_SECONDS = 2.0
LOG_BYTES = 20 * 2**20  # a larger log is put aside, one older one is kept
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


def keep_small(log: Path, at_most: int = LOG_BYTES) -> None:
    """Copy a log of more than so many bytes aside and empty it. A process may go on writing: it appends, so its next line is
    the first of the emptied file; only what it writes just between copying and emptying is lost.
    """
    with contextlib.suppress(OSError):  # no log yet, or no space to keep the older part: then it stays whole
        if log.stat().st_size > at_most:
            shutil.copyfile(log, older_part(log))
            os.truncate(log, 0)


def older_part(log: Path) -> Path:
    """Where the beginning of a log is kept that became too long."""
    return log.with_suffix(".log.1")


def emptied_at(log: Path) -> float:
    """When a log was emptied last, in the file system's time; 0 when it never was."""
    try:
        return older_part(log).stat().st_mtime
    except OSError:
        return 0.0


def last_line(log: Path, since: int = 0) -> str:
    """The last line of a log file after byte `since` that is not empty, as `words` has it; an empty string without one."""
    try:
        with log.open("rb") as stream:
            size = log.stat().st_size
            stream.seek(max(size - 16384, since if since <= size else 0))  # smaller than it was: emptied meanwhile
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((words(line)[:300] for line in reversed(lines) if line.strip()), "")


def words(line: str) -> str:
    """What a line of a log says to a person: of a service's line, which is JSON, the event and the reason or error."""
    try:
        said = json.loads(line)
    except ValueError:
        return line.strip()
    parts = [said.get(name) for name in ("event", "reason", "error")] if isinstance(said, dict) else []
    return ": ".join(str(part) for part in parts if part) or line.strip()
