"""Intake's own words read back from the log after a backup was restored: what each means for the rows it once came from. Pure.

Nothing is decided here. What was accepted, opened, closed and sent stands as it was said; only what the log does not tell
(whether a message that was on its way out arrived) is left open, for the sender to try again.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from services.intake.domain.calls import Call
from services.intake.domain.tell import CONFIRMED
from services.intake.handlers import withheld
from services.intake.recalled_sent import asked_about, ended, heard, requested, resolved, scored
from services.intake.recalled_ticket import Context, Drafts, Opened, Recalled, Written, fold
from shared.events.base import Event, Fact, derived_id, event_id
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

# Its unconfigured inbox confirms too; everywhere else only an inbox that was set up does.
MAIL = frozenset({"smtp", "mailgun", "sendgrid", "postmark", "ses"})
TWILIO = "twilio"


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


def fetched(
    context: Context, state: Recalled, event: Event[AttachmentFetched | AttachmentFailed], now: datetime
) -> tuple[Recalled, Drafts]:
    """What became of a file that a message pointed to. The file itself is not on the log: it is fetched again."""
    state, drafts = fold(context, state, event, now)
    if isinstance(event.data, AttachmentFetched):
        return replace(state, fetched=(*state.fetched, event.data.attachment.id)), drafts
    return replace(state, unfetched=(*state.unfetched, event.data.attachment_id)), drafts


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
        person=_rang_first(state),
    )
    state, drafts = fold(context, state, event, now)
    return replace(state, calls={**state.calls, call.call_id: call}), drafts


def _rang_first(state: Recalled) -> str:
    """Under whose key the opening is sealed, where the ticket was opened just before: by this call."""
    sealed = state.opening.fact.personal if state.opening is not None else None
    return sealed.customer_id if sealed is not None else ""


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
