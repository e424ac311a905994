"""Facts of tickets folded into promises, on a real PostgreSQL."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from shared.conditions import All, Condition, Test
from shared.events.base import Event, Fact
from shared.events.config import CalendarConfigured, PolicyConfigured, SlaTarget
from shared.events.ticket import TicketPended, TicketReopened, TicketResolved
from tests.services.sla.conftest import Sla
from tests.unit.sla.desk import LONG_AGO, MONDAY, OFFICE, message, opened, policy, reply, target


async def test_a_ticket_gets_its_clock_its_timer_and_its_facts(sla: Sla) -> None:
    await sla.promise(3600)
    asked = await sla.now()
    await sla.fold(sla.log.asked("a", asked))
    assert await sla.types() == ["clock.started"]
    assert await sla.rows("SELECT ticket_id, due_at FROM sla.timer") == [("a", asked + timedelta(hours=1))]
    assert await sla.rows("SELECT state, target, cycle FROM sla.clock") == [("running", "first_response", 1)]
    await sla.fold(sla.log.say("a", "routing", asked + timedelta(minutes=1), reply()))
    assert await sla.types() == ["clock.started", "clock.met"]
    assert await sla.rows("SELECT * FROM sla.timer") == []
    assert await sla.rows("SELECT state FROM sla.clock") == [("fulfilled",)]


async def test_facts_that_come_twice_say_nothing_twice(sla: Sla) -> None:
    await sla.promise(3600)
    asked = await sla.now()
    events = [*sla.log.asked("a", asked), *sla.log.say("a", "routing", asked, reply())]
    await sla.fold(events)
    once = await sla.said()
    await sla.fold([*events, *events])
    assert await sla.said() == once


async def test_a_ticket_that_no_policy_takes_is_promised_nothing(sla: Sla) -> None:
    asked = await sla.now()
    await sla.fold([*sla.log.asked("a", asked), *sla.log.say("a", "routing", asked, reply())])
    await sla.promise(3600)
    await sla.fold(sla.log.say("a", "intake", asked, message()))
    assert await sla.said() == []
    assert await sla.rows("SELECT * FROM sla.clock") == []
    assert await sla.rows("SELECT ticket_id FROM sla.ticket") == [("a",)]


async def test_a_ticket_keeps_the_promise_and_the_calendar_that_it_was_opened_under(sla: Sla) -> None:
    changed = MONDAY + timedelta(hours=10)
    shorter = CalendarConfigured(id="office", version=2, effective_from=changed, zone="UTC", weekly=OFFICE.weekly[:2] + ((),) * 5)
    stricter = PolicyConfigured(
        id="standard",
        version=2,
        effective_from=changed,
        name="Standard",
        position=1,
        targets=(target("resolution", 60),),
        calendar_id="office",
    )
    await sla.define(OFFICE, policy(target("resolution", 24 * 60), calendar_id="office"), shorter, stricter)
    await sla.fold(sla.log.asked("before", MONDAY + timedelta(hours=9)))
    await sla.fold(sla.log.asked("after", MONDAY + timedelta(hours=11)))
    rows = await sla.rows("SELECT ticket_id, deadline, target_us / 60000000 FROM sla.clock ORDER BY deadline DESC")
    assert rows == [
        ("before", MONDAY + timedelta(days=2, hours=17), 24 * 60),
        ("after", MONDAY + timedelta(hours=12), 60),
    ]


async def test_the_first_policy_by_position_that_takes_a_ticket_applies(sla: Sla) -> None:
    def named(name: str, position: int, minutes: int, when: Condition = All(), since: datetime = LONG_AGO) -> PolicyConfigured:  # noqa: B008
        targets = (target("first_response", minutes),)
        return PolicyConfigured(
            id=name, version=1, effective_from=since, name=name, position=position, targets=targets, when=when
        )

    await sla.define(
        named("everything", 100, 480),
        named("calls", 1, 5, when=Test(field="channel", op="equals", value="phone")),
        named("urgent", 2, 15, when=Test(field="priority", op="at_least", value=3)),
        named("not-yet", 0, 1, since=MONDAY + timedelta(days=1)),
    )
    await sla.fold(sla.log.say("mail", "intake", MONDAY, opened(), message()))
    await sla.fold(sla.log.say("urgent mail", "intake", MONDAY, opened(priority=3), message()))
    await sla.fold(sla.log.say("urgent call", "intake", MONDAY, opened(priority=4, channel="phone"), message()))
    rows = await sla.rows("SELECT ticket_id, policy_id FROM sla.clock ORDER BY ticket_id")
    assert rows == [("mail", "everything"), ("urgent call", "calls"), ("urgent mail", "urgent")]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_batching_and_any_mixture_of_tickets_comes_to_the_same_state(sla: Sla, seed: int) -> None:
    await sla.define(policy(target("first_response", 30), target("next_response", 20), target("resolution", 120)))
    streams = [_a_story(sla, f"t{n}") for n in range(12)]
    chooser = random.Random(seed)
    mixed: list[Event[Fact]] = []
    while any(streams):
        mixed.append(chooser.choice([stream for stream in streams if stream]).pop(0))
    while mixed:
        size = chooser.randint(1, 9)
        await sla.fold(mixed[:size])
        del mixed[:size]
    state = await sla.state()
    assert len(state["ticket"]) == 12
    first = [{**row[1], "ticket_id": "", "told": ""} for row in state["ticket"]]  # type: ignore[dict-item]
    assert all(story == first[0] for story in first), "the same story under each id"


def _a_story(sla: Sla, ticket_id: str) -> list[Event[Fact]]:
    return [
        *sla.log.asked(ticket_id, MONDAY),
        *sla.log.say(ticket_id, "routing", MONDAY + timedelta(minutes=10), reply(), TicketPended()),
        *sla.log.say(ticket_id, "intake", MONDAY + timedelta(minutes=50), message()),
        *sla.log.say(ticket_id, "routing", MONDAY + timedelta(minutes=80), reply()),
        *sla.log.say(ticket_id, "routing", MONDAY + timedelta(minutes=90), TicketResolved()),
        *sla.log.say(ticket_id, "intake", MONDAY + timedelta(minutes=95), message()),
    ]


async def test_a_clock_that_a_late_fact_shows_never_began_is_gone(sla: Sla) -> None:
    restart = SlaTarget(kind="resolution", seconds={"2": 3600}, on_reopen="restart", warn_at_percent=())
    await sla.define(policy(restart))
    await sla.fold(sla.log.asked("a", MONDAY))
    seen_before = sla.log.positions["a", "intake"]
    crossing = sla.log.say("a", "intake", MONDAY + timedelta(minutes=9), message())
    sla.log.positions["a", "intake"] = seen_before
    await sla.fold(sla.log.say("a", "routing", MONDAY + timedelta(minutes=10), TicketResolved()))
    await sla.fold(sla.log.say("a", "routing", MONDAY + timedelta(minutes=20), TicketReopened()))
    assert await sla.rows("SELECT cycle, state FROM sla.clock ORDER BY cycle") == [(1, "fulfilled"), (2, "running")]
    await sla.fold(crossing)
    assert await sla.rows("SELECT cycle, state FROM sla.clock ORDER BY cycle") == [(1, "running")]
    assert (await sla.types())[-2:] == ["clock.resumed", "clock.cancelled"]


async def test_a_fact_before_the_opening_is_parked_and_other_tickets_go_on(sla: Sla) -> None:
    await sla.promise(3600)
    asked = await sla.now()
    twice = [*sla.log.asked("a", asked), *sla.log.say("a", "intake", asked, opened())]
    failures = await sla.fold([*twice, *sla.log.asked("b", asked)])
    assert [(failure.record.key, failure.reason) for failure in failures] == [("a", "failed")]
    assert await sla.types("b") == ["clock.started"]
