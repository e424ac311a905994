"""`patchbay config`: routing's configuration as one YAML file, out of a running Patchbay, looked at by it, and into it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from client import Json, NoAnswer, ProblemError, Routing, Waiting, read_config_file, send_config_file
from deploy.command_line import CANNOT, NOT_DONE, end, guarded
from deploy.local.ports import address
from deploy.local.screen import Screen
from deploy.running import adopt_settings
from services.routing.settings import RoutingSettings
from shared.settings import read

Result = TypeVar("Result")
STANDARD = Path("-")
LONG = Waiting(attempt_seconds=60.0, call_seconds=60.0)  # as long as a large house may take
UNNAMED = "precondition-required"  # the file does not say of which version it is an edit

app = typer.Typer(no_args_is_help=True, help="Queues, teams, skills, agents and rules of routing, as one file.")
Key = Annotated[str, typer.Option(envvar="PATCHBAY_KEY", help="An API key with the scope admin; ops:read is enough to export.")]
Url = Annotated[str, typer.Option(help="Where routing is; the one that runs here by default.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file; - is standard input or output.")]


@app.command("export")
def export_config(
    key: Key,
    file: FileArgument = STANDARD,
    url: Url = "",
    number: Annotated[int | None, typer.Option("--version", min=1, help="As it was in this version.")] = None,
) -> None:
    """Write the configuration to a file."""
    content = _asked(url, key, file, lambda routing: read_config_file(routing, number))
    if file == STANDARD:
        sys.stdout.write(content.decode())
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        end(f"{file} cannot be written ({error.strerror}).", NOT_DONE)
    Screen().done(f"The configuration is in {file}")


@app.command("check")
def check_config(key: Key, file: FileArgument, url: Url = "") -> None:
    """Say whether the file can be put in force, and what would come of it. Nothing is changed."""
    _foresee(url, key, file)


@app.command("apply")
def apply_config(
    key: Key,
    file: FileArgument,
    url: Url = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="As check: change nothing.")] = False,
) -> None:
    """Put the file in force, all of it or nothing. What a section does not name is removed; sections that are left out stay.

    Where the file has the `version` of which it is an edit it is refused when there is a newer one.
    """
    if dry_run:
        _foresee(url, key, file)
        return
    content = _content(file)

    async def send(routing: Routing) -> Json:
        try:
            return await send_config_file(routing, content)
        except ProblemError as problem:
            if problem.code != UNNAMED:
                raise
            return await send_config_file(routing, content, (await routing.get_config())["version"])

    told = _asked(url, key, file, send)
    _tell(told["changes"], told["change_count"])
    changed = told["change_count"] > 0
    Screen().done(f"In force as version {told['version']}" if changed else "Nothing to change: it is in force already")


def _foresee(url: str, key: str, file: Path) -> None:
    content = _content(file)
    told = _asked(url, key, file, lambda routing: send_config_file(routing, content, dry_run=True))
    _tell(told["changes"], told["change_count"])
    for line in _lines(told["effects"]):
        Screen().plain(line)
    Screen().done(f"It can be put in force, on version {told['version']}")


def _tell(changes: list[Mapping[str, str]], count: int) -> None:
    for change in changes:
        Screen().plain(f"{change['what']} {change['kind']} {change['id']}")
    if count > len(changes):
        Screen().plain(f"… and {count - len(changes)} more")


def _lines(effects: Mapping[str, Any]) -> Iterator[str]:
    """What would come of it, in sentences; what would not is left out."""
    yield f"{effects['waiting']} tickets wait"
    moves = [f"{one['ticket_id']} ({one['from_queue_id']} → {one['to_queue_id']})" for one in effects["moved"]["first"]]
    yield from _counted("go to another queue", effects["moved"]["count"], moves)
    for name, sentence in SENTENCES.items():
        yield from _counted(sentence, effects[name]["count"], effects[name]["ticket_ids"])
    losing = effects["agents_losing"]
    names = [f"{one['agent_id']} ({one['tickets']} tickets)" for one in losing["first"]]
    yield from _counted("agents could be offered fewer of them:", losing["count"], names)


def _counted(sentence: str, count: int, names: list[str]) -> Iterator[str]:
    if count:
        yield f"{count} {sentence} {', '.join(names)}{', …' if count > len(names) else ''}"


SENTENCES = {
    "placed": "that no queue took are taken:",
    "stranded": "would wait nowhere:",
    "matchable": "that nobody could take somebody can:",
    "unmatchable": "that somebody could take nobody can any more:",
    "offers_misplaced": "are offered to agents who would not be offered them any more:",
}


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STANDARD else file.read_bytes()
    except OSError as error:
        end(f"{file} cannot be read ({error.strerror}).", NOT_DONE)


def _asked(url: str, key: str, file: Path, ask: Callable[[Routing], Awaitable[Result]]) -> Result:
    """What routing answers; a refusal ends the command with each place in the file."""

    async def run() -> Result:
        async with Routing(url or _local(), key, waiting=LONG) as routing:
            return await ask(routing)

    try:
        return asyncio.run(run())
    except ProblemError as problem:
        places = [f"{file}: {_place(error.field)}{error.reason}" for error in problem.errors]
        end("\n".join(places or [f"Refused with {problem.status} {problem.code}: {problem.detail}"]), NOT_DONE)
    except NoAnswer as none:
        end(f"Routing does not answer at {url or _local()} ({none}). Does it run (make run)?", CANNOT)


def _place(field: str) -> str:
    """Where in the file it is; of the whole file nothing is said."""
    return f"{field.removeprefix('body.')}: " if field.startswith("body.") else ""


def _local() -> str:
    def chosen() -> RoutingSettings:
        adopt_settings()
        return read(RoutingSettings)

    settings = guarded(chosen)
    return f"http://{address(settings.host, settings.routing_port)}"
