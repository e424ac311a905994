"""The operator's command line. Exit codes: 0 done, 1 not done or found, 2 wrong usage, 3 settings or servers do not allow it."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy import (
    config_file,
    erasure,
    keeping,
    parked,
    parked_contacts,
    people,
    reprocessing,
    rewrapping,
    sending,
    setup,
    status,
)
from deploy.backup import NotBackedUp
from deploy.command_line import CANNOT, NOT_DONE, WRONG_USAGE, end, guarded, settings, with_database
from deploy.local.screen import Screen
from deploy.restoring import NotRestored
from shared import auth, db, kafka
from shared.parking import Request
from shared.personal import WrongMasterKey
from shared.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Run a Patchbay.")
parked_app = typer.Typer(no_args_is_help=True, help="Records that a service could not take, and the keys that wait behind them.")
keys_app = typer.Typer(no_args_is_help=True, help="API keys, and the master key of customers' keys.")
topics_app = typer.Typer(no_args_is_help=True, help="Kafka topics.")
customers_app = typer.Typer(no_args_is_help=True, help="Customers.")
app.add_typer(parked_app, name="parked")
parked_app.add_typer(parked_contacts.app, name="contacts")
app.add_typer(sending.app, name="send")
app.add_typer(reprocessing.app, name="intake")
app.add_typer(keys_app, name="keys")
app.add_typer(topics_app, name="topics")
app.add_typer(customers_app, name="customers")
app.add_typer(config_file.app, name="config")
app.add_typer(people.app, name="people")
app.command("audit")(people.show_audit)


class Service(StrEnum):
    """The services, as an argument."""

    intake = "intake"
    routing = "routing"
    sla = "sla"
    metrics = "metrics"
    desk = "desk"


ServiceArgument = Annotated[Service, typer.Argument(help="The service that parked it.")]
TopicArgument = Annotated[str, typer.Argument(help="The topic of the record.")]
KeyArgument = Annotated[str, typer.Argument(help="The record's key, as `parked list` shows it.")]


@parked_app.command("list")
def parked_list(service: Annotated[Service | None, typer.Option(help="Only of this service.")] = None) -> None:
    """Show the keys that wait behind a record, longest first."""
    keys = with_database(lambda engine, _: parked.list_keys(engine, service.value if service else None))
    if not keys:
        Screen().done("Nothing is parked")
        return
    rows = [
        [
            name,
            k.topic,
            k.key,
            str(k.records),
            f"{k.parked_at:%Y-%m-%d %H:%M:%S}",
            k.reason,
            k.error,
            str(k.attempts),
            k.requested or "",
        ]
        for name, k in keys
    ]
    columns = ["service", "topic", "key", "records", "since (UTC)", "reason", "first record's error", "attempts", "asked for"]
    Screen().table(f"{len(keys)} parked keys", columns, rows)


@parked_app.command("replay")
def parked_replay(service: ServiceArgument, topic: TopicArgument, key: KeyArgument) -> None:
    """Try all records of the key again: after the cause was mended."""
    _request(service, topic, key, "replay")


@parked_app.command("discard")
def parked_discard(service: ServiceArgument, topic: TopicArgument, key: KeyArgument) -> None:
    """Drop the first record of the key, for this service only and for good, and go on with the rest."""
    _request(service, topic, key, "discard")


@parked_app.command("skip")
def parked_skip(service: ServiceArgument, topic: TopicArgument, key: KeyArgument) -> None:
    """Go on over events that are missing and will not come."""
    _request(service, topic, key, "skip")


def _request(service: Service, topic: str, key: str, what: Request) -> None:
    try:
        outcome = with_database(lambda engine, _: parked.request(engine, service.value, topic, key, what))
    except (parked.NothingParked, parked.NoGap) as error:
        end(str(error), NOT_DONE)
    if not outcome.done:
        end(outcome.said, NOT_DONE)
    Screen().done(outcome.said)


@keys_app.command("create")
def keys_create(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Small letters, digits, dashes.")],
    scope: Annotated[list[str], typer.Option(help=f"{auth.SCOPES}; repeat for more.")],
    name: Annotated[str, typer.Option(help="Who or what uses it.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Make an existing key anew; the old one ends.")] = False,
) -> None:
    """Make an API key and print it: it is shown this once."""
    if not auth.KEY_ID.fullmatch(key_id):
        end(f"'{key_id}' is no id of a key: use 1 to 63 small letters, digits and dashes.", WRONG_USAGE)
    try:
        auth.check_scopes(scope)
    except auth.WrongScopes as wrong:
        end(f"{wrong}.", WRONG_USAGE)

    async def create(engine: AsyncEngine, _: Settings) -> str | None:
        async with db.transaction(engine) as conn:
            if not replace and any(entry.id == key_id for entry in await auth.list_keys(conn)):
                return None
            return await auth.create_key(conn, key_id, name or key_id, tuple(scope))

    key = with_database(create)
    if key is None:
        end(f"There is a key '{key_id}' already. Choose another id, or make it anew with --replace.", NOT_DONE)
    typer.echo("Keep this key now; it is stored only as a hash and cannot be shown again:", err=True)
    typer.echo(key)


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """End a key; services refuse it within five seconds."""

    async def revoke(engine: AsyncEngine, _: Settings) -> bool:
        async with db.transaction(engine) as conn:
            return await auth.revoke_key(conn, key_id)

    if not with_database(revoke):
        end(f"There is no valid key '{key_id}'. See: patchbay keys list", NOT_DONE)
    Screen().done(f"Key '{key_id}' is revoked; services refuse it within {auth.CACHE_SECONDS:.0f} s")


@keys_app.command("list")
def keys_list() -> None:
    """Show all keys and what they may do; never the keys themselves."""

    async def entries(engine: AsyncEngine, _: Settings) -> list[auth.KeyEntry]:
        async with db.transaction(engine) as conn:
            return await auth.list_keys(conn)

    rows = [
        [
            e.id,
            e.name,
            ", ".join(e.scopes),
            f"{e.created_at:%Y-%m-%d %H:%M}",
            f"{e.revoked_at:%Y-%m-%d %H:%M}" if e.revoked_at else "",
        ]
        for e in with_database(entries)
    ]
    Screen().table("API keys", ["id", "name", "scopes", "created (UTC)", "revoked (UTC)"], rows)


@keys_app.command("rewrap")
def keys_rewrap() -> None:
    """Wrap the customers' keys by the first master key, so that those behind it can be taken out."""
    try:
        count = with_database(lambda engine, chosen: rewrapping.rewrap(engine, chosen, Screen()))
    except WrongMasterKey as error:
        end(str(error), CANNOT)
    Screen().done(f"{count} wrapped anew" if count else "All are wrapped by the first master key")


