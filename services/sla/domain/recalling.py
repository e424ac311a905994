"""Promises told again after a backup was restored. Pure.

Clocks are a fold of the tickets' facts, so hearing them again brings about the same facts under the same ids: what stands on
the log already is not said again. What time alone brought about (warnings, breaches) is taken from the log.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from services.sla.domain.clocks import Clock
from services.sla.domain.policies import Terms
from services.sla.domain.story import Story, Told
from services.sla.domain.telling import hear, tell_overdue
from shared.events.base import Draft, Event, Fact, event_id
from shared.events.sla import SlaBreached, SlaBreachRetracted, SlaWarned


def unsaid(said: Collection[str], drafts: Sequence[Draft[Fact]]) -> list[Draft[Fact]]:
    """Those drafts whose events are not on the log, warnings and breaches left out: they are settled at the end."""
    return [
        draft
        for draft in drafts
        if not isinstance(draft.data, SlaWarned | SlaBreached | SlaBreachRetracted)
        and event_id(draft.cause, draft.data.TYPE, draft.key) not in said
    ]


def hear_again(
    story: Story, event: Event[Fact], terms: Terms, now: datetime, said: Collection[str]
) -> tuple[Story, list[Draft[Fact]]]:
    """The story with one more fact, and what of it was not said before. Raises IllegalFact as the ticket does."""
    heard, drafts = hear(story, event, terms, now)
    if heard is story:
        return story, []
    return msgspec.structs.replace(heard, told=story.told), unsaid(said, drafts)


def agree(story: Story, said: Sequence[Event[Fact]], terms: Terms, now: datetime) -> tuple[Story, list[Draft[Fact]]]:
    """The story with what was published of its clocks (`said`, in the order of the log), and what has to be said so that
    that agrees with how they stand.
    """
    known = {told.place: told for told in story.told}
    clocks = {clock.place: clock for clock in story.standing.clocks}
    for event in said:
        fact = event.data
        if not isinstance(fact, SlaWarned | SlaBreached | SlaBreachRetracted):
            continue
        place = (fact.target, fact.cycle)
        known[place] = _noted(known.get(place) or Told(*place), clocks.get(place), fact)
    return tell_overdue(msgspec.structs.replace(story, told=tuple(known.values())), terms, now)


def _noted(told: Told, clock: Clock | None, fact: SlaWarned | SlaBreached | SlaBreachRetracted) -> Told:
    if isinstance(fact, SlaBreached):
        return msgspec.structs.replace(told, breach_at=fact.deadline)
    if isinstance(fact, SlaBreachRetracted):
        return msgspec.structs.replace(told, breach_at=None)
    if clock is None or fact.remaining_us != clock.target_us - clock.target_us * fact.at_percent // 100:
        return told  # a warning of another target than the clock has by now
    mark = (fact.at_percent, clock.target_us)
    return told if mark in told.warned else msgspec.structs.replace(told, warned=(*told.warned, mark))
