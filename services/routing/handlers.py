"""What a fact changes in routing: event → handler. Pure; the tables at the foot say which handler takes which fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.routing.domain import calling_back, escalating, lifecycle, wrapping
from services.routing.domain.changes import Crew
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.labels import labels_of, relabelled
from services.routing.domain.queues import last_of
from services.routing.domain.steps import to_be_filed
from services.routing.domain.timeline import Entry, entries_of, entries_to_be
from services.routing.domain.work import EndedOffer, Notice, Opening, Turn, Work, hear
from services.routing.promising import BREACH_HANDLERS, CLOCK_HANDLERS, WARNING_HANDLERS
from shared.events import call, message, people
from shared.events import ticket as t
from shared.events.base import Draft, Event, Fact
from shared.events.config import InboxConfigured, QueueConfigured, RuleConfigured
from shared.folding import Handler
from shared.ticket import awaits_answer

Granted = t.TicketMergedInto | t.TicketUnmerged | t.TicketSplit | t.TicketLinked | t.TicketUnlinked
Decide = Callable[["Context", Turn, Event[Any]], None]


@dataclass(frozen=True, slots=True)
class Context:
    """What decisions of a batch look at: queues and rules in order, the agents concerned; where a queue asks for it, who served
    customers last and how long newcomers wait.
    """

    queues: tuple[QueueConfigured, ...]
    crew: Crew
    regulars: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[RuleConfigured, ...] = ()
    waits: Mapping[str, Foreseen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A ticket, and what this batch did to it besides."""

    work: Work
    crew: Crew
    agents: frozenset[str] = frozenset()
    ended: tuple[EndedOffer, ...] = ()
    notices: tuple[Notice, ...] = ()
    entries: tuple[Entry, ...] = ()
    to_judge: bool = False

    def after(self, turn: Turn, event: Event[Fact]) -> Case:
        """The case after a decision."""
        told = entries_of([event]) + entries_to_be(turn.drafts, turn.now)
        return replace(
            self,
            work=turn.work,
            agents=self.agents | turn.changed.keys(),
            ended=(*self.ended, *turn.ended),
            notices=(*self.notices, *turn.notices),
            entries=(*self.entries, *told),
            to_judge=self.to_judge or turn.to_judge,
        )


def _handler(decide: Decide) -> Handler[Context, Case]:
    def handle(context: Context, case: Case, event: Event[Any], now: datetime) -> tuple[Case, Sequence[Draft[Fact]]]:
        turn = Turn(hear(case.work, event), event.id, now, context.crew.agents, waits=context.waits)
        decide(context, turn, event)
        turn.to_judge &= bool(context.rules)
        after = case.after(turn, event)
        context.crew.take(turn.changed)  # last, so that a decision that fails has changed nobody
        return after, turn.drafts

    return handle


def _opened(context: Context, turn: Turn, event: Event[t.TicketOpened]) -> None:
    fact = event.data
    turn.set(labels=labels_of(fact), direction=fact.direction, opening=Opening.of(event))
    if not turn.work.ticket.spam:
        since, regular = fact.unanswered_since or event.time, context.regulars.get(fact.customer_id)
        lifecycle.place(turn, context.queues, "opened", since, fact.opened_by, regular)
        escalating.by_rule(turn, context.queues, context.rules)
        turn.to_judge = False  # they have looked
    if fact.opened_by is not None:
        turn.tell(fact.opened_by, "ticket.opened")


def _written(context: Context, turn: Turn, event: Event[Fact]) -> None:
    if awaits_answer(event.data):
        before = turn.work.visits
        lifecycle.customer_wrote(turn, context.queues, event.time)
        turn.to_judge = turn.work.visits > before


def _absorbed(context: Context, turn: Turn, event: Event[t.TicketAbsorbed]) -> None:
    if event.data.unanswered_since is not None:
        lifecycle.customer_wrote(turn, context.queues, event.data.unanswered_since)


def _ended(context: Context, turn: Turn, event: Event[call.CallEnded | call.ChatEnded]) -> None:
    """Who hung up because they are called back has abandoned nothing; who was talked to is to be written of."""
    if event.data.outcome == "abandoned" and turn.work.besides.callback is None:
        lifecycle.leave(turn, "abandoned")
    elif event.data.outcome == "completed":
        wrapping.begin(turn, last_of(context.queues, turn.work))


