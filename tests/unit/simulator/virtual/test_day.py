"""A working day in virtual time: the same for the same seed, nobody lost, and everything that may happen does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import cache

import pytest

from simulator.arrivals import DAY_SECONDS
from simulator.virtual.day import Day
from simulator.virtual.results import Contact, busy_seconds, figures
from simulator.virtual.worlds import a_day, one_line
from tests.house.purity import PROJECT

MORNING = 11 * 3600.0


@cache
def a_whole_day() -> tuple[Day, bytes]:
    """One for several tests to look at."""
    return played(3, 30, DAY_SECONDS)


def played(seed: int, agents: int, until: float) -> tuple[Day, bytes]:
    """A day until then, and all that was said in it."""
    said: list[bytes] = []
    day = Day(a_day(agents, seed), seed, record=said.append)
    day.until(until)
    return day, b"".join(said)


def test_the_same_seed_gives_the_same_decisions_to_the_byte_and_another_seed_others() -> None:
    (day, said), (_, again), (_, other) = (played(seed, 20, MORNING) for seed in (1, 1, 2))
    assert said == again
    assert said != other
    assert day.results.decisions > 200


def test_a_day_has_everything_in_it_and_loses_nobody() -> None:
    day, said = a_whole_day()
    total = figures(day.results.contacts)
    balance = day.house.balance
    assert total.offered == total.answered + total.abandoned + total.waiting
    assert total.answered == total.handled + total.in_hand
    assert (balance.offered, balance.answered, balance.left["abandoned"]) == (total.offered, total.answered, total.abandoned)
    assert len(balance.waiting) == total.waiting
    for happened in ("offer.declined", "offer.expired", "ticket.left_queue", "presence_lost", '"rest"'):
        assert happened.encode() in said, happened
    assert total.came_again > 0
    assert len(day.house.works) == total.waiting + total.in_hand


def test_whoever_is_answered_was_answered_by_somebody_who_serves_the_queue_in_the_language() -> None:
    day, said = a_whole_day()
    staff = {one.id: one.profile for one in day.world.staff}
    streams = {f"ticket-{number}": contact.stream for number, contact in enumerate(day.results.contacts, start=1)}
    assigned = [line for line in said.decode().splitlines() if " ticket.assigned.v1 " in line]
    assert len(assigned) > 500
    for line in assigned:
        _, ticket_id, _, data = line.split(" ", 3)
        team, language = streams[ticket_id].split(" ")
        profile = staff[json.loads(data)["agent_id"]]
        assert team in profile.team_ids
        assert language in profile.languages


@pytest.mark.proof
@pytest.mark.timeout(300)
def test_a_day_of_a_thousand_agents_takes_seconds() -> None:
    began = time.monotonic()
    day, _ = played(1, 1000, DAY_SECONDS)
    assert len(day.results.contacts) > 40_000
    assert time.monotonic() - began < 120


def test_figures_are_counted_by_hand() -> None:
    contacts = [
        Contact("calls", "calls", 0.0, 60.0, outcome="answered", ended=0.0, done=60.0),
        Contact("calls", "calls", 10.0, 60.0, outcome="answered", ended=40.0, done=100.0),
        Contact("calls", "calls", 20.0, 60.0, outcome="answered", ended=30.0),
        Contact("calls", "calls", 30.0, 60.0, outcome="abandoned", ended=45.0),
        Contact("calls", "calls", 50.0, 60.0, began_by_itself=False),
    ]
    found = figures(contacts)
    counts = (found.offered, found.answered, found.abandoned, found.waiting, found.in_hand, found.handled, found.came_again)
    assert counts == (5, 3, 1, 1, 1, 2, 1)
    assert (found.waited, found.service_level) == (3 / 4, 2 / 4)
    assert (found.answer_seconds, found.median_seconds, found.slowest_seconds) == (40 / 3, 10.0, 30.0)
    assert busy_seconds(contacts, 50.0, 80.0) == 10.0 + 30.0 + 30.0
    assert figures([]).service_level is None


def test_who_waits_with_nobody_there_waits_until_the_end() -> None:
    day = Day(one_line(0.01, 60.0, 0, 1_000.0), seed=1)
    found = figures(day.run().contacts)
    assert found.offered > 0
    assert (found.waiting, found.answered, found.waited) == (found.offered, 0, None)


def test_the_command_prints_a_json_object_a_line_where_nobody_watches() -> None:
    command = [sys.executable, "-m", "simulator", "virtual", "--agents", "20", "--seed", "5"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    first, *others = map(json.loads, done.stdout.splitlines())
    assert first["agents"] == 20
    assert len(first["decisions"]) == 32
    streams = [line for line in others if "stream" in line]
    assert streams[-1]["stream"] == "all"
    assert streams[-1]["offered"] == sum(line["offered"] for line in streams[:-1])
    assert {line["estimator"] for line in others if "estimator" in line} >= {"head_of_line", "queue_length"}
