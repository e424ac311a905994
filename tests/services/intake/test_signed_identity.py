"""A connector that knows who is logged in says so by `also` of `POST /v1/contacts`: on a real database, over HTTP."""

import asyncio

import httpx
import pytest

from services.intake.recalling import OF_CUSTOMERS, CustomersRecalled
from shared import db
from shared.events.people import CustomerCreated, CustomerHandleAdded, CustomerMergedInto
from tests.services.intake.test_customers import ANA, call, got, posted, put
from tests.services.intake.world import World

SCOPES = ("intake:write", "intake:identify")
BY_MAIL = {"kind": "email", "value": "Ana@Example.COM"}
BY_PHONE = {"kind": "phone", "value": "+40721123456"}
IN_CRM = {"kind": "external_id", "value": "crm-7"}


def chat(*also: dict[str, str], visitor: str = "v-1", **more: object) -> dict[str, object]:
    handle = {"kind": "visitor", "value": visitor}
    return {"channel": "chat", "inbox": "in", "text": "Hello", "handle": handle, "also": list(also), **more}


async def send(world: World, body: object, *scopes: str) -> httpx.Response:
    return await world.http.post("/v1/contacts", json=body, headers=await world.key(*(scopes or SCOPES)))


async def came(world: World, *also: dict[str, str], **more: object) -> str:
    """The customer of a chat message that was taken."""
    answer = await send(world, chat(*also, **more))  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.text
    return str(answer.json()["customer_id"])


async def test_one_key_may_write_and_another_may_also_say_who_it_is(world: World) -> None:
    refused = await send(world, chat(BY_MAIL), "intake:write")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert refused.json()["errors"][0]["field"] == "body.also"
    assert await world.log() == []
    assert (await send(world, chat(), "intake:write")).status_code == 201
    listed = await send(world, [chat(visitor="v-2"), chat(BY_MAIL)], "intake:write")
    assert [result["status"] for result in listed.json()["results"]] == [201, 403]


async def test_what_is_vouched_for_is_theirs_on_every_channel_from_then_on(world: World) -> None:
    customer_id = await came(world, BY_MAIL, BY_PHONE, IN_CRM)
    assert (await posted(world, "email", "email", ANA))["customer_id"] == customer_id
    assert (await posted(world, "sms", "phone", "+40721123456"))["customer_id"] == customer_id
    assert (await got(world, "external:crm-7"))["id"] == customer_id
    told = [event.data.verified_by for event in await world.events(CustomerHandleAdded)]
    assert told == ["wrote_from_it", "signed_identity", "signed_identity", "signed_identity"]
    assert len(await world.events(CustomerCreated)) == 1


async def test_who_is_in_your_records_is_found_by_their_id_whatever_they_write_from(world: World) -> None:
    made = await put(world, "external:crm-7", name="Ana", vip=True, plan="gold")
    assert await came(world, IN_CRM) == made["id"]
    assert await came(world, visitor="v-1") == made["id"], "the visitor is theirs"


async def test_who_was_two_until_then_is_merged_by_itself_and_can_be_parted_again(world: World) -> None:
    by_mail = (await posted(world, "email", "email", ANA))["customer_id"]
    by_chat = await came(world)
    assert by_chat != by_mail
    await came(world, BY_MAIL)
    assert await world.ticker().merge_proven() == 1
    assert await world.ticker().merge_proven() == 0
    [merged] = await world.events(CustomerMergedInto)
    assert (merged.key, merged.data.into_customer_id, merged.data.evidence) == (by_chat, by_mail, "signed_identity")
    assert await came(world, BY_MAIL) == by_mail
    await call(world, f"{by_chat}/unmerge")
    await came(world, BY_MAIL)
    assert await world.ticker().merge_proven() == 0, "what people undid is not done again"


async def test_two_of_your_records_are_not_merged_whatever_a_connector_says(world: World) -> None:
    one = await put(world, "external:crm-7", name="Ana")
    await put(world, "external:crm-8", name="Bob")
    assert await came(world, IN_CRM) == one["id"]
    await came(world, {"kind": "external_id", "value": "crm-8"})
    assert await world.ticker().merge_proven() == 0
    assert await world.events(CustomerMergedInto) == []


async def test_many_at_once_who_name_the_same_person_make_one(world: World) -> None:
    customers = await asyncio.gather(*(came(world, BY_MAIL, visitor=f"v-{n}") for n in range(10)))
    assert len(set(customers)) == 1
    assert len(await world.events(CustomerCreated)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (chat({"kind": "email", "value": "no address"}), "body.also[0].value"),
        (chat(BY_MAIL, {"kind": "email", "value": "none"}), "body.also[1].value"),
        (chat(BY_MAIL, handle=None), "body.also"),
        (chat(BY_MAIL, channel="form", handle=BY_MAIL), "body.also"),
        (chat(*[BY_MAIL] * 11), "body.also"),
        (chat({"kind": "email"}), "body.also[0].value"),
    ],
)
async def test_what_cannot_be_vouched_for_is_refused_with_its_field(world: World, body: object, field: str) -> None:
    refused = await send(world, body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert await world.log() == []


async def test_what_was_vouched_for_is_read_back_from_the_log(world: World) -> None:
    customer_id = await came(world, BY_MAIL, IN_CRM)
    facts = [event for event in await world.log() if isinstance(event.data, OF_CUSTOMERS)]
    await world.execute("DELETE FROM intake.handle")
    await world.execute("DELETE FROM intake.customer")
    async with db.transaction(world.parts.engine) as conn:
        await CustomersRecalled(world.parts.keys).save(conn, {customer_id: tuple(facts)}, facts[0].time)
    assert (await got(world, f"email:{ANA}"))["id"] == (await got(world, "external:crm-7"))["id"] == customer_id
    assert await came(world, BY_MAIL) == customer_id


async def test_a_record_says_by_whose_word_a_handle_is_theirs(world: World) -> None:
    customer_id = await came(world, BY_MAIL)
    handles = (await got(world, customer_id))["handles"]
    assert isinstance(handles, list)
    assert {one["kind"]: one["verified_by"] for one in handles} == {"visitor": "wrote_from_it", "email": "signed_identity"}
