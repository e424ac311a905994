"""One Apache Kafka broker in KRaft mode (broker and controller in one process) on the loopback interface."""

import base64
import secrets
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import jars
from deploy.local.errors import did_not_start, from_os_error, port_taken
from deploy.local.ports import HOST, is_free
from deploy.local.processes import Child, wait_until

START_SECONDS = 60.0
STOP_SECONDS = 6.0
HEAP_MB = 320
_FORMAT_SECONDS = 60.0
_JVM = (
    "-XX:+UseSerialGC",  # the smallest collector; pauses of a 320 MB heap are a few milliseconds
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # no files in the shared temporary folder
    "-XX:ReservedCodeCacheSize=64m",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
)

_QUICK = "-XX:TieredStopAtLevel=1"  # half the processor time of a start, for less speed in a long run

LOG4J2 = """\
status=error
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5p %c{1} - %m%n
logger.config.name=org.apache.kafka.common.config
logger.config.level=warn
logger.kafkaconfig.name=org.apache.kafka.common.config.AbstractConfig
logger.kafkaconfig.level=warn
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """One more address of the broker. Clients that come to `port` are told to use `advertised_port`: that of a proxy before it.

    The name is in capital letters.
    """

    name: str
    port: int
    advertised_port: int


@dataclass(frozen=True, slots=True)
class Node:
    """A broker's place in a cluster of several: its number, the controllers' ports by number (its own among them)."""

    number: int
    controller_ports: Mapping[int, int]
    cluster_id: str


def new_cluster_id() -> str:
    """The id that all brokers of a cluster share."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "x")


def render_config(
    data_dir: Path, port: int, controller_port: int, listeners: Sequence[Listener] = (), node: Node | None = None
) -> str:
    """The broker's `server.properties`.

    Small buffers and few threads, because 2 cores are shared with everything else; nothing expires unless its topic
    says so; no topic is made by a typing error.
    """
    number = node.number if node else 1
    controllers = node.controller_ports if node else {1: controller_port}
    replicas = min(3, len(controllers))
    own = [("CLIENTS", port, port), ("CONTROLLER", controller_port, controller_port)]
    every = own + [(more.name, more.port, more.advertised_port) for more in listeners]
    threads = "".join(f"listener.name.{more.name.lower()}.num.network.threads=1\n" for more in listeners)
    return f"""\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={",".join(f"{n}@{HOST}:{at}" for n, at in sorted(controllers.items()))}
controller.listener.names=CONTROLLER
listeners={",".join(f"{name}://{HOST}:{at}" for name, at, _ in every)}
advertised.listeners={",".join(f"{name}://{HOST}:{at}" for name, _, at in every)}
inter.broker.listener.name=CLIENTS
listener.security.protocol.map={",".join(f"{name}:PLAINTEXT" for name, _, _ in every)}
{threads}log.dirs={data_dir / "data"}
auto.create.topics.enable=false
message.max.bytes=2097152
replica.fetch.max.bytes=2097152
log.retention.ms=-1
log.segment.bytes=268435456
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.io.buffer.size=131072
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
offsets.retention.minutes=43200
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
num.network.threads=2
num.io.threads=4
background.threads=2
group.coordinator.threads=1
num.recovery.threads.per.data.dir=2
"""