def _called_back(context: Context, turn: Turn, event: Event[call.CallbackRequested]) -> None:
    calling_back.spare(turn, context.queues, event.data.not_before)


def _withdrawn(_context: Context, turn: Turn, event: Event[t.TicketWithdrawn]) -> None:
    lifecycle.take_out(turn, WITHDRAWN[event.data.reason])


def _closed(_context: Context, turn: Turn, event: Event[t.TicketClosed]) -> None:
    lifecycle.take_out(turn, CLOSED[event.data.reason])


def _merged(_context: Context, turn: Turn, event: Event[t.TicketMergedInto]) -> None:
    lifecycle.take_out(turn, "merged")
    _granted(_context, turn, event)


def _spam(_context: Context, turn: Turn, _event: Event[t.SpamMarked]) -> None:
    if turn.work.ticket.spam:
        lifecycle.take_out(turn, "spam")


def _came_back(context: Context, turn: Turn, event: Event[Fact]) -> None:
    since = turn.work.ticket.waiting_since or event.time
    lifecycle.came_back(turn, context.queues, since)


def _unmerged(context: Context, turn: Turn, event: Event[t.TicketUnmerged]) -> None:
    _came_back(context, turn, event)
    _granted(context, turn, event)


def _granted(_context: Context, turn: Turn, event: Event[Granted]) -> None:
    """Whoever asked has to know that it was done."""
    asker = event.data.requested_by
    if asker is not None:
        turn.tell(asker, event.type.rsplit(".", 1)[0], other_ticket_id=_other(event.data))


def _other(fact: Granted) -> str:
    match fact:
        case t.TicketMergedInto() | t.TicketSplit():
            return fact.into_ticket_id
        case t.TicketUnmerged():
            return fact.from_ticket_id
        case _:
            return fact.ticket_id


def _refused(_context: Context, turn: Turn, event: Event[t.RequestRefused]) -> None:
    """Whoever asked has to know why not; else the owner."""
    fact = event.data
    asker = fact.requested_by or turn.work.owner
    if asker is not None:
        told = {"request_event_id": fact.request_event_id, "code": fact.code, "detail": fact.detail}
        turn.tell(asker, "request.refused", **told)


def _labelled(_context: Context, turn: Turn, event: Event[t.TicketLabelled]) -> None:
    turn.set(labels=relabelled(turn.work.labels, event.data))
    turn.to_judge = True


def _prioritised(context: Context, turn: Turn, event: Event[t.TicketPrioritised]) -> None:
    turn.to_judge = True
    _told(context, turn, event)


def _somebody_else_s(_context: Context, turn: Turn, _event: Event[t.TicketCustomerChanged]) -> None:
    """What the other one is entitled to is known when it is filed again, which is soon."""
    visit = turn.work.visit
    if visit is not None:
        turn.set(visit=to_be_filed(visit))


def _told(_context: Context, turn: Turn, event: Event[Fact]) -> None:
    """The owner has to know; nothing else changes."""
    if turn.work.owner is not None:
        turn.tell(turn.work.owner, event.type.rsplit(".", 1)[0])


def _noted(_context: Context, _turn: Turn, _event: Event[Fact]) -> None:
    """History only."""


@dataclass(frozen=True, slots=True)
class CustomerCase:
    """What a batch learned about a customer: entitlements that changed ("": no longer any), why they cannot be written to on a
    channel (None: they can), and ids whose data is to be scrubbed.
    """

    vip: bool | None = None
    plan: str | None = None
    tier: str | None = None
    reach: Mapping[str, people.Unreachable | None] = field(default_factory=dict)
    scrub: tuple[str, ...] = ()


def _profile(
    _context: None, case: CustomerCase, event: Event[people.CustomerProfileChanged], _now: datetime
) -> tuple[CustomerCase, Sequence[Draft[Fact]]]:
    fact = event.data
    plan = "" if "plan" in fact.cleared else case.plan
    tier = "" if "tier" in fact.cleared else case.tier
    vip = case.vip if fact.vip is None else fact.vip
    return replace(case, vip=vip, plan=fact.plan or plan, tier=fact.tier or tier), ()


