"""What could not be taken: kept as it came, tried again the same way, counted, forgotten with the person."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from services.intake.domain.inboxes import Inbox, Inboxes
from services.intake.replaying import Replayer
from services.intake.store import parked
from services.intake.store.parked import Arrival, ParkedContact
from shared import db
from shared.events.base import Channel
from shared.events.call import CallReceived
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketOpened
from tests.services.intake.test_edge import FORM, submit
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.test_twilio import CALL, post, sms
from tests.services.intake.world import World, mail_port
from tests.waiting import until

POISON = "ALTER TABLE intake.message ADD CONSTRAINT poison CHECK (content_hash = '') NOT VALID"
CURE = "ALTER TABLE intake.message DROP CONSTRAINT poison"


def replayer(world: World) -> Replayer:
    """The process's own."""
    return Replayer(world.intake.acceptor, world.intake.inboxes, world.signer)


async def listed(world: World) -> list[ParkedContact]:
    """What waits."""
    async with db.transaction(world.parts.engine) as conn:
        return await parked.listed(conn, 100)


async def replay(world: World) -> None:
    """Somebody asks for all of them, and the process does it."""
    for contact in await listed(world):
        async with db.transaction(world.parts.engine) as conn:
            assert await parked.ask(conn, contact.id)
    await replayer(world).once()


async def test_a_mail_that_could_not_be_stored_is_taken_when_the_cause_is_mended_and_once_only(world: World) -> None:
    await world.inbox("help", channel="email", address="support@patchbay.example")
    await world.execute(POISON)
    async with mail_port(world) as port:
        assert "kept for a person" in await deliver(port, mail())
        [kept] = await listed(world)
        assert (kept.channel, kept.media_type, kept.attempts, kept.asked) == ("email", "message/rfc822", 1, False)
        assert kept.size_bytes > 100
        await replay(world)
        [again] = await listed(world)
        assert (again.attempts, again.asked) == (2, False), "it failed again, and is not tried by itself"
        await world.execute(CURE)
        await deliver(port, mail())  # the sender, too, sent it again
        await replay(world)
    assert await listed(world) == []
    [received] = await world.events(MessageReceived)
    assert received.data.inbox == "help"


async def test_twilios_requests_are_replayed_as_what_they_were(world: World) -> None:
    await world.execute(POISON)
    await world.execute("ALTER TABLE intake.call ADD CONSTRAINT poison CHECK (ref = '')")
    assert (await sms(world)).status_code == 200
    assert (await post(world, "/v1/providers/twilio/voice", CALL)).status_code == 200
    assert [(kept.way, kept.channel) for kept in await listed(world)] == [("twilio_sms", "sms"), ("twilio_voice", "phone")]
    await world.execute(CURE)
    await world.execute("ALTER TABLE intake.call DROP CONSTRAINT poison")
    await replay(world)
    assert await listed(world) == []
    assert len(await world.events(MessageReceived)) == len(await world.events(CallReceived)) == 1


HTML = {"Accept": "text/html"}
POSTED = {"channel": "chat", "inbox": "web", "text": "Where is my parcel?", "handle": {"kind": "visitor", "value": "v-1"}}


@pytest.mark.parametrize("named", [{"submission_id": "s-1"}, {}])
async def test_a_form_that_could_not_be_stored_is_kept_once_and_taken_when_it_can_be(world: World, named: dict[str, str]) -> None:
    await world.execute(POISON)
    answers = [await submit(world, **named), await submit(world, **named)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(202, "kept")] * 2
    [kept] = await listed(world)
    assert (kept.way, kept.channel, kept.media_type) == ("form", "form", "application/json")
    assert kept.reason == "CheckViolationError"
    await world.execute(CURE)
    again = await submit(world, **named)  # the person, too, sent it again
    await replay(world)
    assert (again.status_code, await listed(world)) == (201, [])
    [opened] = await world.events(TicketOpened)
    assert opened.data.number == again.json()["ticket_number"]
    assert (await submit(world, **named)).json() == again.json()
    assert await world.count("message") == await world.count("delivery") == 1


async def test_a_visitor_whose_form_is_kept_is_told_so_in_their_language(world: World) -> None:
    await world.execute(POISON)
    answer = await world.http.post(
        "/v1/forms/contact?lang=he", data={**FORM, "phone": "+40 721 234 567", "order": "7"}, headers=HTML
    )
    assert (answer.status_code, '<html lang="he" dir="rtl">' in answer.text, "התקבלה" in answer.text) == (202, True, True)
    await world.execute(CURE)
    await replay(world)
    [received] = await world.events(MessageReceived)
    told = await world.opened(received, MessagePersonal)
    assert isinstance(told, MessagePersonal)
    assert told.fields == {"phone": "+40 721 234 567", "order": "7"}
    assert await world.count("handle") == 2


async def test_a_form_that_is_gone_since_stays_and_says_so(world: World) -> None:
    await world.execute(POISON)
    await submit(world)
    await world.execute(CURE)
    await world.inbox("other", channel="form", address="other")
    await replay(world)
    assert [kept.reason for kept in await listed(world)] == ["there is no such form any more"]


