"""The same mail by two ways on a real database: one message within ten minutes, by the database's clock; and what becomes of what
is kept for it.
"""

import asyncio
from email.message import EmailMessage

from services.intake.domain.inboxes import Inbox
from services.intake.mail import MailTaker
from services.intake.store.parked import Arrival, Way
from shared import db
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketOpened
from tests.services.intake.test_mail import SUPPORT
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, process
from tests.waiting import until

INBOX = Inbox("support", "email", SUPPORT)
TEXT = "Așteptăm de o săptămână coletul. Unde este?"
LATER = "UPDATE intake.fingerprint SET came_at = came_at - interval '{} minutes'"


def written(text: str = TEXT, subject: str = "Coletul meu", **headers: str) -> EmailMessage:
    """A mail as a device or a script sends it: without Message-ID, without Date."""
    mail = EmailMessage()
    mail["From"] = "Ana Pop <ana@customers.example>"
    mail["To"] = SUPPORT
    mail["Subject"] = subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


async def came(world: World, way: Way, mail: EmailMessage) -> str:
    """The mail came so, with what the way writes into it. Returns the ticket's number."""
    trace = f"Received: from there by {way}; Thu, 15 Jan 2026 10:00:07 +0200\r\n".encode()
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
    placed = await taker.take(Arrival(way, trace + mail.as_bytes(), "ana@customers.example", (SUPPORT,)), INBOX)
    assert placed is not None
    return str(placed.number)


async def later(world: World, minutes: int) -> None:
    """So much earlier came what came."""
    await world.execute(LATER.format(minutes))


async def test_a_mail_without_message_id_that_comes_by_two_ways_is_one_message_with_one_answer(world: World) -> None:
    first = await came(world, "smtp", written())
    assert await came(world, "imap", written()) == first
    assert await world.count("message") == len(await world.events(TicketOpened)) == len(await world.events(MessageReceived)) == 1


async def test_so_is_one_that_comes_by_both_in_the_same_instant_to_two_processes(world: World, database: str) -> None:
    async with process(database) as other:
        for n in range(5):
            mail = written(f"{TEXT} {n}", subject=f"Coletul {n}")
            assert len(set(await asyncio.gather(came(world, "smtp", mail), came(other, "imap", mail)))) == 1
    assert await world.count("message") == 5


async def test_ten_minutes_later_it_is_another_message_and_just_before_it_is_not(world: World) -> None:
    first = await came(world, "smtp", written())
    await later(world, 9)
    assert await came(world, "imap", written()) == first
    await later(world, 2)
    assert await came(world, "postmark", written()) == first, "the other way brought it two minutes ago"
    await later(world, 11)
    assert await came(world, "ses", written()) != first
    assert await world.count("message") == 2


async def test_other_words_and_the_same_words_again_by_the_same_way_are_other_messages(world: World) -> None:
    numbers = [await came(world, "smtp", written()), await came(world, "imap", written("Altceva."))]
    numbers.append(await came(world, "smtp", written(X_Again="yes")))
    assert len(set(numbers)) == await world.count("message") == 3


async def test_what_has_message_ids_of_its_own_is_never_taken_for_a_copy(world: World) -> None:
    ways: tuple[Way, ...] = ("smtp", "imap", "smtp")
    numbers = [await came(world, way, written(Message_ID=f"<{n}@c>")) for n, way in enumerate(ways)]
    assert len(set(numbers)) == 3


async def test_a_text_message_that_says_the_same_again_is_another_message(world: World) -> None:
    for sid in ("SM1", "SM2"):
        await sms(world, MessageSid=sid, Body="ok")
    assert await world.count("message") == 2
    assert await world.count("fingerprint") == await world.count("other_name") == 0


async def test_a_copy_whose_sender_tries_again_an_hour_later_is_known_by_its_name(world: World) -> None:
    first = await came(world, "smtp", written())
    copy = written(Message_ID="<1@c>")
    assert await came(world, "imap", copy) == first
    await later(world, 60)
    await world.ticker().keep_house()
    assert await world.count("fingerprint") == 0
    assert await came(world, "imap", copy) == first
    assert await came(world, "imap", written("Altceva cu totul, care nu trebuie pierdut.", Message_ID="<1@c>")) != ""
    assert await world.count("message") == 2
    assert await came(world, "imap", written("Mulțumesc!", Message_ID="<2@c>", In_Reply_To="<1@c>")) == first


