"""A ticket as intake's own words on the log tell of it after a backup was restored, and what its rows are to be made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import msgspec

from services.intake.domain.calls import Call
from shared.events.base import Draft, Event, Fact
from shared.events.message import MessagePersonal, MessageReceived, ReplyRequested, SurveyAnswered, SurveySent
from shared.events.ticket import TicketOpened, TicketResolved, TicketSplit
from shared.ticket import Ticket, apply

Drafts = Sequence[Draft[Fact]]


class NeverOpened(LookupError):
    """A fact about a ticket whose opening is neither in the backup nor on the log."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A ticket as its opening told it."""

    fact: TicketOpened
    at: datetime
    subject: str


@dataclass(frozen=True, slots=True)
class Written:
    """A message of a customer. `told` is what was sealed about it, empty when it cannot be opened any more."""

    fact: MessageReceived
    at: datetime
    opened: bool
    told: MessagePersonal


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of something sent; `message_id` None means the ticket's confirmation. `awaited`: who is still to have a copy.
    `by_word`: a provider says so, who knows nothing of those. `promised_by`: what an uncertain confirmation said.
    """

    message_id: str | None
    state: Literal["delivered", "failed", "uncertain"]
    attempts: int
    at: datetime
    ref: str | None = None
    awaited: tuple[str, ...] = ()
    by_word: bool = False
    promised_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a provider said of something sent, as intake told it."""

    message_id: str
    fact: Fact
    at: datetime


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer to a question. `told_by`: the message that was the answer, empty where it was none."""

    fact: SurveyAnswered
    at: datetime
    customer_id: str
    told_by: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What was sealed in the facts of a batch, by event; and which inboxes confirm (those that are set up)."""

    opened: Mapping[str, msgspec.Struct]
    confirms: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Recalled:
    """A ticket, and what a batch told of it. `has_message`: it is not the opening one that comes next."""

    story: Ticket | None = None
    has_message: bool = False
    opening: Opened | None = None
    messages: tuple[Written, ...] = ()
    confirmation: tuple[str, Written] | None = None
    cleared: bool = False
    replies: tuple[Event[ReplyRequested], ...] = ()
    ended: tuple[Ended, ...] = ()
    heard: tuple[Heard, ...] = ()
    calls: Mapping[str, Call] = field(default_factory=dict)
    asked: tuple[Event[Fact], ...] = ()
    answered: tuple[str, ...] = ()
    splits: tuple[TicketSplit, ...] = ()
    fetched: tuple[str, ...] = ()
    unfetched: tuple[str, ...] = ()
    followed_up_by: str | None = None
    resolved: tuple[tuple[Event[TicketResolved], Ticket], ...] = ()
    asked_about: tuple[Event[SurveySent], ...] = ()
    scored: tuple[Scored, ...] = ()


def fold(_context: Context, state: Recalled, event: Event[Fact], _now: datetime) -> tuple[Recalled, Drafts]:
    """A fact that changes the story only, whoever said it."""
    if state.story is None:
        raise NeverOpened(f"the opening of ticket {event.key} is not on the log")
    return replace(state, story=apply(state.story, event)), ()
