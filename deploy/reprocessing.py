"""`patchbay intake reprocess`: after a parser was mended, all that was kept is tried again, the way it came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.command_line import NOT_DONE, WRONG_USAGE, end, with_database
from deploy.local.screen import Screen
from deploy.parked import LOOK_SECONDS
from services.intake.store import parked
from shared import db

SILENCE_SECONDS = 30.0

app = typer.Typer(no_args_is_help=True, help="What came in and could not be read.")


@dataclass(slots=True)
class Reprocessed:
    """What became of those that were tried: taken, kept still by reason, not tried yet."""

    taken: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    waiting: int = 0


@app.callback()
def intake() -> None:
    """What came in and could not be read."""


@app.command("reprocess")
def reprocess_contacts(
    way: Annotated[str | None, typer.Option(help=f"Only what came by this way: {', '.join(sorted(parked.CHANNELS))}.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only what was kept for a reason with these words.")] = None,
) -> None:
    """Try all parked contacts again, as they came. What was understood before, also of the same request, stays one."""
    if way is not None and way not in parked.CHANNELS:
        end(f"There is no way '{way}'. Ways are: {', '.join(sorted(parked.CHANNELS))}.", WRONG_USAGE)
    screen = Screen()
    found = with_database(lambda engine, _: reprocess(engine, way, reason, screen))
    for why, count in found.kept.most_common():
        screen.notice(f"{count} could not be taken: {why}")
    if found.waiting:
        end(f"{found.waiting} are marked, but intake does not try them. It will when it runs; see: patchbay status", NOT_DONE)
    if found.kept:
        end(f"{found.taken} taken, {found.kept.total()} kept. See: patchbay parked contacts list", NOT_DONE)
    screen.done(f"{found.taken} taken" if found.taken else "Nothing of this kind is parked")


async def reprocess(
    engine: AsyncEngine, way: str | None, reason: str | None, screen: Screen, silence_seconds: float = SILENCE_SECONDS
) -> Reprocessed:
    """Mark them and wait until intake has tried all, or has settled none for so long."""
    async with db.transaction(engine) as conn:
        wanted = await parked.ask_all(conn, way, reason)
    if not wanted:
        return Reprocessed()
    with screen.counted("Trying again", len(wanted)) as progress:
        return await _settled(engine, wanted, progress, silence_seconds)


async def _settled(engine: AsyncEngine, wanted: list[int], progress: Callable[[int], None], silence: float) -> Reprocessed:
    clock = asyncio.get_running_loop().time
    done, since = 0, clock()
    while True:
        async with db.transaction(engine) as conn:
            standing = await parked.standing(conn, wanted)
        waiting = sum(asked for asked, _ in standing)
        if len(wanted) - waiting > done:
            done, since = len(wanted) - waiting, clock()
        progress(done)
        if not waiting or clock() - since > silence:
            kept = Counter(reason for asked, reason in standing if not asked)
            return Reprocessed(len(wanted) - len(standing), kept, waiting)
        await asyncio.sleep(LOOK_SECONDS)
