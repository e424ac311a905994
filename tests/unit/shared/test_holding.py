"""What is read and held back until somebody waits for something."""

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from shared.holding import HOLD_SECONDS, Batch, Holding

A, B = TopicPartition("tickets", 0), TopicPartition("sla-clocks", 1)
MOST = 10


def record(place: TopicPartition, offset: int) -> ConsumerRecord:
    return ConsumerRecord(place.topic, place.partition, offset, 0, 0, b"key", b"value", None, 3, 5, ())


def holding() -> Holding:
    return Holding(lambda record: record.topic == B.topic, MOST)


def batch(place: TopicPartition, *offsets: int) -> Batch:
    return {place: [record(place, offset) for offset in offsets]}


def test_what_somebody_waits_for_is_given_at_once_with_all_that_was_held() -> None:
    held = holding()
    assert held.take(batch(B, 1, 2), now=0.0) == {}
    assert held.take({}, now=0.1) == {}
    assert held.take({**batch(A, 7), **batch(B, 3)}, now=0.1) == {**batch(B, 1, 2, 3), **batch(A, 7)}
    assert held.take({}, now=9.0) == {}


def test_what_nobody_waits_for_is_given_after_a_while() -> None:
    held = holding()
    assert held.take(batch(B, 1), now=5.0) == {}
    assert held.seconds_left(5.0) == pytest.approx(HOLD_SECONDS)
    assert held.take(batch(B, 2), now=5.0 + HOLD_SECONDS) == batch(B, 1, 2)
    assert held.seconds_left(5.0) is None


def test_many_are_not_held() -> None:
    assert holding().take(batch(B, *range(MOST)), now=0.0) == batch(B, *range(MOST))


def test_it_is_known_how_far_was_read() -> None:
    held = holding()
    assert held.next_offset(B) is None
    held.take(batch(B, 1, 5), now=0.0)
    assert (held.next_offset(A), held.next_offset(B)) == (None, 6)


def test_what_is_dropped_is_not_given() -> None:
    held = holding()
    held.take(batch(B, 1), now=0.0)
    held.drop()
    assert held.take(batch(A, 4), now=0.1) == batch(A, 4)


@given(st.lists(st.tuples(st.sampled_from((A, B, None)), st.floats(0, 0.3)), max_size=40))
def test_everything_is_given_once_in_order(steps: list[tuple[TopicPartition | None, float]]) -> None:
    held, now, given_out = holding(), 0.0, dict[TopicPartition, list[int]]()
    for offset, (place, pause) in enumerate(steps):
        now += pause
        for at, records in held.take(batch(place, offset) if place else {}, now).items():
            given_out.setdefault(at, []).extend(one.offset for one in records)
    for at, records in held.take(batch(A, len(steps)), now).items():
        given_out.setdefault(at, []).extend(one.offset for one in records)
    came = {at: [n for n, (place, _) in enumerate(steps) if place == at] for at in (A, B)}
    assert given_out == {at: [*offsets, *([len(steps)] if at is A else [])] for at, offsets in came.items() if offsets or at is A}
