"""Run all sets, print what came of them, and renew their section of bench/RESULTS.md.

Ends with 1 when a recording comes to anything else than is expected, or known to be missed by it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from bench import recorded
from bench.recorded import Row
from deploy.setup import migrate
from shared import telemetry
from tests.infra import ServerFolder, create_template, make_postgres, url_of
from tests.recorded.registry import SETS, WAITING
from tests.recorded.sets import FIXTURES, Database, Outcome, RecordedSet


def main() -> int:
    """Print a line per set, and one per miss."""
    telemetry.set_up("recorded", "critical", as_json=False)  # what is parked is part of what is expected
    with _database() as database:
        told = [row for one in SETS if (row := _told(one, database)) is not None]
    complete = len(told) == len(SETS)
    for waiting in WAITING:
        number = waiting.number()
        if number is None:
            complete = False
            continue
        told.append(Row(waiting.name, 0, number, waits_for=f"{waiting.what}; {waiting.until}"))
        print(f"{waiting.name}: not yet ({waiting.until}): {number} {waiting.what}", flush=True)
    if complete:
        recorded.renew(told)
    return int(any(row.unexplained for row in told))


def _told(one: RecordedSet, database: Database) -> Row | None:
    outcomes = one.outcomes(database)
    if outcomes is None:
        print(f"{one.name}: not run, there is no {FIXTURES.name}/{one.folder} beside the repository")
        return None
    row = row_of(one, outcomes)
    print(f"{one.name}: {row.expected} of {row.all} as expected{f' ({one.note})' if one.note else ''}", flush=True)
    for outcome in outcomes:
        if outcome.miss:
            print(f"  {outcome.name} [{outcome.mark}]: {one.why(outcome) or 'NOT EXPLAINED'}: {outcome.miss}")
    for outcome in one.surprises(outcomes):
        if not outcome.miss or outcome not in outcomes:
            print(f"  {outcome.name}: KNOWN TO BE MISSED, AND IS NOT")
    return row


def row_of(one: RecordedSet, outcomes: list[Outcome]) -> Row:
    """The counts: those as expected, and the misses by their reasons; unexplained is also one that is not there any more."""
    misses = [one.why(outcome) for outcome in outcomes if outcome.miss]
    reasons = {why: misses.count(why) for why in dict.fromkeys(misses) if why}
    unexplained = len(one.surprises(outcomes))
    return Row(one.name, len(outcomes) - len(misses), len(outcomes), reasons, unexplained, one.note)


@contextmanager
def _database() -> Iterator[Database]:
    """A PostgreSQL of its own, started when a set first asks for it, ended with the run."""
    folder = ServerFolder()
    postgres = make_postgres(folder.path)

    @cache
    def url() -> str:
        postgres.start()
        return url_of(postgres.url, asyncio.run(create_template(postgres.url, migrate)))

    try:
        yield url
    finally:
        postgres.stop()
        folder.remove()


if __name__ == "__main__":
    sys.exit(main())