class LocalKafka:
    """A broker of one's own: `start`, `stop`, and for fault tests `kill`, `pause`, `resume`.

    All methods block; from a coroutine call them with `asyncio.to_thread`. Data stays in `data_dir` between starts.
    `quick` is for tests: up in half the time, slower under load.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int,
        controller_port: int,
        *,
        log: Path | None = None,
        pid_file: Path | None = None,
        heap_mb: int = HEAP_MB,
        quick: bool = False,
        cache: Path | None = None,
        progress: jars.Progress | None = None,
        port_setting: str = "PATCHBAY_KAFKA_PORT",
        listeners: Sequence[Listener] = (),
        node: Node | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self.controller_port = controller_port
        self.listeners = {listener.name: listener for listener in listeners}
        self.node = node
        self._log = log or self.data_dir / "kafka.log"
        self._pid_file = pid_file or self.data_dir / "kafka.pid"
        self._heap_mb = heap_mb
        self._jvm = (*_JVM, _QUICK) if quick else _JVM
        self._cache = cache
        self._progress = progress
        self._port_setting = port_setting
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"

    @property
    def child(self) -> Child:
        """The broker's process. Raises RuntimeError before the first start."""
        if self._child is None:
            raise RuntimeError("this broker was never started")
        return self._child

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    def start(self) -> None:
        """Start the broker and wait until it serves clients. Raises LocalError."""
        self.launch()
        self.wait_until_serving()

    def wait_until_serving(self) -> None:
        """Wait for a launched broker; one of several serves when most of them run. Raises LocalError."""
        if not wait_until(self.answers, self.child, START_SECONDS):
            self.child.kill()
            raise did_not_start("Apache Kafka", self._log, self.child.last_line())

    def launch(self) -> None:
        """Start the broker without waiting for it. Raises LocalError."""
        if not is_free(self.port):
            raise port_taken(self.port, "Kafka", self._port_setting)
        if not is_free(self.controller_port):
            raise port_taken(self.controller_port, "Kafka's controller", "PATCHBAY_KAFKA_CONTROLLER_PORT")
        classpath = ":".join(str(path) for path in jars.fetch(self._cache, self._progress))
        try:
            (self.data_dir / "tmp").mkdir(parents=True, exist_ok=True)
            self._write_config()
            if not (self.data_dir / "data" / "meta.properties").exists():
                self._format(classpath)
            command = [*self._java(classpath, self._heap_mb), "kafka.Kafka", str(self.data_dir / "server.properties")]
            self._child = Child("kafka", command, log=self._log, pid_file=self._pid_file)
            self._child.start()
        except OSError as error:
            raise from_os_error(error, self.data_dir) from error

    def answers(self) -> bool:
        """Whether the broker lists itself to a client, which it does once it may lead partitions."""
        try:
            return _brokers_listed(self.port) > 0
        except (OSError, struct.error):
            return False

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End in good order, by force after the timeout."""
        if self._child is not None:
            self._child.stop(timeout_seconds)

    def kill(self) -> None:
        """kill -9."""
        self.child.kill()

    def pause(self) -> None:
        """Freeze it: clients wait for answers that do not come."""
        self.child.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self.child.resume()

    def _write_config(self) -> None:
        config = render_config(self.data_dir, self.port, self.controller_port, tuple(self.listeners.values()), self.node)
        (self.data_dir / "server.properties").write_text(config, encoding="utf-8")
        (self.data_dir / "log4j2.properties").write_text(LOG4J2, encoding="utf-8")

    def _java(self, classpath: str, heap_mb: int) -> list[str]:
        return [
            str(jars.java()),
            "-Xms64m",
            f"-Xmx{heap_mb}m",
            *self._jvm,
            f"-Djava.io.tmpdir={self.data_dir / 'tmp'}",
            f"-Dlog4j2.configurationFile={self.data_dir / 'log4j2.properties'}",
            "-cp",
            classpath,
        ]

    def _format(self, classpath: str) -> None:
        cluster = self.node.cluster_id if self.node else new_cluster_id()
        tool = [*self._java(classpath, 128), _QUICK, "kafka.tools.StorageTool"]
        config = str(self.data_dir / "server.properties")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            done = subprocess.run(
                [*tool, "format", "--cluster-id", cluster, "--config", config, "--ignore-formatted"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=_FORMAT_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise did_not_start("Apache Kafka's storage", self._log, "")


def _brokers_listed(port: int) -> int:
    """Ask for the cluster's metadata (Kafka protocol, Metadata request version 1, no topics); the number of brokers."""
    client = b"patchbay"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection((HOST, port), timeout=2.0) as connection:
        connection.settimeout(2.0)
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = b""
        while len(answer) < 12:  # length, correlation id, number of brokers
            part = connection.recv(12 - len(answer))
            if not part:
                return 0
            answer += part
    return int(struct.unpack(">iii", answer)[2])