def _reachability(
    _context: None, case: CustomerCase, event: Event[people.CustomerReachabilityChanged], _now: datetime
) -> tuple[CustomerCase, Sequence[Draft[Fact]]]:
    fact = event.data
    return replace(case, reach={**case.reach, fact.channel: None if fact.reachable else fact.reason}), ()


def _erased(
    _context: None, case: CustomerCase, event: Event[people.CustomerErased], _now: datetime
) -> tuple[CustomerCase, Sequence[Draft[Fact]]]:
    return replace(case, scrub=(*case.scrub, *event.data.customer_ids)), ()


def _inbox(
    _context: None, _before: InboxConfigured | None, event: Event[InboxConfigured], _now: datetime
) -> tuple[InboxConfigured, Sequence[Draft[Fact]]]:
    """The newest version is what counts."""
    return event.data, ()


WITHDRAWN: dict[str, lifecycle.LeaveReason] = {
    "cancelled": "cancelled",
    "abandoned": "abandoned",
    "callback": "callback",
    "partner": "partner",
    "duplicate": "merged",
}
CLOSED: dict[str, lifecycle.LeaveReason] = {
    "resolved_long_ago": "resolved",
    "requested": "resolved",
    "merged": "merged",
    "spam": "spam",
    "withdrawn": "cancelled",
}

TICKET_HANDLERS: dict[type[Fact], Handler[Context, Case]] = {
    t.TicketOpened: _handler(_opened),
    message.MessageReceived: _handler(_written),
    call.CallReceived: _handler(_written),
    t.TicketAbsorbed: _handler(_absorbed),
    call.CallEnded: _handler(_ended),
    call.ChatEnded: _handler(_ended),
    t.TicketWithdrawn: _handler(_withdrawn),
    t.TicketClosed: _handler(_closed),
    t.TicketMergedInto: _handler(_merged),
    t.TicketUnmerged: _handler(_unmerged),
    t.SpamMarked: _handler(_spam),
    t.SpamUnmarked: _handler(_came_back),
    t.TicketLabelled: _handler(_labelled),
    t.TicketPrioritised: _handler(_prioritised),
    t.RequestRefused: _handler(_refused),
    message.MessageFailed: _handler(_told),
    message.MessageBounced: _handler(_told),
    message.MessageComplained: _handler(_told),
    message.MessageEdited: _handler(_told),
    message.AttachmentFetched: _handler(_told),
    message.AttachmentFailed: _handler(_told),
    call.CallAnswered: _handler(_noted),
    call.CallHeld: _handler(_noted),
    call.CallResumed: _handler(_noted),
    call.CallRecorded: _handler(_noted),
    call.CallbackRequested: _handler(_called_back),
    t.TicketCustomerChanged: _handler(_somebody_else_s),
    t.TicketExpelled: _handler(_noted),
    t.TicketSplit: _handler(_granted),
    t.TicketLinked: _handler(_granted),
    t.TicketUnlinked: _handler(_granted),
    message.MessageDeleted: _handler(_noted),
    message.MessageReacted: _handler(_noted),
    message.MessageDelivered: _handler(_noted),
    message.MessageRead: _handler(_noted),
    message.DeliveryUncertain: _handler(_noted),
    message.ConfirmationSent: _handler(_noted),
    message.ConfirmationSkipped: _handler(_noted),
    message.SurveySent: _handler(_noted),
    message.SurveyAnswered: _handler(_noted),
}
CUSTOMER_HANDLERS: dict[type[Fact], Handler[None, CustomerCase]] = {
    people.CustomerProfileChanged: _profile,
    people.CustomerReachabilityChanged: _reachability,
    people.CustomerErased: _erased,
}
INBOX_HANDLERS: dict[type[Fact], Handler[None, InboxConfigured | None]] = {InboxConfigured: _inbox}
HANDLERS: dict[type[Fact], object] = {
    **TICKET_HANDLERS,
    **CUSTOMER_HANDLERS,
    **INBOX_HANDLERS,
    **CLOCK_HANDLERS,
    **WARNING_HANDLERS,
    **BREACH_HANDLERS,
}
