"""Personal data under keys in a real PostgreSQL: bound, erased everywhere, never lost to a rollback."""

import asyncio
import base64
import secrets
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from shared import db
from shared.events.base import Event, Fact, Sealed
from shared.events.codec import decode, encode
from shared.events.message import MessagePersonal, MessageReceived
from shared.personal import Erased, KeyRing, WrongMasterKey
from shared.records import Record
from tests.services.shared.conftest import Plumbing, SeenProjection, opened, received

TEXT = "canary שלום 0501234567"


def another_process(plumbing: Plumbing, cache_seconds: float = 60.0) -> KeyRing:
    return KeyRing(plumbing.settings.master_key_bytes(), cache_seconds)


async def publish(plumbing: Plumbing, key: str = "a", n: int = 1) -> Event[Fact]:
    return (await plumbing.publish("intake", received(key, n, text=TEXT)))[0]


async def read(plumbing: Plumbing, ring: KeyRing, event: Event[Fact]) -> MessagePersonal | Erased:
    box = sealed(event)
    async with db.transaction(plumbing.engine) as conn:
        await ring.load(conn, [box.customer_id])
    return ring.open(box, MessagePersonal, event.id)


def sealed(event: Event[Fact]) -> Sealed:
    assert isinstance(event.data, MessageReceived)
    assert event.data.personal is not None
    return event.data.personal


async def destroy(plumbing: Plumbing, ring: KeyRing, *customer_ids: str) -> None:
    async with db.transaction(plumbing.engine) as conn:
        await ring.destroy(conn, customer_ids)


async def test_a_message_is_read_by_another_process_and_not_in_the_record(plumbing: Plumbing) -> None:
    event = await publish(plumbing)
    assert await read(plumbing, another_process(plumbing), event) == MessagePersonal(text=TEXT)
    assert b"canary" not in encode(event)


async def test_a_box_moved_to_another_event_or_person_is_refused(plumbing: Plumbing) -> None:
    mine, other = await publish(plumbing, "a"), await publish(plumbing, "b")
    ring = plumbing.keys
    await read(plumbing, ring, mine)
    await read(plumbing, ring, other)
    with pytest.raises(ValueError, match="cannot be opened"):
        ring.open(sealed(mine), MessagePersonal, other.id)
    with pytest.raises(ValueError, match="cannot be opened"):
        ring.open(replace(sealed(mine), customer_id="customer-b"), MessagePersonal, mine.id)


async def test_a_box_with_any_byte_changed_or_cut_is_refused(plumbing: Plumbing) -> None:
    event = await publish(plumbing)
    await read(plumbing, plumbing.keys, event)
    box = base64.b64decode(sealed(event).box)
    wrong = [box[:n] + bytes([box[n] ^ 1]) + box[n + 1 :] for n in range(len(box))] + [box[:n] for n in range(1, len(box))]
    for changed in [base64.b64encode(one).decode() for one in wrong] + ["not base64!"]:
        with pytest.raises(ValueError, match="cannot be opened"):
            plumbing.keys.open(replace(sealed(event), box=changed), MessagePersonal, event.id)


async def test_a_wrapped_key_moved_to_another_customer_is_refused(plumbing: Plumbing) -> None:
    await publish(plumbing, "a")
    event = await publish(plumbing, "b")
    move = "(SELECT wrapped FROM keys.customer_key WHERE customer_id = 'customer-a')"
    async with db.transaction(plumbing.engine) as conn:
        await conn.execute(sa.text(f"UPDATE keys.customer_key SET wrapped = {move}"))
    with pytest.raises(WrongMasterKey):
        await read(plumbing, another_process(plumbing), event)


async def test_a_wrong_master_key_says_which_setting_to_correct(plumbing: Plumbing) -> None:
    event = await publish(plumbing)
    with pytest.raises(WrongMasterKey, match="PATCHBAY_MASTER_KEY_FILE"):
        await read(plumbing, KeyRing(secrets.token_bytes(32)), event)


