"""The difference that a batch books does not depend on how the log was cut into batches."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.domain.cells import Amount, Changes
from services.metrics.domain.folding import AnyState, Folded, changes
from services.metrics.domain.story import Story
from services.metrics.handlers import HANDLERS
from shared.events.base import Event
from shared.events.topics import TICKETS
from tests.unit.metrics import random_log
from tests.unit.metrics.teller import START, booked


def in_batches(events: list[Event[Any]], cuts: set[int], state: AnyState) -> tuple[AnyState, Changes]:
    """Fold with a new batch at each cut, the state stored and read back in between as the store does."""
    total: Changes = {}
    one: Folded[Any] = Folded(state, state)
    for index, event in enumerate(events):
        if index in cuts:
            _add(total, changes([one]))
            stored: AnyState = msgspec.json.decode(msgspec.json.encode(one.state), type=type(state))
            one = Folded(stored, stored)
        one, _ = HANDLERS[type(event.data)](None, one, event, START)
    _add(total, changes([one]))
    return one.state, total


def _add(total: Changes, more: Changes) -> None:
    for cell, amount in more.items():
        before = total.get(cell, Amount(0, 0))
        total[cell] = Amount(before.n + amount.n, before.total_us + amount.total_us)
        if not total[cell].n and not total[cell].total_us:
            del total[cell]


@given(st.integers(0, 10_000), st.sets(st.integers(0, 40)))
def test_any_cut_into_batches_gives_the_same_cells_and_the_same_story(seed: int, cuts: set[int]) -> None:
    events = random_log.ticket(random.Random(seed), "t1")
    state, total = in_batches(events, cuts, Story())
    whole_state, whole = in_batches(events, set(), Story())
    assert total == whole == booked(events)
    assert msgspec.json.encode(state) == msgspec.json.encode(whole_state)


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_at_every_moment_visits_are_handled_abandoned_withdrawn_or_waiting(seed: int, told: int) -> None:
    cells = booked(random_log.ticket(random.Random(seed), "t1")[:told])
    counts = {
        measure: sum(amount.n for cell, amount in cells.items() if cell.measure == measure)
        for measure in ("visit", "visit_handled", "visit_abandoned", "visit_withdrawn", "waiting_now")
    }
    assert counts.pop("visit") == sum(counts.values())


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_what_went_into_the_backlog_and_did_not_come_out_is_in_it_now(seed: int, told: int) -> None:
    cells = booked(random_log.ticket(random.Random(seed), "t1")[:told])
    went = sum(amount.n for cell, amount in cells.items() if cell.measure == "backlog")
    assert went == sum(amount.n for cell, amount in cells.items() if cell.measure == "backlog_now")


def test_a_fact_that_changes_nothing_gives_the_same_object_back() -> None:
    story = Story()
    one: Folded[Story] = Folded(story, story)
    assert one.then(story, []) is one


def test_every_handled_fact_is_on_a_topic_that_is_consumed() -> None:
    from services.metrics.store import projections

    consumed = {fact for projection in projections() for fact in projection.topic.facts}
    assert HANDLERS.keys() <= consumed
    assert TICKETS in [projection.topic for projection in projections()]


@pytest.mark.parametrize("kept", [0, 1])
def test_stored_stories_are_read_back_as_they_were(kept: int) -> None:
    events = random_log.ticket(random.Random(kept), "t1")
    state, _ = in_batches(events, set(), Story())
    assert msgspec.json.decode(msgspec.json.encode(state), type=Story) == state
