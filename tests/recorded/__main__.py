"""Run all sets and print what came of them. Ends with 1 when a recording that is not known to miss does so."""

from __future__ import annotations

import sys

from tests.recorded.registry import SETS
from tests.recorded.sets import FIXTURES, RecordedSet


def main() -> int:
    """Print a line per set, and one per miss."""
    return max([_told(one) for one in SETS], default=0)


def _told(one: RecordedSet) -> int:
    outcomes = one.outcomes()
    if outcomes is None:
        print(f"{one.name}: not run, there is no {FIXTURES.name}/{one.folder} beside the repository")
        return 0
    known = dict(one.known)
    misses = [outcome for outcome in outcomes if outcome.miss]
    print(f"{one.name}: {len(outcomes) - len(misses)} of {len(outcomes)} as expected")
    for outcome in misses:
        print(f"  {outcome.name}: {known.get(outcome.name, 'NOT EXPLAINED')}: {outcome.miss}")
    return int(any(outcome.name not in known for outcome in misses))


if __name__ == "__main__":
    sys.exit(main())
