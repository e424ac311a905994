"""Every type and version has an example that decodes, means the same when written again, and keeps to CloudEvents."""

from __future__ import annotations

import json
from datetime import datetime

import jsonschema
import msgspec
import pytest

from shared.business_time import check as check_calendar
from shared.conditions import All, AnyOf, Test
from shared.events.codec import decode, encode
from shared.events.config import CalendarConfigured
from shared.events.schemas import ENVELOPE, Schema, struct_schemas
from shared.events.topics import CONFIG, FACT_BY_TYPE, TICKETS, TOPIC_OF
from shared.events.writers import writers_of
from tests.contract.examples import RAW, data, envelope, type_of

SCHEMAS = struct_schemas("#/definitions/{name}")
Validator = jsonschema.Draft7Validator


def validate(fact_type: str, value: dict[str, object]) -> None:
    Validator(ENVELOPE).validate(value)
    name = FACT_BY_TYPE[fact_type].__name__
    Validator({"$ref": f"#/definitions/{name}", "definitions": SCHEMAS}).validate(value["data"])


def test_every_type_has_an_example_and_every_example_a_type() -> None:
    assert {type_of(name) for name in RAW} == set(FACT_BY_TYPE)
    assert {f"{fact_type}.json" for fact_type in FACT_BY_TYPE} <= set(RAW)


@pytest.mark.parametrize("fact_type", FACT_BY_TYPE)
def test_every_field_of_a_type_is_in_an_example(fact_type: str) -> None:
    shown = {field for name in RAW if type_of(name) == fact_type for field in data(name)}
    assert shown == {field.encode_name for field in msgspec.structs.fields(FACT_BY_TYPE[fact_type])}


@pytest.mark.parametrize("name", RAW)
def test_an_example_decodes_and_means_the_same_when_written_again(name: str) -> None:
    event = decode(RAW[name])
    assert event.type == type_of(name) == event.data.TYPE
    again = encode(event)
    assert decode(again) == event
    assert encode(decode(again)) == again
    written, shown = json.loads(again)["data"], data(name)
    assert {key: value for key, value in shown.items() if key in written} == written
    defaults = {field.encode_name: getattr(event.data, field.name) for field in msgspec.structs.fields(event.data)}
    for left_out in set(shown) - set(written):
        assert msgspec.to_builtins(defaults[left_out]) == shown[left_out], left_out


@pytest.mark.parametrize("name", RAW)
def test_an_example_and_what_is_written_of_it_keep_to_cloudevents_and_the_schema(name: str) -> None:
    validate(type_of(name), envelope(name))
    validate(type_of(name), json.loads(encode(decode(RAW[name]))))


@pytest.mark.parametrize("name", RAW)
def test_an_example_is_said_by_who_may_say_it_on_its_key(name: str) -> None:
    event = decode(RAW[name])
    topic = TOPIC_OF[type(event.data)]
    assert event.writer in writers_of(type(event.data))
    assert (event.position.seq > 0) == topic.sequenced
    assert topic is TICKETS or not event.seen.seq
    if topic is CONFIG:
        kind, _, ident = event.key.partition(":")
        assert event.type in (f"{kind}.configured.v1", "config.removed.v1")
        assert getattr(event.data, "id", ident) == ident


@pytest.mark.parametrize("name", RAW)
def test_every_time_of_an_example_has_a_zone(name: str) -> None:
    event = decode(RAW[name])
    times = [getattr(event.data, field.name) for field in msgspec.structs.fields(event.data)]
    assert all(value.tzinfo is not None for value in times if isinstance(value, datetime))


def test_the_calendar_of_the_examples_can_be_counted_with_and_conditions_are_trees() -> None:
    calendar = decode(RAW["calendar.configured.v1.json"]).data
    assert isinstance(calendar, CalendarConfigured)
    check_calendar(calendar)
    when = getattr(decode(RAW["queue.configured.v1.json"]).data, "when", None)
    assert isinstance(when, All)
    assert isinstance(when.of[0], Test)
    assert isinstance(when.of[1], AnyOf)


WRONG: list[tuple[str, object]] = [
    ("specversion", "0.3"),
    ("id", ""),
    ("source", "intake"),
    ("source", "/billing/1"),
    ("type", "TicketOpened"),
    ("type", "ticket.opened"),
    ("subject", ""),
    ("time", "2026-03-02 08:15:04"),
    ("time", "2026-03-02T08:15:04"),
    ("seq", 0),
    ("seq", 2**31),
    ("seen", "17"),
    ("traceparent", "1"),
    ("data", "text"),
    ("dataContentType", "application/json"),
    ("data_base64", "AA=="),
    ("extension", {"of": "several parts"}),
]


@pytest.mark.parametrize(("attribute", "value"), WRONG)
def test_the_envelopes_schema_refuses_what_cloudevents_refuses(attribute: str, value: object) -> None:
    wrong: Schema = {**envelope("ticket.opened.v1.json"), attribute: value}
    with pytest.raises(jsonschema.ValidationError):
        Validator(ENVELOPE).validate(wrong)


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "subject", "time", "data"])
def test_the_envelopes_schema_misses_what_is_not_there(attribute: str) -> None:
    wrong = {key: value for key, value in envelope("ticket.opened.v1.json").items() if key != attribute}
    with pytest.raises(jsonschema.ValidationError):
        Validator(ENVELOPE).validate(wrong)
