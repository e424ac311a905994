"""Sending outward: what an attempt came to, and what follows from it. Pure.

At least once, honestly: an attempt is counted before it is made; one whose outcome is not known is made again under the same
name and said so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.events.base import Channel, Draft, Fact
from shared.events.message import (
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageDelivered,
    MessageFailed,
)

Kind = Literal["reply", "confirmation"]

# Seconds to wait after the first, second, … attempt that did not succeed; after the last of them it has failed.
BACK_OFF_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800)
LONGEST_WAIT_SECONDS = 86_400  # whatever a provider says
PROMISE_WAIT = timedelta(seconds=1)  # how long a confirmation waits for the promised time
CONFIRMATIONS_PER_PERSON = 5  # in LOOP_WINDOW; two machines that confirm each other stop here
LOOP_WINDOW = timedelta(minutes=10)


def lease_seconds(attempt_seconds: float) -> float:
    """After how long another process may think that the one which makes an attempt died: it has two fifths of it to write down
    what the attempt came to.
    """
    return attempt_seconds * 5 / 3


@dataclass(frozen=True, slots=True)
class Accepted:
    """The next server or the provider has it now, under its name `ref`."""

    ref: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be taken: wrong address, erased person, no sender configured."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NotNow:
    """It was certainly not taken, but may be later; not sooner than `after_seconds`, if they said so."""

    code: str
    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Unknown:
    """The connection broke at a moment when it may have been taken."""

    code: str


Outcome = Accepted | Refused | NotNow | Unknown


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something on its way out. `attempts` counts the one at hand. `interrupted`: the one before ended nobody knows how."""

    message_id: str
    ticket_id: str
    kind: Kind
    channel: Channel
    language: str
    attempts: int
    interrupted: bool = False
    promised_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery: its state, when it is due again (None: never), and what is said."""

    state: Literal["waiting", "delivered", "failed"]
    due_at: datetime | None
    facts: tuple[Fact, ...]


def judge(delivery: Delivery, outcome: Outcome, now: datetime) -> Verdict:
    """What follows from the outcome of an attempt."""
    match outcome:
        case Accepted(ref):
            return Verdict("delivered", None, (_delivered(delivery, ref),))
        case Refused(code, detail):
            return Verdict("failed", None, (_failed(delivery, code, detail),))
        case NotNow(code) | Unknown(code):
            if delivery.attempts > len(BACK_OFF_SECONDS):
                return Verdict("failed", None, (_failed(delivery, code, "gave up after many attempts"),))
            told = min(outcome.after_seconds, LONGEST_WAIT_SECONDS) if isinstance(outcome, NotNow) else 0.0
            wait = timedelta(seconds=max(BACK_OFF_SECONDS[delivery.attempts - 1], told))
            facts = (_uncertain(delivery, delivery.attempts),) if isinstance(outcome, Unknown) else ()
            return Verdict("waiting", now + wait, facts)


def drafts(delivery: Delivery, facts: tuple[Fact, ...]) -> list[Draft[Fact]]:
    """The facts about attempts as they go on the log."""
    return [Draft(key=delivery.ticket_id, data=fact, cause=f"{delivery.message_id}:{_attempt(delivery, fact)}") for fact in facts]


def _attempt(delivery: Delivery, fact: Fact) -> int:
    """Which attempt a fact is about. That an earlier one was interrupted and that this one is uncertain are two facts."""
    return fact.attempt if isinstance(fact, DeliveryUncertain) else delivery.attempts


def interrupted(delivery: Delivery) -> tuple[Fact, ...]:
    """What is said when an attempt is found that was begun and never ended: a process died in it."""
    return (_uncertain(delivery, delivery.attempts - 1),)


def _delivered(delivery: Delivery, ref: str | None) -> Fact:
    if delivery.kind == "confirmation":
        return ConfirmationSent(
            message_id=delivery.message_id,
            channel=delivery.channel,
            language=delivery.language,
            promised_by=delivery.promised_by,
            attempts=delivery.attempts,
        )
    return MessageDelivered(
        message_id=delivery.message_id, channel=delivery.channel, attempts=delivery.attempts, provider_ref=ref
    )


def _failed(delivery: Delivery, code: str, detail: str) -> Fact:
    if delivery.kind == "confirmation":
        return ConfirmationSkipped(reason="loop_cap" if code == "loop-cap" else "failed")
    return MessageFailed(
        message_id=delivery.message_id,
        channel=delivery.channel,
        attempts=delivery.attempts,
        code=code,
        detail=detail,
    )


def _uncertain(delivery: Delivery, attempt: int) -> Fact:
    return DeliveryUncertain(message_id=delivery.message_id, channel=delivery.channel, attempt=attempt)
