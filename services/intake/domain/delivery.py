"""Sending outward: what an attempt came to, and what follows from it. Pure.

At least once, honestly: an attempt is counted before it is made; one whose outcome is not known is made again under the same
name and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from services.intake.domain.surveys import Planned
from shared.events.base import Channel, Draft, Fact
from shared.events.message import (
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageBounced,
    MessageComplained,
    MessageDelivered,
    MessageFailed,
    SurveySent,
)
from shared.events.ticket import TicketLabelled

# What somebody has to do about.
TO_ACT_ON = (MessageFailed, MessageBounced, MessageComplained)

Kind = Literal["reply", "confirmation", "survey"]
LOOP_CAP, ALIKE = "loop-cap", "possible-loop"
POSSIBLE_LOOP = "possible_loop"  # the tag of a ticket whose opening says what others of the sender say

# Seconds to wait after the first, second, … attempt that did not succeed; after the last of them it has failed.
BACK_OFF_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800)
LONGEST_WAIT_SECONDS = 86_400  # whatever a provider says
PROMISE_WAIT = timedelta(seconds=1)  # how long a confirmation waits for the promised time
ALIKE_AT_MOST = 5  # messages of one sender with the same words in ALIKE_WINDOW; who writes more is a machine
ALIKE_WINDOW = timedelta(minutes=10)


class Cap(NamedTuple):
    """How much automatic mail one person gets within a span: on one ticket, and in all."""

    span: timedelta
    on_ticket: int
    in_all: int


# As much as Zammad lets out (`app/models/ticket.rb`): two machines that answer each other stop here.
CAPS = (
    Cap(timedelta(minutes=10), 10, 30),
    Cap(timedelta(minutes=30), 15, 60),
    Cap(timedelta(minutes=60), 25, 120),
    Cap(timedelta(minutes=180), 50, 240),
    Cap(timedelta(minutes=600), 100, 360),
)


class Automatic(NamedTuple):
    """What went out by itself to a person before, for each of CAPS: in all, and on this ticket. `alike`: how many messages of
    theirs say what the one says that is to be confirmed, itself included.
    """

    in_all: Sequence[int] = ()
    on_ticket: Sequence[int] = ()
    alike: int = 0

    @property
    def repeats(self) -> bool:
        """The sender says the same again and again."""
        return self.alike > ALIKE_AT_MOST

    @property
    def capped(self) -> bool:
        """So much went out that no more may."""
        return any(n >= cap.in_all for n, cap in zip(self.in_all, CAPS, strict=False)) or any(
            n >= cap.on_ticket for n, cap in zip(self.on_ticket, CAPS, strict=False)
        )


def lease_seconds(attempt_seconds: float) -> float:
    """After how long another process may think that the one which makes an attempt died: it has two fifths of it to write down
    what the attempt came to.
    """
    return attempt_seconds * 5 / 3


@dataclass(frozen=True, slots=True)
class Accepted:
    """The next server or the provider has it now, under its name `ref`; but for those in copy whom it refused: for good
    (`without`), or for now (`later`).
    """

    ref: str | None = None
    without: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


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
class Asking:
    """A question after a resolution, on its way out: until when it can be answered; and whether it was, which nobody does who has
    not got it.
    """

    planned: Planned
    open_until: datetime
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something on its way out. `attempts` counts the one at hand. `interrupted`: the one before ended nobody knows how.
    `copies_left`: the customer has it, and it goes to these in copy only.
    """

    message_id: str
    ticket_id: str
    kind: Kind
    channel: Channel
    language: str
    attempts: int
    interrupted: bool = False
    promised_by: datetime | None = None
    asking: Asking | None = None
    copies_left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery: its state, when it is due again (None: never), what is said, and for whom in copy it is due
    again where the customer has it.
    """

    state: Literal["waiting", "delivered", "failed"]
    due_at: datetime | None
    facts: tuple[Fact, ...]
    copies_left: tuple[str, ...] = ()


def judge(delivery: Delivery, outcome: Outcome, now: datetime) -> Verdict:
    """What follows from the outcome of an attempt."""
    left = delivery.copies_left
    match outcome:
        case Accepted():
            return _accepted(delivery, outcome, now)
        case Refused() if left:
            return _accepted(delivery, Accepted(without=left), now)
        case Refused(code, detail):
            tagged = (TicketLabelled(tags=(POSSIBLE_LOOP,)),) if code == ALIKE else ()
            return Verdict("failed", None, (*_failed(delivery, code, detail), *tagged))
        case NotNow(code) | Unknown(code):
            due_at = _due_again(delivery, now, outcome.after_seconds if isinstance(outcome, NotNow) else 0.0)
            if due_at is not None:
                facts = (_uncertain(delivery, delivery.attempts),) if isinstance(outcome, Unknown) and not left else ()
                return Verdict("waiting", due_at, facts, left)
            if left:
                return _accepted(delivery, Accepted(without=left), now)
            return Verdict("failed", None, _failed(delivery, code, "gave up after many attempts"))


def _accepted(delivery: Delivery, accepted: Accepted, now: datetime) -> Verdict:
    """The customer has it, by this attempt or an earlier one. Copies that were put off are tried again, as long as a mail would
    be; of them is said when they are put off, and whenever one more was taken or refused.
    """
    due_at = _due_again(delivery, now) if accepted.later else None
    if due_at is None:
        accepted = replace(accepted, without=(*accepted.without, *accepted.later), later=())
    news = not delivery.copies_left or accepted.later != delivery.copies_left
    facts = (_delivered(delivery, accepted),) if news else ()
    return Verdict("delivered" if due_at is None else "waiting", due_at, facts, accepted.later)


def _due_again(delivery: Delivery, now: datetime, told_seconds: float = 0.0) -> datetime | None:
    """When the next attempt is to be made, not sooner than we were told; None after the last one."""
    if delivery.attempts > len(BACK_OFF_SECONDS):
        return None
    wait = max(BACK_OFF_SECONDS[delivery.attempts - 1], min(told_seconds, LONGEST_WAIT_SECONDS))
    return now + timedelta(seconds=wait)


def drafts(delivery: Delivery, facts: tuple[Fact, ...], onward: str | None = None) -> list[Draft[Fact]]:
    """The facts about attempts as they go on the log. `onward`: the ticket into which the message's own was merged."""
    said: list[Draft[Fact]] = []
    for fact in facts:
        keys = (delivery.ticket_id, onward) if onward is not None and isinstance(fact, TO_ACT_ON) else (delivery.ticket_id,)
        said += [Draft(key=key, data=fact, cause=f"{delivery.message_id}:{_attempt(delivery, fact)}") for key in keys]
    return said


