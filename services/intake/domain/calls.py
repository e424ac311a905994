"""A call as the provider tells it, word by word and in any order. Pure.

The words of one call may be repeated, lost or out of order: each is taken once (by its dedup key), a later one stands for
what was lost before it, and nothing changes after the end.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from services.intake.domain.contacts import CallPhase, InboundCall
from shared.events.base import Fact
from shared.events.call import CallAnswered, CallEnded

Outcome = Literal["completed", "abandoned", "busy", "no_answer", "failed", "cancelled", "voicemail", "lost"]
SEEN_CAP = 50  # words of one call that are remembered; providers say about ten

MICROSECOND = timedelta(microseconds=1)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one call. `rang_at` and `answered_at` are the provider's instants. `agent_before` had the ticket already when
    the call began; `agent_id` talks, or did. `talked_on`: where that was said, when its ticket had been merged. `person`: who
    rang, before they were taken for one with another.
    """

    call_id: str
    call_ref: str
    provider: str
    ticket_id: str
    customer_id: str
    phase: CallPhase = "ringing"
    rang_at: datetime | None = None
    answered_at: datetime | None = None
    agent_before: str | None = None
    agent_id: str | None = None
    talked_on: str | None = None
    seen: tuple[str, ...] = ()
    person: str = ""

    @property
    def sealed_under(self) -> str:
        """Whose what was said of it is, whoever they were taken for."""
        return self.person or self.customer_id


def repeated(call: Call, word: InboundCall) -> bool:
    """Whether this very word was taken before."""
    return word.dedup_key in call.seen


def advance(call: Call, word: InboundCall, agent_id: str | None) -> tuple[Call, list[Fact]]:
    """The call after one more word, and what is said of it. `agent_id`: who has the ticket.

    The system itself answers a call to play the greeting, so a call that ends while nobody has the ticket is abandoned. One that
    is answered after an agent took the ticket in the course of it was answered by that agent. Where the greeting came first, the
    provider says no more until the end: only then is it said that the agent who has the ticket talked.
    """
    call = msgspec.structs.replace(call, seen=(*call.seen, word.dedup_key)[-SEEN_CAP:])
    if call.phase == "ended":
        return call, []
    if word.phase == "ringing":
        return msgspec.structs.replace(call, rang_at=call.rang_at or word.provider_time), []
    if word.phase == "answered":
        return _answered(call, word.provider_time, agent_id if agent_id != call.agent_before else None)
    facts: list[Fact] = []
    if call.phase == "ringing" and word.outcome == "completed" and word.duration_us > 0:
        start = word.provider_time - word.duration_us * MICROSECOND if word.provider_time else None
        call, facts = _answered(call, start, agent_id)
    outcome = _outcome(word, agent_id is not None)
    if outcome == "completed" and call.phase == "answered" and call.agent_id is None and word.duration_us > 0:
        call, facts = msgspec.structs.replace(call, agent_id=agent_id), [CallAnswered(call_id=call.call_id, agent_id=agent_id)]
    ended = CallEnded(
        call_id=call.call_id,
        outcome=outcome,
        talk_us=word.duration_us if outcome == "completed" else 0,
        ring_us=_between(call.rang_at, call.answered_at or word.provider_time),
        ended_by="customer" if outcome == "abandoned" else "unknown",
        provider_time=word.provider_time,
    )
    return msgspec.structs.replace(call, phase="ended"), [*facts, ended]


def _answered(call: Call, at: datetime | None, agent_id: str | None) -> tuple[Call, list[Fact]]:
    if call.phase != "ringing":
        return call, []
    ring_us = _between(call.rang_at, at) or None
    fact = CallAnswered(call_id=call.call_id, agent_id=agent_id, ring_us=ring_us, provider_time=at)
    return msgspec.structs.replace(call, phase="answered", answered_at=at, agent_id=agent_id), [fact]


def _outcome(word: InboundCall, owned: bool) -> Outcome:
    match word.outcome:
        case "completed":
            return "completed" if owned else "abandoned"
        case "cancelled" | "no_answer":
            return "no_answer" if owned else "abandoned"
        case None:
            return "lost"
        case other:
            return other


def _between(start: datetime | None, end: datetime | None) -> int:
    return max(0, (end - start) // MICROSECOND) if start is not None and end is not None else 0
