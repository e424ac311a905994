"""The consume transaction on a real PostgreSQL: repeats, gaps, parking, replay, discard, the fence."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared import db
from shared.events.base import Event, Fact, Position
from shared.events.codec import encode
from shared.offsets import Offsets, Place
from shared.records import Failure, Record, key_text
from tests.services.shared.conftest import Plumbing, SeenProjection, opened, received


def as_records(events: Sequence[Event[Fact]], start: int = 0) -> list[Record]:
    return [Record("tickets", 0, start + n, event.key, encode(event)) for n, event in enumerate(events)]


async def fold(plumbing: Plumbing, records: Sequence[Record], version: str = "test") -> list[Failure]:
    async with db.transaction(plumbing.engine) as conn:
        return await plumbing.folder("routing", version).fold(conn, SeenProjection(), records)


async def work_off(plumbing: Plumbing, version: str = "test") -> None:
    folder = plumbing.folder("routing", version)
    async with db.transaction(plumbing.engine) as conn:
        await Offsets("routing").load(conn, [Place("tickets", 0)])
    await folder.parking.work_off(plumbing.engine, folder, [SeenProjection()], {("tickets", 0)})


async def test_events_are_applied_once_however_often_they_come(plumbing: Plumbing) -> None:
    events = await plumbing.publish("intake", opened("a"), received("a", 1), received("a", 2))
    await fold(plumbing, as_records(events))
    await fold(plumbing, as_records(events, start=3))
    assert await plumbing.seen("a") == tuple(event.id for event in events)


async def test_a_poison_record_parks_its_key_and_no_other(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1, "poison"), received("a", 2))
    b = await plumbing.publish("intake", opened("b"), received("b", 1))
    failures = await fold(plumbing, as_records([*a, *b]))
    assert [(f.record.key, f.reason) for f in failures] == [("a", "failed"), ("a", "behind")]
    assert await plumbing.seen("a") == (a[0].id,)
    assert await plumbing.seen("b") == (b[0].id, b[1].id)
    announced = await plumbing.rows("SELECT key FROM routing.outbox WHERE topic = 'parked'")
    assert announced == [("tickets-0",)]


async def test_later_records_of_a_parked_key_wait_behind_it(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1, "poison"), received("a", 2))
    await fold(plumbing, as_records(a[:2]))
    assert [f.reason for f in await fold(plumbing, as_records(a[2:], start=2))] == ["behind"]
    assert await plumbing.seen("a") == (a[0].id,)


async def test_bytes_that_are_no_event_are_parked_and_the_rest_goes_on(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"))
    poison = Record("tickets", 0, 0, key_text(b"x\x00\xffy"), b"\xff\x00{")
    unknown = Record("tickets", 0, 1, "z", encode(a[0]).replace(b"ticket.opened.v1", b"ticket.opened.v9"))
    failures = await fold(plumbing, [poison, unknown, *as_records(a, start=2)])
    assert [f.reason for f in failures] == ["undecodable", "unknown_type"]
    assert await plumbing.seen("a") == (a[0].id,)


@pytest.mark.parametrize(
    ("topic", "key", "was", "instead", "error"),
    [
        ("tickets", "b", b"", b"", "the record's key is not the event's subject"),
        ("sla-clocks", "a", b"", b"", "ticket.opened.v1 belongs on tickets"),
        ("tickets", "a", b"/intake/1", b"/sla/1", "ticket.opened.v1 is not for sla to say"),
        ("tickets", "a", b',"seq":1', b"", "it has no seq"),
    ],
)
async def test_what_is_said_in_the_wrong_place_or_by_the_wrong_service_is_parked(
    plumbing: Plumbing, topic: str, key: str, was: bytes, instead: bytes, error: str
) -> None:
    [event] = await plumbing.publish("intake", opened("a"))
    raw = encode(event)
    assert was in raw
    [failure] = await fold(plumbing, [Record(topic, 0, 0, key, raw.replace(was, instead))])
    assert (failure.reason, failure.error) == ("undecodable", error)
    assert await plumbing.seen("a") == ()


async def test_discarding_what_is_not_for_its_writer_to_say_leaves_the_place_to_what_is(plumbing: Plumbing) -> None:
    told = await plumbing.publish("intake", opened("a"), received("a", 1))
    forged = replace(told[1], writer="sla", position=Position(1, 1))
    await fold(plumbing, [Record("tickets", 0, 0, "a", encode(forged)), *as_records(told, start=1)])
    async with db.transaction(plumbing.engine) as conn:
        assert await plumbing.folder("routing").parking.ask(conn, "discard", "tickets", "a") == 1
    await work_off(plumbing)
    assert await plumbing.seen("a") == tuple(event.id for event in told)
    assert await plumbing.rows("SELECT writer FROM routing.key_position WHERE topic = 'tickets'") == [("intake",)]


async def test_a_discarded_record_lets_the_rest_of_its_key_go_on(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1, "poison"), received("a", 2))
    await fold(plumbing, as_records(a))
    async with db.transaction(plumbing.engine) as conn:
        assert await plumbing.folder("routing").parking.ask(conn, "discard", "tickets", "a") == 1
    await work_off(plumbing)
    assert await plumbing.seen("a") == (a[0].id, a[2].id)
    assert await plumbing.rows("SELECT count(*) FROM routing.parked") == [(0,)]


async def test_a_replay_that_fails_again_stays_parked_with_its_attempts_counted(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1, "poison"))
    await fold(plumbing, as_records(a))
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.folder("routing").parking.ask(conn, "replay", "tickets", "a")
    await work_off(plumbing)
    await work_off(plumbing)
    assert await plumbing.rows("SELECT attempts, requested FROM routing.parked") == [(2, None)]


async def test_other_code_tries_parked_keys_again(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1, "poison"))
    await fold(plumbing, as_records(a))
    await work_off(plumbing, version="newer")
    assert await plumbing.rows("SELECT attempts, code_version FROM routing.parked") == [(2, "newer")]


async def test_a_gap_parks_the_key_until_it_is_filled(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1), received("a", 2), received("a", 3))
    late = as_records(a)
    assert [f.reason for f in await fold(plumbing, [late[0], late[2], late[3]])] == ["gap", "behind"]
    assert await fold(plumbing, [late[1]]) == []
    await work_off(plumbing)
    assert await plumbing.seen("a") == tuple(event.id for event in a)


async def test_an_operator_can_go_on_over_a_gap(plumbing: Plumbing) -> None:
    a = await plumbing.publish("intake", opened("a"), received("a", 1), received("a", 2))
    records = as_records(a)
    await fold(plumbing, [records[0], records[2]])
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.folder("routing").parking.ask(conn, "skip", "tickets", "a")
    await work_off(plumbing)
    assert await plumbing.seen("a") == (a[0].id, a[2].id)


async def test_numbers_issued_again_after_a_restore_are_not_taken_for_old_ones(plumbing: Plumbing) -> None:
    before = await plumbing.publish("intake", opened("a"), received("a", 1))
    after = await plumbing.publish("intake", received("a", 2), incarnation=2)
    assert (after[0].position.incarnation, after[0].position.seq) == (2, 1)
    await fold(plumbing, as_records([*before, *after]))
    assert len(await plumbing.seen("a")) == 3


async def test_seen_is_how_far_the_writer_had_applied_the_other(plumbing: Plumbing) -> None:
    told = await plumbing.publish("intake", opened("a"), received("a", 1))
    await fold(plumbing, as_records(told))
    answer = (await plumbing.publish("routing", received("a", 9)))[0]
    assert str(answer.seen) == "1:2"
    more = await plumbing.publish("intake", received("a", 2))
    assert str((await plumbing.publish("routing", received("a", 10)))[0].seen) == "1:2"
    await fold(plumbing, as_records(more, start=9))
    assert str((await plumbing.publish("routing", received("a", 11)))[0].seen) == "1:3"


async def test_only_one_of_two_processes_moves_an_offset(plumbing: Plumbing) -> None:
    offsets, place, now = Offsets("routing"), Place("tickets", 3), datetime.now(UTC)
    async with db.transaction(plumbing.engine) as conn:
        assert await offsets.load(conn, [place]) == {place: 0}
    async with db.transaction(plumbing.engine) as conn:
        assert await offsets.move(conn, {place: (0, 5, now)})
    async with db.transaction(plumbing.engine) as conn:
        assert not await offsets.move(conn, {place: (0, 7, now)})
    async with db.transaction(plumbing.engine) as conn:
        assert await offsets.load(conn, [place]) == {place: 5}
