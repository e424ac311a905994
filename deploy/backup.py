"""Backing the database up while everything runs: all schemas at one instant, in one file that pg_restore can read.

The log stays on Kafka: from where on it has what the backup lacks is said by the offsets, which are in the backup.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from deploy.local.errors import LocalError
from deploy.postgres_tools import Tools
from deploy.setup import SCHEMAS

_TABLE = re.compile(r'dumping contents of table "(.+)"')
Progress = Callable[[int, int], None]


class NotBackedUp(RuntimeError):
    """No backup was made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is whole."""

    file: Path
    size_bytes: int


def default_file(folder: Path) -> Path:
    """A name that says when."""
    return folder / f"patchbay-{datetime.now(UTC):%Y%m%d-%H%M%S}.backup"


async def table_sizes(url: str) -> dict[str, int]:
    """Bytes by table, for the progress. Raises NotBackedUp when there is nothing to back up."""
    connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "patchbay-cli"})
    try:
        rows = await connection.fetch(
            "SELECT n.nspname || '.' || c.relname AS name, pg_table_size(c.oid) AS size FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = ANY($1)",
            list(SCHEMAS),
        )
    finally:
        await connection.close(timeout=5)
    if not rows:
        raise NotBackedUp("The database has none of Patchbay's schemas: there is nothing to back up. Check PATCHBAY_DATABASE.")
    return {row["name"]: row["size"] for row in rows}


def dump(tools: Tools, sizes: dict[str, int], file: Path, progress: Progress) -> Made:
    """Write the backup (blocking). It appears under its name when it is whole. Raises NotBackedUp, LocalError."""
    if file.exists():
        raise NotBackedUp(f"{file} is there already: choose another name, or delete it.")
    draft = file.with_name(f"{file.name}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)  # it holds what customers wrote
        _run(tools, sizes, draft, progress)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.rename(file)
    except OSError as error:
        raise LocalError(f"{file} cannot be written ({error.strerror}): choose another place, or free some space.") from error
    finally:
        draft.unlink(missing_ok=True)
    return Made(file, file.stat().st_size)


def _run(tools: Tools, sizes: dict[str, int], draft: Path, progress: Progress) -> None:
    schemas = [f"--schema={schema}" for schema in SCHEMAS]
    # Compression at its quickest: the services want the processor too.
    options = ["--format=custom", "-Z", "1", "--no-owner", "--no-privileges", "--lock-wait-timeout=30s", "--verbose"]
    command = tools.command("pg_dump", *options, *schemas, f"--file={draft}")
    said: list[str] = []
    done, current = 0, ""
    with subprocess.Popen(command, env=tools.environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as dumping:
        assert dumping.stderr is not None
        for line in dumping.stderr:
            said = [*said[-4:], line.strip()]
            begun = _TABLE.search(line)
            if begun is not None:
                done, current = done + sizes.get(current, 0), begun[1]
                progress(done, sum(sizes.values()))
    if dumping.returncode != 0:
        raise NotBackedUp(f"pg_dump ended with {dumping.returncode}; it said: {' '.join(said[-2:])}")
