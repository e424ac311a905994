"""Forms, status pages, inboxes, raw payloads, closing, and forgetting a person."""

import httpx
import pytest
import sqlalchemy as sa

from shared import db
from shared.events.base import Position
from shared.events.config import InboxConfigured
from shared.events.message import ConfirmationSkipped, MessagePersonal, MessageReceived
from shared.events.people import CustomerErased
from shared.events.ticket import (
    RequestRefused,
    TicketAssigned,
    TicketClosed,
    TicketCloseRequested,
    TicketOpened,
    TicketReleased,
    TicketResolved,
)
from shared.personal import Erased
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.world import World, mail_port, process

FORM = {
    "name": "Dan",
    "email": "dan@customers.example",
    "subject": "Garanție",
    "text": "Cât timp este valabilă garanția produsului?",
}


async def submit(world: World, **more: str) -> httpx.Response:
    return await world.http.post("/v1/forms/contact", json={**FORM, **more})


async def test_a_form_is_answered_with_number_and_status_link_and_the_link_works(world: World) -> None:
    answer = await submit(world)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    status = await world.http.get(body["status_url"], headers={"Accept": "application/json"})
    assert (status.json()["number"], status.json()["status"]) == (body["ticket_number"], "new")
    page = await world.http.get(body["status_url"], headers={"Accept": "text/html"})
    assert '<html lang="ro" dir="ltr">' in page.text
    assert f"#{body['ticket_number']}" in page.text


async def test_a_browser_is_sent_on_to_the_status_page(world: World) -> None:
    answer = await world.http.post("/v1/forms/contact", data=FORM, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert (await world.http.get(answer.headers["location"])).status_code == 200


async def test_a_button_pressed_twice_is_one_submission(world: World) -> None:
    first, second = await submit(world), await submit(world)
    assert first.json() == second.json()
    assert await world.count("message") == 1


async def test_a_forged_or_shortened_link_shows_nothing(world: World) -> None:
    url = (await submit(world)).json()["status_url"]
    for wrong in (url[:-1], url[:-1] + ("a" if url[-1] != "a" else "b"), url + "x"):
        assert (await world.http.get(wrong)).status_code == 404


@pytest.mark.parametrize("path", ["/status/x", "/survey/x", "/files/x"])
async def test_a_person_with_a_wrong_link_is_told_so_in_their_words(world: World, path: str) -> None:
    page = await world.http.get(path, headers={"Accept": "text/html", "Accept-Language": "fr, he;q=0.8"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert ('<html lang="he" dir="rtl">' in page.text, "הקישור" in page.text) == (True, True)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    other = await world.http.get(path)
    assert (other.status_code, other.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "", "phone": ""}, "body.email"),
        ({"email": "nonsense"}, "body.email"),
        ({"phone": "0721\x07234567"}, "body.phone"),
        ({"text": ""}, "body.text"),
        ({"website": "http://spam.example"}, "body.website"),
    ],
)
async def test_a_form_that_cannot_be_taken_says_which_field_and_why(world: World, fields: dict[str, str], field: str) -> None:
    answer = await submit(world, **fields)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert await world.log() == []


async def test_one_address_cannot_flood_a_form(database: str) -> None:
    async with process(database, intake_form_per_minute=2) as world:
        assert [(await submit(world, text=f"number {n}")).status_code for n in range(3)] == [201, 201, 429]


async def test_a_form_without_a_mail_address_is_not_confirmed_and_says_why(world: World) -> None:
    await submit(world, email="", phone="+40721234567")
    assert (await world.events(ConfirmationSkipped))[0].data.reason == "no_address"


async def test_an_unknown_form_is_told_from_a_known_one_once_there_are_some(world: World) -> None:
    await world.inbox("contact", channel="form", address="contact", guard="open")
    assert (await submit(world)).status_code == 201
    assert (await world.http.post("/v1/forms/other", json=FORM)).status_code == 404


async def test_inboxes_are_versioned_and_edited_only_by_who_has_seen_them(world: World) -> None:
    admin = await world.key("admin")
    body = {"channel": "sms", "address": "+40 312 295 500", "region": "RO"}
    made = await world.http.put("/v1/inboxes/sms", json=body, headers=admin)
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    assert (await world.http.put("/v1/inboxes/sms", json=body, headers=admin)).status_code == 428
    assert (await world.http.put("/v1/inboxes/sms", json=body, headers={**admin, "If-Match": '"7"'})).status_code == 412
    changed = await world.http.put("/v1/inboxes/sms", json={**body, "confirm": False}, headers={**admin, "If-Match": '"1"'})
    assert changed.json()["version"] == 2
    shown = await world.http.get("/v1/inboxes/sms", headers=admin)
    assert (shown.json()["confirm"], shown.headers["etag"]) == (False, '"2"')
    assert [event.data.version for event in await world.events(InboxConfigured)] == [1, 2]
    taken = await world.http.put("/v1/inboxes/other", json={**body, "address": "+40312295500"}, headers=admin)
    assert (taken.status_code, taken.json()["code"]) == (409, "address-taken")
    assert (await world.http.get("/v1/inboxes/none", headers=admin)).status_code == 404
    assert (await world.http.put("/v1/inboxes/x", json=body, headers=await world.key("supervisor"))).status_code == 403


