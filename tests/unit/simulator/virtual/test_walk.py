"""Whatever happens in whatever order, one owner, one live offer, nobody above capacity, no visit lost: over millions of steps."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from random import Random

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.routing.domain import lifecycle, offers
from services.routing.domain.work import Turn
from shared.events.base import Priority
from shared.events.people import AgentState
from simulator.virtual.agenda import START
from simulator.virtual.balance import Unbalanced
from simulator.virtual.house import nowhere
from tests.counts import PROOF, examples
from tests.process import ROOT
from tests.unit.simulator.virtual.possible import WHAT, Heard
from tests.unit.simulator.virtual.small_house import QUEUES
from tests.unit.simulator.virtual.walk import STATES, Walk

NUMBERS = st.integers(0, 60)
PRIORITIES: tuple[Priority, ...] = (1, 2, 3, 4)
SEEDS = range(4)
STEPS_OF_A_SEED = 500_000  # two million in all
LOOKS_EVERY = 10


class House(RuleBasedStateMachine):
    """The walk as Hypothesis takes it: it looks for the shortest way to break something."""

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk()

    @rule(kind=NUMBERS, language=NUMBERS, priority=st.sampled_from(PRIORITIES))
    def customer_comes(self, kind: int, language: int, priority: Priority) -> None:
        self.walk.customer_comes(kind, language, priority)

    @rule(number=NUMBERS)
    def customer_writes(self, number: int) -> None:
        self.walk.customer_writes(number)

    @rule(number=NUMBERS)
    def customer_leaves(self, number: int) -> None:
        self.walk.customer_leaves(number)

    @rule(number=NUMBERS)
    def intake_closes(self, number: int) -> None:
        self.walk.intake_closes(number)

    @rule()
    def tickets_are_matched(self) -> None:
        self.walk.tickets_are_matched()

    @rule(number=NUMBERS, accepted=st.booleans())
    def offer_is_answered(self, number: int, accepted: bool) -> None:
        self.walk.offer_is_answered(number, accepted)

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.walk.time_passes(seconds)

    @rule(number=NUMBERS, what=st.sampled_from(WHAT), by_owner=st.booleans(), other=NUMBERS)
    def somebody_acts(self, number: int, what: str, by_owner: bool, other: int) -> None:
        self.walk.somebody_acts(number, what, by_owner, other)

    @rule(number=NUMBERS, state=st.sampled_from(STATES))
    def agent_changes_state(self, number: int, state: AgentState) -> None:
        self.walk.agent_changes_state(number, state)

    @rule(number=NUMBERS, capacity=NUMBERS)
    def capacity_changes(self, number: int, capacity: int) -> None:
        self.walk.capacity_changes(number, capacity)

    @invariant()
    def all_is_well(self) -> None:
        self.walk.look()


TestHouse = House.TestCase
TestHouse.settings = settings(max_examples=examples(100), stateful_step_count=50, deadline=None)


def walked(seed: int, steps: int, record: Callable[[bytes], object] = nowhere) -> Walk:
    """So many steps by chance, looked at all along. `record` is given all that is said."""
    walk, random = Walk(Heard(QUEUES, START, record)), Random(f"walk {seed}")
    for step in range(steps):
        walk.by_chance(random)
        if step % LOOKS_EVERY == 0:
            walk.look()
    walk.look()
    return walk


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.proof] if seed else []) for seed in SEEDS])
def test_a_long_walk_breaks_nothing_and_does_everything_often(seed: int) -> None:
    steps = STEPS_OF_A_SEED if PROOF else 20_000
    walk = walked(seed, steps)
    balance = walk.house.balance
    assert walk.steps == steps
    assert min(walk.opened, balance.answered) > steps / 100
    assert not walk.rare()


def test_a_walk_says_what_it_did_too_seldom() -> None:
    walk = walked(0, 100)
    walk.steps = 6_000
    assert "accept: 0 times done" in walk.rare()
    assert "consult.ended expired: 0 times said" in walk.rare()
    assert len(walk.rare()) > 20


def digest(seed: int, steps: int) -> str:
    """Of all that is said on a walk, in order."""
    said = hashlib.sha256()
    walked(seed, steps, said.update)
    return said.hexdigest()


def test_the_same_steps_bring_the_same_decisions_in_whichever_process() -> None:
    here = digest(7, 1_000)
    environment = {**os.environ, "PYTHONHASHSEED": "1"}  # where sets and dicts of names lie otherwise
    process = [sys.executable, "-c", f"from {__name__} import digest; print(digest(7, 1_000))"]
    there = subprocess.run(process, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert there.stdout.strip() == here, there.stderr
    assert digest(8, 1_000) != here


def ringing() -> tuple[Walk, Turn]:
    """A house in which one ticket is offered, and a decision about it in the making."""
    walk = Walk()
    walk.customer_comes(2, 1, 2)
    walk.tickets_are_matched()
    work = walk.ticket(0)
    assert work is not None
    assert work.offer is not None
    return walk, walk.house.turn(work, "test")


def test_the_books_refuse_a_second_live_offer() -> None:
    walk, turn = ringing()
    assert turn.work.offer is not None
    second = msgspec.structs.replace(turn.work.offer, id="second")
    turn.made.append(second)
    turn.set(offer=second)
    with pytest.raises(Unbalanced, match="live offers"):
        walk.house.take(turn)


def test_the_books_refuse_an_agent_who_carries_too_much() -> None:
    walk, turn = ringing()
    assert turn.work.offer is not None
    agent = walk.house.agents[turn.work.offer.agent_id]
    turn.set(offer=msgspec.structs.replace(turn.work.offer, units=11))
    turn.put(msgspec.structs.replace(agent, used_units=11))
    with pytest.raises(Unbalanced, match="11 of"):
        walk.house.take(turn)


def test_the_books_refuse_load_that_nobody_accounts_for() -> None:
    walk, turn = ringing()
    offers.rescind(turn, "withdrawn")
    turn.changed.clear()
    with pytest.raises(Unbalanced, match="carries 0"):
        walk.house.take(turn)


def test_the_books_refuse_a_visit_that_is_lost_or_ends_twice() -> None:
    walk, turn = ringing()
    lifecycle.leave(turn, "abandoned")
    drafts = list(turn.drafts)
    turn.drafts.clear()
    with pytest.raises(Unbalanced, match="waits"):
        walk.house.take(turn)
    turn.drafts.extend([*drafts, *drafts])
    with pytest.raises(Unbalanced, match="had not begun"):
        walk.house.take(turn)
