"""`patchbay backup` and `patchbay restore`, step by step, with what a person is told on the way."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy import backup, postgres_tools, restoring, setup
from deploy.local import settings as local_settings
from deploy.local import unprivileged
from deploy.local.instance import Instance
from deploy.local.postgres import LocalPostgres
from deploy.local.screen import Screen
from deploy.running import PROJECT, adopt_settings
from shared.settings import Settings, read


def make(file: Path | None, folder: Path | None, screen: Screen) -> backup.Made:
    """Back the database up. Raises NotBackedUp, LocalError, SettingsError, OSError, asyncpg's errors."""
    adopt_settings()
    settings = read(Settings)
    url = settings.database.get_secret_value()
    tools = postgres_tools.tools_for(url, folder)
    postgres_tools.check_dump(tools, asyncio.run(postgres_tools.server_major(url)))
    sizes = asyncio.run(backup.table_sizes(url))
    target = file or backup.default_file(_data() / "backups")
    began = time.monotonic()
    with screen.download("Backing up") as progress:
        made = backup.dump(tools, sizes, target.absolute(), progress)
    screen.done(f"{made.file}: {made.size_bytes / 2**20:.1f} MB, the whole database at one instant", time.monotonic() - began)
    key = settings.master_key_file or "PATCHBAY_MASTER_KEY"
    screen.plain("  Not in it, and needed with it:")
    screen.plain(f"  - the master key ({key}): without it nobody reads what customers wrote. Keep it elsewhere than the backup.")
    screen.plain("  - the log on Kafka: what happens from now on is read back from it after a restore.")
    screen.plain("  - your settings (patchbay.env) and the secrets they name.")
    return made


def put_back(file: Path, folder: Path | None, screen: Screen, sure: Callable[[], bool]) -> None:
    """Put a backup back; `sure` is asked when all is well, before anything is changed. Raises NotRestored, LocalError,
    SettingsError, OSError, asyncpg's errors.
    """
    with _database(screen):
        adopt_settings()
        settings = read(Settings)
        url = settings.database.get_secret_value()
        tools = postgres_tools.tools_for(url, folder)
        postgres_tools.check_restore(tools, asyncio.run(postgres_tools.server_major(url)))
        runs = asyncio.run(restoring.what_runs(url))
        if runs:
            raise restoring.NotRestored(f"Still running on this database: {', '.join(runs)}. Stop all services, then restore.")
        restoring.check_file(tools, file)
        restoring.check_master_key(tools, file, settings.master_keys())
        now = asyncio.run(restoring.schemas_now(url))
        if not sure():
            raise restoring.NotRestored("Nothing was changed.")
        with screen.step(f"Restored {file}"):
            restoring.put_back(tools, file, now)
        with screen.step("Schemas are at their newest revision"):
            setup.migrate(url)
            asyncio.run(restoring.finish(url))
    _tell(screen, now)


def _tell(screen: Screen, now: list[str]) -> None:
    if "keys" in now:
        screen.plain("  API keys and customers' keys that the database had until now were kept.")
    else:
        screen.notice("This database had no keys of its own, so they are those of the backup. Look through them:")
        screen.plain("  - API keys revoked since the backup are valid again: ./patchbay keys list, ./patchbay keys revoke ID")
        screen.plain("  - what customers who came since the backup wrote cannot be read any more")
    screen.plain("  Start the services with the same Kafka: they first read back from the log what happened since the backup.")
    screen.plain("  Meanwhile they answer 503, and /readyz says how much is left.")


def _data() -> Path:
    return (PROJECT / local_settings.load(PROJECT).data).absolute()


@contextmanager
def _database(screen: Screen) -> Iterator[None]:
    """The database of `make run` runs while this lasts, where it is that one; `make run` itself must not. Raises LocalError."""
    settings = local_settings.load(PROJECT)
    if settings.database is not None or "PATCHBAY_DATABASE" in os.environ:
        yield
        return
    data = _data()
    with Instance(data).hold():
        left = Instance(data).clean_up()
        if left:
            screen.notice(f"The last run was killed; ended what it left: {', '.join(left)}")
        password = local_settings.secret_file(settings.secrets_folder / "postgres.password", "password")
        server = LocalPostgres(
            unprivileged.reachable(data / "postgres"),
            settings.database_port,
            password,
            log=data / "logs" / "postgres.log",
            pid_file=Instance(data).pid_file("postgres"),
        )
        with screen.step("PostgreSQL 18 runs"):
            server.start()
        try:
            yield
        finally:
            server.stop()
