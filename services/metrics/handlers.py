"""Event → what it changes in the fold of its key. Pure; the difference becomes cells when the batch is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.metrics.domain import agents, moves, promises, tickets, work
from services.metrics.domain.cells import Measured
from services.metrics.domain.folding import Folded, State
from shared.events.base import Draft, Event, Fact
from shared.events.call import CallAnswered, CallEnded, CallPlaced, CallReceived, CallTransferred
from shared.events.config import (
    AgentConfigured,
    PartnerConfigured,
    PolicyConfigured,
    QueueConfigured,
    SkillConfigured,
    TeamConfigured,
)
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.people import AgentEnrolled, AgentLoadChanged, AgentStateChanged
from shared.events.sla import (
    ClockCancelled,
    ClockMet,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    SlaBreachCleared,
    SlaBreached,
    SlaBreachRetracted,
    SlaWarned,
)
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketAssigned,
    TicketClosed,
    TicketEscalated,
    TicketExpelled,
    TicketLabelled,
    TicketLeftQueue,
    TicketMergedInto,
    TicketOpened,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketQueued,
    TicketReleased,
    TicketReopened,
    TicketResolved,
    TicketSplit,
    TicketTransferred,
    TicketUnmerged,
    TicketWithdrawn,
)
from shared.events.work import (
    ConsultEnded,
    ConsultRequested,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferFailed,
    OfferRescinded,
    TicketOffered,
    WrapUpCompleted,
    WrapUpStarted,
)

Handler = Callable[[None, Folded[Any], Event[Any], datetime], tuple[Folded[Any], Sequence[Draft[Fact]]]]


def _folds(tell: Callable[[State, Event[Any]], tuple[State, list[Measured]]]) -> Handler:
    """A function of the domain as a handler. Figures depend on the facts' own time, so `now` has no say."""

    def handle(
        _context: None, folded: Folded[State], event: Event[Any], _now: datetime
    ) -> tuple[Folded[State], Sequence[Draft[Fact]]]:
        return folded.then(*tell(folded.state, event)), ()

    return handle


HANDLERS: dict[type[Fact], Handler] = {
    TicketOpened: _folds(tickets.opened),
    MessageReceived: _folds(tickets.message_received),
    ReplyRequested: _folds(tickets.reply_requested),
    TicketQueued: _folds(tickets.queued),
    TicketLeftQueue: _folds(tickets.left_queue),
    TicketAssigned: _folds(tickets.assigned),
    TicketReleased: _folds(tickets.moved),
    TicketResolved: _folds(tickets.resolved),
    TicketPended: _folds(tickets.moved),
    TicketPutOnHold: _folds(tickets.moved),
    TicketReopened: _folds(tickets.moved),
    TicketPrioritised: _folds(tickets.moved),
    TicketLabelled: _folds(tickets.labelled),
    TicketClosed: _folds(tickets.moved),
    TicketWithdrawn: _folds(tickets.moved),
    TicketMergedInto: _folds(tickets.moved),
    TicketUnmerged: _folds(tickets.moved),
    TicketAbsorbed: _folds(tickets.absorbed),
    TicketExpelled: _folds(tickets.parted),
    TicketSplit: _folds(tickets.parted),
    SpamMarked: _folds(tickets.moved),
    SpamUnmarked: _folds(tickets.moved),
    TicketOffered: _folds(work.offered),
    OfferAccepted: _folds(work.offer_accepted),
    OfferDeclined: _folds(work.offer_ended),
    OfferExpired: _folds(work.offer_ended),
    OfferFailed: _folds(work.offer_ended),
    OfferRescinded: _folds(work.offer_ended),
    TicketTransferred: _folds(moves.transferred),
    TicketEscalated: _folds(moves.escalated),
    ConsultRequested: _folds(moves.consult_requested),
    ConsultEnded: _folds(moves.consult_ended),
    WrapUpStarted: _folds(moves.wrap_up_started),
    WrapUpCompleted: _folds(moves.wrap_up_completed),
    CallReceived: _folds(work.call_received),
    CallPlaced: _folds(work.call_placed),
    CallAnswered: _folds(work.call_answered),
    CallTransferred: _folds(work.call_transferred),
    CallEnded: _folds(work.call_ended),
    ClockStarted: _folds(promises.clock_going),
    ClockPaused: _folds(promises.clock_going),
    ClockResumed: _folds(promises.clock_going),
    ClockMet: _folds(promises.clock_met),
    ClockCancelled: _folds(promises.clock_cancelled),
    SlaWarned: _folds(promises.warned),
    SlaBreached: _folds(promises.breached),
    SlaBreachRetracted: _folds(promises.breach_retracted),
    SlaBreachCleared: _folds(promises.breach_cleared),
    AgentEnrolled: _folds(agents.enrolled),
    AgentStateChanged: _folds(agents.state_changed),
    AgentLoadChanged: _folds(agents.load_changed),
    QueueConfigured: _folds(agents.named),
    TeamConfigured: _folds(agents.named),
    PartnerConfigured: _folds(agents.named),
    SkillConfigured: _folds(agents.named),
    PolicyConfigured: _folds(agents.named),
    AgentConfigured: _folds(agents.named),
}
