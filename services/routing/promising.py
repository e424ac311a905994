"""What a fact of sla changes in what is shown of a ticket's promises: event → handler. Pure; the tables stand at the foot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.routing.domain.promises import Promise, heard_breach, heard_clock, heard_warning
from shared.events import sla
from shared.events.base import Draft, Event, Fact
from shared.folding import Handler

Promises = Mapping[str, Promise]


def _promise(hears: Callable[[Promise, Any], Promise]) -> Handler[None, Promises]:
    def handle(_context: None, known: Promises, event: Event[Any], _now: datetime) -> tuple[Promises, Sequence[Draft[Fact]]]:
        fact = event.data
        promise = known.get(fact.clock_id) or Promise(
            clock_id=fact.clock_id, target=fact.target, cycle=fact.cycle, policy_id=fact.policy_id
        )
        return {**known, fact.clock_id: hears(promise, fact)}, ()

    return handle


CLOCK_HANDLERS: dict[type[Fact], Handler[None, Promises]] = {
    sla.ClockStarted: _promise(heard_clock),
    sla.ClockPaused: _promise(heard_clock),
    sla.ClockResumed: _promise(heard_clock),
    sla.ClockMet: _promise(heard_clock),
    sla.ClockCancelled: _promise(heard_clock),
}
WARNING_HANDLERS: dict[type[Fact], Handler[None, Promises]] = {sla.SlaWarned: _promise(heard_warning)}
BREACH_HANDLERS: dict[type[Fact], Handler[None, Promises]] = {
    sla.SlaBreached: _promise(heard_breach),
    sla.SlaBreachRetracted: _promise(heard_breach),
    sla.SlaBreachCleared: _promise(heard_breach),
}
