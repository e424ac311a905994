"""What an operator does about parked contacts: look, export one, have it tried again, give it up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.command_line import NOT_DONE, end, with_database
from deploy.local.screen import Screen
from deploy.parked import LOOK_SECONDS, WAIT_SECONDS, Outcome
from services.intake.store import parked
from services.intake.store.parked import Arrival, ParkedContact
from shared import db

AT_MOST = 1000
LARGEST_ID = 2**63 - 1
COLUMNS = ["id", "channel", "kept at (UTC)", "bytes", "reason", "attempts", "asked for"]

app = typer.Typer(no_args_is_help=True, help="Mails and provider's requests that intake could not take, kept as they came.")
IdArgument = Annotated[int, typer.Argument(metavar="ID", min=1, max=LARGEST_ID, help="As `parked contacts list` shows it.")]


@app.command("list")
def list_contacts() -> None:
    """Show what is kept, longest first; nothing that customers wrote."""
    contacts = with_database(lambda engine, _: _listed(engine))
    if not contacts:
        Screen().done("Nothing is parked")
        return
    rows = [
        [
            str(one.id),
            one.channel,
            f"{one.parked_at:%Y-%m-%d %H:%M:%S}",
            str(one.size_bytes),
            one.reason,
            str(one.attempts),
            "replay" if one.asked else "",
        ]
        for one in contacts
    ]
    more = f" (the first {AT_MOST})" if len(contacts) == AT_MOST else ""
    Screen().table(f"{len(contacts)} parked contacts{more}", COLUMNS, rows)


@app.command("export")
def export_contact(
    contact_id: IdArgument, file: Annotated[Path, typer.Argument(help="Where to write it; must not be there yet.")]
) -> None:
    """Write one as it came, byte for byte, into a file that only you can read. It holds what the customer wrote."""
    arrival = with_database(lambda engine, _: _kept(engine, contact_id))
    if arrival is None:
        _unknown(contact_id)
    try:
        _write(file, arrival.body)
    except OSError as error:
        end(f"{file} cannot be written: {error.strerror}. Name a file that is not there yet, in a folder of yours.", NOT_DONE)
    Screen().done(f"{len(arrival.body)} bytes in {file}; delete it when you have seen to it")


@app.command("replay")
def replay_contact(contact_id: IdArgument) -> None:
    """Try it again, as it came: after the cause was mended. What was taken before stays one message."""
    outcome = with_database(lambda engine, _: replay(engine, contact_id))
    if outcome is None:
        _unknown(contact_id)
    if not outcome.done:
        end(outcome.said, NOT_DONE)
    Screen().done(outcome.said)


@app.command("discard")
def discard_contact(contact_id: IdArgument) -> None:
    """Drop it for good: after somebody has seen to it by hand, or it is nothing."""
    if not with_database(lambda engine, _: _dropped(engine, contact_id)):
        _unknown(contact_id)
    Screen().done(f"Done: {contact_id} is discarded")


async def replay(engine: AsyncEngine, contact_id: int, wait_seconds: float = WAIT_SECONDS) -> Outcome | None:
    """Mark the contact and wait for intake to try it; None when there is no such contact."""
    async with db.transaction(engine) as conn:
        before = await parked.listed(conn, 1, contact_id)
        if not before or not await parked.ask(conn, contact_id):
            return None
    deadline = asyncio.get_running_loop().time() + wait_seconds
    while asyncio.get_running_loop().time() <= deadline:
        async with db.transaction(engine) as conn:
            after = await parked.listed(conn, 1, contact_id)
        if not after:
            return Outcome(True, "Done: it is taken. Intake's log names its ticket (parked contact replayed).")
        if not after[0].asked:
            return Outcome(False, f"It failed again: {after[0].reason}.")
        await asyncio.sleep(LOOK_SECONDS)
    return Outcome(
        False, f"Marked, but intake has not done it within {wait_seconds:.0f} s. It will when it runs; see: patchbay status"
    )


async def _listed(engine: AsyncEngine) -> list[ParkedContact]:
    async with db.transaction(engine) as conn:
        return await parked.listed(conn, AT_MOST)


async def _kept(engine: AsyncEngine, contact_id: int) -> Arrival | None:
    async with db.transaction(engine) as conn:
        return await parked.kept(conn, contact_id)


async def _dropped(engine: AsyncEngine, contact_id: int) -> bool:
    async with db.transaction(engine) as conn:
        return await parked.drop(conn, contact_id)


def _write(file: Path, body: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(body)


def _unknown(contact_id: int) -> NoReturn:
    end(f"There is no parked contact {contact_id}. See: patchbay parked contacts list", NOT_DONE)
