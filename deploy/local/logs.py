"""The logs of processes: kept within bounds, and what was said last."""

import contextlib
import json
import os
import shutil
from pathlib import Path

LOG_BYTES = 20 * 2**20  # a larger log is put aside, one older one is kept


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
