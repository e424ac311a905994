"""The composition root of desk: settings → resources → consume, index, relay, serve; and its one command, `reread`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import typer
from fastapi import FastAPI

from services.desk.api import listing, reading, viewing
from services.desk.api.room import Room
from services.desk.indexing import Indexer
from services.desk.projections import all_projections
from services.desk.settings import DeskSettings
from services.desk.store.forgetting import forget_all
from shared import db
from shared.http import Ready, create_app, make_server
from shared.service import Resources, main, resources, run_until_stopped
from shared.settings import SettingsError, read

# A console reads again when a stream tells it to; a tenth of a second is less than that takes.
LINGER_MS = 100
PARTS = (listing, reading, viewing)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="What consoles read.")


def make_app(parts: Resources, settings: DeskSettings, ready: Ready, alive: Callable[[], bool]) -> FastAPI:
    """The application with desk's routes."""
    made = create_app("desk", "Patchbay desk", ready, alive)
    made.state.authenticator = parts.authenticator
    made.state.room = Room(parts, settings)
    for module in PARTS:
        made.include_router(module.router)
    return made


async def run() -> None:
    """Until told to stop."""
    settings = DeskSettings()
    async with resources("desk", settings) as parts:
        indexer = Indexer(parts, settings)
        consumer = parts.consumer(all_projections(), committed=indexer.wake.set, linger_ms=LINGER_MS)
        made = make_app(parts, settings, parts.database_ready, consumer.healthy)
        server = make_server(made, settings.host, settings.desk_port)

        def drain() -> None:
            server.should_exit = True

        tasks = {
            "serve": server.serve,
            "consume": consumer.run,
            "index": indexer.run,
            "relay": parts.relay().run,
            "measure": parts.measure,
        }
        await run_until_stopped(tasks, drain)


@app.callback(invoke_without_command=True)
def serve(context: typer.Context) -> None:
    """Run the service (without a command)."""
    if context.invoked_subcommand is None:
        main("desk", DeskSettings, run)


@app.command()
def reread() -> None:
    """Forget all but saved views, and have the running service read the log again from its beginning."""
    try:
        asyncio.run(_reread(read(DeskSettings)))
    except db.DatabaseAway:
        typer.echo("PostgreSQL does not answer. Check PATCHBAY_DATABASE, and that the server runs.", err=True)
        raise typer.Exit(1) from None
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo("Desk reads the log again from its beginning; `patchbay status` tells how far it is.")


async def _reread(settings: DeskSettings) -> None:
    engine = db.make_engine(settings, "desk-reread")
    try:
        async with db.transaction(engine) as conn:
            await forget_all(conn)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    app()