async def test_what_is_forgotten_and_what_is_erased_do_not_wait_for_each_other_crosswise(world: World) -> None:
    await came(world, "smtp", written())
    await later(world, 60)
    await world.execute(
        "INSERT INTO intake.parked_contact (way, reason, media_type, body, parked_at) VALUES ('smtp', '', '', '', '2020-01-01')"
    )
    async with db.transaction(world.parts.engine) as conn:
        await db.fetch(conn, "DELETE FROM intake.parked_contact")  # in the order of an erasure
        keeping = asyncio.create_task(world.ticker().keep_house())
        await until("what is parked is waited for", world.somebody_waits)
        await db.fetch(conn, "DELETE FROM intake.fingerprint")
    await keeping
    assert await world.count("fingerprint") == await world.count("parked_contact") == 0


async def test_a_mail_whose_letters_a_provider_lost_is_the_one_that_came_whole_by_another_way(world: World) -> None:
    first = await came(world, "smtp", written(Message_ID="<1@c>"))
    assert await came(world, "ses", written(TEXT.replace("ș", "ş"), Message_ID="<1@c>")) == first
    assert await came(world, "sendgrid", written(TEXT.encode("ascii", "replace").decode(), Message_ID="<1@c>")) == first
    assert await world.count("message") == 1


async def test_where_it_came_first_without_its_letters_the_whole_one_is_kept_on_the_same_ticket(world: World) -> None:
    first = await came(world, "sendgrid", written(TEXT.encode("ascii", "replace").decode(), Message_ID="<1@c>"))
    assert await came(world, "smtp", written(Message_ID="<1@c>")) == first
    received = await world.events(MessageReceived)
    texts = [await world.opened(event, MessagePersonal) for event in received]
    assert [told.text.strip() for told in texts if isinstance(told, MessagePersonal)] == [
        TEXT.encode("ascii", "replace").decode(),
        TEXT,
    ]
    assert len({event.key for event in received}) == 1


async def test_through_a_connector_that_gives_no_id_it_is_the_same_message(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    first = await came(world, "smtp", written())
    body = {
        "channel": "email",
        "inbox": "support",
        "handle": {"kind": "email", "value": "Ana@customers.example"},
        "subject": "Coletul meu",
        "text": TEXT,
    }
    headers = {**await world.key("intake:write"), "Idempotency-Key": "k1"}
    for _ in range(2):
        answer = await world.http.post("/v1/contacts", json=body, headers=headers)
        assert (answer.status_code, str(answer.json()["ticket_number"])) == (201, first)
    assert await world.count("message") == 1
    again = await world.http.post("/v1/contacts", json={**body, "id": "m-2"}, headers=await world.key("intake:write"))
    assert str(again.json()["ticket_number"]) != first, "it has a name of its own"


async def test_who_is_erased_leaves_no_fingerprint_and_a_copy_that_comes_again_is_still_known_by_its_name(world: World) -> None:
    await came(world, "smtp", written())
    first = await came(world, "imap", written(Message_ID="<1@c>"))
    [received] = await world.events(MessageReceived)
    assert await world.count("fingerprint") == 2
    answer = await world.http.post(f"/v1/customers/{received.data.customer_id}/erase", headers=await world.key("admin"))
    assert answer.status_code < 300, answer.text
    assert await world.count("fingerprint") == 0
    assert await world.count("other_name", "content_hash <> ''") == 0
    assert await came(world, "imap", written(Message_ID="<1@c>")) == first
    assert await world.count("message") == 1


async def test_of_a_thousand_alike_that_a_machine_sends_the_newest_are_looked_at(world: World) -> None:
    first = await came(world, "smtp", written())
    await world.execute(
        "INSERT INTO intake.fingerprint SELECT shape, words, kept, way, sent_at, message_id, came_at + n * interval '1 ms'"
        " FROM intake.fingerprint, generate_series(1, 1000) n"
    )
    assert await came(world, "smtp", written(X_Again="yes")) != first
    assert await came(world, "imap", written()) == first
    assert await world.count("message") == 2
