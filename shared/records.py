"""A record as it lies on a topic, before anybody tried to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.events.base import Event, Fact, Writer
from shared.events.codec import Undecodable, decode
from shared.events.topics import TOPIC_OF
from shared.events.writers import writers_of

_SAID: Mapping[type[Fact], tuple[str, tuple[Writer, ...]]] = {
    fact: (topic.name, writers_of(fact)) for fact, topic in TOPIC_OF.items()
}


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Subject(NamedTuple):
    """A key of a topic: what facts are said about."""

    topic: str
    key: str


@dataclass(frozen=True, slots=True)
class Record:
    """Bytes at a place. `parked_id` is set when it comes out of the parked table and not from Kafka."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    parked_id: int | None = None


def event_of(record: Record) -> Event[Fact]:
    """What stands in a record of a sequenced topic, said where, about what and by whom it may be said.

    Raises UnknownType for a type that this code does not know, Undecodable for anything else that is wrong.
    """
    event = decode(record.value)
    topic, writers = _SAID[type(event.data)]
    if event.key != record.key:
        raise Undecodable("the record's key is not the event's subject")
    if topic != record.topic:
        raise Undecodable(f"{event.type} belongs on {topic}")
    if event.writer not in writers:
        raise Undecodable(f"{event.type} is not for {event.writer} to say")
    if event.position.seq < 1:
        raise Undecodable("it has no seq")
    return event


def key_text(raw: bytes | None) -> str:
    """A record's key as text that PostgreSQL can hold; what is no text cannot be an event's subject anyway."""
    return (raw or b"").decode("utf-8", "replace").replace("\x00", "\ufffd")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record could not be taken."""

    record: Record
    reason: str
    error: str
    event_type: str | None = None
