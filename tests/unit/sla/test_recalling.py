"""Promises told again after a restore: what stands on the log is not said again, what is missing is."""

from __future__ import annotations

import msgspec

from services.sla.domain.recalling import agree, hear_again
from services.sla.domain.story import Story
from services.sla.domain.telling import next_due
from shared.events.base import Draft, Event, Fact, Position, event_id
from shared.events.ticket import TicketResolved
from tests.unit.sla.desk import Desk, at, event, in_short, message, opened, policy, reply, target

PROMISE = policy(target("first_response", 30, warn_at_percent=(50,)), target("resolution", 60))


def on_the_log(drafts: list[Draft[Fact]]) -> list[Event[Fact]]:
    """What was said, as it stands there."""
    return [
        Event(
            event_id(draft.cause, draft.data.TYPE, draft.key), draft.data.TYPE, "sla", Position(1, n), draft.key,
            draft.time or at("09:00"), draft.data,
        )
        for n, draft in enumerate(drafts, 1)
    ]  # fmt: skip


def told_again(desk: Desk, events: list[Event[Fact]], said: list[Event[Fact]], now: str) -> tuple[Story, list[str]]:
    """An empty story that hears these facts again and agrees with what was said; and what it says itself."""
    story, mine = Story("t1", promise=desk.terms.promise), []
    ids = {one.id for one in said}
    for one in events:
        story, drafts = hear_again(story, one, desk.terms, at(now), ids)
        mine += drafts
    story, drafts = agree(story, said, desk.terms, at(now))
    return story, [in_short(draft) for draft in [*mine, *drafts]]


def house() -> tuple[Desk, list[Event[Fact]]]:
    """A ticket that was opened, never answered in time, and answered late."""
    desk = Desk(PROMISE)
    events = [
        event("intake", 1, opened(), at("09:00"), 0),
        event("intake", 2, message(), at("09:00"), 0),
        event("routing", 1, reply(), at("09:40"), 2),
    ]
    for one in events[:2]:
        desk.take(one)
    desk.ring("09:15").ring("09:31")
    desk.take(events[2])
    return desk, events


def test_what_is_on_the_log_is_not_said_again_and_the_story_is_the_same() -> None:
    desk, events = house()
    story, said = told_again(desk, events, on_the_log(desk.said), "10:00")
    assert said == []
    assert story == msgspec.structs.replace(desk.story, promise=desk.terms.promise)
    assert next_due(story) == next_due(desk.story)


def test_what_did_not_reach_the_log_is_said() -> None:
    desk, events = house()
    said = on_the_log(desk.said)
    everything = desk.told()
    for missing in range(len(said)):
        _, mine = told_again(desk, events, said[:missing] + said[missing + 1 :], "10:00")
        told = everything[missing]
        assert mine == ([told] if not told.startswith("warned") else []), "a warning that came to nothing is not made up for"


def test_a_breach_that_only_the_timers_had_said_is_not_said_again() -> None:
    desk = Desk(PROMISE)
    events = [event("intake", 1, opened(), at("09:00"), 0), event("intake", 2, message(), at("09:00"), 0)]
    for one in events:
        desk.take(one)
    desk.ring("09:15").ring("09:31")
    story, said = told_again(desk, events, on_the_log(desk.said), "09:32")
    assert (said, next_due(story)) == ([], at("10:00")), "the resolution's deadline comes next"


def test_a_breach_that_the_facts_disprove_is_taken_back() -> None:
    desk = Desk(PROMISE)
    events = [event("intake", 1, opened(), at("09:00"), 0), event("intake", 2, message(), at("09:00"), 0)]
    for one in events:
        desk.take(one)
    desk.ring("09:31")
    late = [*events, event("routing", 1, TicketResolved(agent_id="dana"), at("09:20"), 2)]
    _, said = told_again(desk, late, on_the_log(desk.said), "09:32")
    assert "breach_retracted first_response.1 09:30" in said
