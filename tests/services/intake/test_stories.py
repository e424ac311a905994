"""Whose story it is: nobody goes on with another's; what was taken for one and undone is as it was, also where things cross."""

import asyncio
from typing import cast

import pytest
from msgspec.structs import replace

from services.intake import merging
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import Profile
from services.intake.domain.records import Put, put_all
from services.intake.recalling import OF_CUSTOMERS, CustomersRecalled
from services.intake.store import customers
from shared import db
from shared.clock import clock
from shared.events.message import MessageReceived
from shared.events.people import CustomerHandleAdded, CustomerHandleRemoved, CustomerPersonal, MergeSuggested
from shared.events.ticket import TicketOpened, TicketOpenRequested, TicketPersonal, TicketSplitRequested
from shared.events.topics import TICKETS, TOPIC_OF
from tests.services.intake.test_crossings import ALL, BOB, mailed, reached, somebody_waits
from tests.services.intake.test_customer_merges import owner_of
from tests.services.intake.test_customers import ANA, call, got, posted, put
from tests.services.intake.test_recalled_merges import STATE, by_key, lose, recall, state
from tests.services.intake.test_threading import NUMBER, days_pass, text
from tests.services.intake.world import World

PHONE = "+40721123456"


# --- whoever is somebody else begins anew ----------------------------------------------------------------------------------


async def test_who_writes_from_a_number_that_was_taken_from_a_customer_does_not_go_on_with_their_ticket(world: World) -> None:
    before = await posted(world, "sms", "phone", PHONE)
    [handle] = cast(list[dict[str, str]], (await got(world, before["customer_id"]))["handles"])
    path = f"/v1/customers/{before['customer_id']}/handles/{handle['id']}"
    assert (await world.http.delete(path, headers=await world.key("intake:write"))).status_code == 204
    after = await posted(world, "sms", "phone", PHONE)
    assert after["customer_id"] != before["customer_id"]
    assert after["ticket_id"] != before["ticket_id"]


async def test_a_number_that_was_taken_away_after_the_backup_has_no_conversation_after_the_restore(world: World) -> None:
    before = await posted(world, "sms", "phone", PHONE)
    [added] = await world.events(CustomerHandleAdded)
    removed = f"/v1/customers/{before['customer_id']}/handles/{added.data.handle_id}"
    await world.http.delete(removed, headers=await world.key("intake:write"))
    await world.execute(
        "INSERT INTO intake.handle (kind, scope, value, id, customer_id) VALUES ('phone', '', :value, :id, :customer_id)",
        value=PHONE,
        id=added.data.handle_id,
        customer_id=before["customer_id"],
    )
    await world.execute("UPDATE intake.ticket SET conversation = :name", name=f"sms\x1fin\x1f{Handle('phone', PHONE).key}")
    [told] = await world.events(CustomerHandleRemoved)
    async with db.transaction(world.parts.engine) as conn:
        await CustomersRecalled(world.parts.keys).save(conn, {told.key: (told,)}, told.time)
    assert (await world.count("handle"), await world.count("ticket", "conversation IS NOT NULL")) == (0, 0)


async def test_who_types_an_address_in_does_not_go_on_with_what_its_owner_was_found_to_have_typed_in(world: World) -> None:
    owner, claim = await posted(world, "email", "email", ANA), await posted(world, "other", "email", ANA)
    assert (await posted(world, "other", "email", ANA))["ticket_id"] == claim["ticket_id"]
    await call(world, f"{owner['customer_id']}/suggestions/{claim['customer_id']}", scope="agent:dana", same=True)
    somebody = await posted(world, "other", "email", ANA)
    assert somebody["customer_id"] not in (owner["customer_id"], claim["customer_id"])
    assert somebody["ticket_id"] != claim["ticket_id"]


async def test_whoever_writes_under_another_name_and_is_vouched_for_as_who_they_were_is_taken_and_merged(world: World) -> None:
    before = await world.intake.acceptor.accept_one(text("m-1", NUMBER, "Ana Pop"))
    await put(world, f"phone:{NUMBER}", handles=[{"kind": "external_id", "value": "crm-7"}])
    await days_pass(world, 100)
    married = replace(text("m-2", NUMBER, "Ana Marin"), vouched=(Handle("external_id", "crm-7"),))
    after = await world.intake.acceptor.accept_one(married)
    assert after.customer_id != before.customer_id
    assert [event.data.evidence for event in await world.events(MergeSuggested)] == ["recycled_number", "signed_identity"]
    assert await world.ticker().merge_proven() == 1
    assert await owner_of(world, after.ticket_id) == before.customer_id


# --- what is split off -----------------------------------------------------------------------------------------------------


async def test_what_is_split_off_is_of_whoever_its_writer_goes_on_as_and_is_answered_where_they_wrote_from(world: World) -> None:
    first = await posted(world, "email", "email", ANA, "One thing", id="a1", subject="Two things")
    second = await mailed(world, ANA, "a2", "Another thing", "a1")
    goes_on = (await mailed(world, BOB, "b1", "Hello"))["customer_id"]
    await put(world, f"email:{BOB}", vip=True, plan="gold", tier="t1")
    await call(world, f"{first['customer_id']}/merge", into_customer_id=goes_on)
    wish = TicketSplitRequested(agent_id="dana", message_ids=(second["message_id"],))
    assert await world.say(first["ticket_id"], wish, seen=ALL) == []
    opened = (await world.events(TicketOpened))[-1]
    said = opened.data
    assert (said.split_from, said.customer_id) == (first["ticket_id"], goes_on)
    assert (said.vip, said.plan, said.customer_tier) == (True, "gold", "t1")
    assert await world.opened(opened, TicketPersonal) == TicketPersonal(subject="Two things")
    assert await world.count("message", f"ticket_id = '{opened.key}' AND participant") == 1
    reply = await world.reply(opened.key, goes_on, "About that", "email")
    assert (await reached(world))[reply] == ANA
    await call(world, f"{first['customer_id']}/unmerge")
    assert await owner_of(world, opened.key) == first["customer_id"]


