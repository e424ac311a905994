"""Intake's own words read back from the log after a backup was restored: what each means for the rows it once came from. Pure.

Nothing is decided here. What was accepted, opened, closed and sent stands as it was said; only what the log does not tell
(whether a message that was on its way out arrived) is left open, for the sender to try again.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import msgspec

from services.intake.domain.calls import Call
from services.intake.domain.tell import CONFIRMED
from services.intake.handlers import withheld
from shared.events.base import Draft, Event, Fact, derived_id, event_id
from shared.events.call import CallAnswered, CallEnded, CallReceived
from shared.events.message import (
    AttachmentFailed,
    AttachmentFetched,
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageBounced,
    MessageComplained,
    MessageDelivered,
    MessageFailed,
    MessagePersonal,
    MessageRead,
    MessageReceived,
    ReplyRequested,
    SurveyAnswered,
    SurveyPersonal,
    SurveySent,
)
from shared.events.ticket import (
    RequestRefused,
    SpamUnmarked,
    TicketClosed,
    TicketCloseRequested,
    TicketLinked,
    TicketLinkRequested,
    TicketMergedInto,
    TicketMergeRequested,
    TicketOpened,
    TicketOpenRequested,
    TicketPersonal,
    TicketResolved,
    TicketSplit,
    TicketSplitRequested,
    TicketUnlinked,
    TicketUnmerged,
    TicketUnmergeRequested,
)
from shared.events.topics import TICKETS
from shared.folding import Handler
from shared.ticket import Ticket, apply

Drafts = Sequence[Draft[Fact]]
# Its unconfigured inbox confirms too; everywhere else only an inbox that was set up does.
MAIL = frozenset({"smtp", "mailgun", "sendgrid", "postmark", "ses"})
TWILIO = "twilio"


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
    `by_word`: a provider says so, who knows nothing of those.
    """

    message_id: str | None
    state: Literal["delivered", "failed", "uncertain"]
    attempts: int
    at: datetime
    ref: str | None = None
    awaited: tuple[str, ...] = ()
    by_word: bool = False


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


def opened(context: Context, state: Recalled, event: Event[TicketOpened], _now: datetime) -> tuple[Recalled, Drafts]:
    """A ticket that the backup does not know."""
    told = context.opened.get(event.id)
    subject = told.subject if isinstance(told, TicketPersonal) else ""
    opening = Opened(event.data, event.time, subject)
    return replace(state, story=apply(Ticket(), event), opening=opening, answered=(*state.answered, event.id)), ()


def received(context: Context, state: Recalled, event: Event[MessageReceived], now: datetime) -> tuple[Recalled, Drafts]:
    """A message; the first of a ticket may want to be confirmed."""
    fact, told = event.data, context.opened.get(event.id)
    personal = told if isinstance(told, MessagePersonal) else MessagePersonal()
    written = Written(fact, event.time, opened=not state.has_message, told=personal)
    state, drafts = fold(context, state, event, now)
    spam = state.story is not None and state.story.intake.spam
    if written.opened and not spam and _was_to_be_confirmed(context, written):
        state = replace(state, confirmation=(derived_id("confirmation", fact.message_id), written))
    return replace(state, has_message=True, messages=(*state.messages, written)), drafts


def _was_to_be_confirmed(context: Context, written: Written) -> bool:
    fact = written.fact
    confirms = context.confirms.get(fact.inbox, fact.provider in MAIL)
    if fact.channel == "sms":
        return fact.provider == TWILIO and written.told.handle_kind == "phone" and confirms
    return fact.channel in CONFIRMED and fact.origin == "human" and written.told.handle_kind == "email" and confirms


def cleared(context: Context, state: Recalled, event: Event[SpamUnmarked], now: datetime) -> tuple[Recalled, Drafts]:
    """No spam after all: its confirmation was to go out then."""
    state, drafts = fold(context, state, event, now)
    return replace(state, cleared=state.cleared or withheld(state.story, event)), drafts


def requested(context: Context, state: Recalled, event: Event[ReplyRequested], now: datetime) -> tuple[Recalled, Drafts]:
    """An agent answered: the reply has to go out, unless it is told next that it did."""
    state, drafts = fold(context, state, event, now)
    return replace(state, replies=(*state.replies, event)), drafts


Outcome = MessageDelivered | MessageFailed | ConfirmationSent | ConfirmationSkipped | DeliveryUncertain
Word = MessageDelivered | MessageFailed | MessageBounced | MessageRead | MessageComplained