def is_tagged(outcome: Outcome) -> bool:
    """Whether the ticket gets a tag for what an attempt came to."""
    return isinstance(outcome, Refused) and outcome.code == ALIKE


def beside(facts: tuple[Fact, ...], tags: Sequence[str]) -> tuple[Fact, ...]:
    """The facts, so that what they tag keeps the tags that it has."""
    return tuple(
        msgspec.structs.replace(fact, tags=tuple(dict.fromkeys((*tags, *(fact.tags or ())))))
        if isinstance(fact, TicketLabelled)
        else fact
        for fact in facts
    )


def _attempt(delivery: Delivery, fact: Fact) -> int:
    """Which attempt a fact is about. That an earlier one was interrupted and that this one is uncertain are two facts."""
    return fact.attempt if isinstance(fact, DeliveryUncertain) else delivery.attempts


def interrupted(delivery: Delivery) -> tuple[Fact, ...]:
    """What is said when an attempt is found that was begun and never ended: a process died in it. Of one at copies only nothing:
    the customer has the message for certain.
    """
    return (_uncertain(delivery, delivery.attempts - 1),) if not delivery.copies_left else ()


def _delivered(delivery: Delivery, accepted: Accepted) -> Fact:
    if delivery.kind == "confirmation":
        return ConfirmationSent(
            message_id=delivery.message_id,
            channel=delivery.channel,
            language=delivery.language,
            promised_by=delivery.promised_by,
            attempts=delivery.attempts,
        )
    if delivery.asking is not None:
        return _asked(delivery, delivery.asking)
    return MessageDelivered(
        message_id=delivery.message_id,
        channel=delivery.channel,
        attempts=delivery.attempts,
        provider_ref=accepted.ref,
        refused_cc_customer_ids=accepted.without,
        awaited_cc_customer_ids=accepted.later,
    )


def _asked(delivery: Delivery, asking: Asking) -> Fact:
    planned = asking.planned
    return SurveySent(
        survey_id=planned.survey_id,
        kind=planned.kind,
        scale_min=planned.scale_min,
        scale_max=planned.scale_max,
        channel=delivery.channel,
        language=delivery.language,
        agent_id=planned.agent_id,
        config_id=planned.config_id,
        open_until=asking.open_until,
        attempts=delivery.attempts,
    )


def _failed(delivery: Delivery, code: str, detail: str) -> tuple[Fact, ...]:
    """What is said of a failure. Of a question that was not asked nothing: nobody waits for it."""
    if delivery.kind == "survey":
        return ()
    if delivery.kind == "confirmation":
        return (ConfirmationSkipped(reason="loop_cap" if code in (LOOP_CAP, ALIKE) else "failed"),)
    failed = MessageFailed(
        message_id=delivery.message_id,
        channel=delivery.channel,
        attempts=delivery.attempts,
        code=code,
        detail=detail,
    )
    return (failed,)


def _uncertain(delivery: Delivery, attempt: int) -> Fact:
    promised_by = delivery.promised_by if delivery.kind == "confirmation" else None
    return DeliveryUncertain(message_id=delivery.message_id, channel=delivery.channel, attempt=attempt, promised_by=promised_by)
