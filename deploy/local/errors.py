"""What can go wrong on a user's machine, each said in one sentence with its remedy."""

import errno
from pathlib import Path


class LocalError(Exception):
    """The local runtime cannot go on; its text is one sentence for a person: what happened and what to do."""


def port_taken(port: int, purpose: str, setting: str) -> LocalError:
    """The port is in use by a program that is not ours."""
    return LocalError(
        f"Port {port} (for {purpose}) is taken by another program: stop that program, "
        f"or choose another port with {setting}=<port> in the environment or in patchbay.env."
    )


def disk_full(folder: Path, free_mb: int, needed_mb: int) -> LocalError:
    """Too little space to start servers that must not lose data."""
    return LocalError(
        f"The disk that holds {folder} has {free_mb} MB free and Patchbay needs {needed_mb} MB: "
        "free some space, or move the data with PATCHBAY_DATA=<folder>."
    )


def no_network(count: int, cause: str) -> LocalError:
    """The first start has to download Kafka's jars and could not."""
    return LocalError(
        f"{count} files of Apache Kafka could not be downloaded ({cause}): connect this machine to the network "
        "(or set HTTPS_PROXY) and try again; only the first start needs it."
    )


def corrupt_download(name: str, folder: Path) -> LocalError:
    """The bytes that came are not the bytes that are pinned."""
    return LocalError(
        f"The download of {name} is corrupt (its SHA-256 is not the pinned one) and was thrown away: try again; if it "
        f"happens again, something between this machine and the repository changes files (a proxy?), cache: {folder}."
    )


def unsupported_platform(system: str, machine: str) -> LocalError:
    """There are no packaged servers for this machine."""
    return LocalError(
        f"The packaged Kafka and PostgreSQL do not run on {system} {machine} (Linux with glibc and macOS, x86-64 or "
        "arm64, do): point PATCHBAY_KAFKA and PATCHBAY_DATABASE at servers of your own."
    )


def already_running(pid: int | None) -> LocalError:
    """A second start in the same folder."""
    who = f" (process {pid})" if pid else ""
    return LocalError(f"Patchbay is already running from this folder{who}: use it, or end it with `make stop`.")


def did_not_start(name: str, log: Path, last_line: str) -> LocalError:
    """A process of ours ended, or stayed silent, while it was being started."""
    said = f' It said last: "{last_line}".' if last_line else ""
    return LocalError(f"{name} did not start.{said} Read {log}, put right what it names, and start again.")


def missing_key(file: Path) -> LocalError:
    """The file with the master key that the user named is not there; a new key would open nothing of what is stored."""
    return LocalError(
        f"There is no master key in {file}, which PATCHBAY_MASTER_KEY_FILE names: correct the name or mount the file; "
        f"only for a new database make a key there (head -c 32 /dev/urandom | base64 > {file})."
    )


def bad_setting(setting: str, reason: str) -> LocalError:
    """A setting that cannot be understood."""
    return LocalError(f"{setting} is not usable ({reason}): correct it in the environment or in patchbay.env.")


def from_os_error(error: OSError, folder: Path) -> LocalError:
    """The sentence for an error of the operating system while working in `folder`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalError(f"The disk that holds {folder} is full: free some space and start again; no data was harmed.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LocalError(
            f"{error.filename or folder} may not be written by this user: give its ownership to the user who runs "
            "Patchbay (was it started as root before?), or move the data with PATCHBAY_DATA=<folder>."
        )
    return LocalError(f"The operating system refused ({error}) while working in {folder}: put that right and try again.")
