"""Writing and reading are inverse, unknown fields are ignored, and nothing but Undecodable comes of bytes that are wrong."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.base import Event, Fact
from shared.events.codec import Undecodable, UnknownType, decode, encode
from shared.events.schemas import ENVELOPE
from shared.events.topics import FACT_BY_TYPE
from tests.contract.examples import RAW, data, envelope
from tests.contract.facts import events
from tests.counts import examples

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
anything = st.recursive(scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3))
names = st.sampled_from(list(RAW))


def bytes_of(value: object) -> bytes:
    return json.dumps(value).encode()


def survives(raw: bytes) -> None:
    """It is read, or refused as Undecodable; what was read can be written and read again."""
    try:
        event = decode(raw)
    except Undecodable:
        return
    assert decode(encode(event)) == event


@settings(max_examples=examples(300), deadline=None)
@given(events())
def test_what_was_written_reads_as_it_was_and_keeps_to_the_envelope(event: Event[Fact]) -> None:
    raw = encode(event)
    assert decode(raw) == event
    assert encode(decode(raw)) == raw
    jsonschema.Draft7Validator(ENVELOPE).validate(json.loads(raw))


@pytest.mark.parametrize("fact_type", FACT_BY_TYPE)
def test_every_type_reads_as_it_was_written(fact_type: str) -> None:
    @settings(max_examples=5, deadline=None, database=None)
    @given(events(st.just(fact_type)))
    def reads(event: Event[Fact]) -> None:
        assert decode(encode(event)) == event

    reads()


@settings(deadline=None)
@given(names, st.text(min_size=1, max_size=10), anything)
def test_a_field_that_a_reader_does_not_know_changes_nothing(name: str, field: str, value: object) -> None:
    said = data(name)
    raw = bytes_of({**envelope(name), "data": {f"x_{field}": value, **said}})
    assert decode(raw) == decode(RAW[name])
    assert decode(bytes_of({**envelope(name), "extension": value})) == decode(RAW[name])


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=200) | anything.map(bytes_of))
def test_arbitrary_bytes_are_refused_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(raw)


@settings(max_examples=examples(300), deadline=None)
@given(names, st.data())
def test_an_example_with_a_field_replaced_or_missing_is_read_or_refused(name: str, draw: st.DataObject) -> None:
    mutated = envelope(name)
    said = dict(data(name))
    target = draw.draw(st.sampled_from([mutated, said])) if said else mutated
    field = draw.draw(st.sampled_from(sorted(target)))
    if draw.draw(st.booleans()):
        target[field] = draw.draw(anything)
    else:
        del target[field]
    if target is said:
        mutated["data"] = said
    survives(bytes_of(mutated))


@settings(max_examples=examples(300), deadline=None)
@given(names, st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 40))
def test_an_example_with_bytes_replaced_or_cut_is_read_or_refused(name: str, place: int, new: bytes, gone: int) -> None:
    raw = RAW[name]
    place %= len(raw)
    survives(raw[:place] + new + raw[place + gone :])
    survives(raw[:place])


WRONG: list[tuple[str, object]] = [
    ("specversion", "0.3"),
    ("source", "/intake/" + "9" * 5000),
    ("source", "/intake/٣"),
    ("source", "/intake/3\n"),
    ("source", "/billing/3"),
    ("time", "2026-03-02T08:15:04"),
    ("time", "yesterday"),
    ("seq", 0),
    ("seq", 2**31),
    ("seen", "x"),
    ("seen", "1:" + "9" * 5000),
    ("seen", "1:2:3"),
    ("seen", "-1:2"),
    ("seen", "1_0: 2"),
    ("data", []),
    ("data", {}),
    ("data", None),
    ("datacontenttype", "text/plain"),
]


@pytest.mark.parametrize(("attribute", "value"), WRONG)
def test_an_attribute_that_is_wrong_is_refused(attribute: str, value: object) -> None:
    with pytest.raises(Undecodable):
        decode(bytes_of({**envelope("ticket.opened.v1.json"), attribute: value}))


def test_a_type_or_version_from_the_future_is_told_apart() -> None:
    with pytest.raises(UnknownType):
        decode(bytes_of({**envelope("ticket.opened.v1.json"), "type": "ticket.opened.v2"}))


def test_a_value_nested_without_end_is_refused() -> None:
    deep = b'{"is":"all","of":[' * 100_000
    raw = RAW["queue.configured.v1.json"].replace(b'"when": {', b'"when": ' + deep + b'"more": {')
    with pytest.raises(Undecodable):
        decode(raw)
