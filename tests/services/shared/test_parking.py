"""Parked keys under an operator's hands: marks are not lost, and a long queue of a key is worked off in parts."""

import asyncio

import sqlalchemy as sa

from shared import db
from shared.events.codec import encode
from shared.folding import Folder
from shared.offsets import Offsets, Place
from shared.parking import Parking
from shared.records import Record
from tests.services.shared.conftest import Plumbing, SeenProjection, opened, received


async def park(plumbing: Plumbing, *providers: str) -> list[str]:
    """Messages of ticket a by these providers; `poison` is not taken. Returns the ids of the events."""
    drafts = [received("a", n, provider) for n, provider in enumerate(providers)]
    told = await plumbing.publish("intake", opened("a"), *drafts)
    records = [Record("tickets", 0, n, "a", encode(event)) for n, event in enumerate(told)]
    async with db.transaction(plumbing.engine) as conn:
        await Offsets("routing").load(conn, [Place("tickets", 0)])
        await plumbing.folder("routing").fold(conn, SeenProjection(), records)
    return [event.id for event in told]


async def ask(plumbing: Plumbing, parking: Parking, request: str) -> None:
    async with db.transaction(plumbing.engine) as conn:
        await parking.ask(conn, request, "tickets", "a")  # type: ignore[arg-type]


async def work_off(plumbing: Plumbing, parking: Parking, times: int = 1) -> None:
    for _ in range(times):
        folder = Folder(plumbing.outbox("routing"), parking)
        await parking.work_off(plumbing.engine, folder, [SeenProjection()], {("tickets", 0)})


async def test_a_key_with_more_records_than_are_tried_at_once_goes_on_in_parts(plumbing: Plumbing) -> None:
    ids = await park(plumbing, "poison", *["smtp"] * 6)
    parking = Parking("routing", "test", rows_at_once=2)
    await ask(plumbing, parking, "discard")
    await work_off(plumbing, parking, times=4)
    assert await plumbing.seen("a") == (ids[0], *ids[2:])
    assert await plumbing.rows("SELECT count(*) FROM routing.parked") == [(0,)]


async def test_a_replay_that_fails_is_not_tried_again_and_again(plumbing: Plumbing) -> None:
    await park(plumbing, "poison", *["smtp"] * 4)
    parking = Parking("routing", "newer", rows_at_once=2)
    await ask(plumbing, parking, "replay")
    await work_off(plumbing, parking, times=5)
    assert await plumbing.rows("SELECT max(attempts), max(requested), min(code_version) FROM routing.parked") == [
        (2, None, "newer")
    ]


async def test_a_mark_set_while_the_key_is_tried_is_not_lost(plumbing: Plumbing) -> None:
    ids = await park(plumbing, "poison", "smtp")
    parking = Parking("routing", "test")
    await ask(plumbing, parking, "replay")
    async with db.transaction(plumbing.engine) as conn:  # as the service does in the middle of a replay
        await Offsets("routing").lock(conn, Place("tickets", 0))
        trying = asyncio.create_task(work_off(plumbing, parking))
        marking = asyncio.create_task(ask(plumbing, parking, "discard"))
        await asyncio.wait_for(marking, 10)
    await asyncio.wait_for(trying, 10)
    assert await plumbing.seen("a") == (ids[0], ids[2])


async def park_what_no_table_takes(plumbing: Plumbing) -> list[str]:
    """Three records of ticket a, of which the table takes two."""
    told = await plumbing.publish("intake", opened("a"), received("a", 0), received("a", 1), opened("b"))
    records = [Record("tickets", 0, n, event.key, encode(event)) for n, event in enumerate(told)]
    async with db.transaction(plumbing.engine) as conn:
        await conn.execute(sa.text("ALTER TABLE routing.seen ADD CONSTRAINT few CHECK (cardinality(ids) <= 2)"))
        await Offsets("routing").load(conn, [Place("tickets", 0)])
        await plumbing.folder("routing").fold_each(conn, SeenProjection(), records)
    return [event.id for event in told]


async def test_the_record_that_no_table_takes_is_parked_and_announced_and_the_rest_goes_on(plumbing: Plumbing) -> None:
    ids = await park_what_no_table_takes(plumbing)
    assert (await plumbing.seen("a"), await plumbing.seen("b")) == (tuple(ids[:2]), (ids[3],))
    assert await plumbing.rows('SELECT "offset", reason FROM routing.parked') == [(2, "failed")]
    assert await plumbing.rows("SELECT topic FROM routing.outbox") == [("parked",)]


async def test_a_replay_that_the_tables_refuse_again_does_not_end_the_service(plumbing: Plumbing) -> None:
    ids = await park_what_no_table_takes(plumbing)
    parking = Parking("routing", "newer")
    await ask(plumbing, parking, "replay")
    await work_off(plumbing, parking, times=3)
    assert await plumbing.rows("SELECT attempts, requested, code_version FROM routing.parked") == [(2, None, "newer")]
    async with db.transaction(plumbing.engine) as conn:
        await conn.execute(sa.text("ALTER TABLE routing.seen DROP CONSTRAINT few"))
    await ask(plumbing, parking, "replay")
    await work_off(plumbing, parking)
    assert await plumbing.seen("a") == tuple(ids[:3])


async def test_parked_keys_are_told_with_their_first_record(plumbing: Plumbing) -> None:
    await park(plumbing, "poison", "smtp")
    async with db.transaction(plumbing.engine) as conn:
        keys = await Parking("routing", "test").keys(conn)
        assert await Parking("routing", "test").keys(conn, "tickets", "b") == []
    assert [(k.topic, k.key, k.partition, k.offset, k.reason, k.records, k.requested) for k in keys] == [
        ("tickets", "a", 0, 1, "failed", 2, None)
    ]
