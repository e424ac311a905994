"""One PostgreSQL 18 on the loopback interface, from the packaged binaries."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psutil

from deploy.local import unprivileged
from deploy.local.errors import LocalError, did_not_start, from_os_error, port_taken
from deploy.local.logs import last_line
from deploy.local.ports import HOST, is_free
from deploy.local.processes import Child, wait_gone, wait_until

START_SECONDS = 60.0
STOP_SECONDS = 5.0
STOP_SIGNAL = signal.SIGINT  # "fast shutdown": ends sessions, writes a checkpoint
USER = "patchbay"
DATABASE = "patchbay"
_INIT_SECONDS = 120.0


def render_config(port: int, *, fsync: bool) -> str:
    """`postgresql.conf` for 2 cores shared with a broker and the services. Every acknowledged commit is on disk. Of locks there
    are as many as intake may hold (docs/operations.md).
    """
    return f"""\
listen_addresses = '{HOST}'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200
max_locks_per_transaction = 256
shared_buffers = '256MB'
effective_cache_size = '1GB'
work_mem = '8MB'
maintenance_work_mem = '64MB'
synchronous_commit = on
fsync = {"on" if fsync else "off"}
full_page_writes = {"on" if fsync else "off"}
wal_compression = on
min_wal_size = '128MB'
max_wal_size = '1GB'
checkpoint_timeout = '10min'
idle_in_transaction_session_timeout = '60s'
autovacuum_naptime = '15s'
autovacuum_vacuum_scale_factor = 0.05
max_worker_processes = 4
max_parallel_workers_per_gather = 0
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
log_min_error_statement = panic
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""


class LocalPostgres:
    """A server of one's own: `start`, `stop`, and for fault tests `kill`, `pause`, `resume`.

    All methods block; from a coroutine call them with `asyncio.to_thread`. Data stays in `data_dir` between starts, and
    a start after `kill` recovers it. `fsync=False` survives `kill` but not a power cut: for tests, never for data.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int,
        password: str,
        *,
        log: Path | None = None,
        pid_file: Path | None = None,
        fsync: bool = True,
        port_setting: str = "PATCHBAY_DATABASE_PORT",
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._password = password
        self._log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self._pid_file = pid_file or self.data_dir.with_name(self.data_dir.name + ".pid")
        self._fsync = fsync
        self._port_setting = port_setting
        self._owner = unprivileged.owner()
        self._bin = Path()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """`postgresql://…` of the database `patchbay`, as its superuser."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """`postgresql://…` of another database of this server."""
        return f"postgresql://{USER}:{quote(self._password, safe='')}@{HOST}:{self.port}/{database}"

    @property
    def child(self) -> Child:
        """The server's process. Raises RuntimeError before the first start."""
        if self._child is None:
            raise RuntimeError("this server was never started")
        return self._child

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    def start(self) -> None:
        """Start the server and wait until it accepts sessions, recovery included. Raises LocalError."""
        self.launch()
        if not wait_until(self.answers, self.child, START_SECONDS):
            self.child.kill()
            raise did_not_start("PostgreSQL", self._log, self.child.last_line())

    def launch(self) -> None:
        """Start the server without waiting for it. Raises LocalError."""
        if not is_free(self.port):
            raise port_taken(self.port, "PostgreSQL", self._port_setting)
        try:
            self._bin = unprivileged.binaries(self._owner)
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialise()
            _clear_after_kill(self.data_dir)
            config = self.data_dir / "postgresql.conf"
            config.write_text(render_config(self.port, fsync=self._fsync), encoding="utf-8")
            unprivileged.give(config, self._owner)
            self._child = Child(
                "postgres",
                [str(self._bin / "postgres"), "-D", str(self.data_dir)],
                log=self._log,
                pid_file=self._pid_file,
                end=STOP_SIGNAL,
                env=_ENVIRONMENT,
                cwd=Path("/"),
                user=self._owner.uid,
                group=self._owner.gid,
            )
            self._child.start()
        except OSError as error:
            raise from_os_error(error, self.data_dir) from error

    def answers(self) -> bool:
        """Whether the server accepts sessions now."""
        probe = [str(self._bin / "pg_isready"), "-q", "-t", "2", "-h", HOST, "-p", str(self.port)]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            return subprocess.run(probe, check=False, timeout=5, env=_ENVIRONMENT).returncode == 0
        return False

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End in good order (sessions are ended, a checkpoint is written), by force after the timeout."""
        if self._child is not None:
            self._child.stop(timeout_seconds)

    def kill(self) -> None:
        """kill -9 of the server and all its processes, as when the machine's power goes."""
        self.child.kill()

    def pause(self) -> None:
        """Freeze it: sessions stay open and answer nothing."""
        self.child.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self.child.resume()

    def _initialise(self) -> None:
        """Make the cluster in a draft folder, so that a half-made one is never taken for a whole one."""
        draft = self.data_dir.with_name(self.data_dir.name + ".draft")
        unprivileged.remove(draft)
        draft.mkdir(parents=True, mode=0o700)
        unprivileged.give(draft, self._owner)
        secret = draft.with_name(draft.name + ".secret")
        secret.touch(mode=0o600)
        secret.write_text(self._password + "\n", encoding="utf-8")
        unprivileged.give(secret, self._owner)
        sync = [] if self._fsync else ["--no-sync"]
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        auth = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}"]
        try:
            self._run([str(self._bin / "initdb"), "-D", str(draft), *options, *auth, *sync])
            single = [str(self._bin / "postgres"), "--single", "-D", str(draft), "template1"]
            self._run(single, f"CREATE DATABASE {DATABASE}\n")
        finally:
            secret.unlink(missing_ok=True)
        draft.rename(self.data_dir)

    def _run(self, command: list[str], standard_input: str = "") -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            done = subprocess.run(
                command,
                input=standard_input.encode(),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_ENVIRONMENT,
                cwd="/",
                user=self._owner.uid,
                group=self._owner.gid,
                extra_groups=[] if self._owner.gid is not None else None,
                timeout=_INIT_SECONDS,
                check=False,
            )
        if done.returncode == 0:
            return
        said = last_line(self._log)
        if "No space left" in self._log.read_text(encoding="utf-8", errors="replace")[-4000:]:
            raise LocalError(f"The disk that holds {self.data_dir} is full: free some space and start again.")
        raise did_not_start("PostgreSQL", self._log, said)


def _clear_after_kill(data_dir: Path) -> None:
    """Let a start go on after kill -9: wait for the orphans of the last server to end, and forget its number.

    PostgreSQL itself refuses when the number in `postmaster.pid` belongs to any process, also to one that has ended and
    that nobody collected, which is what a container without an init process leaves.
    """
    pid_file = data_dir / "postmaster.pid"
    if not pid_file.exists():
        return
    orphans = [process for process in psutil.process_iter(["name"]) if _works_in(process, data_dir)]
    left = wait_gone(orphans, 5.0)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(left, 5.0)
    pid_file.unlink(missing_ok=True)


def _works_in(process: psutil.Process, data_dir: Path) -> bool:
    try:
        name = str(process.info["name"])
        return (
            name.startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(data_dir.resolve())
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


# Nothing of the user's own PostgreSQL settings (PGDATA, PGHOST …) may reach this server.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
