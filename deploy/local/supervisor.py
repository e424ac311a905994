"""Starts the servers and the services in order, keeps them alive, and ends them in the reverse order."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from deploy.local import jars, preflight, trying, unprivileged
from deploy.local import settings as local_settings
from deploy.local.errors import LocalError, did_not_start, from_os_error
from deploy.local.instance import KAFKA_STOP_SECONDS, POSTGRES_STOP_SECONDS, SERVICES_STOP_SECONDS, Instance
from deploy.local.kafka import START_SECONDS, LocalKafka
from deploy.local.logs import keep_small
from deploy.local.ports import HOST, address, is_ready
from deploy.local.postgres import LocalPostgres
from deploy.local.processes import Child
from deploy.local.screen import Screen
from deploy.local.settings import LocalSettings
from deploy.local.watch import Health

SETUP_SECONDS = 120.0
READY_SECONDS = 30.0


class Stopped(Exception):
    """Ctrl-C, or a request to end, while something was being started."""


class Supervisor:
    """One run of Patchbay in a project folder."""

    def __init__(self, project: Path, settings: LocalSettings, screen: Screen) -> None:
        self._project = project
        self._settings = settings
        self._screen = screen
        self._data = (project / settings.data).absolute()
        self._instance = Instance(self._data)
        self._kafka: LocalKafka | None = None
        self._postgres: LocalPostgres | None = None
        self._children: dict[str, Child] = {}
        self._health: dict[str, Health] = {}
        self._stopping = False

    def run(self) -> None:
        """Run until Ctrl-C, SIGTERM or a closed terminal. Raises LocalError when something cannot be started."""
        try:
            with self._instance.hold():
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, self._on_signal)
                try:
                    self._start()
                    self._watch()
                except Stopped:
                    pass
                finally:
                    self._stop()
        except OSError as error:
            raise from_os_error(error, self._data) from error

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _check_stop(self) -> None:
        if self._stopping:
            raise Stopped

    def _start(self) -> None:
        began = time.monotonic()
        left = self._instance.clean_up()
        if left:
            self._screen.notice(f"The last run was killed; ended what it left: {', '.join(left)}")
        preflight.check(self._settings, self._data)
        kafka, database = self._start_servers()
        environment = self._environment(kafka, database)
        shown = self._prepare(environment)
        self._start_services(environment)
        if self._settings.demo:
            self._configure(environment)
        self._show(shown, kafka)
        self._look_after()
        missing = [name for name, url in self._urls().items() if not (self._children[name].alive and is_ready(url))]
        if missing:
            self._screen.notice(f"Not all of it is up: {', '.join(missing)} (why is said above and in its log); still trying")
        else:
            self._screen.done(f"Patchbay runs; logs in {self._shown(self._data / 'logs')}", time.monotonic() - began)
        self._screen.plain(
            "  Ctrl-C, or `make stop` in another terminal, ends it."
            + (" `make demo` shows it at work." if self._settings.demo else " Make keys with ./patchbay keys create.")
        )

    def _start_servers(self) -> tuple[str, str]:
        """Start what is not given by settings, both at once; where Kafka and PostgreSQL are."""
        kafka, database = self._settings.kafka, self._settings.database
        began = time.monotonic()
        if kafka is None:
            self._kafka = self._make_kafka()
            with self._screen.step("Apache Kafka 4.4.0: launched"):
                self._kafka.launch()
        if database is None:
            self._postgres = self._make_postgres()
            with self._screen.step("PostgreSQL 18: launched"):
                self._postgres.launch()
        if self._kafka is not None:
            self._adopt("kafka", self._kafka.child)
            self._await_server("Apache Kafka", f"127.0.0.1:{self._kafka.port}", self._kafka, began)
            kafka = self._kafka.bootstrap
        if self._postgres is not None:
            self._adopt("postgres", self._postgres.child)
            self._await_server("PostgreSQL", f"127.0.0.1:{self._postgres.port}", self._postgres, began)
            database = self._postgres.url
        if kafka is None or database is None:
            raise RuntimeError("a server is neither given nor started")
        return kafka, database

    def _make_kafka(self) -> LocalKafka:
        with self._screen.download("Apache Kafka 4.4.0") as progress:

            def told(done: int, total: int) -> None:
                self._check_stop()
                progress(done, total)

            jars.fetch(progress=told)
        self._check_stop()
        return LocalKafka(
            self._data / "kafka",
            self._settings.kafka_port,
            self._settings.kafka_controller_port,
            log=self._log("kafka"),
            pid_file=self._instance.pid_file("kafka"),
            heap_mb=self._settings.kafka_heap_mb,
        )

    def _make_postgres(self) -> LocalPostgres:
        data_dir = unprivileged.reachable(self._data / "postgres")
        if data_dir != self._data / "postgres":
            self._screen.notice(f"Only root may enter this folder and PostgreSQL may not be root: its data is in {data_dir}")
        password = local_settings.secret_file(self._settings.secrets_folder / "postgres.password", "password")
        return LocalPostgres(
            data_dir,
            self._settings.database_port,
            password,
            log=self._log("postgres"),
            pid_file=self._instance.pid_file("postgres"),
        )

    def _await_server(self, name: str, address: str, server: LocalKafka | LocalPostgres, began: float) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not server.answers():
            self._check_stop()
            if not server.alive or time.monotonic() > deadline:
                raise did_not_start(name, server.child.log, server.child.last_line())
            time.sleep(0.05)
        self._screen.done(f"{name}: {address}", time.monotonic() - began)

    def _environment(self, kafka: str, database: str) -> dict[str, str]:
        given = {**local_settings.from_env_file(self._project), **os.environ}
        if "PATCHBAY_MASTER_KEY" not in given:
            local_settings.require_master_key(self._settings)
        local_settings.secret_file(self._settings.twilio_token_file, "password")
        if self._settings.demo:
            trying.make(self._settings.secrets_folder)
        return {
            **given,
            **local_settings.demo_receivers(self._settings, given),
            **trying.environment(self._settings, self._settings.secrets_folder, given),
            **local_settings.render_environment(self._settings, kafka, database),
            "PYTHONUNBUFFERED": "1",
        }

    def _prepare(self, environment: dict[str, str]) -> dict[str, object]:
        """Run `deploy.setup`, which migrates, makes topics and prints, as JSON, what a person needs to know."""
        began = time.monotonic()
        if not self._settings.demo:
            environment = {name: value for name, value in environment.items() if name != "PATCHBAY_SECRETS_DIR"}
        printed = self._run_once("deploy.setup", "The preparation of schemas and topics", environment)
        self._screen.done("Schemas and topics are in place", time.monotonic() - began)
        return printed if isinstance(printed, dict) else {}

    def _configure(self, environment: dict[str, str]) -> None:
        """Run `deploy.demo_config`: the demonstration's agents, queues and promises, where they are missing."""
        began = time.monotonic()
        try:
            made = self._run_once("deploy.demo_config", "The demonstration's configuration", environment)
        except LocalError as error:
            self._screen.notice(str(error))
            return
        if isinstance(made, list) and made:
            self._screen.done(f"Agents, queues and promises of the demonstration: {len(made)} made", time.monotonic() - began)

    def _run_once(self, module: str, what: str, environment: dict[str, str]) -> object:
        """Run a module to its end and return the JSON on its last line. Raises LocalError, Stopped."""
        name = module.rpartition(".")[2]
        printed = self._data / "run" / f"{name}.out"
        child = self._child(name, [sys.executable, "-m", module], environment, printed)
        began = time.monotonic()
        child.start()
        while not child.wait(0.05):
            if self._stopping or time.monotonic() - began > SETUP_SECONDS:
                child.stop(1.0)
                self._check_stop()
        lines = printed.read_text(encoding="utf-8").splitlines()
        printed.unlink()  # it has the keys
        if child.exit_code != 0 or not lines:
            raise did_not_start(what, child.log, child.last_line())
        return json.loads(lines[-1])

    def _show(self, prepared: dict[str, object], kafka: str) -> None:
        addresses = self._urls()
        addresses["mail (SMTP)"] = address(self._settings.host, self._settings.smtp_port)
        addresses["Kafka"] = kafka
        if self._postgres is not None:
            password = self._shown(self._settings.secrets_folder / "postgres.password")
            addresses["PostgreSQL"] = f"{HOST}:{self._postgres.port}, user patchbay, password in {password}"
        self._screen.properties("Addresses", addresses)
        keys, topics = prepared.get("keys"), prepared.get("topics")
        if isinstance(keys, dict) and keys:
            self._screen.properties("API keys of the demo roles", {str(role): str(key) for role, key in keys.items()})
        people = prepared.get("people")
        if isinstance(people, dict):
            where = self._shown(Path(str(people["file"])))
            self._screen.properties("People of the demonstration", {", ".join(people["logins"]): f"passwords in {where}"})
        if isinstance(topics, list) and topics:
            self._screen.properties("Kafka topics", {"": ", ".join(str(topic) for topic in topics)})
        self._screen.plain()

    def _start_services(self, environment: dict[str, str]) -> None:
        began = time.monotonic()
        urls = self._urls()
        for name in urls:
            child = self._child(name, [sys.executable, "-m", f"services.{name}"], environment)
            child.start()
            self._adopt(name, child)
        for name, url in urls.items():
            while not (ready := is_ready(url)) and self._health[name].failures == 0 and time.monotonic() < began + READY_SECONDS:
                self._check_stop()
                time.sleep(0.1)
                self._look_after()
            if ready:
                self._screen.done(f"{name}: {url}", time.monotonic() - began)
            elif self._children[name].alive:
                log = self._shown(self._children[name].log)
                self._screen.notice(f"{name} is not ready after {time.monotonic() - began:.0f} s; its log: {log}")

    def _urls(self) -> dict[str, str]:
        """Where each service is asked from this machine."""
        return {name: f"http://{address(self._settings.host, port)}" for name, port in self._settings.service_ports().items()}

    def _child(self, name: str, command: list[str], environment: dict[str, str], output: Path | None = None) -> Child:
        return Child(
            name,
            command,
            log=self._log(name),
            pid_file=self._instance.pid_file(name),
            env=environment,
            cwd=self._project,
            output=output,
        )

    def _adopt(self, name: str, child: Child) -> None:
        self._children[name] = child
        self._health[name] = Health(time.monotonic())

    def _watch(self) -> None:
        while not self._stopping:
            self._look_after()
            time.sleep(0.2)

    def _look_after(self) -> None:
        """Announce who has died since, start again whose time has come, and keep the logs within bounds."""
        for name, child in self._children.items():
            health, now = self._health[name], time.monotonic()
            if health.due is None and not child.alive:
                self._health[name] = health.died(now)
                self._announce_death(name, child, self._health[name], now)
            elif health.is_due(now):
                self._restart(name, child, now)
            keep_small(child.log)

    def _announce_death(self, name: str, child: Child, health: Health, now: float) -> None:
        code = child.exit_code
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        full = " (the disk is nearly full: free some space)" if shutil.disk_usage(self._data).free < 2**26 else ""
        wait = max(0.0, (health.due or now) - now)
        log, words = self._shown(child.log), child.last_line()
        said = f' It said last: "{words}".' if words else ""
        self._screen.notice(f"{name} ended ({how}){full}; starting it again in {wait:.1f} s.{said} Its log: {log}")

    def _restart(self, name: str, child: Child, now: float) -> None:
        try:
            if name == "kafka" and self._kafka is not None:
                self._kafka.launch()
                self._children[name] = self._kafka.child
            elif name == "postgres" and self._postgres is not None:
                self._postgres.launch()
                self._children[name] = self._postgres.child
            else:
                child.start()
        except (LocalError, OSError) as error:
            self._health[name] = self._health[name].died(now)
            self._screen.notice(f"{name} could not be started: {error}")
            return
        self._health[name] = self._health[name].restarted(now)
        self._screen.done(f"{name} was started again")

    def _stop(self) -> None:
        """Services together, then the broker, then the database: each writes to the next."""
        began = time.monotonic()
        services = [child for name, child in self._children.items() if name not in ("kafka", "postgres")]
        for child in services:
            child.ask_to_end()
        deadline = time.monotonic() + SERVICES_STOP_SECONDS
        for child in services:
            child.stop(deadline - time.monotonic())
        if self._kafka is not None:
            self._kafka.stop(KAFKA_STOP_SECONDS)
        if self._postgres is not None:
            self._postgres.stop(POSTGRES_STOP_SECONDS)
        if self._children:
            self._screen.plain()
            self._screen.done("Everything has ended; the data is kept", time.monotonic() - began)

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"

    def _shown(self, path: Path) -> str:
        return os.path.relpath(path, self._project) if path.is_relative_to(self._project) else str(path)
