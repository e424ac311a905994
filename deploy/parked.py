"""What an operator does about parked records: look, mark, and see what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.events.base import Writer
from shared.parking import ParkedKey, Parking, Request, code_version

SERVICES: tuple[Writer, ...] = ("intake", "routing", "sla", "metrics", "desk")
WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: whether it was done and helped, and the sentence that says so."""

    done: bool
    said: str


class NothingParked(LookupError):
    """The key has no parked records."""


class NoGap(ValueError):
    """The key does not wait for a missing event, so there is nothing to skip."""


async def services_with(conn: AsyncConnection, table: str) -> list[Writer]:
    """The services whose schema has this table."""
    statement = sa.text("SELECT schemaname FROM pg_tables WHERE tablename = :table")
    there = set((await conn.execute(statement, {"table": table})).scalars())
    return [service for service in SERVICES if service in there]


async def list_keys(engine: AsyncEngine, service: Writer | None) -> list[tuple[Writer, ParkedKey]]:
    """All parked keys, of one service or of all."""
    async with db.transaction(engine) as conn:
        services = [name for name in await services_with(conn, "parked") if service in (None, name)]
        return [(name, key) for name in services for key in await _parking(name).keys(conn)]


async def request(
    engine: AsyncEngine, service: Writer, topic: str, key: str, what: Request, wait_seconds: float = WAIT_SECONDS
) -> Outcome:
    """Mark the key and wait for the service to do it. Raises NothingParked, NoGap."""
    parking = _parking(service)
    async with db.transaction(engine) as conn:
        before = await parking.keys(conn, topic, key)
        if not before:
            raise NothingParked(f"{service} has nothing parked for {topic} {key}. See: patchbay parked list")
        if what == "skip" and before[0].reason != "gap":
            raise NoGap(
                f"{topic} {key} waits for no missing event ({before[0].reason}: {before[0].error}), so there is nothing to "
                "skip. Use replay when the cause is mended, or discard to drop its first record."
            )
        await parking.ask(conn, what, topic, key)
    deadline = asyncio.get_running_loop().time() + wait_seconds
    while True:
        async with db.transaction(engine) as conn:
            after = await parking.keys(conn, topic, key)
        if not after or after[0].requested is None:
            return _outcome(before[0], after[0] if after else None)
        if asyncio.get_running_loop().time() > deadline:
            return Outcome(
                False,
                f"Marked, but {service} has not done it within {wait_seconds:.0f} s. It will when it runs and reads "
                f"{topic}[{before[0].partition}]; see: patchbay status",
            )
        await asyncio.sleep(LOOK_SECONDS)


def _parking(service: Writer) -> Parking:
    return Parking(service, code_version(service))


def _outcome(before: ParkedKey, after: ParkedKey | None) -> Outcome:
    if after is None:
        return Outcome(True, f"Done: all {before.records} records are settled, the key goes on.")
    waiting = f"{after.records} still wait, the first for: {after.reason} ({after.error})"
    if after.first_id != before.first_id:
        return Outcome(False, f"The first record is settled, but a later one could not be taken; {waiting}.")
    return Outcome(False, f"It failed again; {waiting}.")
