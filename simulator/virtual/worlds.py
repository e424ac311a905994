"""What a run in virtual time is made of: who comes, who works, and by which rules. Seconds count from its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

import msgspec

from services.routing.domain.agents import Profile
from shared.conditions import Test
from shared.events.base import Channel
from shared.events.config import QueueConfigured
from simulator import arrivals
from simulator.arrivals import WORKING_DAY, Draw, Exponential, Lognormal
from simulator.virtual.agenda import START

HOUR = 3600.0
SHIFT_SECONDS = 8.5 * HOUR
BREAKS = ((2.0, 900.0), (4.0, 1800.0), (6.5, 900.0))  # about so many hours into the shift, for so long
BEGINS = ((7, 25), (8, 35), (9, 15), (11, 5), (12, 8), (13, 12))  # the hour, and how many of a hundred begin then
AT_WORK_SECONDS = SHIFT_SECONDS - sum(seconds for _, seconds in BREAKS)
LANGUAGES = ("he", "he", "he", "ar", "ar", "ro", "ro", "ro", "en", "en")
OPEN_DAY = tuple(part if 7 <= hour < 22 else 0 for hour, part in enumerate(WORKING_DAY))
FOUR_SECONDS, A_MINUTE, TEN_MINUTES = Exponential(4.0), Exponential(60.0), Exponential(600.0)


@dataclass(frozen=True, slots=True)
class Stream:
    """Contacts of one kind. Of those who lose patience the share `retries` comes again after `retry`; `urgent` is a share too."""

    name: str
    channel: Channel
    language: str
    arrivals: arrivals.Profile
    handling: Draw
    patience: Draw | None = None
    retries: float = 0.0
    retry: Draw = TEN_MINUTES
    urgent: float = 0.0


@dataclass(frozen=True, slots=True)
class Shift:
    """When an agent works; each break begins at a second and lasts so many."""

    begins: float = 0.0
    ends: float = inf
    breaks: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Staff:
    """An agent who is employed."""

    id: str
    profile: Profile
    shift: Shift = Shift()


@dataclass(frozen=True, slots=True)
class Habits:
    """What agents are like. `declines` and `misses` are shares of offers; who missed one is `back` after a while. The connection
    is lost so often an hour, for `lost`.
    """

    answer: Draw = FOUR_SECONDS
    declines: float = 0.0
    misses: float = 0.0
    back: Draw = A_MINUTE
    losses_per_hour: float = 0.0
    lost: Draw = A_MINUTE


@dataclass(frozen=True, slots=True)
class World:
    """All of it. `again_after_seconds` and `presence_seconds` are routing's settings of that kind."""

    queues: Sequence[QueueConfigured]
    staff: Sequence[Staff]
    streams: Sequence[Stream]
    seconds: float
    habits: Habits = field(default_factory=Habits)
    again_after_seconds: float = 60.0
    presence_seconds: float = 20.0


def one_line(
    arrivals_per_second: float,
    handle_seconds: float,
    agents: int,
    seconds: float,
    patience_seconds: float | None = None,
) -> World:
    """As queueing theory has it: Poisson arrivals, exponential handling and patience, one line, agents who are always there."""
    stream = Stream(
        name="calls",
        channel="phone",
        language="en",
        arrivals=arrivals.Profile((arrivals_per_second,)),
        handling=Exponential(handle_seconds),
        patience=Exponential(patience_seconds) if patience_seconds is not None else None,
    )
    staff = [Staff(f"agent-{number}", Profile(display_name=str(number), capacity_units=5)) for number in range(agents)]
    return World([_queue("calls", 1, auto_accept=True)], staff, [stream], seconds)


@dataclass(frozen=True, slots=True)
class _Team:
    """A team's channel, its share of a hundred agents, and how its work is. It is staffed for `occupied` of its time."""

    name: str
    channel: Channel
    percent: int
    capacity_units: int
    at_once: int
    handling: Draw
    handle_seconds: float
    occupied: float
    shape: tuple[float, ...] = OPEN_DAY
    patience: Draw | None = None
    retries: float = 0.0


TEAMS = (
    _Team("voice", "phone", 50, 5, 1, Lognormal(330.0, 1.1), 330.0, 0.72, patience=Exponential(180.0), retries=0.3),
    _Team("chat", "chat", 25, 9, 3, Lognormal(900.0, 0.9), 900.0, 0.70, patience=Exponential(240.0), retries=0.15),
    _Team("letters", "email", 25, 6, 3, Lognormal(1200.0, 1.2), 1200.0, 0.75, shape=WORKING_DAY),
)


def a_day(agents: int, seed: int) -> World:
    """A working day of a house with calls, chats and mail in four languages. `agents` of 20 or more give every team somebody."""
    staff = [_employed(number, _team_of(number), Random(f"{seed}/shift/{number}")) for number in range(agents)]
    queues = [_queue(team.name, number, team=team) for number, team in enumerate(TEAMS, start=1)]
    streams = [stream for team in TEAMS for stream in _streams(team, staff)]
    habits = Habits(declines=0.02, misses=0.01, losses_per_hour=0.02)
    return World(queues, staff, streams, arrivals.DAY_SECONDS, habits)


def _team_of(number: int) -> _Team:
    hundredth = number * 37 % 100  # the teams are mixed however few agents there are
    for team in TEAMS:
        if hundredth < team.percent:
            return team
        hundredth -= team.percent
    return TEAMS[-1]


def _employed(number: int, team: _Team, random: Random) -> Staff:
    spoken = LANGUAGES[number % len(LANGUAGES)]
    hours, weights = zip(*BEGINS, strict=True)
    begins = random.choices(hours, weights)[0] * HOUR + random.uniform(-300, 300)
    breaks = tuple((begins + after * HOUR + random.uniform(-1200, 1200), seconds) for after, seconds in BREAKS)
    profile = Profile(
        display_name=f"Agent {number}",
        team_ids=(team.name,),
        languages=(spoken,) if number % 3 else tuple(sorted({spoken, "en"})),
        capacity_units=team.capacity_units,
    )
    return Staff(f"agent-{number:04d}", profile, Shift(begins, begins + SHIFT_SECONDS, breaks))


def _streams(team: _Team, staff: Sequence[Staff]) -> list[Stream]:
    """What comes for a team, language by language: as much as those work for whom it is their first."""
    streams = []
    for language in sorted(set(LANGUAGES)):
        members = [one for n, one in enumerate(staff) if team.name in one.profile.team_ids and LANGUAGES[n % 10] == language]
        contacts = len(members) * AT_WORK_SECONDS * team.occupied * team.at_once / team.handle_seconds
        if contacts:
            streams.append(
                Stream(
                    name=f"{team.name} {language}",
                    channel=team.channel,
                    language=language,
                    arrivals=arrivals.Profile.of(contacts, team.shape),
                    handling=team.handling,
                    patience=team.patience,
                    retries=team.retries,
                    urgent=0.05,
                )
            )
    return streams


def _queue(queue_id: str, position: int, *, auto_accept: bool = False, team: _Team | None = None) -> QueueConfigured:
    queue = QueueConfigured(id=queue_id, version=1, effective_from=START, name={"en": queue_id}, position=position)
    if team is None:
        return msgspec.structs.replace(queue, auto_accept=auto_accept)
    when = Test(field="channel", op="equals", value=team.channel)
    return msgspec.structs.replace(queue, when=when, team_ids=(team.name,), skill_by_language=True)