async def test_a_destroyed_key_is_erased_at_once_here_and_elsewhere_when_its_cache_ends(plumbing: Plumbing) -> None:
    event = await publish(plumbing)
    here, long, short = plumbing.keys, another_process(plumbing), another_process(plumbing, cache_seconds=0.2)
    for ring in (here, long, short):
        assert await read(plumbing, ring, event) == MessagePersonal(text=TEXT)
    await destroy(plumbing, here, "customer-a")
    assert here.open(sealed(event), MessagePersonal, event.id) == Erased("customer-a")
    assert await read(plumbing, long, event) == MessagePersonal(text=TEXT), "within its sixty seconds"
    async with asyncio.timeout(10):
        while await read(plumbing, short, event) != Erased("customer-a"):
            pass
    assert await read(plumbing, another_process(plumbing), event) == Erased("customer-a")


async def test_keys_are_cached_for_a_minute_unless_told_otherwise(plumbing: Plumbing) -> None:
    ring = KeyRing(plumbing.settings.master_key_bytes())
    assert ring._cache_seconds == 60.0


async def test_erasure_covers_the_whole_merge_set_and_a_second_one_changes_nothing(plumbing: Plumbing) -> None:
    events = [await publish(plumbing, key) for key in "abc"]
    await destroy(plumbing, plumbing.keys, "customer-a", "customer-b")
    before = await plumbing.rows("SELECT * FROM keys.customer_key ORDER BY customer_id")
    await destroy(plumbing, plumbing.keys, "customer-b", "customer-a")
    assert await plumbing.rows("SELECT * FROM keys.customer_key ORDER BY customer_id") == before
    assert [await read(plumbing, another_process(plumbing), event) for event in events] == [
        Erased("customer-a"),
        Erased("customer-b"),
        MessagePersonal(text=TEXT),
    ]


async def test_an_event_published_for_an_erased_person_has_an_empty_box(plumbing: Plumbing) -> None:
    await publish(plumbing)
    await destroy(plumbing, plumbing.keys, "customer-a")
    late = await publish(plumbing, n=2)
    assert sealed(late) == Sealed(customer_id="customer-a", box="")
    assert await read(plumbing, another_process(plumbing), late) == Erased("customer-a")
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.keys.create(conn, ["customer-a"])
    assert sealed(await publish(plumbing, n=3)).box == "", "a destroyed key is never made again"


async def test_the_log_replays_after_an_erasure_as_before(plumbing: Plumbing) -> None:
    told = await plumbing.publish("intake", opened("a"), received("a", 1, text=TEXT), received("a", 2, text=TEXT))
    log = [encode(event) for event in told]
    await destroy(plumbing, plumbing.keys, "customer-a")
    records = [Record("tickets", 0, n, "a", value) for n, value in enumerate(log)]
    async with db.transaction(plumbing.engine) as conn:
        assert await plumbing.folder("routing").fold(conn, SeenProjection(), records) == []
    assert await plumbing.seen("a") == tuple(event.id for event in told)
    assert [await read(plumbing, another_process(plumbing), decode(value)) for value in log[1:]] == [Erased("customer-a")] * 2


async def test_a_key_whose_transaction_was_rolled_back_is_never_used_again(plumbing: Plumbing) -> None:
    async def conflict() -> None:
        async with db.transaction(plumbing.engine) as conn:
            await plumbing.keys.create(conn, ["customer-a"])
            await plumbing.outbox("intake").publish(conn, [received("a", 1, text=TEXT)], datetime.now(UTC))
            raise RuntimeError("a conflict")

    with pytest.raises(RuntimeError):
        await conflict()
    again = await publish(plumbing)
    assert await read(plumbing, another_process(plumbing), again) == MessagePersonal(text=TEXT)


