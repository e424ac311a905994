"""What a form says beside the address and the text: a telephone number, which its writer only claims, and a site's own fields."""

from __future__ import annotations

from typing import cast

from services.intake.recalling import OF_CUSTOMERS
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.people import CustomerHandleAdded, CustomerHandleRemoved, CustomerPersonal, MergeSuggested
from shared.events.ticket import SpamMarked
from shared.events.topics import TICKETS, TOPIC_OF
from tests.services.intake.test_customer_merges import owner_of, proven_claim
from tests.services.intake.test_customers import ANA, call, got, posted
from tests.services.intake.test_edge import submit
from tests.services.intake.test_recalled_merges import lose, recall, state
from tests.services.intake.world import World

PHONE = "+40721234567"
TYPED = "+40 721 234 567"


async def customer(world: World, **more: str) -> str:
    """Who a form is from."""
    answer = await submit(world, **more)
    assert answer.status_code == 201, answer.text
    return (await world.events(MessageReceived))[-1].data.customer_id


async def test_the_number_is_claimed_beside_the_address_and_both_and_the_sites_own_fields_are_shown(world: World) -> None:
    who = await customer(world, phone=TYPED, order_number="A-17", **{"delivery day": "mâine"})
    added = await world.events(CustomerHandleAdded)
    assert [(event.key, event.data.kind, event.data.verified_by) for event in added] == [
        (who, "email", "not"),
        (who, "phone", "not"),
    ]
    assert await world.opened(added[1], CustomerPersonal) == CustomerPersonal(handles=(PHONE,), handle_scope="claimed")
    assert len({event.id for event in await world.log()}) == len(await world.log())
    [received] = await world.events(MessageReceived)
    told = cast(MessagePersonal, await world.opened(received, MessagePersonal))
    assert told.fields == {"phone": TYPED, "order_number": "A-17", "delivery day": "mâine"}
    assert (told.handle, received.data.text_cut) == ("dan@customers.example", False)
    assert await customer(world, phone=TYPED, text="And another thing") == who
    assert await customer(world, email="", phone=PHONE) == who, "who claims the number alone is the same claimer"
    assert (len(await world.events(CustomerHandleAdded)), await world.events(MergeSuggested)) == (2, [])


async def test_whoever_wrote_from_the_number_and_whoever_claims_it_are_suggested_and_nothing_is_taken_from_them(
    world: World,
) -> None:
    owner = (await posted(world, "sms", "phone", PHONE))["customer_id"]
    claimer = (await posted(world, "form", "phone", PHONE))["customer_id"]
    both = await customer(world, phone=TYPED)
    assert len({owner, claimer, both}) == 3
    suggested = [(event.key, event.data.customer_id, event.data.evidence) for event in await world.events(MergeSuggested)]
    assert suggested == [(a, b, "claimed_address") for a, b in ((claimer, owner), (both, claimer), (both, owner))]
    assert await world.count("suggestion") == 3
    assert await world.count("handle", f"customer_id = '{both}'") == 1
    assert (await posted(world, "form", "phone", PHONE, "Again"))["customer_id"] == claimer


async def test_a_number_that_only_stood_beside_a_proven_address_leads_nobody_to_its_owner(world: World) -> None:
    claimer = await customer(world, email=ANA, phone=TYPED)
    claim, owner = await proven_claim(world)
    assert claim["customer_id"] == claimer
    assert await world.ticker().merge_proven() == 1
    assert (await got(world, claimer))["id"] == owner
    removed = [event.data.reason for event in await world.events(CustomerHandleRemoved)]
    assert sorted(removed) == ["proven", "unproven"]
    stranger = await posted(world, "form", "phone", PHONE, "Send my data elsewhere")
    assert stranger["customer_id"] not in (owner, claimer)


async def test_a_number_under_which_somebody_wrote_comes_to_nobody_by_the_proof_of_an_address_that_stood_beside_it(
    world: World,
) -> None:
    claimer = await customer(world, email=ANA, phone=TYPED)
    assert await customer(world, email="", phone=TYPED, text="Send it all to this number") == claimer
    claim, owner = await proven_claim(world)
    assert claim["customer_id"] == claimer, "whoever types one address in is one claimer"
    assert await world.ticker().merge_proven() == 0
    stranger = await posted(world, "form", "phone", PHONE, "And what did she order?")
    assert (stranger["customer_id"], (await got(world, claimer))["id"]) == (claimer, claimer)
    assert await world.count("handle", f"customer_id = '{owner}' AND kind = 'phone'") == 0
    shown = await world.http.get(f"/v1/customers/{owner}/suggestions", headers=await world.key("agent:dana"))
    assert [(one["customer_id"], one["evidence"]) for one in shown.json()["suggestions"]] == [(claimer, "claimed_address")]
    await call(world, f"{owner}/suggestions/{claimer}", scope="agent:dana", same=True)
    assert (await got(world, claimer))["id"] == owner, "people may say that it is one person after all"


async def test_one_proof_of_an_address_brings_all_forms_with_it_and_a_supervisor_takes_them_back(world: World) -> None:
    somebody = await posted(world, "form", "email", ANA, "Send my order elsewhere", id="f1")
    claim, owner = await proven_claim(world)
    assert claim["customer_id"] == somebody["customer_id"] != owner
    assert await world.ticker().merge_proven() == 1
    assert {await owner_of(world, one["ticket_id"]) for one in (somebody, claim)} == {owner}
    await call(world, f"{somebody['customer_id']}/unmerge")
    assert await owner_of(world, somebody["ticket_id"]) == somebody["customer_id"] != owner
    later = await posted(world, "form", "email", ANA, "It is I again", id="f2")
    assert later["customer_id"] == somebody["customer_id"], "and who types it in is the claimer again"


async def test_a_blocked_number_is_blocked_beside_an_address_too(world: World) -> None:
    rule = {"verdict": "block", "part": "number", "values": [PHONE]}
    made = await world.http.put("/v1/spam-rules/caller", json=rule, headers=await world.key("admin"))
    assert made.status_code == 200, made.text
    await world.intake.acceptor.spam.refresh()
    await submit(world, phone=TYPED)
    assert [event.data.rule_id for event in await world.events(SpamMarked)] == ["caller"]


async def test_after_a_restore_both_claims_are_there_again_and_what_was_suggested(world: World) -> None:
    await posted(world, "sms", "phone", PHONE)
    await customer(world, phone=TYPED)
    before, log = await state(world), await world.log()
    assert len(before["handles"]) == 3
    await lose(world)
    people = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    await recall(world, [people], [[event for event in log if TOPIC_OF[type(event.data)] is TICKETS]])
    after = await state(world)
    assert [after[name] for name in ("handles", "suggestions", "messages")] == [
        before[name] for name in ("handles", "suggestions", "messages")
    ]


async def test_who_is_erased_leaves_neither_number_nor_fields(world: World) -> None:
    who = await customer(world, phone=TYPED, order_number="green figs")
    assert await world.count("message", "position('green figs' IN encode(body, 'escape')) > 0") == 1
    assert (await world.http.post(f"/v1/customers/{who}/erase", headers=await world.key("admin"))).status_code == 200
    assert await world.count("handle") == await world.count("message", "body IS NOT NULL") == 0
