"""How the clocks of a ticket follow its facts, in the order in which they happened. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from services.sla.domain import clocks
from services.sla.domain.clocks import PAUSES, Begun, Clock, Counting, Stopped
from services.sla.domain.policies import Terms, seconds_at
from services.sla.domain.standing import Standing, heard
from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.config import SlaTarget
from shared.events.ticket import TicketAssigned, TicketExpelled, TicketQueued, TicketReleased, TicketResolved, TicketSplit
from shared.ticket import Ticket, apply

# They say whose ticket it is. No clock depends on that, and what clocks do depend on was settled by the facts before.
CLOCKS_GO_ON: frozenset[type[Fact]] = frozenset({TicketQueued, TicketAssigned, TicketReleased})
KEPT_CYCLES = 4  # of each kind; older ones are over, and no fact that is still under way can touch them


class Wanted(msgspec.Struct, frozen=True):
    """What the facts ask of a kind of clock."""

    state: Literal["none", "running", "paused", "fulfilled", "cancelled"]
    why: Stopped | None = None


NONE, RUNNING, FULFILLED = Wanted("none"), Wanted("running"), Wanted("fulfilled")


def step(before: Standing, event: Event[Fact], terms: Terms) -> Standing:
    """The standing after `event`, which happened at its time and after all before. Raises IllegalFact as the ticket does.
    `clocks` is the same object where none of them changed.
    """
    after = heard(before, apply(before.ticket, event), _elapsed(before, event.time), event)
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
