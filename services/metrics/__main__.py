"""The composition root of metrics; and its one command, `rebuild`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import ProgrammingError

from services.metrics.api import make_router
from services.metrics.live import Live
from services.metrics.rebuild import AlreadyRunning, LogIncomplete, Outcome, Rebuild, rebuild_engine
from services.metrics.settings import MetricsSettings
from services.metrics.store import projections
from shared.db import DatabaseAway
from shared.http import create_app, make_server
from shared.kafka import KafkaAway
from shared.recalling import come_back, nothing_of_its_own
from shared.service import main, resources, run_until_stopped
from shared.settings import SettingsError

# Figures are to be a second old at most.
LINGER_MS = 100
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Figures from the log.")


async def run() -> None:
    """Consume, serve, and relay the announcements of what had to be parked, until told to stop."""
    settings = MetricsSettings()
    async with resources("metrics", settings) as opened:
        parts = await come_back(opened, settings.metrics_port, nothing_of_its_own)
        consumer = parts.consumer(projections(), linger_ms=LINGER_MS)
        live = Live(parts.engine)
        http = create_app("metrics", "Patchbay metrics", parts.database_ready, consumer.healthy)
        http.state.authenticator = parts.authenticator
        http.include_router(make_router(parts.engine, live, settings.zone))
        server = make_server(http, settings.host, settings.metrics_port)

        def drain() -> None:
            live.stop()
            server.should_exit = True

        await run_until_stopped(
            {
                "serve": server.serve,
                "consume": consumer.run,
                "relay": parts.relay().run,
                "measure": parts.measure,
                "gauges": live.publish_gauges,
            },
            drain,
        )


@app.callback(invoke_without_command=True)
def serve(context: typer.Context) -> None:
    """Run the service (without a command)."""
    if context.invoked_subcommand is None:
        main("metrics", MetricsSettings, run)


@app.command()
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="only compare with the live figures, replace nothing")] = False,
) -> None:
    """Fold the log again from its beginning, compare with the live figures, and replace them (unless --check).

    Exit code 1 when --check finds a difference, or when it cannot be done.
    """
    console = Console(stderr=True)
    try:
        outcome = asyncio.run(_rebuild(console, replace=not check))
    except (AlreadyRunning, LogIncomplete, KafkaAway, DatabaseAway, SettingsError, ValidationError, ProgrammingError) as error:
        console.print(f"Not rebuilt: {_why(error)}", style="red", markup=False)
        raise typer.Exit(1) from None
    _report(console, outcome, replaced=not check)
    raise typer.Exit(1 if check and not outcome.equal else 0)


def _why(error: Exception) -> str:
    """What happened and what to do, in a sentence."""
    match error:
        case ValidationError():
            return "; ".join(f"PATCHBAY_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors())
        case ProgrammingError():
            return "the schema 'metrics' is not there. Run: python -m deploy.setup"
        case KafkaAway():
            return f"{error}. Check PATCHBAY_KAFKA, and that the broker runs."
        case DatabaseAway():
            return "PostgreSQL does not answer. Check PATCHBAY_DATABASE, and that the server runs."
        case _:
            return str(error)


async def _rebuild(console: Console, *, replace: bool) -> Outcome:
    settings = MetricsSettings()
    engine = rebuild_engine(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("records", total=None)

            def told(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            return await Rebuild(settings, engine, told).run(replace=replace)
    finally:
        await engine.dispose()


def _report(console: Console, outcome: Outcome, *, replaced: bool) -> None:
    console.print(f"{outcome.records} records folded; {outcome.parked} could not be taken.")
    if outcome.equal:
        console.print("The rebuilt figures are equal to the live ones, row by row.")
    for table in outcome.only_live:
        live, rebuilt = outcome.only_live[table], outcome.only_rebuilt[table]
        if live or rebuilt:
            console.print(f"{table}: {live} rows only in the live figures, {rebuilt} only in the rebuilt ones.")
    if replaced:
        console.print("The rebuilt figures are in use now.")
    elif not outcome.equal:
        console.print("Run `python -m services.metrics rebuild` to use the rebuilt ones.", markup=False)


if __name__ == "__main__":
    app()