@topics_app.command("create")
def topics_create() -> None:
    """Create the topics that are missing."""
    made = guarded(lambda: asyncio.run(kafka.create_topics(settings())))
    Screen().done(f"Created: {', '.join(made)}" if made else "All topics are there")


@app.command()
def migrate() -> None:
    """Bring every schema of the database to its newest revision."""
    guarded(lambda: setup.migrate(settings().database.get_secret_value()))
    Screen().done("All schemas are at their newest revision")


ToolsOption = Annotated[
    Path | None,
    typer.Option("--tools", help="Folder of pg_dump, pg_restore and psql; those of PostgreSQL 18 came with Patchbay."),
]


@app.command()
def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; by default a dated name in the data folder.")] = None,
    tools: ToolsOption = None,
) -> None:
    """Back the database up while everything runs. The master key and the log on Kafka are not in it: keep them too."""
    try:
        guarded(lambda: keeping.make(file, tools, Screen()))
    except NotBackedUp as error:
        end(str(error), NOT_DONE)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` made.")],
    tools: ToolsOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Put a backup back, with the services stopped. What happened since is read back from the log when they start again.

    API keys and customers' keys that the database has now are kept. All else in it is replaced.
    """
    try:
        guarded(lambda: keeping.put_back(file, tools, Screen(), lambda: yes or _agreed()))
    except NotRestored as error:
        end(str(error), NOT_DONE)


def _agreed() -> bool:
    """Whether a person says yes."""
    if not sys.stdin.isatty():
        end("This replaces the database. Say --yes where nobody can be asked.", WRONG_USAGE)
    return typer.confirm("Replace what the database has now by the backup?")


@app.command("status")
def show_status() -> None:
    """Show per service what waits: records to read, events to send, keys parked."""
    rows = []
    for s in with_database(lambda engine, chosen: status.standings(chosen, engine)):
        lag = "unknown: Kafka does not answer" if s.lag_records is None else str(s.lag_records)
        rows.append(
            [s.service, lag, f"{s.behind_seconds:.0f}", str(s.outbox_rows), f"{s.outbox_age_seconds:.0f}", str(s.parked_keys)]
        )
    if not rows:
        end("The database has no service's tables. Run: patchbay migrate", NOT_DONE)
    columns = ["service", "records to read", "behind (s)", "events to send", "oldest (s)", "keys parked"]
    Screen().table("Services", columns, rows)


@customers_app.command("verify-erased")
def verify_erased(
    customer_ids: Annotated[list[str], typer.Argument(metavar="CUSTOMER_ID...", help="The whole merge set.")],
    needle: Annotated[
        list[str] | None, typer.Option(help="A name or handle to look for; else one a line from standard input.")
    ] = None,
) -> None:
    """Look for a person in every schema: strings that name them, and keys that still open their data. Exit code 1 when found."""
    needles = [n.strip() for n in (needle or sys.stdin.read().splitlines()) if n.strip()]
    if not needles or min(map(len, needles)) < erasure.SHORTEST:
        end(f"Give the names and handles to look for, each of at least {erasure.SHORTEST} characters, one a line.", WRONG_USAGE)

    async def look(engine: AsyncEngine, _: Settings) -> tuple[list[str], list[erasure.Trace]]:
        return await erasure.live_keys(engine, customer_ids), await erasure.find_traces(engine, needles)

    keys, traces = with_database(look, transaction_seconds=erasure.SCAN_SECONDS)
    for trace in traces:
        Screen().notice(f"String {trace.needle} stands in {trace.rows} rows of {trace.column}")
    for customer_id in keys:
        Screen().notice(f"The key of customer {customer_id} is not destroyed: their data on the log can be read")
    if keys or traces:
        end("Not erased. Ask for the erasure again, see that the services named above run, then verify again.", NOT_DONE)
    Screen().done(f"No key is left, and none of the {len(needles)} strings stands in any schema")


if __name__ == "__main__":
    app(prog_name="patchbay")
