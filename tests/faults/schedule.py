"""What goes wrong when: a schedule of faults, a pure function of its seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.links import INWARD, NAMES, OUTWARD, TO_POSTGRES
from tests.infra import SERVICES

WINDOW_SECONDS = 3.0
UNTIL_SETTLED = math.inf
DIRECTIONS = ("request", "answer", "both")
ASKING = ("intake-kafka", "routing-kafka", "sla-kafka", *INWARD, *OUTWARD)  # links whose requests change something


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: begins `at` seconds after the schedule's start and lasts `seconds`, or UNTIL_SETTLED: until all has come to
    rest in spite of it. `targets` are services, servers or links.
    """

    at: float
    fault: str
    targets: tuple[str, ...]
    seconds: float
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    def __str__(self) -> str:
        more = "".join(f" {name}={value}" for name, value in self.parameters.items())
        lasts = "until all is settled" if self.seconds == UNTIL_SETTLED else f"for {self.seconds:.2f} s"
        return f"{self.at:6.2f} s  {self.fault} {'+'.join(self.targets)} {lasts}{more}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The faults of one seed, in the order in which they begin."""

    seed: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}:\n" + "\n".join(str(step) for step in self.steps)


Drawn = tuple[Sequence[str], float, Mapping[str, float | str]]
Draw = Callable[[random.Random], Drawn]


def _some(rng: random.Random, names: Sequence[str], most: int) -> list[str]:
    return sorted(rng.sample(names, rng.randint(1, most)))


def _between(rng: random.Random, least: float, most: float) -> float:
    return round(rng.uniform(least, most), 3)


def _kill(rng: random.Random) -> Drawn:
    return _some(rng, SERVICES, rng.choice((1, 1, 2, 4))), _between(rng, 0.1, 1.2), {}


def _pause(rng: random.Random) -> Drawn:
    return _some(rng, SERVICES, 3), _between(rng, 0.5, 3), {}


def _kafka(rng: random.Random) -> Drawn:
    how = rng.choice(("kill", "pause", "restart"))
    return ["kafka"], _between(rng, 0.5, 3) if how == "pause" else _between(rng, 0.1, 1), {"how": how}


def _postgres(rng: random.Random) -> Drawn:
    how = rng.choice(("kill", "pause", "restart"))
    return ["postgres"], _between(rng, 0.5, 3) if how == "pause" else _between(rng, 0.1, 1), {"how": how}


def _slow(rng: random.Random) -> Drawn:
    parameters = {"latency": _between(rng, 0.01, 0.15), "jitter": _between(rng, 0, 0.1)}
    return _some(rng, NAMES, 4), _between(rng, 1, 3), parameters


def _thin(rng: random.Random) -> Drawn:
    return _some(rng, NAMES, 3), _between(rng, 1, 3), {"bytes_per_second": rng.choice((5_000, 20_000, 100_000))}


def _held(rng: random.Random) -> Drawn:
    return _some(rng, NAMES, 4), _between(rng, 0.5, 3), {"direction": rng.choice(DIRECTIONS)}


def _half_open(rng: random.Random) -> Drawn:
    return _some(rng, NAMES, 3), _between(rng, 0.5, 3), {"direction": rng.choice(DIRECTIONS)}


def _cut(rng: random.Random) -> Drawn:
    return _some(rng, NAMES, 6), _between(rng, 0.5, 2), {"every": _between(rng, 0.2, 1)}


def _refused(rng: random.Random) -> Drawn:
    return _some(rng, NAMES, 4), _between(rng, 0.3, 2), {}


def _lost_answer(rng: random.Random) -> Drawn:
    return _some(rng, ASKING, 4), 3.0, {"times": rng.randint(1, 3)}


def _lost_request(rng: random.Random) -> Drawn:
    return _some(rng, ASKING, 4), 3.0, {"times": rng.randint(1, 3)}


def _commit(rng: random.Random) -> Drawn:
    return _some(rng, TO_POSTGRES, 4), 3.0, {"times": rng.randint(1, 4), "applied": rng.choice(("yes", "no"))}


def _foreign(rng: random.Random) -> Drawn:
    return ["another application"], UNTIL_SETTLED, {"holds": rng.choice(("rows", "xmin"))}


def _twin(rng: random.Random) -> Drawn:
    return [rng.choice(SERVICES)], _between(rng, 0.5, 2), {"pause": rng.choice((0.0, 1.0, 7.0))}


def _rebalance(rng: random.Random) -> Drawn:
    return [rng.choice(SERVICES)], _between(rng, 3, 5), {"every": _between(rng, 0.5, 2)}


KINDS: Mapping[str, Draw] = {
    "kill": _kill,
    "pause": _pause,
    "kafka": _kafka,
    "postgres": _postgres,
    "slow": _slow,
    "thin": _thin,
    "held": _held,
    "half-open": _half_open,
    "cut": _cut,
    "refused": _refused,
    "lost-answer": _lost_answer,
    "lost-request": _lost_request,
    "commit": _commit,
    "foreign": _foreign,
    "twin": _twin,
    "rebalance": _rebalance,
}


def make(seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Schedule:
    """Two to four faults (one or two of one kind), beginning within WINDOW_SECONDS. No two of them share a target: how long a
    server or a service needs to come back is not planned.
    """
    rng = random.Random(f"schedule {seed} {' '.join(kinds)}")
    number = rng.randint(2, 4) if len(kinds) > 1 else rng.randint(1, 2)
    return Schedule(seed, _drawn(rng, (rng.choice(kinds) for _ in range(number)), number))


def each(seed: int, kinds: Sequence[str]) -> Schedule:
    """One fault of each of these kinds, no two of them with one target."""
    rng = random.Random(f"each {seed} {' '.join(kinds)}")
    while len(steps := _drawn(rng, kinds, len(kinds))) < len(kinds):
        pass
    return Schedule(seed, steps)


def _drawn(rng: random.Random, kinds: Iterable[str], number: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    for at, kind in zip(sorted(_between(rng, 0.1, WINDOW_SECONDS) for _ in range(number)), kinds, strict=True):
        targets, seconds, parameters = KINDS[kind](rng)
        if not any(set(targets) & set(other.targets) for other in steps):
            steps.append(Step(at, kind, tuple(targets), seconds, parameters))
    return tuple(steps)
