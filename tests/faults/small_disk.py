"""A disk so small that a test can fill it: a tmpfs of its own, mounted for as long as the test needs it."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MOUNT_SECONDS = 20
BLOCK = bytes(64 * 1024)
FIRST_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """Mounted at `path`, which every user may enter."""

    path: Path

    def fill(self) -> None:
        """Leave no room: a ballast file takes it all. Called again, it takes what was given back since."""
        try:
            with self._ballast.open("ab", buffering=0) as ballast:
                while True:
                    ballast.write(BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        """Delete the ballast, as an operator does who makes room."""
        self._ballast.unlink()

    def give_indexes_their_first_page(self) -> None:
        """Kafka maps its indexes, which are holes until something is written: on a full disk that is no failed write but a
        SIGBUS, after which a broker may go on instead of halting. With these pages there only its writes can fail.
        """
        for index in self.path.rglob("*index"):
            size = index.stat().st_size
            if size:
                with index.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, min(size, FIRST_PAGE_BYTES))

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A small disk at `path`, made for it; unmounted whatever happens. Skips the test where nothing can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("a disk of a limited size has to be mounted, which only root may do")
    path.mkdir(parents=True)
    options = f"size={megabytes}m,mode=0755"
    mounting = _run("mount", "-t", "tmpfs", "-o", options, "patchbay-test", str(path))
    if mounting.returncode != 0:
        pytest.skip(f"a disk of a limited size cannot be mounted here: {mounting.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        if _run("umount", str(path)).returncode != 0:  # something still has a file open there
            _run("umount", "--lazy", str(path)).check_returncode()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=MOUNT_SECONDS, check=False)