def ended(context: Context, state: Recalled, event: Event[Outcome], now: datetime) -> tuple[Recalled, Drafts]:
    """What became of something sent. That spam was not confirmed ends nothing: there was none to send, but one may follow."""
    state, drafts = fold(context, state, event, now)
    fact = event.data
    if isinstance(fact, ConfirmationSkipped) and fact.reason == "spam":
        return state, drafts
    if isinstance(fact, MessageDelivered) and fact.final:
        return _heard(state, fact, event.time), drafts
    state = replace(state, ended=(*state.ended, _ended(fact, event.time)))
    if isinstance(fact, MessageDelivered | MessageFailed):
        state = _with_word(state, fact, event.time)
    return state, drafts


def heard(context: Context, state: Recalled, event: Event[Word], now: datetime) -> tuple[Recalled, Drafts]:
    """What a provider said of something sent; so it had been sent."""
    state, drafts = fold(context, state, event, now)
    return _heard(state, event.data, event.time), drafts


def _heard(state: Recalled, fact: Word, at: datetime) -> Recalled:
    if not any(one.message_id == fact.message_id and one.state != "uncertain" for one in state.ended):
        attempts, ref = (fact.attempts, fact.provider_ref) if isinstance(fact, MessageDelivered) else (1, None)
        went = Ended(fact.message_id, "delivered", attempts, at, ref, by_word=True)
        state = replace(state, ended=(*state.ended, went))
    return _with_word(state, fact, at)


def _with_word(state: Recalled, fact: Word, at: datetime) -> Recalled:
    return replace(state, heard=(*state.heard, Heard(fact.message_id, fact, at)))


def _ended(fact: Outcome, at: datetime) -> Ended:
    match fact:
        case MessageDelivered():
            return Ended(fact.message_id, "delivered", fact.attempts, at, fact.provider_ref, fact.awaited_cc_customer_ids)
        case ConfirmationSent():
            return Ended(fact.message_id, "delivered", fact.attempts, at)
        case MessageFailed():
            return Ended(fact.message_id, "failed", fact.attempts, at)
        case DeliveryUncertain():
            return Ended(fact.message_id, "uncertain", fact.attempt, at)
        case ConfirmationSkipped():
            return Ended(None, "failed", 0, at)


def fetched(
    context: Context, state: Recalled, event: Event[AttachmentFetched | AttachmentFailed], now: datetime
) -> tuple[Recalled, Drafts]:
    """What became of a file that a message pointed to. The file itself is not on the log: it is fetched again."""
    state, drafts = fold(context, state, event, now)
    if isinstance(event.data, AttachmentFetched):
        return replace(state, fetched=(*state.fetched, event.data.attachment.id)), drafts
    return replace(state, unfetched=(*state.unfetched, event.data.attachment_id)), drafts


def resolved(context: Context, state: Recalled, event: Event[TicketResolved], now: datetime) -> tuple[Recalled, Drafts]:
    """The customer was to be asked, unless it is told next that they were."""
    state, drafts = fold(context, state, event, now)
    assert state.story is not None
    return replace(state, resolved=(*state.resolved, (event, state.story))), drafts


def asked_about(context: Context, state: Recalled, event: Event[SurveySent], now: datetime) -> tuple[Recalled, Drafts]:
    """A question went out."""
    state, drafts = fold(context, state, event, now)
    went = Ended(event.data.survey_id, "delivered", event.data.attempts, event.time)
    return replace(state, asked_about=(*state.asked_about, event), ended=(*state.ended, went)), drafts


def scored(context: Context, state: Recalled, event: Event[SurveyAnswered], now: datetime) -> tuple[Recalled, Drafts]:
    """A question was answered."""
    state, drafts = fold(context, state, event, now)
    told, sealed = context.opened.get(event.id), event.data.personal
    one = Scored(
        fact=event.data,
        at=event.time,
        customer_id=sealed.customer_id if sealed is not None else "",
        told_by=told.told_by if isinstance(told, SurveyPersonal) else "",
    )
    return replace(state, scored=(*state.scored, one)), drafts


def rang(context: Context, state: Recalled, event: Event[CallReceived], now: datetime) -> tuple[Recalled, Drafts]:
    """A call began. Which of the provider's words were taken is not on the log; its phase makes a repeat harmless."""
    fact = event.data
    call = Call(
        call_id=fact.call_id,
        call_ref=fact.provider_ref,
        provider=fact.provider,
        ticket_id=event.key,
        customer_id=fact.customer_id,
        rang_at=fact.provider_time,
        agent_before=state.story.routing.agent_id if state.story is not None else None,
    )
    state, drafts = fold(context, state, event, now)
    return replace(state, calls={**state.calls, call.call_id: call}), drafts