async def test_raw_mail_and_its_files_can_be_fetched_as_they_came(world: World) -> None:
    message = mail()
    message.add_attachment(b"\x89PNG...", maintype="image", subtype="png", filename="photo.png")
    async with mail_port(world) as port:
        await deliver(port, message)
    [received] = await world.events(MessageReceived)
    raw = await world.http.get(f"/v1/messages/{received.data.message_id}/raw", headers=await world.key("admin"))
    assert (raw.headers["content-type"], b"photo.png" in raw.content) == ("message/rfc822", True)
    file = await world.http.get(f"/v1/attachments/{received.data.attachments[0].id}", headers=await world.key("supervisor"))
    assert (file.content, file.headers["content-type"]) == (b"\x89PNG...", "image/png")
    assert (await world.http.get("/v1/messages/nothing/raw", headers=await world.key("admin"))).status_code == 404


async def test_a_file_is_for_the_agent_who_has_its_ticket_and_for_supervisors(world: World) -> None:
    message = mail()
    message.add_attachment(b"\x89PNG...", maintype="image", subtype="png", filename="photo.png")
    async with mail_port(world) as port:
        await deliver(port, message)
    [received] = await world.events(MessageReceived)
    keys = {who: await world.key(who) for who in ("agent:dana", "agent:noa", "supervisor", "admin", "ops:read")}

    async def seen_by() -> list[str]:
        path = f"/v1/attachments/{received.data.attachments[0].id}"
        return [who for who, key in keys.items() if (await world.http.get(path, headers=key)).status_code == 200]

    assert await seen_by() == ["supervisor", "admin"]
    assert await world.say(received.key, TicketAssigned(agent_id="dana", offer_id="o-1", how="accepted")) == []
    assert await seen_by() == ["agent:dana", "supervisor", "admin"]
    assert await world.say(received.key, TicketAssigned(agent_id="noa", offer_id="o-2", how="accepted"), start=2) == []
    assert await seen_by() == ["agent:noa", "supervisor", "admin"]
    assert await world.say(received.key, TicketReleased(agent_id="noa", reason="resolved"), start=3) == []
    assert await seen_by() == ["supervisor", "admin"]
    refused = [await world.http.get(f"/v1/attachments/{name}", headers=keys["agent:dana"]) for name in ("x", "%00")]
    assert [answer.status_code for answer in refused] == [403, 422], "whether there is such a file is not told"
    unknown = await world.http.get("/v1/attachments/x", headers=keys["supervisor"])
    assert unknown.status_code == 404


async def test_an_erased_person_is_in_no_row_and_in_no_event_and_comes_back_as_somebody_new(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        [received] = await world.events(MessageReceived)
        customer_id = received.data.customer_id
        await world.reply(received.key, customer_id, "An answer", "email")
        admin = await world.key("admin")
        first = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=admin)
        again = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=admin)
        assert (first.status_code, first.json(), again.json()) == (200, {"customer_ids": [customer_id]}, first.json())
        assert len(await world.events(CustomerErased)) == 1
        assert isinstance(await world.opened(received, MessagePersonal), Erased)
        dump = await _all_rows(world)
        for word in ("dan@customers", "Ionescu", "My parcel", "parcel has not arrived"):
            assert word.lower() not in dump
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert [await world.sender.send_due(), await world.sender.send_due()] == [1, 1]
        assert (
            await world.count("delivery", "state = 'failed'") == 2
        )  # the confirmation and the reply: there is nobody to send to
        await deliver(port, mail(Message_ID="<new@c>"))
    assert (await world.events(MessageReceived))[1].data.customer_id != customer_id
    assert (await world.http.post("/v1/customers/nobody/erase", headers=admin)).status_code == 404


async def _all_rows(world: World) -> str:
    text = ""
    async with db.transaction(world.parts.engine) as conn:
        names = (
            await conn.execute(sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'intake'"))
        ).scalars()
        for name in names.all():
            rows = await conn.execute(sa.text(f"SELECT * FROM intake.{name}"))
            text += "\n".join(" ".join(_shown(value) for value in row) for row in rows)
    return text.lower()


def _shown(value: object) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)


async def test_an_agents_wish_to_close_is_granted_only_if_the_customer_has_been_seen(world: World) -> None:
    await submit(world)
    ticket_id = (await world.events(TicketOpened))[0].key
    assert await world.say(ticket_id, TicketCloseRequested(agent_id="dana")) == []
    assert (await world.events(RequestRefused))[0].data.code == "customer-wrote-meanwhile"
    await world.close(ticket_id, seq=2)
    assert (await world.events(TicketClosed))[0].data.requested_by == "dana"
    await world.close(ticket_id, seq=3)
    assert (await world.events(RequestRefused))[1].data.code == "not-allowed-now"
    status = await world.http.get((await submit(world)).json()["status_url"])
    assert status.json()["status"] == "closed"


async def test_a_ticket_resolved_long_enough_ago_is_closed_unless_the_customer_wrote(world: World) -> None:
    for n in range(3):
        await submit(world, text=f"question {n}")
    first, second, third = [event.key for event in await world.events(TicketOpened)]
    assert await world.say(first, TicketResolved(agent_id="dana"), seen=Position(1, 99)) == []
    assert await world.say(second, TicketResolved(agent_id="dana"), seen=Position(1, 1)) == []
    assert await world.ticker().close_rested() == 0
    await world.execute("UPDATE intake.ticket SET rested_at = rested_at - interval '8 days' WHERE rested_at IS NOT NULL")
    assert await world.ticker().close_rested() == 1
    assert [event.key for event in await world.events(TicketClosed)] == [first]
    assert await world.count("ticket", f"id = '{third}' AND status = 'new'") == 1


async def test_a_fact_about_a_ticket_that_is_not_known_is_parked(world: World) -> None:
    assert len(await world.say("no-such-ticket", TicketResolved(agent_id="dana"))) == 1
