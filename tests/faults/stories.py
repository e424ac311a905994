"""Stories that are whole, for tests to break, and what is found then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from shared.events.base import derived_id
from shared.events.call import CallEnded
from shared.events.config import TargetKind
from shared.events.sla import ClockFact, ClockMet, ClockStarted, SlaBreached, SlaWarned
from shared.events.ticket import TicketClosed, TicketPended
from shared.events.work import OfferDeclined, OfferExpired
from tests.faults.by_hand import OFFER_SECONDS, Story
from tests.faults.checker import broken
from tests.faults.history import History


def found(history: History) -> set[str]:
    """Which promises are broken."""
    return {line.partition(":")[0] for line in broken(history)}


def held(story: Story, **changes: Any) -> History:
    """The story's history with other tables."""
    history = story.history()
    return replace(history, tables=replace(history.tables, **changes))


def of(ticket_id: str) -> Callable[[Any], bool]:
    """Picks a ticket's row."""
    return lambda row: row.ticket_id == ticket_id


def changed(rows: tuple[Any, ...], which: Callable[[Any], bool], **changes: Any) -> tuple[Any, ...]:
    """The rows, of which one is another."""
    assert any(which(row) for row in rows)
    return tuple(replace(row, **changes) if which(row) else row for row in rows)


ClockFactT = TypeVar("ClockFactT", bound=ClockFact)


def promise(kind: type[ClockFactT], ticket_id: str, target: TargetKind = "first_response", **more: Any) -> ClockFactT:
    """A fact about what is promised on a ticket."""
    name = f"{ticket_id}/{target}/1"
    return kind(
        clock_id=name,
        dedup_key=name,
        target=target,
        cycle=1,
        policy_id="standard",
        policy_version=1,
        channel="email",
        priority=2,
        **more,
    )


def started(ticket_id: str, at: datetime, seconds: int, target: TargetKind = "first_response") -> ClockStarted:
    """Something is promised within so many seconds."""
    deadline = at + timedelta(seconds=seconds)
    return promise(ClockStarted, ticket_id, target, started_at=at, deadline=deadline, target_us=seconds * 1_000_000)


def whole() -> Story:
    """A story of which nothing is broken: a ticket answered, rested, woken, resolved, closed and followed up; one by SMS, offered
    around; one that nobody answers in time; an abandoned call.
    """
    story = Story()
    story.enrols("dana")
    story.enrols("omar")
    opened = story.writes("k1", "one")
    story.confirms("one")
    story.tell("sla", "one", started("one", opened.time, 3600))
    story.takes("one", "dana")
    first = story.replies_to("one", "dana", "It is on its way.")
    story.tell("sla", "one", promise(ClockMet, "one", met_at=story.now, elapsed_us=1, deadline=opened.time + timedelta(hours=1)))
    story.delivers("one", first)
    story.acts("pend", "dana", "one")
    story.tell("routing", "one", TicketPended(agent_id="dana"))
    story.loads("dana", -1)
    woke = story.writes("k2", "one")
    story.loads("dana", +1, cause=woke.id)
    second = story.replies_to("one", "dana", "It comes tomorrow.")
    story.delivers("one", second)
    story.resolves("one", "dana")
    story.tell("intake", "one", TicketClosed(reason="resolved_long_ago"))
    story.writes("k3", "one-again", follow_up_of="one")
    story.confirms("one-again")
    story.queues("one-again")
    _texted(story)
    _left_alone(story)
    story.calls("CA1", "rang")
    story.queues("rang")
    story.tell("intake", "rang", CallEnded(call_id=derived_id("call", "CA1"), outcome="abandoned"))
    story.leaves("rang")
    return story


def _texted(story: Story) -> None:
    """One by SMS: the first agent lets the offer pass, the second declines, then the first takes it."""
    story.writes("k4", "texted", channel="sms")
    story.queues("texted")
    missed = story.offers("texted", "omar")
    story.acts("miss", "omar", "texted", offer_id=missed)
    story.now += timedelta(seconds=OFFER_SECONDS)
    story.tell("routing", "texted", OfferExpired(offer_id=missed, agent_id="omar", queue_id="support"))
    declined = story.offers("texted", "dana")
    story.acts("decline", "dana", "texted", offer_id=declined)
    story.tell("routing", "texted", OfferDeclined(offer_id=declined, agent_id="dana", queue_id="support"))
    story.accepts("texted", "omar", story.offers("texted", "omar"))
    story.delivers("texted", story.replies_to("texted", "omar", "Yes."))
    story.resolves("texted", "omar")


def _left_alone(story: Story) -> None:
    """One that nobody answers: warned of, then broken at its deadline."""
    opened = story.writes("k5", "late")
    story.confirms("late")
    story.tell("sla", "late", started("late", opened.time, 20))
    story.queues("late", "unattended")
    deadline = opened.time + timedelta(seconds=20)
    warning = promise(SlaWarned, "late", at_percent=50, deadline=deadline, remaining_us=10_000_000)
    story.now = opened.time + timedelta(seconds=9.2)
    story.tell("sla", "late", warning, time=opened.time + timedelta(seconds=10))
    story.now = deadline - timedelta(seconds=0.8)
    story.tell("sla", "late", promise(SlaBreached, "late", deadline=deadline, target_us=20_000_000), time=deadline)


def taken(agent_id: str = "dana") -> Story:
    """A whole story, and a ticket `more` that this agent has."""
    story = whole()
    story.writes("k9", "more", channel="sms")
    story.takes("more", agent_id)
    return story
