"""The facts that a plan comes to, in the order in which they go on the log. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from services.intake.domain.contacts import NO_LABELS, Contact, FromPerson, Handle, InboundCall, InboundMessage, SpamVerdict
from services.intake.domain.identity import SIGNED, VerifiedBy, evidence_of
from services.intake.domain.media import attachment_id
from services.intake.domain.plan import (
    CallWord,
    CameAgain,
    ConsentSaid,
    FirstHeard,
    HandleLeft,
    NameSeen,
    NewCustomer,
    NewHandle,
    NewMessage,
    NewTicket,
    Plan,
    Relabelled,
    Scored,
    SentTold,
    Step,
    Suggestion,
)
from services.intake.domain.surveys import Question
from shared.events.base import Attachment, Channel, Draft, Fact, derived_id
from shared.events.call import CallReceived
from shared.events.message import ConfirmationSkipped, MessagePersonal, MessageReceived, SpamSaid, SurveyAnswered, SurveyPersonal
from shared.events.people import (
    CustomerCreated,
    CustomerHandleAdded,
    CustomerHandleRemoved,
    CustomerPersonal,
    CustomerProfileChanged,
    MergeSuggested,
)
from shared.events.ticket import SpamMarked, TicketLinked, TicketOpened, TicketPersonal

Relation = Literal["follow_up_of", "followed_up_by", "related"]
# On these a customer waits for a written confirmation; elsewhere the conversation itself, or the page, is one.
CONFIRMED: frozenset[Channel] = frozenset({"email", "form"})


def tell(plan: Plan) -> list[Draft[Fact]]:
    """The drafts of a numbered plan."""
    numbers = {placement.ticket_id: placement.number for placement in plan.placements}
    return [draft for step in plan.steps for draft in _step(step, numbers)]


def channel_of(contact: Contact) -> Channel:
    """The channel a contact came by."""
    return "phone" if isinstance(contact, InboundCall) else contact.channel


def attachments_of(message_id: str, contact: InboundMessage) -> tuple[Attachment, ...]:
    """The files of a message as the log names them: by id, without their names."""
    return tuple(
        Attachment(
            id=derived_id("attachment", message_id, str(file.part)),
            media_type=file.media_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            dangerous=file.dangerous,
            inline=file.inline,
        )
        for file in contact.files
    )


def _step(step: Step, numbers: Mapping[str, int]) -> list[Draft[Fact]]:
    match step:
        case NewCustomer():
            return _customer(step)
        case NewHandle():
            verified_by = SIGNED if step.vouched else evidence_of(channel_of(step.contact), step.handle)
            return [_handle(step.customer_id, step.handle, step.handle_id, step.contact, step.cause, verified_by, step.person)]
        case HandleLeft():
            left = CustomerHandleRemoved(handle_id=step.handle_id, reason="recycled")
            return [Draft(key=step.customer_id, data=left, cause=step.cause, traceparent=step.contact.traceparent)]
        case NameSeen() | CameAgain():
            return []
        case NewTicket():
            return _ticket(step, numbers[step.ticket_id])
        case NewMessage():
            return [_message(step)]
        case CallWord() | Relabelled():
            return _facts(step)
        case SentTold():
            return _sent(step)
        case ConsentSaid() | FirstHeard():
            return _consent(step) if isinstance(step, ConsentSaid) else [_first_heard(step)]
        case Scored():
            told_by = SurveyPersonal(told_by=step.cause)
            said = answer(step.question, step.score, step.contact.channel, step.cause, told_by)
            return [replace(said, traceparent=step.contact.traceparent)]
        case Suggestion():
            suggested = MergeSuggested(customer_id=step.other_id, evidence=step.evidence)
            return [Draft(key=step.customer_id, data=suggested, cause=step.cause, traceparent=step.contact.traceparent)]


def _customer(step: NewCustomer) -> list[Draft[Fact]]:
    contact, customer_id, trace = step.contact, step.customer.customer_id, step.contact.traceparent
    drafts: list[Draft[Fact]] = [
        Draft(
            key=customer_id,
            data=CustomerCreated(channel=channel_of(contact), language=step.language),
            cause=step.cause,
            traceparent=trace,
            person=customer_id,
            personal=CustomerPersonal(name=step.name),
        )
    ]
    if step.handle is not None:
        verified_by: VerifiedBy = "not" if step.copy is not None else evidence_of(channel_of(contact), step.handle)
        drafts.append(_handle(customer_id, step.handle, step.handle_id, contact, step.cause, verified_by, customer_id))
    return drafts


def _first_heard(step: FirstHeard) -> Draft[Fact]:
    return Draft(
        key=step.customer_id,
        data=CustomerProfileChanged(language=step.contact.language),
        cause=f"{step.cause}:language",
        traceparent=step.contact.traceparent,
        person=step.person,
        personal=CustomerPersonal(name=step.contact.name, handles=(step.handle.value,), handle_scope=step.handle.scope),
    )


def _handle(
    customer_id: str, handle: Handle, handle_id: str, contact: FromPerson, cause: str, verified_by: VerifiedBy, person: str
) -> Draft[Fact]:
    return Draft(
        key=customer_id,
        data=CustomerHandleAdded(handle_id=handle_id, kind=handle.kind, verified_by=verified_by),
        cause=cause,
        traceparent=contact.traceparent,
        person=person,
        personal=CustomerPersonal(handles=(handle.value,), handle_scope=handle.scope),
    )


def _ticket(step: NewTicket, number: int) -> list[Draft[Fact]]:
    contact, old, trace = step.contact, step.follow_up_of, step.contact.traceparent
    message = contact if isinstance(contact, InboundMessage) else None
    labels = message.labels if message else NO_LABELS
    drafts: list[Draft[Fact]] = [
        Draft(
            key=step.ticket_id,
            data=TicketOpened(
                number=number,
                customer_id=step.customer.customer_id,
                channel=channel_of(contact),
                inbox=contact.inbox,
                language=contact.language,
                direction=message.direction if message else "ltr",
                priority=labels.priority,
                vip=step.customer.vip,
                plan=step.customer.plan,
                customer_tier=step.customer.tier,
                topic=labels.topic,
                product=labels.product,
                tags=labels.tags,
                follow_up_of=old.ticket_id if old else None,
                partner_id=contact.partner_id,
            ),
            cause=step.cause,
            traceparent=trace,
            person=step.customer.sealed_under,
            personal=TicketPersonal(subject=message.subject if message else "", customer_name=contact.name),
        )
    ]
    if message is not None and message.spam is not None:
        drafts.append(Draft(key=step.ticket_id, data=_spam(message.spam), cause=step.cause, traceparent=trace))
    if old is not None:
        drafts += _linked(step, old.ticket_id, "follow_up_of", "followed_up_by")
    if step.related_to is not None:
        drafts += _linked(step, step.related_to.ticket_id, "related", "related")
    if message and step.confirmation_id is None and message.channel in CONFIRMED:
        drafts.append(Draft(key=step.ticket_id, data=_skipped(message), cause=step.cause, traceparent=trace))
    return drafts


def _linked(step: NewTicket, other_id: str, here: Relation, there: Relation) -> list[Draft[Fact]]:
    trace = step.contact.traceparent
    return [
        Draft(key=step.ticket_id, data=TicketLinked(ticket_id=other_id, relation=here), cause=step.cause, traceparent=trace),
        Draft(key=other_id, data=TicketLinked(ticket_id=step.ticket_id, relation=there), cause=step.cause, traceparent=trace),
    ]


def _spam(verdict: SpamVerdict) -> SpamMarked:
    return SpamMarked(by=verdict.by, score_millis=verdict.score_millis, rule_id=verdict.rule_id)


def _said_of(verdict: SpamVerdict) -> SpamSaid:
    return SpamSaid(by=verdict.by, score_millis=verdict.score_millis, rule_id=verdict.rule_id)


def _skipped(contact: InboundMessage) -> ConfirmationSkipped:
    if contact.spam is not None:
        return ConfirmationSkipped(reason="spam")
    if contact.origin != "human":
        return ConfirmationSkipped(reason="automatic_mail")
    if contact.handle is None or contact.handle.kind != "email":
        return ConfirmationSkipped(reason="no_address")
    return ConfirmationSkipped(reason="channel_confirms_itself")


def _message(step: NewMessage) -> Draft[Fact]:
    contact = step.contact
    return Draft(
        key=step.ticket_id,
        data=MessageReceived(
            message_id=step.message_id,
            customer_id=step.customer_id,
            channel=contact.channel,
            inbox=contact.inbox,
            provider=contact.provider,
            origin=contact.origin,
            language=contact.language,
            direction=contact.direction,
            provider_time=contact.provider_time,
            text_cut=contact.text_cut,
            quoted_cut=contact.quoted_cut,
            attachments=attachments_of(step.message_id, contact) if contact.files else (),
            participant=step.participant,
            attachments_awaited=tuple(attachment_id(step.message_id, n) for n in range(len(contact.media))),
            cc_customer_ids=step.cc,
            cc_handle_ids=step.cc_handles,
            spam=_said_of(contact.spam) if contact.spam is not None else None,
            kept_from_ticket_id=step.kept_from,
            parts_left_out=contact.parts_left_out,
        ),
        cause=step.cause,
        traceparent=contact.traceparent,
        person=step.person,
        personal=MessagePersonal(
            text=contact.text,
            subject=contact.subject,
            name=contact.name,
            handle=contact.handle.value if contact.handle else "",
            attachment_names=tuple(file.name for file in contact.files),
            handle_kind=contact.handle.kind if contact.handle else "",
            handle_scope=contact.handle.scope if contact.handle else "",
            message_ref=contact.message_ref or "",
            reply_refs=contact.reply_refs,
            content_hash=contact.content_hash,
            request=contact.request.name if contact.request else "",
            request_digest=contact.request.digest.hex() if contact.request else "",
            quoted=contact.quoted,
            attachment_urls=contact.media,
            fields=dict(contact.fields),
        ),
    )


def _sent(step: SentTold) -> list[Draft[Fact]]:
    if step.fact is None:
        return []
    cause, trace = step.contact.cause, step.contact.traceparent
    return [Draft(key=ticket_id, data=step.fact, cause=cause, traceparent=trace) for ticket_id in step.told_on]


def _consent(step: ConsentSaid) -> list[Draft[Fact]]:
    if not step.changed:
        return []
    return [
        Draft(
            key=step.customer_id,
            data=CustomerProfileChanged(consents={step.contact.channel: step.given}),
            cause=step.cause,
            traceparent=step.contact.traceparent,
            person=step.person,
            personal=CustomerPersonal(handles=(step.handle.value,), handle_scope=step.handle.scope),
        )
    ]


def answer(question: Question, score: int, channel: Channel, cause: str, personal: SurveyPersonal | None) -> Draft[Fact]:
    """An answer to a question."""
    fact = SurveyAnswered(
        survey_id=question.survey_id,
        kind=question.kind,
        score=score,
        scale_min=question.scale_min,
        scale_max=question.scale_max,
        channel=channel,
        language=question.language,
    )
    return Draft(key=question.ticket_id, data=fact, cause=cause, person=question.sealed_under, personal=personal)


def _facts(step: CallWord | Relabelled) -> list[Draft[Fact]]:
    facts = [_rang(step), *step.facts] if isinstance(step, CallWord) and step.begun else step.facts
    trace = step.contact.traceparent
    return [Draft(key=step.ticket_id, data=fact, cause=step.cause, traceparent=trace) for fact in facts]


def _rang(step: CallWord) -> CallReceived:
    call, word = step.call, step.contact
    return CallReceived(
        call_id=call.call_id,
        customer_id=call.customer_id,
        inbox=word.inbox,
        provider=call.provider,
        provider_ref=call.call_ref,
        anonymous=word.anonymous,
        provider_time=call.rang_at or word.provider_time,
    )
