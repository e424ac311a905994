"""What the operator's commands share: settings, an engine, and errors that end with a sentence and an exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import asyncpg
import typer
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.errors import LocalError
from deploy.local.screen import Screen
from deploy.running import adopt_settings
from deploy.setup import refused
from shared import db, kafka
from shared.settings import Settings, SettingsError, read

Result = TypeVar("Result")
NOT_DONE, WRONG_USAGE, CANNOT = 1, 2, 3


def settings() -> Settings:
    """Those of the environment and of what runs beside us. Raises SettingsError, LocalError."""
    adopt_settings()
    return read(Settings)


def with_database(work: Callable[[AsyncEngine, Settings], Awaitable[Result]], transaction_seconds: int | None = None) -> Result:
    """Run `work` with an engine of its own."""

    async def run() -> Result:
        chosen = settings()
        if transaction_seconds is not None:
            chosen = chosen.model_copy(update={"transaction_seconds": transaction_seconds})
        engine = db.make_engine(chosen, "cli")
        try:
            return await work(engine, chosen)
        finally:
            await engine.dispose()

    return guarded(lambda: asyncio.run(run()))


def guarded(work: Callable[[], Result]) -> Result:
    """Run `work`; what settings and servers do not allow ends with a sentence."""
    try:
        return work()
    except (SettingsError, LocalError) as error:
        end(str(error), CANNOT)
    except kafka.KafkaAway as error:
        end(f"{error}. Check PATCHBAY_KAFKA, and that the broker runs (make run).", CANNOT)
    except (db.DatabaseAway, OSError) as error:
        end(f"PostgreSQL does not answer ({error}). Check PATCHBAY_DATABASE, and that the server runs (make run).", CANNOT)
    except (DBAPIError, asyncpg.PostgresError) as error:
        end(refused(error), CANNOT)


def end(sentence: str, code: int) -> NoReturn:
    """Say it and end the command."""
    Screen().error(sentence)
    raise typer.Exit(code)
