"""Passing things: typing, presence, position and wait. Topic `signals`: an hour, no `seq`, no personal data, never folded;
and the announcement that a record was parked (topic `parked`).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.events.base import Fact, Moment


class TypingChanged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody writes, or stopped."""

    TYPE: ClassVar[str] = "typing.changed.v1"
    who: Literal["customer", "agent"]
    who_id: str
    typing: bool


class PresenceChanged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent looks at a ticket, writes a reply or a note; never shown to customers. It ends at `until`, unless it is said
    again.
    """

    TYPE: ClassVar[str] = "presence.changed.v1"
    agent_id: str
    doing: Literal["viewing", "replying", "noting", "away"]
    until: Moment | None = None


class PositionEstimated(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Where a waiting ticket stands, and how long it may take; None is "cannot say"."""

    TYPE: ClassVar[str] = "position.estimated.v1"
    queue_id: str
    position: int
    wait_seconds: int | None = None
    estimator: str | None = None


SignalFacts = TypingChanged | PresenceChanged | PositionEstimated


class RecordParked(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A consumer could not take a record; later records of its key wait behind it until it is replayed or discarded."""

    TYPE: ClassVar[str] = "record.parked.v1"
    service: str
    topic: str
    partition: int
    offset: int
    record_key: str
    reason: Literal["undecodable", "unknown_type", "gap", "failed"]
    error: str
    event_type: str | None = None
    parked_at: Moment | None = None


ParkedFacts = RecordParked
