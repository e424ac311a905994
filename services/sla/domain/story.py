"""A ticket's facts as far as promises depend on them, kept in the order in which they happened. Pure.

The log brings the facts of the two writers in the order in which they were sent, which near each other is not always that
in which they happened. Each writer's own order holds; between the two, the facts' time decides. A fact that comes
late takes its place, and the ticket is told again from the beginning: so the standing does not depend on the order of
arrival.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Literal, cast

import msgspec

from services.sla.domain.clocks import Clock
from services.sla.domain.policies import Promise, Terms
from services.sla.domain.standing import Standing
from services.sla.domain.turning import step
from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.call import CallAnswered, CallReceived
from shared.events.codec import decode_data
from shared.events.config import TargetKind
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketAssigned,
    TicketClosed,
    TicketExpelled,
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
    TicketUnmerged,
    TicketWithdrawn,
)
from shared.events.topics import FACT_BY_TYPE
from shared.ticket import awaits_answer

Source = Literal["intake", "routing"]

_NEXT = timedelta(microseconds=1)  # at the same instant intake's facts stand first
_encoder = msgspec.json.Encoder()
_order = attrgetter("order")


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """One fact at its place: `at` is its time, or that of what came before it by its writer's knowledge, if later."""

    at: datetime
    source: Source
    position: Position
    seen: Position
    type: str
    data: msgspec.Raw

    @property
    def order(self) -> tuple[datetime, Source, Position]:
        """Where it stands: by time, intake first at the same time, each writer's facts in its own order."""
        return self.at, self.source, self.position

    def event(self, ticket_id: str, fact: Fact | None = None) -> Event[Fact]:
        """As an event that happened at `at`; `fact` is what `data` holds, where it is at hand."""
        fact = fact or decode_data(bytes(self.data), FACT_BY_TYPE[self.type])
        return Event("", self.type, self.source, self.position, ticket_id, self.at, fact, self.seen)


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was published of a clock beyond its state: the breach at which deadline, which warnings of which target."""

    target: TargetKind
    cycle: int
    breach_at: datetime | None = None
    warned: tuple[tuple[int, int], ...] = ()

    @property
    def place(self) -> tuple[TargetKind, int]:
        """Which clock of its ticket it is about."""
        return self.target, self.cycle


class Story(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ticket's promise, its facts, and how it stands by them."""

    ticket_id: str
    promise: Promise | None = None
    known: bool = False
    moments: tuple[Moment, ...] = ()
    standing: Standing = Standing()
    told: tuple[Told, ...] = ()

    def told_of(self, clock: Clock) -> Told:
        """What was told of this clock, nothing if nothing was."""
        return next((told for told in self.told if told.place == clock.place), Told(*clock.place))

    def hear(self, event: Event[Fact], terms: Terms) -> Story:
        """The story with one more fact; unchanged by a fact that promises do not depend on, or that was heard before."""
        lean = _lean(event.data)
        source = cast(Source, event.writer)
        if lean is None or event.position <= self._reached(source):
            return self
        moment = Moment(
            at=self._instant(event, source),
            source=source,
            position=event.position,
            seen=event.seen,
            type=event.type,
            data=msgspec.Raw(_encoder.encode(lean)),
        )
        place = bisect_left(self.moments, moment.order, key=_order)
        moments = (*self.moments[:place], moment, *self.moments[place:])
        if place == len(self.moments):
            standing = step(self.standing, moment.event(self.ticket_id, lean), terms)
        else:
            standing = retell(self.ticket_id, moments, terms)
        return msgspec.structs.replace(self, known=True, moments=moments, standing=standing)

    def _reached(self, source: Source) -> Position:
        return next((moment.position for moment in reversed(self.moments) if moment.source == source), NOTHING_SEEN)

    def _instant(self, event: Event[Fact], source: Source) -> datetime:
        """Not before its writer's last fact, and after what its writer had seen: clocks of two machines may differ."""
        own = next((m.at for m in reversed(self.moments) if m.source == source), event.time)
        known = next((m.at for m in reversed(self.moments) if m.source != source and m.position <= event.seen), None)
        if known is None:
            return max(event.time, own)
        return max(event.time, own, known if source == "routing" else known + _NEXT)


def retell(ticket_id: str, moments: tuple[Moment, ...], terms: Terms) -> Standing:
    """The standing that these facts come to."""
    standing = Standing()
    for moment in moments:
        standing = step(standing, moment.event(ticket_id), terms)
    return standing


def _lean(fact: Fact) -> Fact | None:
    """The fact without what promises do not depend on (and without personal data); None when they do not at all."""
    if isinstance(fact, MessageReceived) and not awaits_answer(fact):
        return None
    if isinstance(fact, CallAnswered) and fact.agent_id is None:
        return None
    slim = LEAN.get(type(fact))
    return slim(fact) if slim is not None else None


def _opened(fact: TicketOpened) -> TicketOpened:
    return msgspec.structs.replace(fact, personal=None, customer_id="", tags=())


def _message(fact: MessageReceived) -> MessageReceived:
    return MessageReceived(message_id=fact.message_id, customer_id="", channel=fact.channel, inbox="", provider="")


def _call(_fact: CallReceived) -> CallReceived:
    return CallReceived(call_id="", customer_id="", inbox="", provider="", provider_ref="")


def _reply(fact: ReplyRequested) -> ReplyRequested:
    return ReplyRequested(message_id="", agent_id=fact.agent_id, customer_id="", channel=fact.channel, by=fact.by)


def _assigned(fact: TicketAssigned) -> TicketAssigned:
    return msgspec.structs.replace(fact, visit=None, offer_id=None, waited_us=None)


def _whole(fact: Fact) -> Fact:
    return fact


LEAN: dict[type[Fact], Callable[[Any], Fact]] = {
    TicketOpened: _opened,
    MessageReceived: _message,
    CallReceived: _call,
    CallAnswered: _whole,
    ReplyRequested: _reply,
    TicketQueued: _whole,
    TicketAssigned: _assigned,
    TicketReleased: _whole,
    TicketResolved: _whole,
    TicketPended: _whole,
    TicketPutOnHold: _whole,
    TicketReopened: _whole,
    TicketPrioritised: _whole,
    TicketAbsorbed: _whole,
    TicketExpelled: _whole,
    TicketSplit: _whole,
    TicketClosed: _whole,
    TicketMergedInto: _whole,
    TicketUnmerged: _whole,
    TicketWithdrawn: _whole,
    SpamMarked: _whole,
    SpamUnmarked: _whole,
}