async def test_what_a_guest_wrote_is_split_off_without_the_plan_of_whose_ticket_it_was_and_stays_with_its_partner(
    world: World,
) -> None:
    await world.inbox("in", channel="email", address="in@example.com", partner_id="acme")
    await put(world, f"email:{ANA}", vip=True, plan="gold")
    await posted(world, "email", "email", ANA, "שלום, איפה החבילה שלי?", id="a1")
    guests = await mailed(world, BOB, "b1", "Mine is late too", "a1")
    wish = TicketSplitRequested(agent_id="dana", message_ids=(guests["message_id"],))
    assert await world.say(guests["ticket_id"], wish, seen=ALL) == []
    anas, split = (event.data for event in await world.events(TicketOpened))
    assert (anas.vip, anas.plan, anas.partner_id) == (True, "gold", "acme")
    assert (split.customer_id, split.vip, split.plan) == (guests["customer_id"], False, None)
    assert (split.partner_id, split.language, split.direction) == ("acme", "he", "rtl")


# --- two who were taken for one --------------------------------------------------------------------------------------------


async def taken_for_one(world: World, goes_on: str) -> tuple[dict[str, str], dict[str, str]]:
    """Who typed an address in and its owner are taken for one for a while. Returns what the owner and the claimer wrote."""
    owner, claim = await posted(world, "email", "email", ANA), await posted(world, "form", "email", ANA)
    ids = {"owner": owner["customer_id"], "claimer": claim["customer_id"]}
    into = ids.pop(goes_on)
    [one] = ids.values()
    await call(world, f"{one}/merge", into_customer_id=into)
    await call(world, f"{one}/unmerge")
    return owner, claim


@pytest.mark.parametrize("goes_on", ["owner", "claimer"])
async def test_whoever_only_claimed_an_address_is_answered_there_when_they_are_two_again(world: World, goes_on: str) -> None:
    owner, claim = await taken_for_one(world, goes_on)
    _, _, again = await world.events(CustomerHandleAdded)
    assert (again.key, again.data.verified_by) == (claim["customer_id"], "not")
    assert await world.opened(again, CustomerPersonal) == CustomerPersonal(handles=(ANA,), handle_scope="claimed")
    reply = await world.reply(claim["ticket_id"], claim["customer_id"], "Hello", "email")
    assert (await reached(world))[reply] == ANA
    assert await world.count("message", f"ticket_id = '{claim['ticket_id']}' AND customer_id = '{claim['customer_id']}'") == 1
    assert (await posted(world, "form", "email", ANA))["customer_id"] == claim["customer_id"]
    assert (await posted(world, "email", "email", ANA))["customer_id"] == owner["customer_id"]


@pytest.mark.parametrize("order", ["at once", "key by key", "key by key from the last"])
async def test_a_claim_that_is_one_again_is_read_back_from_the_log(world: World, order: str) -> None:
    await taken_for_one(world, "owner")
    before, log = await state(world), await world.log()
    told = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    tickets = [event for event in log if TOPIC_OF[type(event.data)] is TICKETS]
    await lose(world)
    step = -1 if order == "key by key from the last" else 1
    await recall(world, [told] if order == "at once" else by_key(told)[::step], [tickets])
    after = await state(world)
    assert {name: sorted(after[name] ^ before[name], key=repr) for name in STATE} == {name: [] for name in STATE}


async def test_a_ticket_that_an_agent_opened_for_one_of_two_goes_back_to_them(world: World) -> None:
    one, two = [(await mailed(world, who, who, "Hello"))["customer_id"] for who in (ANA, BOB)]
    assert await world.say("hers", TicketOpenRequested(agent_id="dana", customer_id=one, channel="in_person")) == []
    await call(world, f"{one}/merge", into_customer_id=two)
    assert await owner_of(world, "hers") == two
    assert await world.say("of both", TicketOpenRequested(agent_id="dana", customer_id=two, channel="in_person")) == []
    await call(world, f"{one}/unmerge")
    assert [await owner_of(world, ticket_id) for ticket_id in ("hers", "of both")] == [one, two]


async def test_what_comes_from_a_number_that_a_record_gave_them_just_before_they_are_merged_is_of_who_goes_on(
    world: World,
) -> None:
    one, two = [(await mailed(world, who, who, "Hello"))["customer_id"] for who in (ANA, BOB)]
    record = Put("a seed", one, frozenset({Handle("phone", PHONE)}), Profile())
    merged, done = asyncio.Event(), asyncio.Event()

    async def merge() -> None:
        async with db.transaction(world.parts.engine) as conn:
            await merging.merge(conn, world.parts.outbox, one, two, "by_hand")
            merged.set()
            await done.wait()

    async with asyncio.timeout(20):
        async with db.transaction(world.parts.engine) as conn:
            _, changes = put_all([record], await customers.situation(conn, [record]))
            await customers.save(conn, changes, await clock(conn))
            merges = asyncio.create_task(merge())
            await somebody_waits(world)
        await merged.wait()
        writing = asyncio.create_task(posted(world, "sms", "phone", PHONE))
        await somebody_waits(world)
        done.set()
        await merges
        assert await owner_of(world, (await writing)["ticket_id"]) == two
    assert (await world.events(MessageReceived))[-1].data.customer_id == two
