"""A record as it lies on a topic, before anybody tried to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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
