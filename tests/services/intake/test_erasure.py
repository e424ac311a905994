"""Who is erased is gone from every place where intake keeps something of theirs, and `verify-erased` sees them there before."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from deploy.erasure import Trace, find_traces, live_keys
from services.intake.channels import ses
from services.intake.channels.email import Envelope
from services.intake.channels.provided import StoredMail
from services.intake.store import stored_mails
from services.intake.store.erasure import SCRUBS
from shared import db
from shared.events.base import Attachment
from shared.events.message import MessageFailed, MessageReceived
from shared.events.ticket import SpamMarked
from tests.services.intake.test_customers import call, put
from tests.services.intake.test_generic_out import due, replied
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.test_parked import CURE, POISON
from tests.services.intake.test_twilio import SMS, post, sms
from tests.services.intake.world import World, mail_port

DAN = "dan@customers.example"


@dataclass(frozen=True)
class Kept:
    """Something of a person, by whose id it is asked to be erased, and in which columns the words stand."""

    customer_id: str
    words: tuple[str, ...]
    columns: frozenset[str]


async def written(world: World, text: str = "Hello, where is my parcel?", **headers: str) -> str:
    """A mail came. Returns its customer."""
    async with mail_port(world) as port:
        await deliver(port, mail(text=text, **headers))
    return (await world.events(MessageReceived))[-1].data.customer_id


async def uploaded(world: World, content: bytes) -> Attachment:
    headers = {**await world.key("agent:dana"), "Content-Type": "text/plain"}
    answer = await world.http.post("/v1/uploads", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    return Attachment(**{name: value for name, value in answer.json().items() if name != "name"})


async def an_upload_that_is_not_sent_yet(world: World) -> Kept:
    customer_id = await written(world)
    await uploaded(world, b"To: Dan@Customers.EXAMPLE\n\nOffer of green figs")
    return Kept(customer_id, ("green figs",), frozenset({"intake.file.content"}))


async def an_upload_that_was_sent(world: World) -> Kept:
    customer_id = await written(world)
    file = await uploaded(world, b"Invoice of green figs")
    [received] = await world.events(MessageReceived)
    await world.reply(received.key, customer_id, "Here it is.", "email", files=((file, "invoice.txt"),))
    return Kept(customer_id, ("green figs",), frozenset({"intake.file.content"}))


async def parked_mail_of_somebody_merged(world: World) -> Kept:
    by_mail = await written(world)
    await sms(world)
    by_phone = (await world.events(MessageReceived))[-1].data.customer_id
    await call(world, f"{by_mail}/merge", into_customer_id=by_phone)
    await world.execute(POISON)
    async with mail_port(world) as port:
        again = mail(text="I meant the green figs.", From="DAN@customers.EXAMPLE", Message_ID="<2@c>")
        await deliver(port, again, sender="relay@other.example")
    await world.execute(CURE)
    assert await world.count("parked_contact") == 1
    return Kept(by_mail, ("green figs",), frozenset({"intake.parked_contact.body"}))


async def a_parked_text_message(world: World) -> Kept:
    await sms(world)
    await post(world, "/v1/providers/twilio/sms", {"From": SMS["From"], "Surprise": "green figs & more"})
    customer_id = (await world.events(MessageReceived))[-1].data.customer_id
    return Kept(customer_id, ("green figs & more",), frozenset({"intake.parked_contact.body"}))


async def a_mail_that_is_to_be_fetched(world: World) -> Kept:
    customer_id = await written(world)
    pointer = ses.pointer(StoredMail("our-mail", "in/1", Envelope("Dan@Customers.example", ("support@patchbay.example",))))
    async with db.transaction(world.parts.engine) as conn:
        await stored_mails.insert(conn, ("our-mail", "in/1"), "Dan@Customers.example", pointer)
    return Kept(customer_id, (DAN,), frozenset({"intake.stored_mail.sender", "intake.stored_mail.pointer"}))


async def spam_in_quarantine(world: World) -> Kept:
    customer_id = await written(world, "Buy green figs.", X_Spam_Flag="YES")
    assert len(await world.events(SpamMarked)) == 1
    return Kept(
        customer_id, ("green figs", DAN), frozenset({"intake.message.body", "intake.message.handle", "intake.handle.value"})
    )


async def what_a_mail_quotes(world: World) -> Kept:
    message = mail()
    quoted = "> Grüne Feigen: their skin is thin, and nobody sends them by post in summer, as I told you before.\n"
    message.set_content(f"Yes.\n\nOn 5 Jan 2026 at 10:12, Dan <d@x.example> wrote:\n{quoted}", cte="base64")
    async with mail_port(world) as port:
        await deliver(port, message)
    [received] = await world.events(MessageReceived)
    return Kept(received.data.customer_id, ("Grüne Feigen", "by post in summer"), frozenset({"intake.message.body"}))


async def a_file_of_a_mail(world: World) -> Kept:
    message = mail(text="Here is a contract; it is about nothing else.")
    message.add_attachment(b"sold: green figs, 2 kg", maintype="application", subtype="pdf", filename="ionescu-figs.pdf")
    async with mail_port(world) as port:
        await deliver(port, message)
    [received] = await world.events(MessageReceived)
    columns = frozenset({"intake.message.body", "intake.attachment.name"})
    return Kept(received.data.customer_id, ("green figs", "ionescu-figs"), columns)


async def a_mail_on_the_ticket_of_another(world: World) -> Kept:
    await written(world, From="Ana <ana@customers.example>")
    about = {"In_Reply_To": "<first@customers.example>", "Message_ID": "<17@laptop-of-dan.example>"}
    customer_id = await written(world, "Mine are green figs, too.", **about)
    assert len({event.key for event in await world.events(MessageReceived)}) == 1
    columns = frozenset({"intake.message.body", "intake.message.message_ref", "intake.ref.value"})
    return Kept(customer_id, ("laptop-of-dan", "green figs"), columns)


async def a_record_from_elsewhere(world: World) -> Kept:
    made = await put(world, f"email:{DAN}", name="Dan of the green figs")
    return Kept(str(made["id"]), ("green figs", DAN), frozenset({"intake.customer.profile", "intake.handle.value"}))


async def an_address_for_which_a_connector_vouched(world: World) -> Kept:
    also = [{"kind": "email", "value": "green-figs@customers.example"}]
    handle = {"kind": "visitor", "value": "v-1"}
    body = {"channel": "chat", "inbox": "in", "text": "Hello", "handle": handle, "also": also}
    answer = await world.http.post("/v1/contacts", json=body, headers=await world.key("intake:write", "intake:identify"))
    assert answer.status_code == 201, answer.text
    columns = frozenset({"intake.message.body", "intake.handle.value"})
    return Kept(answer.json()["customer_id"], ("green-figs",), columns)


PLACES: tuple[Callable[[World], Awaitable[Kept]], ...] = (
    an_upload_that_is_not_sent_yet,
    an_upload_that_was_sent,
    parked_mail_of_somebody_merged,
    a_parked_text_message,
    a_mail_that_is_to_be_fetched,
    spam_in_quarantine,
    what_a_mail_quotes,
    a_file_of_a_mail,
    a_mail_on_the_ticket_of_another,
    a_record_from_elsewhere,
    an_address_for_which_a_connector_vouched,
)


async def erase(world: World, customer_id: str) -> list[str]:
    answer = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["customer_ids"])


async def traces(world: World, *words: str) -> list[Trace]:
    return await find_traces(world.parts.engine, words)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_it_is_seen_before_and_gone_afterwards(world: World, place: Callable[[World], Awaitable[Kept]]) -> None:
    kept = await place(world)
    for number, word in enumerate(kept.words, 1):
        assert await traces(world, word), f"word {number} is not seen where it stands"
    assert {trace.column for trace in await traces(world, *kept.words)} >= kept.columns
    ids = await erase(world, kept.customer_id)
    assert kept.customer_id in ids
    assert await traces(world, *kept.words) == []
    assert await live_keys(world.parts.engine, ids) == []


async def test_a_reply_that_waits_for_a_webhook_is_sealed_and_goes_with_its_key(database: str) -> None:
    async with replied(database) as (world, played):
        [received] = await world.events(MessageReceived)
        customer_id = received.data.customer_id
        assert await world.count("delivery", "sealed IS NOT NULL") == 1
        assert await live_keys(world.parts.engine, [customer_id]) == [customer_id], "so it is said not to be erased"
        assert await traces(world, "user-5")
        await erase(world, customer_id)
        assert await live_keys(world.parts.engine, [customer_id]) == []
        assert await world.count("delivery", "sealed IS NOT NULL") == 0
        assert await traces(world, "user-5") == []
        await due(world)
        assert played.posted == []
        assert len(await world.events(MessageFailed)) == 1


async def test_what_is_kept_of_others_stays_though_a_short_id_of_theirs_stands_in_it(world: World) -> None:
    made = await put(world, "external:7", name="Ana")
    await post(world, "/v1/providers/twilio/sms", {"From": "+40777777777", "Surprise": "7"})
    await uploaded(world, b"7")
    await erase(world, str(made["id"]))
    assert (await world.count("parked_contact"), await world.count("file")) == (1, 1)


async def test_files_of_who_is_erased_are_found_without_reading_all_files(world: World) -> None:
    [statement] = [one.text for one in SCRUBS if "UPDATE intake.file SET" in one.text]
    async with db.transaction(world.parts.engine) as conn:
        await conn.execute(
            sa.text(
                "INSERT INTO intake.file (id, media_type, size_bytes, sha256, message_id, ticket_id, customer_id)"
                " SELECT 'f' || n, 'a/b', 1, '', 'm' || n, 't' || n, 'c' || n FROM generate_series(1, 3000) n"
            )
        )
        await conn.execute(
            sa.text(
                "INSERT INTO intake.message (id, ticket_id, customer_id, content_hash, human, opened, participant, media_type,"
                " received_at) SELECT 'm' || n, 't' || n, 'c' || n, '', true, true, n % 10 > 0, 'a/b', now()"
                " FROM generate_series(1, 3000) n"
            )
        )
        await conn.execute(sa.text("ANALYZE intake.file, intake.message"))
        plan = await conn.execute(sa.text(f"EXPLAIN {statement}"), {"customers": ["c"], "tickets": ["t"]})
        told = "\n".join(plan.scalars())
    assert "Seq Scan" not in told, told
    assert all(name in told for name in ("file_customer", "file_ticket", "file_message", "message_of_others")), told
