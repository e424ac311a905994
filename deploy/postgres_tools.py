"""PostgreSQL's own programs (pg_dump, pg_restore, psql): which, whether they fit the server, and where they find it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from deploy.local.errors import LocalError
from deploy.local.unprivileged import packaged_binaries

# pg_restore of 17 and later writes scripts that older servers do not understand.
OLDEST_FOR_NEW_SCRIPTS = 17
ANSWER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one version, for one database."""

    folder: Path
    major: int
    environment: dict[str, str]

    def command(self, program: str, *arguments: str) -> list[str]:
        """How to call one of them."""
        return [str(self.folder / program), *arguments]


def tools_for(url: str, folder: Path | None) -> Tools:
    """The programs in `folder`, or those that came with the package. Raises LocalError when there are none."""
    programs = folder or packaged_binaries()
    try:
        said = subprocess.run(
            [str(programs / "pg_dump"), "--version"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalError(
            f"{programs / 'pg_dump'} cannot be run ({type(error).__name__}): "
            "name the folder of PostgreSQL's programs with --tools."
        ) from error
    return Tools(programs, int(said.split()[-1].split(".")[0]), _environment(url))


async def server_major(url: str) -> int:
    """The server's major version. Raises OSError and asyncpg's errors when it does not answer."""
    connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "patchbay-cli"})
    try:
        return int(await connection.fetchval("SHOW server_version_num")) // 10_000
    finally:
        await connection.close(timeout=5)


def check_dump(tools: Tools, server: int) -> None:
    """Refuse a server that is newer than the programs. Raises LocalError."""
    if server > tools.major:
        raise LocalError(
            f"The server is PostgreSQL {server} and pg_dump is of version {tools.major}, which cannot read it: "
            f"name the folder of the programs of PostgreSQL {server} with --tools."
        )


def check_restore(tools: Tools, server: int) -> None:
    """Refuse a server that does not understand what the programs write. Raises LocalError."""
    if server != tools.major and server < OLDEST_FOR_NEW_SCRIPTS <= tools.major:
        raise LocalError(
            f"The server is PostgreSQL {server} and pg_restore is of version {tools.major}, whose scripts it does not "
            f"understand: name the folder of the programs of PostgreSQL {server} with --tools, or use a server of "
            f"version {OLDEST_FOR_NEW_SCRIPTS} or later."
        )


def _environment(url: str) -> dict[str, str]:
    """libpq's variables for this URL: on the command line everybody on the machine could read the password."""
    parts = urlsplit(url)
    named = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": unquote(parts.username) if parts.username else None,
        "PGPASSWORD": unquote(parts.password) if parts.password else None,
        "PGDATABASE": parts.path.lstrip("/") or None,
        **{f"PG{name.upper()}": value for name, value in parse_qsl(parts.query)},
        "PGAPPNAME": "patchbay-cli",
        "PGCONNECT_TIMEOUT": "10",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, **{name: value for name, value in named.items() if value is not None}}
