"""What went out to customers, read back from the log after a backup was restored: replies, confirmations, questions. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.intake.recalled_ticket import Context, Drafts, Ended, Heard, Recalled, Scored, fold
from shared.events.base import Event
from shared.events.message import (
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageBounced,
    MessageComplained,
    MessageDelivered,
    MessageFailed,
    MessageRead,
    ReplyRequested,
    SurveyAnswered,
    SurveyPersonal,
    SurveySent,
)
from shared.events.ticket import TicketResolved

Outcome = MessageDelivered | MessageFailed | ConfirmationSent | ConfirmationSkipped | DeliveryUncertain
Word = MessageDelivered | MessageFailed | MessageBounced | MessageRead | MessageComplained


def requested(context: Context, state: Recalled, event: Event[ReplyRequested], now: datetime) -> tuple[Recalled, Drafts]:
    """An agent answered: the reply has to go out, unless it is told next that it did."""
    state, drafts = fold(context, state, event, now)
    return replace(state, replies=(*state.replies, event)), drafts


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
            return Ended(fact.message_id, "uncertain", fact.attempt, at, promised_by=fact.promised_by)
        case ConfirmationSkipped():
            return Ended(None, "failed", 0, at)


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
