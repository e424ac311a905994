"""`python -m deploy.local run|stop|status`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.local import settings as local_settings
from deploy.local.errors import LocalError
from deploy.local.instance import Instance, uptime
from deploy.local.screen import Screen
from deploy.local.supervisor import Supervisor

PROJECT = Path(__file__).resolve().parents[2]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def run() -> None:
    """Start Kafka, PostgreSQL and all services, and stay until Ctrl-C."""
    Supervisor(PROJECT, local_settings.load(PROJECT), Screen()).run()


@app.command()
def stop(quiet: Annotated[bool, typer.Option(help="Say nothing when nothing runs.")] = False) -> None:
    """End what `run` started in this folder."""
    screen = Screen()
    if _instance().stop():
        screen.done("Patchbay has ended; the data is kept")
    elif not quiet:
        screen.plain("Patchbay is not running from this folder.")


@app.command()
def status() -> None:
    """Show the processes of this folder; exit code 3 when nothing runs."""
    instance, screen = _instance(), Screen()
    rows = []
    for name, record in instance.records().items():
        process = record.find()
        memory = f"{process.memory_info().rss // 2**20} MB" if process is not None else ""
        rows.append([name, str(record.pid), uptime(record), memory])
    if not rows:
        screen.plain("Patchbay is not running from this folder.")
        raise typer.Exit(3)
    screen.table("Processes", ["name", "pid", "for", "memory"], rows)


def _instance() -> Instance:
    return Instance(PROJECT / local_settings.load(PROJECT).data)


if __name__ == "__main__":
    try:
        app()
    except LocalError as error:
        Screen().error(str(error))
        sys.exit(1)