def talked(context: Context, state: Recalled, event: Event[CallAnswered | CallEnded], now: datetime) -> tuple[Recalled, Drafts]:
    """A call went on."""
    fact = event.data
    state, drafts = fold(context, state, event, now)
    call = state.calls.get(fact.call_id)
    if call is None:
        return state, drafts
    if isinstance(fact, CallEnded):
        call = msgspec.structs.replace(call, phase="ended")
    else:
        talked_on = event.key if fact.agent_id is not None else None
        call = msgspec.structs.replace(
            call, phase="answered", answered_at=fact.provider_time, agent_id=fact.agent_id, talked_on=talked_on
        )
    return replace(state, calls={**state.calls, call.call_id: call}), drafts


def asked(context: Context, state: Recalled, event: Event[Fact], now: datetime) -> tuple[Recalled, Drafts]:
    """An agent asked for something; the answer may come next. Of a ticket to be opened it is the first that is told."""
    if not isinstance(event.data, TicketOpenRequested):
        state, _ = fold(context, state, event, now)
    return replace(state, asked=(*state.asked, event)), ()


def granted(context: Context, state: Recalled, event: Event[Fact], now: datetime) -> tuple[Recalled, Drafts]:
    """What intake says when it does what was asked, or does not: by its id whoever asked is known to be answered."""
    state, drafts = fold(context, state, event, now)
    return replace(state, answered=(*state.answered, event.id)), drafts


def split(context: Context, state: Recalled, event: Event[TicketSplit], now: datetime) -> tuple[Recalled, Drafts]:
    """Messages went to another ticket."""
    state, drafts = granted(context, state, event, now)
    return replace(state, splits=(*state.splits, event.data)), drafts


def linked(context: Context, state: Recalled, event: Event[TicketLinked], now: datetime) -> tuple[Recalled, Drafts]:
    """Two tickets belong together; one may go on as the other."""
    state, drafts = granted(context, state, event, now)
    goes_on = event.data.ticket_id if event.data.relation == "followed_up_by" else state.followed_up_by
    return replace(state, followed_up_by=goes_on), drafts


def is_answered(request: Event[Fact], answers: Container[str]) -> bool:
    """Whether one of the facts with these ids is the answer to an agent's request."""
    kinds: tuple[type[Fact], ...] = (RequestRefused, *ANSWERS[type(request.data)])
    return any(event_id(request.id, kind.TYPE, request.key) in answers for kind in kinds)


# By what each request is answered on its own ticket, besides a refusal.
ANSWERS: Mapping[type[Fact], tuple[type[Fact], ...]] = {
    TicketCloseRequested: (TicketClosed,),
    TicketMergeRequested: (TicketMergedInto,),
    TicketUnmergeRequested: (TicketUnmerged,),
    TicketSplitRequested: (TicketSplit,),
    TicketLinkRequested: (TicketLinked, TicketUnlinked),
    TicketOpenRequested: (TicketOpened,),
}
HANDLERS: Mapping[type[Fact], Handler[Context, Recalled]] = {
    **dict.fromkeys(TICKETS.facts, fold),
    TicketOpened: opened,
    SpamUnmarked: cleared,
    MessageReceived: received,
    ReplyRequested: requested,
    MessageDelivered: ended,
    MessageFailed: ended,
    MessageBounced: heard,
    MessageRead: heard,
    MessageComplained: heard,
    ConfirmationSent: ended,
    ConfirmationSkipped: ended,
    DeliveryUncertain: ended,
    AttachmentFetched: fetched,
    AttachmentFailed: fetched,
    CallReceived: rang,
    CallAnswered: talked,
    CallEnded: talked,
    TicketCloseRequested: asked,
    TicketMergeRequested: asked,
    TicketUnmergeRequested: asked,
    TicketSplitRequested: asked,
    TicketLinkRequested: asked,
    TicketOpenRequested: asked,
    **dict.fromkeys((RequestRefused, TicketClosed, TicketMergedInto, TicketUnmerged, TicketUnlinked), granted),
    TicketLinked: linked,
    TicketSplit: split,
    TicketResolved: resolved,
    SurveySent: asked_about,
    SurveyAnswered: scored,
}
