"""How a ticket stands with its promises: a fold of its facts in the order in which they happened. Pure.

Status comes from `shared.ticket`, so that a decision which had not seen the customer's last message stops no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from services.sla.domain import clocks
from services.sla.domain.clocks import PAUSES, Begun, Clock, Counting, Dimensions, Stopped
from services.sla.domain.policies import Terms, seconds_at
from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.call import CallAnswered
from shared.events.config import SlaTarget, TargetKind
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.ticket import (
    TicketAbsorbed,
    TicketAssigned,
    TicketExpelled,
    TicketOpened,
    TicketQueued,
    TicketReleased,
    TicketResolved,
    TicketSplit,
)
from shared.ticket import Ticket, Waiting, apply, awaits_answer

# They say whose ticket it is. No clock depends on that, and what clocks do depend on was settled by the facts before.
CLOCKS_GO_ON: frozenset[type[Fact]] = frozenset({TicketQueued, TicketAssigned, TicketReleased})
KEPT_CYCLES = 4  # of each kind; older ones are over, and no fact that is still under way can touch them


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ticket and its clocks. `asked` is the first question, `responded` whether an agent answered it since.

    `unanswered` are the customer's messages that neither an agent's reply nor talk nor a resolution covers.
    """

    ticket: Ticket = Ticket()
    whose: Dimensions = Dimensions()
    asked: Waiting | None = None
    responded: bool = False
    unanswered: tuple[Waiting, ...] = ()
    clocks: tuple[Clock, ...] = ()

    def last(self, kind: TargetKind) -> Clock | None:
        """The latest clock of a kind."""
        for clock in reversed(self.clocks):
            if clock.target == kind:
                return clock
        return None


class Wanted(msgspec.Struct, frozen=True):
    """What the facts ask of a kind of clock."""

    state: Literal["none", "running", "paused", "fulfilled", "cancelled"]
    why: Stopped | None = None


NONE, RUNNING, FULFILLED = Wanted("none"), Wanted("running"), Wanted("fulfilled")


def step(before: Standing, event: Event[Fact], terms: Terms) -> Standing:
    """The standing after `event`, which happened at its time and after all before. Raises IllegalFact as the ticket does.
    `clocks` is the same object where none of them changed.
    """
    after = _hear(before, apply(before.ticket, event), _elapsed(before, event.time), event)
    if type(event.data) in CLOCKS_GO_ON:
        return after
    for target, counting in terms.counted:
        after = _Turn(target, counting, before, after, event).taken()
    return after


def _elapsed(standing: Standing, until: datetime) -> tuple[Clock, ...]:
    for clock in standing.clocks:
        if clocks.elapse(clock, until, standing.whose) is not clock:
            return tuple(clocks.elapse(one, until, standing.whose) for one in standing.clocks)
    return standing.clocks


def _hear(standing: Standing, ticket: Ticket, elapsed: tuple[Clock, ...], event: Event[Fact]) -> Standing:
    """What was asked and answered, and whose ticket it is."""
    fact, asked, unanswered = event.data, standing.asked, standing.unanswered
    responded = standing.responded
    if awaits_answer(fact):
        waiting = Waiting(event.position, event.time, fact.message_id if isinstance(fact, MessageReceived) else "")
        asked, unanswered = asked or waiting, (*unanswered, waiting)
    elif isinstance(fact, TicketOpened) and fact.unanswered_since is not None:
        asked = Waiting(event.position, fact.unanswered_since)  # it came with messages of another ticket
        unanswered = (asked,)
    elif isinstance(fact, TicketAbsorbed):
        responded = responded or _was_answered(asked, fact)
        asked = _older(asked, fact, event) if not responded else asked
        unanswered = tuple(waiting for waiting in unanswered if waiting.of != fact.ticket_id)
        if fact.unanswered_since is not None:
            unanswered = (*unanswered, Waiting(event.position, fact.unanswered_since, fact.ticket_id))
    elif isinstance(fact, TicketSplit | TicketExpelled):
        gone = fact.message_ids if isinstance(fact, TicketSplit) else (fact.ticket_id,)
        unanswered = tuple(waiting for waiting in unanswered if waiting.of not in gone)
        asked = _left(asked, unanswered, gone) if not responded else asked
    elif (covered := _covered(fact, event)) is not None:
        unanswered = tuple(waiting for waiting in unanswered if waiting.position > covered)
        answered = asked is not None and asked.position <= covered
        responded = responded or (answered and not isinstance(fact, TicketResolved))
    return Standing(ticket, _whose(standing.whose, ticket, fact), asked, responded, unanswered, elapsed)


