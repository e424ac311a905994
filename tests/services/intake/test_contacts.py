"""`POST /v1/contacts` on real PostgreSQL: what is acknowledged is on one ticket, once."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from shared.events.codec import encode
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.people import CustomerCreated, CustomerHandleAdded
from shared.events.ticket import TicketLinked, TicketOpened, TicketPersonal
from tests.services.intake.world import World, process


def contact(n: int = 1, **more: object) -> dict[str, object]:
    return {
        "id": f"m-{n}",
        "channel": "chat",
        "inbox": "web",
        "handle": {"kind": "visitor", "value": "visitor-1"},
        "name": "Rivka",
        "text": f"Message {n}: my parcel has not arrived yet",
        **more,
    }


async def test_a_contact_opens_a_ticket_with_its_number_and_says_so_in_order(world: World) -> None:
    answer = await world.http.post(
        "/v1/contacts", json=contact(priority=3, topic="delivery"), headers=await world.key("intake:write")
    )
    assert answer.status_code == 201, answer.text
    body = answer.json()
    events = await world.log()
    assert [type(event.data) for event in events] == [CustomerCreated, CustomerHandleAdded, TicketOpened, MessageReceived]
    opened = (await world.events(TicketOpened))[0]
    assert (opened.key, opened.data.number, opened.data.priority, opened.data.topic) == (
        body["ticket_id"],
        body["ticket_number"],
        3,
        "delivery",
    )
    assert [event.position.seq for event in events] == [1, 2, 1, 2]
    assert (await world.opened(opened, TicketPersonal)) == TicketPersonal(customer_name="Rivka")
    message = (await world.events(MessageReceived))[0]
    personal = await world.opened(message, MessagePersonal)
    assert isinstance(personal, MessagePersonal)
    assert personal.text == "Message 1: my parcel has not arrived yet"


async def test_no_event_shows_a_word_of_the_customer_in_clear(world: World) -> None:
    sent = contact(text="Strictly confidential words", name="Rivka Cohen", handle={"kind": "email", "value": "Rivka@Example.org"})
    await world.http.post("/v1/contacts", json=sent, headers=await world.key("intake:write"))
    log = b"".join(encode(event) for event in await world.log())
    for word in (b"confidential", b"Rivka", b"rivka", b"example.org"):
        assert word not in log


async def test_the_same_id_twice_is_one_message_with_the_same_answer(world: World) -> None:
    key = await world.key("intake:write")
    first = await world.http.post("/v1/contacts", json=contact(), headers=key)
    second = await world.http.post("/v1/contacts", json=contact(), headers=key)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert second.headers["Idempotency-Replayed"] == "true"
    assert await world.count("message") == 1


async def test_an_idempotency_key_with_another_body_is_refused_and_stores_nothing(world: World) -> None:
    key = {**await world.key("intake:write"), "Idempotency-Key": "k1"}
    nameless = {name: value for name, value in contact().items() if name != "id"}
    for bodies in ((nameless, {**nameless, "text": "other"}), (contact(5), contact(6))):
        key["Idempotency-Key"] += "x"
        first = await world.http.post("/v1/contacts", json=bodies[0], headers=key)
        again = await world.http.post("/v1/contacts", json=bodies[0], headers=key)
        other = await world.http.post("/v1/contacts", json=bodies[1], headers=key)
        assert first.status_code == 201
        assert again.json() == first.json()
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert await world.count("message") == 2


async def test_a_hundred_first_messages_of_one_sender_on_two_processes_are_one_ticket(database: str) -> None:
    async with process(database) as one, process(database) as two:
        headers = await one.key("intake:write")
        worlds = (one, two)
        answers = await asyncio.gather(
            *(worlds[n % 2].http.post("/v1/contacts", json=contact(n % 60), headers=headers) for n in range(100))
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["ticket_id"] for answer in answers}) == 1
        assert await one.count("message") == 60
        assert len(await one.events(TicketOpened)) == 1
        assert len(await one.events(CustomerCreated)) == 1
        positions = [e.position.seq for e in await one.log() if e.key == answers[0].json()["ticket_id"]]
        assert positions == list(range(1, 62))


async def test_a_list_gets_a_result_for_each_and_the_bad_ones_harm_nobody(world: World) -> None:
    items = [contact(1), {**contact(2), "handle": {"kind": "email", "value": "no address"}}, {"channel": "pigeon"}, contact(3)]
    answer = await world.http.post("/v1/contacts", json=items, headers=await world.key("intake:write"))
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 422, 201]
    assert results[1]["errors"][0]["field"] == "body[1].handle.value"
    assert results[2]["errors"][0]["field"].startswith("body[2].")
    assert results[0]["ticket_id"] == results[3]["ticket_id"]


async def test_a_list_holds_one_to_five_hundred_contacts(world: World) -> None:
    headers = await world.key("intake:write")
    for items in ([], [contact(n) for n in range(501)]):
        refused = await world.http.post("/v1/contacts", json=items, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
        assert refused.json()["errors"] == [{"field": "body", "reason": "must hold 1 to 500 contacts"}]
    assert await world.count("message") == 0
    taken = await world.http.post("/v1/contacts", json=[contact(n) for n in range(500)], headers=headers)
    assert taken.status_code == 200
    assert [result["status"] for result in taken.json()["results"]] == [201] * 500
    assert await world.count("message") == 500


async def test_a_contact_that_cannot_be_stored_fails_alone(world: World) -> None:
    headers = await world.key("intake:write")
    await world.execute("ALTER TABLE intake.message ADD CONSTRAINT poison CHECK (convert_from(body, 'UTF8') NOT LIKE '%m-3%')")
    answers = await asyncio.gather(*(world.http.post("/v1/contacts", json=contact(n), headers=headers) for n in range(8)))
    assert [answer.status_code for answer in answers] == [201, 201, 201, 202, 201, 201, 201, 201]
    assert answers[3].json()["code"] == "kept"
    assert (await world.count("message"), await world.count("parked_contact")) == (7, 1)
    listed = await world.http.post("/v1/contacts", json=[contact(9), contact(3)], headers=headers)
    assert [one["status"] for one in listed.json()["results"]] == [201, 202]
    assert await world.count("parked_contact") == 1, "it is kept once, however it comes again"


async def test_a_message_after_closing_opens_a_follow_up_linked_both_ways(world: World) -> None:
    headers = await world.key("intake:write")
    old = (await world.http.post("/v1/contacts", json=contact(1), headers=headers)).json()
    await world.close(old["ticket_id"])
    new = (await world.http.post("/v1/contacts", json=contact(2), headers=headers)).json()
    third = (await world.http.post("/v1/contacts", json=contact(3), headers=headers)).json()
    assert new["ticket_id"] != old["ticket_id"]
    assert third["ticket_id"] == new["ticket_id"]
    links = {(event.key, event.data.ticket_id, event.data.relation) for event in await world.events(TicketLinked)}
    assert links == {
        (new["ticket_id"], old["ticket_id"], "follow_up_of"),
        (old["ticket_id"], new["ticket_id"], "followed_up_by"),
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed-json"),
        (b"[", 400, "malformed-json"),
        (b"[]", 422, "invalid-request"),
        (b"null", 422, "invalid-request"),
        (b'{"channel":"chat","inbox":"web","text":"x","nonsense":1}', 422, "invalid-request"),
        (b'{"channel":"chat","inbox":"web","text":"\\u0000\\ud800"}', 400, "malformed-json"),
    ],
)
async def test_a_bad_body_is_a_problem_and_never_a_500(world: World, body: bytes, status: int, code: str) -> None:
    answer = await world.http.post("/v1/contacts", content=body, headers=await world.key("intake:write"))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_the_scope_nothing_is_taken(world: World) -> None:
    assert (await world.http.post("/v1/contacts", json=contact())).status_code == 401
    assert (await world.http.post("/v1/contacts", json=contact(), headers=await world.key("agent:dana"))).status_code == 403


async def test_control_characters_are_taken_out_before_they_are_stored(world: World) -> None:
    answer = await world.http.post("/v1/contacts", json=contact(text="a\x00b\r\nc"), headers=await world.key("intake:write"))
    assert answer.status_code == 201
    personal = await world.opened((await world.events(MessageReceived))[0], MessagePersonal)
    assert isinstance(personal, MessagePersonal)
    assert personal.text == "ab\nc"


async def test_what_becomes_of_contacts_is_counted(world: World) -> None:
    headers = await world.key("intake:write")

    def counted(fate: str) -> float:
        return REGISTRY.get_sample_value("patchbay_intake_contacts_total", {"channel": "chat", "fate": fate}) or 0.0

    before = {fate: counted(fate) for fate in ("opened", "joined", "repeated", "dedup_conflict")}
    for body in (contact(1), contact(2), contact(2), contact(2, text="something else")):
        await world.http.post("/v1/contacts", json=body, headers=headers)
    assert [counted(fate) - count for fate, count in before.items()] == [1, 1, 1, 1]