async def test_posted_contacts_that_could_not_be_stored_are_taken_as_they_came_once_each(world: World) -> None:
    key = await world.key("intake:write")
    file = {"name": "a.txt", "media_type": "text/plain", "content": "aGVsbG8="}
    keyed = {**key, "Idempotency-Key": "k-1"}
    await world.execute(POISON)
    for _ in range(2):
        answers = [
            await world.http.post("/v1/contacts", json={**POSTED, "id": "m-1", "attachments": [file]}, headers=key),
            await world.http.post("/v1/contacts", json={**POSTED, "text": "And when?"}, headers=keyed),
        ]
        assert [answer.status_code for answer in answers] == [202, 202]
    assert [(kept.way, kept.attempts) for kept in await listed(world)] == [("generic", 1)] * 2
    await world.execute(CURE)
    await replay(world)
    assert (await listed(world), await world.count("message"), await world.count("ticket")) == ([], 2, 1)
    assert [len(event.data.attachments) for event in await world.events(MessageReceived)] == [1, 0]
    repeated = await world.http.post("/v1/contacts", json={**POSTED, "text": "And when?"}, headers=keyed)
    assert (repeated.status_code, repeated.headers["idempotency-replayed"]) == (201, "true")
    other = await world.http.post("/v1/contacts", json=POSTED, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert await world.count("message") == 2


@pytest.mark.parametrize("by", ["id", "key"])
async def test_what_came_to_stand_under_the_name_of_a_kept_contact_does_not_make_it_vanish(world: World, by: str) -> None:
    headers = {**await world.key("intake:write"), **({"Idempotency-Key": "k-1"} if by == "key" else {})}
    named = {**POSTED, "id": "m-1"} if by == "id" else POSTED
    await world.execute(POISON)
    assert (await world.http.post("/v1/contacts", json=named, headers=headers)).status_code == 202
    await world.execute(CURE)
    assert (await world.http.post("/v1/contacts", json={**named, "text": "Other words"}, headers=headers)).status_code == 201
    await replay(world)
    assert [kept.reason for kept in await listed(world)] == ["something else was taken under its name"]


async def test_who_is_erased_takes_the_forms_along_that_name_them_in_another_way(world: World) -> None:
    await sms(world)  # from +40721234567
    customer_id = (await world.events(MessageReceived))[-1].data.customer_id
    await world.inbox("contact", channel="form", address="contact", region="RO", guard="open")
    await world.execute(POISON)
    await submit(world, email="", phone="0721 234 567")
    await submit(world, phone="0721-234-567")
    await submit(world, phone="0721-234-568")
    assert len(await listed(world)) == 3
    answer = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
    assert (answer.status_code, len(await listed(world))) == (200, 1)


async def test_what_still_cannot_be_read_stays_and_says_why(world: World) -> None:
    await post(world, "/v1/providers/twilio/sms", {"Surprise": "1"})
    await world.execute("INSERT INTO intake.parked_contact (reason, media_type, body) VALUES ('old', 'message/rfc822', 'x')")
    await replay(world)
    assert [(kept.reason, kept.attempts) for kept in await listed(world)] == [
        ("MessageSid, From or To is missing", 2),
        ("it was kept without the way it came; export it and send it again", 2),
    ]


async def test_a_mail_to_an_address_that_is_gone_stays(world: World) -> None:
    await world.execute(POISON)
    async with mail_port(world) as port:
        await deliver(port, mail())
    await world.execute(CURE)
    await world.inbox("other", channel="email", address="other@patchbay.example")
    await replay(world)
    assert [kept.reason for kept in await listed(world)] == ["no inbox has the address it was sent to"]


async def test_what_waits_is_counted(world: World) -> None:
    for n in range(3):
        await post(world, "/v1/providers/twilio/sms", {"Surprise": str(n)})
    await replayer(world).once()
    assert REGISTRY.get_sample_value("patchbay_parked_contacts") == 3


async def test_what_is_kept_twice_in_one_moment_is_kept_both_times(world: World) -> None:
    arrival = Arrival("twilio_status", b"Surprise=0")

    async def keep() -> bool:
        async with db.transaction(world.parts.engine) as conn:
            return await parked.park(conn, arrival, "no", "text/plain", b"one", 1000)

    async with db.transaction(world.parts.engine) as first:
        assert await parked.park(first, arrival, "no", "text/plain", b"one", 1000)
        second = asyncio.create_task(keep())
        await until("the other waits", world.somebody_waits, 10)
    assert await second
    assert len(await listed(world)) == 1


async def test_a_sender_who_is_known_only_from_the_envelope_is_forgotten_too(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        [received] = await world.events(MessageReceived)
        await world.execute(POISON)
        unsigned = mail(From="Somebody <else@other.example>", Message_ID="<2@other.example>")
        await deliver(port, unsigned, sender="Dan@Customers.example")
    await world.execute(CURE)
    assert len(await listed(world)) == 1
    answer = await world.http.post(f"/v1/customers/{received.data.customer_id}/erase", headers=await world.key("admin"))
    assert (answer.status_code, await listed(world)) == (200, [])


ADDRESSES: dict[Channel, str] = {"sms": "+40312295500", "phone": "+40312295501"}


def broken(world: World, *channels: Channel) -> None:
    """A defect of ours: the region of these inboxes is something on which the parsers fail."""
    inboxes = [Inbox(one, one, ADDRESSES.get(one, one), region=[]) for one in channels]  # type: ignore[arg-type]
    world.intake.inboxes.current = Inboxes.of(inboxes)


class Undecided:
    """Another: what is neither true nor false."""

    def __bool__(self) -> bool:
        raise RuntimeError


async def test_a_form_that_cannot_be_read_for_a_defect_of_ours_is_kept_once_and_taken_when_it_can_be(world: World) -> None:
    broken(world, "form")
    said = {"text": "Where is it?", "phone": "0721 234 567", "submission_id": "s-1"}
    for _ in range(2):
        answer = await world.http.post("/v1/forms/form", json=said)
        assert (answer.status_code, answer.json()["code"]) == (202, "kept")
    page = await world.http.post("/v1/forms/form?lang=he", data=said, headers=HTML)
    assert (page.status_code, "התקבלה" in page.text) == (202, True)
    assert [(kept.way, kept.reason) for kept in await listed(world)] == [("form", "TypeError")] * 2, "as JSON, and as a browser's"
    await replay(world)
    assert len(await listed(world)) == 2
    await world.inbox("form", channel="form", address="form", region="RO", guard="open")
    again = await world.http.post("/v1/forms/form", json=said)  # the person, too, sent it again
    assert again.status_code == 201
    await replay(world)
    assert (await listed(world), await world.count("message")) == ([], 1)


async def test_posted_contacts_that_cannot_be_read_for_a_defect_of_ours_are_kept_each_by_itself(world: World) -> None:
    broken(world, "sms", "chat")
    headers = {**await world.key("intake:write"), "Idempotency-Key": "k-1"}
    number = {"kind": "phone", "value": "0721 234 567"}
    text = {"channel": "sms", "inbox": "sms", "text": "Where is it?", "handle": number}
    chat = {**POSTED, "inbox": "chat"}
    for _ in range(2):
        assert (await world.http.post("/v1/contacts", json=text, headers=headers)).status_code == 202
    several = [chat, {**text, "id": "m-2"}, {"text": "?"}]
    answer = await world.http.post("/v1/contacts", json=several, headers=await world.key("intake:write"))
    assert [one["status"] for one in answer.json()["results"]] == [201, 202, 422]
    assert [kept.reason for kept in await listed(world)] == ["TypeError"] * 2
    await world.inbox("sms", channel="sms", address="+40312295500", region="RO")
    await replay(world)
    assert (await listed(world), await world.count("message")) == ([], 3)
    assert await world.count("handle", "value = '+40721234567'") == 1
    repeated = await world.http.post("/v1/contacts", json=text, headers=headers)
    assert (repeated.status_code, repeated.headers["idempotency-replayed"]) == (201, "true")


async def test_what_twilio_signed_and_we_cannot_read_for_a_defect_of_ours_is_answered_well_and_kept(world: World) -> None:
    broken(world, "sms", "phone")
    assert (await sms(world)).status_code == 200
    assert (await post(world, "/v1/providers/twilio/voice", CALL)).status_code == 200
    assert [(kept.way, kept.reason) for kept in await listed(world)] == [
        ("twilio_sms", "TypeError"),
        ("twilio_voice", "TypeError"),
    ]
    world.intake.inboxes.current = Inboxes()
    await replay(world)
    assert (await listed(world), await world.count("ticket")) == ([], 2)


async def test_who_is_erased_takes_along_what_could_not_be_read_of_them(world: World) -> None:
    await sms(world)  # from +40721234567
    customer_id = (await world.events(MessageReceived))[-1].data.customer_id
    await world.execute("INSERT INTO intake.parked_contact (reason, media_type, body) VALUES ('old', 'text/plain', 'x')")
    form = Inbox("contact", "form", "contact", region="RO", confirm=Undecided())  # type: ignore[arg-type]
    world.intake.inboxes.current = Inboxes.of([form])
    answer = await submit(world, email="", phone="0721 234 567")
    assert (answer.status_code, len(await listed(world))) == (202, 2)
    await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
    assert [kept.reason for kept in await listed(world)] == ["old"]


async def test_how_much_waits_is_told_by_the_way_it_came(world: World) -> None:
    for n in range(2):
        await post(world, "/v1/providers/twilio/sms", {"Surprise": str(n)})
    await replayer(world).once()
    assert REGISTRY.get_sample_value("patchbay_parked_bytes", {"way": "twilio_sms"}) == 2 * len("Surprise=0")
    assert REGISTRY.get_sample_value("patchbay_parked_bytes", {"way": "smtp"}) == 0