def _older(asked: Waiting | None, fact: TicketAbsorbed, event: Event[Fact]) -> Waiting | None:
    """The first question, when a ticket comes in whose customer asked and was never answered: the older of the two."""
    if fact.unanswered_since is None or fact.first_responded_at is not None:
        return asked
    if asked is None:
        return Waiting(event.position, fact.unanswered_since, fact.ticket_id)
    return msgspec.structs.replace(asked, at=min(asked.at, fact.unanswered_since))


def _left(asked: Waiting | None, unanswered: tuple[Waiting, ...], gone: tuple[str, ...]) -> Waiting | None:
    """The first question, when it may have gone to another ticket: the next one then, which keeps what was promised by then."""
    if asked is None or asked.of not in gone:
        return asked
    return msgspec.structs.replace(unanswered[0], at=asked.at) if unanswered else None


def _was_answered(asked: Waiting | None, fact: TicketAbsorbed) -> bool:
    """Whether the first question came with that ticket, and was answered there by a reply that had crossed the merge."""
    return asked is not None and asked.of == fact.ticket_id and fact.first_responded_at is not None


def _covered(fact: Fact, event: Event[Fact]) -> Position | None:
    """How far this fact answers the customer: an agent's reply or talk, or a resolution. Bots and rules answer nobody."""
    if isinstance(fact, CallAnswered) and fact.agent_id is not None:
        return event.position
    if isinstance(fact, TicketResolved) or (isinstance(fact, ReplyRequested) and fact.by == "agent"):
        return event.seen
    return None


def _whose(whose: Dimensions, ticket: Ticket, fact: Fact) -> Dimensions:
    match fact:
        case TicketOpened():
            return msgspec.structs.replace(
                whose,
                channel=fact.channel,
                priority=fact.priority,
                partner_id=fact.partner_id,
                customer_tier=fact.customer_tier,
            )
        case TicketQueued():
            return msgspec.structs.replace(
                whose, queue_id=fact.queue_id, agent_id=None, partner_id=fact.partner_id or whose.partner_id
            )
        case TicketAssigned():
            return msgspec.structs.replace(
                whose,
                agent_id=fact.agent_id,
                team_id=fact.team_id,
                queue_id=fact.queue_id or whose.queue_id,
                partner_id=fact.partner_id or whose.partner_id,
            )
        case TicketReleased():
            return msgspec.structs.replace(whose, agent_id=None)
        case _:
            priority = ticket.priority
            return whose if priority == whose.priority else msgspec.structs.replace(whose, priority=priority)


