"""Timers on a real PostgreSQL: never early, once, and not before the facts that could disprove them were read."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from services.sla.store.timers import CLAIM_READ, partition_of
from services.sla.timers import GONE_BACK, HELD, Ticker
from shared import db
from shared.events.base import Event, Fact
from shared.events.sla import SlaBreached, SlaWarned
from tests.services.sla.conftest import PARTITIONS, Sla
from tests.unit.sla.desk import message, opened, reply


async def run_until(sla: Sla, ticker: Ticker, said: int, seconds: float = 20) -> list[Event[Fact]]:
    """Let the ticker run until so many facts stand in the outbox."""
    task = asyncio.create_task(ticker.run())
    try:
        async with asyncio.timeout(seconds):
            while True:
                events = await sla.said()
                if len(events) >= said:
                    return events
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def breaches(events: list[Event[Fact]]) -> list[Event[Fact]]:
    return [event for event in events if isinstance(event.data, SlaBreached)]


async def test_a_warning_and_a_breach_come_after_their_instants_and_with_their_times(sla: Sla) -> None:
    await sla.promise(2, warn_at_percent=(50,))
    asked = await sla.now()
    await sla.fold(sla.log.asked("a", asked))
    events = await run_until(sla, sla.ticker(), said=3)
    assert [event.type for event in events] == ["clock.started.v1", "sla.warned.v1", "sla.breached.v1"]
    assert [event.time for event in events[1:]] == [asked + timedelta(seconds=1), asked + timedelta(seconds=2)]
    for event, instant in zip(events[1:], (1, 2), strict=True):
        assert isinstance(event.data, SlaWarned | SlaBreached)
        assert event.data.published_late_us >= sla.settings.sla_grace_ms * 1000, "never early"
        assert not event.data.unconfirmed, instant
    assert await sla.rows("SELECT * FROM sla.timer") == []
    assert await sla.rows("SELECT breached_at FROM sla.clock") == [(asked + timedelta(seconds=2),)]


async def test_nothing_fires_before_its_instant(sla: Sla) -> None:
    await sla.promise(3600)
    await sla.fold(sla.log.asked("a", await sla.now()))
    pause = await sla.ticker().tick()
    assert 0 < pause <= 1
    assert await sla.types() == ["clock.started"]


async def test_a_timer_that_was_set_earlier_than_the_one_slept_for_wakes_the_ticker(sla: Sla) -> None:
    ticker = sla.ticker()
    await ticker.tick()
    ticker.armed(None)
    assert not ticker._wake.is_set()
    ticker.armed(await sla.now() + timedelta(seconds=30))
    assert ticker._wake.is_set()


async def test_what_was_kept_in_time_does_not_fire(sla: Sla) -> None:
    await sla.promise(60)
    asked = await sla.ago(minutes=10)
    await sla.fold([*sla.log.asked("a", asked), *sla.log.say("a", "routing", asked + timedelta(seconds=60), reply())])
    await sla.ticker().tick()
    assert await sla.types() == ["clock.started", "clock.met"]


async def test_two_tickers_at_once_fire_each_timer_once(sla: Sla) -> None:
    await sla.promise(60, warn_at_percent=(80,))
    asked = await sla.ago(hours=1)
    for batch in range(6):
        await sla.fold([event for n in range(50) for event in sla.log.asked(f"t{batch}-{n}", asked)])
    tickers = [sla.ticker(sla_timers_at_once=7) for _ in range(3)]
    while await sla.rows("SELECT 1 FROM sla.timer LIMIT 1"):
        await asyncio.gather(*(ticker.tick() for ticker in tickers))
    events = await sla.said()
    fired = Counter((event.key, event.type) for event in events)
    assert len(breaches(events)) == 300
    assert set(fired.values()) == {1}
    assert len({event.id for event in events}) == len(events)


@pytest.mark.parametrize("seed", range(3))
async def test_a_reply_that_races_with_its_timer_ends_in_agreement_with_the_facts(sla: Sla, seed: int) -> None:
    """Some replies are in time, some late; the timers look while they are being folded, as if the log had been read."""
    await sla.promise(60)
    chooser = random.Random(seed)
    asked = await sla.ago(minutes=5)
    names = [f"t{n}" for n in range(60)]
    await sla.fold([event for name in names for event in sla.log.asked(name, asked)])
    in_time = {name: chooser.random() < 0.5 for name in names}

    async def replies() -> None:
        for name in chooser.sample(names, len(names)):
            when = asked + timedelta(seconds=59 if in_time[name] else 61)
            await sla.fold(sla.log.say(name, "routing", when, reply()))

    async def looks() -> None:
        while await sla.rows("SELECT 1 FROM sla.timer LIMIT 1"):
            await asyncio.gather(*(sla.ticker(sla_timers_at_once=5).tick() for _ in range(2)))

    await asyncio.gather(replies(), looks())
    for name in names:
        types = Counter(await sla.types(name))
        broken = types["sla.breached"] - types["sla.breach_retracted"]
        assert (broken, types["clock.met"]) == ((0, 1) if in_time[name] else (1, 0)), (name, types)
        assert types["sla.breach_cleared"] == broken


async def test_timers_wait_until_the_log_was_read_to_where_it_ended_after_their_instant(sla: Sla) -> None:
    await sla.promise(60)
    await sla.fold(sla.log.asked("a", await sla.ago(minutes=5)))
    partition = partition_of("a", PARTITIONS)
    ticker = sla.ticker({partition: 10})
    await sla.read_to(partition, 9)
    await ticker.tick()
    assert await sla.types() == ["clock.started"]
    await sla.read_to(partition, 10)
    await ticker.tick()
    assert await sla.types() == ["clock.started", "sla.breached"]


async def test_a_log_that_never_stops_growing_does_not_hold_timers_back(sla: Sla) -> None:
    await sla.promise(60)
    await sla.fold(sla.log.asked("a", await sla.ago(minutes=5)))
    partition = partition_of("a", PARTITIONS)
    ends = {partition: 100}
    ticker = sla.ticker(ends)
    for offset in (50, 99, 100):
        await sla.read_to(partition, offset)
        await ticker.tick()
        ends[partition] += 1000
    assert await sla.types() == ["clock.started", "sla.breached"]


async def test_an_old_end_of_the_log_is_no_word_on_a_timer_that_came_due_later(sla: Sla) -> None:
    await sla.promise(2)
    await sla.fold(sla.log.asked("a", await sla.ago(seconds=10)))
    partition = partition_of("a", PARTITIONS)
    later = next(name for name in map(str, range(100)) if partition_of(name, PARTITIONS) == partition)
    ends = {partition: 5}
    ticker = sla.ticker(ends)
    await sla.read_to(partition, 5)
    await ticker.tick()
    await sla.fold(sla.log.asked(later, await sla.ago(seconds=1)))
    ends[partition] = 8
    async with asyncio.timeout(10):
        while not await _overdue(sla, later):  # noqa: ASYNC110 - what is waited for is the database's clock
            await asyncio.sleep(0.05)
    await ticker.tick()
    assert len(breaches(await sla.said())) == 1
    await sla.read_to(partition, 8)
    await ticker.tick()
    assert len(breaches(await sla.said())) == 2


async def _overdue(sla: Sla, ticket_id: str) -> bool:
    grace = timedelta(milliseconds=sla.settings.sla_grace_ms)
    rows = await sla.rows("SELECT due_at FROM sla.timer WHERE ticket_id = :id", id=ticket_id)
    return bool(rows) and rows[0][0] + grace < await sla.now()  # type: ignore[operator]


async def test_a_partition_that_is_behind_does_not_hold_back_the_others(sla: Sla) -> None:
    await sla.promise(60)
    names = [next(str(n) for n in range(100) if partition_of(str(n), PARTITIONS) == partition) for partition in (0, 1)]
    asked = await sla.ago(minutes=5)
    await sla.fold([event for name in names for event in sla.log.asked(name, asked)])
    await sla.ticker({0: 10}).tick()
    assert [event.key for event in breaches(await sla.said())] == [names[1]]


async def test_while_the_broker_is_away_timers_are_held_but_not_for_ever(sla: Sla) -> None:
    await sla.promise(60)
    await sla.fold(sla.log.asked("a", await sla.ago(minutes=5)))
    assert await sla.ticker(away=True).tick() >= 0.1
    assert await sla.types() == ["clock.started"]
    await sla.ticker(away=True, sla_hold_at_most_seconds=120).tick()
    (breach,) = breaches(await sla.said())
    assert isinstance(breach.data, SlaBreached)
    assert breach.data.unconfirmed


async def test_an_unconfirmed_breach_that_the_log_disproves_is_taken_back(sla: Sla) -> None:
    await sla.promise(60)
    asked = await sla.ago(minutes=30)
    await sla.fold(sla.log.asked("a", asked))
    await sla.ticker(away=True).tick()
    await sla.fold(sla.log.say("a", "routing", asked + timedelta(seconds=30), reply()))
    assert await sla.types() == ["clock.started", "sla.breached", "sla.breach_retracted", "clock.met"]
    assert await sla.rows("SELECT breached_at FROM sla.clock") == [(None,)]


async def test_a_ticket_with_a_parked_fact_is_held_as_one_that_was_not_read(sla: Sla) -> None:
    await sla.promise(60)
    asked = await sla.ago(minutes=5)
    failures = await sla.fold([*sla.log.asked("a", asked), *sla.log.say("a", "intake", asked, opened())])
    assert len(failures) == 1
    await sla.ticker().tick()
    assert breaches(await sla.said()) == []
    await sla.ticker(sla_hold_at_most_seconds=120).tick()
    (breach,) = breaches(await sla.said())
    assert isinstance(breach.data, SlaBreached)
    assert breach.data.unconfirmed


async def test_no_timer_fires_while_the_databases_clock_is_behind_where_it_was(sla: Sla) -> None:
    await sla.promise(60)
    await sla.fold(sla.log.asked("a", await sla.ago(minutes=5)))
    await sla.rows("UPDATE sla.high_water SET at = clock_timestamp() + interval '10 minutes'")
    assert await sla.ticker().tick() == 1
    assert await sla.types() == ["clock.started"]
    await sla.rows("UPDATE sla.high_water SET at = clock_timestamp() - interval '10 minutes'")
    await sla.ticker().tick()
    assert await sla.types() == ["clock.started", "sla.breached"]
    (mark,) = await sla.rows("SELECT clock_timestamp() - at < interval '1 minute' FROM sla.high_water")
    assert mark == (True,)


async def test_a_clock_that_goes_back_is_said_also_while_timers_are_held_and_each_once_until_it_is_well_again(sla: Sla) -> None:
    await sla.promise(60)
    await sla.fold(sla.log.asked("a", await sla.ago(minutes=5)))
    ticker = sla.ticker(away=True)
    told: list[list[str]] = []
    for minutes in (-10, 10, -10, 10):
        highest = await sla.ago(minutes=-minutes)
        await sla.rows("UPDATE sla.high_water SET at = :highest", highest=highest)
        with capture_logs() as logs:
            await ticker.tick()
            await ticker.tick()
        told.append([entry["event"] for entry in logs])
    assert told == [[HELD], [GONE_BACK], [], [GONE_BACK]]


async def test_a_ticket_that_cannot_be_told_is_tried_again_later_and_holds_up_no_other(sla: Sla) -> None:
    await sla.promise(60)
    asked = await sla.ago(minutes=5)
    await sla.fold([*sla.log.asked("a", asked), *sla.log.asked("b", asked)])
    await sla.rows(
        "UPDATE sla.ticket SET state = convert_to(replace(convert_from(state, 'UTF8'), :there, :not_there), 'UTF8')"
        " WHERE ticket_id = 'a'",
        there='"policy_id":"standard"',
        not_there='"policy_id":"unheard of"',
    )
    await sla.ticker().tick()
    assert [event.key for event in breaches(await sla.said())] == ["b"]
    ((ticket_id, later),) = await sla.rows("SELECT ticket_id, due_at > clock_timestamp() FROM sla.timer")
    assert (ticket_id, later) == ("a", True)


async def test_a_message_waits_for_its_timer_no_longer_than_for_the_lock_and_both_are_told(sla: Sla) -> None:
    """A ticket that is being folded is passed over by the ticker, and taken the next time."""
    await sla.promise(60)
    await sla.fold(sla.log.asked("a", await sla.ago(minutes=5)))
    async with db.transaction(sla.engine) as conn:
        await conn.execute(sa.text("SELECT 1 FROM sla.ticket WHERE ticket_id = 'a' FOR UPDATE"))
        await sla.ticker().tick()
        assert await sla.types() == ["clock.started"]
    await sla.fold(sla.log.say("a", "intake", await sla.now(), message()))
    assert "sla.breached" in await sla.types()


async def test_looking_for_due_timers_uses_the_index_however_many_there_are(sla: Sla) -> None:
    await sla.rows(
        "INSERT INTO sla.timer SELECT 't' || n, n % 4, now() + n * interval '1 second' FROM generate_series(1, 50000) n"
    )
    await sla.rows("ANALYZE sla.timer")
    now = await sla.now()
    plan = await _plan(sla, CLAIM_READ, now)
    assert "timer_due" in plan
    assert "Seq Scan on timer" not in plan


async def _plan(sla: Sla, statement: str, now: datetime) -> str:
    values: dict[str, object] = {"partitions": [0, 1], "ends": [0, 0], "throughs": [now, now], "each": 250}
    async with db.transaction(sla.engine) as conn:
        rows = await conn.execute(sa.text(f"EXPLAIN {statement}"), values)
        return "\n".join(row[0] for row in rows)