async def test_an_erasure_that_was_rolled_back_loses_no_later_message(plumbing: Plumbing) -> None:
    await publish(plumbing)

    async def conflict() -> None:
        async with db.transaction(plumbing.engine) as conn:
            await plumbing.keys.destroy(conn, ["customer-a"])
            await plumbing.keys.load(conn, ["customer-a"])
            raise RuntimeError("a conflict")

    with pytest.raises(RuntimeError):
        await conflict()
    later = await publish(plumbing, n=2)
    assert await read(plumbing, another_process(plumbing), later) == MessagePersonal(text=TEXT)


async def test_a_customer_without_a_key_gets_one_when_something_is_published(plumbing: Plumbing) -> None:
    await read_missing(plumbing)
    event = await publish(plumbing)
    assert await read(plumbing, another_process(plumbing), event) == MessagePersonal(text=TEXT)


async def read_missing(plumbing: Plumbing) -> None:
    """A look at a customer who has no key yet must not hide the key made later."""
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.keys.load(conn, ["customer-a"])
    assert plumbing.keys.open(Sealed(customer_id="customer-a", box="AA=="), MessagePersonal, "x") == Erased("customer-a")


async def test_two_processes_that_create_one_customer_seal_with_one_key(plumbing: Plumbing) -> None:
    rings = [another_process(plumbing) for _ in range(4)]

    async def say(n: int) -> Event[Fact]:
        async with db.transaction(plumbing.engine) as conn:
            await rings[n].create(conn, ["customer-a"])
            outbox = plumbing.outbox("intake")
            return (await type(outbox)("intake", 1, rings[n], outbox.wake).publish(conn, [received("a", n)], datetime.now(UTC)))[
                0
            ]

    events = await asyncio.gather(*(say(n) for n in range(4)))
    reader = another_process(plumbing)
    assert [await read(plumbing, reader, event) for event in events] == [MessagePersonal(text=f"text {n}") for n in range(4)]


async def test_while_a_master_key_is_changed_for_another_both_open_until_all_is_wrapped_by_the_new_one(
    plumbing: Plumbing,
) -> None:
    old, new = plumbing.settings.master_key_bytes(), secrets.token_bytes(32)
    events = [await publish(plumbing, key) for key in "abc"]
    await destroy(plumbing, plumbing.keys, "customer-c")
    told = [MessagePersonal(text=TEXT), MessagePersonal(text=TEXT), Erased("customer-c")]
    for both in ((old, new), (new, old)):
        assert [await read(plumbing, KeyRing.of(both), event) for event in events] == told
    before = await plumbing.rows("SELECT * FROM keys.customer_key ORDER BY customer_id")
    with pytest.raises(WrongMasterKey):
        await wrap_anew(plumbing, KeyRing.of([new]), "")
    assert await plumbing.rows("SELECT * FROM keys.customer_key ORDER BY customer_id") == before
    ring = KeyRing.of([new, old])
    assert await wrap_anew(plumbing, ring, "") == (["customer-a"], 1)
    assert await read(plumbing, KeyRing.of([new]), events[0]) == told[0]
    with pytest.raises(WrongMasterKey):
        await read(plumbing, KeyRing.of([new]), events[1])
    assert await wrap_anew(plumbing, ring, "customer-a") == (["customer-b"], 1)
    assert await wrap_anew(plumbing, ring, "customer-b") == ([], 0)
    assert await wrap_anew(plumbing, ring, "") == (["customer-a"], 0), "what is done is not done again"
    assert [await read(plumbing, KeyRing.of([new]), event) for event in events] == told
    with pytest.raises(WrongMasterKey):
        await read(plumbing, KeyRing.of([old]), events[0])


async def wrap_anew(plumbing: Plumbing, ring: KeyRing, after: str) -> tuple[list[str], int]:
    async with db.transaction(plumbing.engine) as conn:
        return await ring.wrap_anew(conn, after, 1)