@dataclass(slots=True)
class _Turn:
    """One kind of clock taken from before an event to after it."""

    target: SlaTarget
    counting: Counting
    before: Standing
    after: Standing
    event: Event[Fact]

    def taken(self) -> Standing:
        """The standing with the clocks of this kind as the event leaves them."""
        wanted = self._wanted()
        current = self.after.last(self.target.kind)
        standing = self.after
        if current is not None:
            changed = self._changed(current, wanted)
            if changed is not current:
                standing = _with(standing, changed)
            current = changed
        if wanted.state in ("running", "paused"):
            begun = self._begun(current)
            if begun is not None:
                standing = _with(standing, begun if wanted.state == "running" else self._pause(begun, wanted))
        return standing

    @property
    def at(self) -> datetime:
        return self.event.time

    @property
    def seconds(self) -> int | None:
        return seconds_at(self.target, self.after.ticket.priority)

    def _wanted(self) -> Wanted:
        ticket, kind = self.after.ticket, self.target.kind
        if not ticket.exists or (kind == "first_response" and self.after.asked is None):
            return NONE
        if kind == "first_response" and self.after.responded:
            return FULFILLED
        gone = _gone(ticket)
        if gone is not None:
            return Wanted("cancelled", gone)
        if ticket.status == "resolved" and kind == "resolution":
            return FULFILLED
        if kind == "next_response" and not (self.after.responded and self.after.unanswered):
            return NONE
        pausing = PAUSES.get(ticket.status)
        if ticket.status == "resolved" or ticket.status in self.target.pause_on:
            return Wanted("paused", pausing)
        return RUNNING

    def _changed(self, clock: Clock, wanted: Wanted) -> Clock:
        """The present clock, taken to what is wanted."""
        if not clock.live:
            return self._revived(clock, wanted)
        if wanted is NONE and self.target.kind == "first_response":
            return clocks.cancel(clock, self.counting, self.at, "answered_elsewhere")
        if self.target.kind == "next_response" and self._is_answered(clock):
            if isinstance(self.event.data, TicketResolved | TicketSplit | TicketExpelled):
                return clocks.cancel(clock, self.counting, self.at, "answered_elsewhere")
            return clocks.fulfil(clock, self.counting, self.at)
        if wanted.state == "cancelled":
            return clocks.cancel(clock, self.counting, self.at, wanted.why or "closed")
        if wanted.state == "fulfilled":
            return clocks.fulfil(clock, self.counting, self.at)
        return self._kept_live(clock, wanted)

    def _kept_live(self, clock: Clock, wanted: Wanted) -> Clock:
        if self.seconds is None:
            return clocks.cancel(clock, self.counting, self.at, "retargeted")
        if self.seconds * 1_000_000 != clock.target_us:
            clock = clocks.retarget(clock, self.counting, self.at, self.seconds)
        asked, before = self.after.asked, self.before.asked
        if self.target.kind == "first_response" and asked and before and asked.at < before.at:
            clock = clocks.bring_forward(clock, self.counting, self.at, self.counting.used(asked.at, before.at))
        if wanted.state == "paused":
            return self._pause(clock, wanted)
        if clock.state == "paused":
            if clock.stopped == "resolved" and self.target.on_reopen == "restart":
                return clocks.cancel(clock, self.counting, self.at, "answered_elsewhere")
            return clocks.resume(clock, self.counting, self.at)
        return clock

    def _pause(self, clock: Clock, wanted: Wanted) -> Clock:
        if clock.state == "paused" and clock.stopped == wanted.why:
            return clock
        return clocks.pause(clock, self.counting, self.at, wanted.why or "pending")

    def _is_answered(self, clock: Clock) -> bool:
        return all(waiting.position != clock.asked for waiting in self.after.unanswered)

    def _revived(self, clock: Clock, wanted: Wanted) -> Clock:
        """A resolution that was kept runs on when the ticket is opened again, where the policy says so.

        One that was broken does not: the promise of that cycle was broken once, and that was said.
        """
        kept = clock.state == "fulfilled" and clock.breach is None
        again = self.target.kind == "resolution" and self.target.on_reopen == "resume" and self.seconds is not None
        if not (kept and again and wanted.state in ("running", "paused")):
            return clock
        resumed = clocks.resume(clock, self.counting, self.at)
        return resumed if wanted.state == "running" else self._pause(resumed, wanted)

    def _begun(self, last: Clock | None) -> Clock | None:
        """A new clock of this kind, where one has to begin."""
        seconds = self.seconds
        if seconds is None or (last is not None and last.live):
            return None
        begin = self._beginning(last)
        if begin is None:
            return None
        at, why, asked = begin
        cycle = 1 if last is None else last.cycle + 1
        started = clocks.start(self.counting, self.target.kind, cycle, seconds, at, why, asked)
        return clocks.elapse(started, self.at, self.after.whose)

    def _beginning(self, last: Clock | None) -> tuple[datetime, Begun, Position] | None:
        standing, kind = self.after, self.target.kind
        if kind == "next_response":
            waiting = standing.unanswered[0]
            again = last is not None and last.asked == waiting.position
            return (self.at if again else waiting.at), ("reopened" if again else "message"), waiting.position
        if last is None:
            return *self._first_beginning(), NOTHING_SEEN
        if last.stopped == "retargeted":
            return self.at, "retargeted", NOTHING_SEEN
        if last.state == "fulfilled" and (kind == "first_response" or self.target.on_reopen == "resume"):
            return None
        return self.at, "reopened", NOTHING_SEEN

    def _first_beginning(self) -> tuple[datetime, Begun]:
        """The opening or the first question; or now, when until now nothing was promised at the ticket's priority."""
        ticket, asked = self.after.ticket, self.after.asked
        if self.before.ticket.exists and self.before.ticket.priority != ticket.priority:
            return self.at, "retargeted"
        if self.target.kind == "first_response" and asked is not None:
            return asked.at, "opened"
        return ticket.intake.opened_at or self.at, "opened"


def _gone(ticket: Ticket) -> Stopped | None:
    """Why nobody works on the ticket any longer."""
    if ticket.spam:
        return "spam"
    if ticket.intake.merged_into is not None:
        return "merged"
    if ticket.intake.withdrawn:
        return "withdrawn"
    return "closed" if ticket.intake.closed else None


def _with(standing: Standing, clock: Clock) -> Standing:
    """The standing with this clock in the place of itself before, or as the newest; the oldest cycles of its kind drop out."""
    kind, cycle = clock.target, clock.cycle
    if any(c.cycle == cycle and c.target == kind for c in standing.clocks):
        kept = tuple(clock if c.cycle == cycle and c.target == kind else c for c in standing.clocks)
        return msgspec.structs.replace(standing, clocks=kept)
    recent = [c for c in standing.clocks if c.target != kind or c.cycle > cycle - KEPT_CYCLES]
    return msgspec.structs.replace(standing, clocks=(*recent, clock))
