"""Agents' replies by mail: what is quoted, signed, enclosed and copied, where they go, and what cannot go out."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from services.intake.channels.outgoing_mail import Quote
from services.intake.channels.quoting import quote
from services.intake.domain.contacts import DeliveryWord
from services.intake.speaking import SPEECHES
from shared.events.base import Attachment, Channel, Event
from shared.events.message import MessageDelivered, MessageFailed, MessageReceived
from shared.events.ticket import TicketAssigned
from tests.services.intake.test_edge import FORM
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_twilio import rest_api, sms
from tests.services.intake.world import MailServer, World, mail_port, mail_server, process

PARCEL = "Hello, where is\nmy parcel?"
PDF = b"%PDF-1.7 receipt"


@asynccontextmanager
async def written(
    database: str, text: str = "Hello, where is\nmy parcel?", **headers: str
) -> AsyncIterator[tuple[World, MailServer]]:
    """A customer wrote a mail."""
    async with mail_server() as (sink, port), process(database, intake_mail_port=port, intake_zone="Asia/Jerusalem") as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as listening:
            await deliver(listening, mail(text=text, **headers))
        yield world, sink


async def last(world: World) -> Event[MessageReceived]:
    return (await world.events(MessageReceived))[-1]


async def answer(world: World, text: str = "Tomorrow.", channel: str = "email", seq: int = 1, **more: object) -> None:
    """An agent answers the newest ticket, and it is tried once."""
    received = await last(world)
    await world.reply(received.key, received.data.customer_id, text, channel, seq, **more)  # type: ignore[arg-type]
    assert await world.sender.send_due() == 1


def parts(message: EmailMessage) -> tuple[str, str]:
    """The text and the HTML of a mail."""
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content().replace("\r\n", "\n"), html.get_content()


async def codes(world: World) -> list[str]:
    return [event.data.code for event in await world.events(MessageFailed)]


async def uploaded(world: World, content: bytes = PDF, name: str = "r.pdf", kind: str = "application/pdf") -> Attachment:
    """An agent uploads a file."""
    headers = {**await world.key("agent:dana"), "Content-Type": kind}
    made = await world.http.post("/v1/uploads", params={"name": name}, content=content, headers=headers)
    assert made.status_code == 201, made.text
    said = made.json()
    assert (said["size_bytes"], said["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    return Attachment(id=said["id"], media_type=said["media_type"], size_bytes=said["size_bytes"], sha256=said["sha256"])


@pytest.mark.parametrize(
    ("language", "wrote"),
    [("en", "wrote:"), ("ro", "a scris:"), ("he", "כתב/ה:"), ("ar", "كتب"), ("fr", "wrote:")],
)
async def test_what_is_answered_stands_quoted_below_answer_and_signature(database: str, language: str, wrote: str) -> None:
    async with written(database) as (world, sink):
        await answer(world, language=language, signature="Dana\nPatchbay")
        plain, html = parts(sink.mails[0])
        above, _, below = plain.partition("-- \n")
        assert above.strip() == "Tomorrow."
        assert below.startswith("Dana\nPatchbay\n\n")
        assert below.rstrip().endswith("> Hello, where is\n> my parcel?")
        attribution = below.splitlines()[3]
        assert wrote in attribution
        assert ("\u2068Dan Ionescu\u2069" if language in ("he", "ar") else "Dan Ionescu") in attribution
        assert html.index("Tomorrow.") < html.index("Dana<br>Patchbay") < html.index("<blockquote") < html.index("my parcel?")
        assert sink.mails[0]["In-Reply-To"] == "<first@customers.example>"


async def test_hostile_words_of_a_customer_are_quoted_as_words(database: str) -> None:
    text = "<script>alert(1)</script>\n\n</blockquote><img src=x>"
    async with written(database, text=text, From='"Eve <b>" <eve@c.example>') as (world, sink):
        await answer(world, subject="Re: a\r\nBcc: all@victims.example", signature="<i>Dana</i>")
        plain, html = parts(sink.mails[0])
        assert [tag for tag in ("<script", "<img", "<i>") if tag in html] == []
        assert "> <script>alert(1)</script>" in plain
        assert sink.mails[0]["Bcc"] is None
        assert sink.mails[0]["Subject"] == "Re: a Bcc: all@victims.example [#100001]"


async def test_a_message_that_cannot_be_read_again_holds_no_answer_back(database: str) -> None:
    async with written(database) as (world, sink):
        await world.execute("UPDATE intake.message SET media_type = 'application/json', body = 'no json'")
        await answer(world)
        assert parts(sink.mails[0])[0].strip() == "Tomorrow."


async def test_a_form_and_a_posted_contact_are_quoted_too(database: str) -> None:
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        await world.inbox("contact", channel="form", address="contact", confirm=False, guard="open")
        assert (await world.http.post("/v1/forms/contact", json=FORM)).status_code == 201
        await answer(world, channel="form")
        assert f"> {FORM['text'].splitlines()[0]}" in parts(sink.mails[0])[0]


async def test_files_go_along_under_names_that_can_do_no_harm_and_are_shown_to_the_agent(database: str) -> None:
    async with written(database) as (world, sink):
        pdf, inner = await uploaded(world), await uploaded(world, mail().as_bytes(), kind="message/rfc822")
        hostile = 'a"\r\nBcc: x@y.example\r\n.pdf'
        await answer(world, files=((pdf, hostile), (inner, "דוח.eml")))
        first, second = sink.mails[0].iter_attachments()
        assert (first.get_content_type(), first.get_content()) == ("application/pdf", PDF)
        assert (second.get_content_type(), second.get_filename()) == ("application/octet-stream", "דוח.eml")
        assert first.get_filename() == 'a" Bcc: x@y.example .pdf'
        assert (first["Bcc"], sink.mails[0]["Bcc"]) == (None, None)
        await world.say((await last(world)).key, TicketAssigned(agent_id="dana", how="accepted"), start=2)
        for key, status in (("agent:dana", 200), ("agent:noa", 403)):
            assert (await world.http.get(f"/v1/attachments/{pdf.id}", headers=await world.key(key))).status_code == status


async def test_a_file_is_sent_once_and_only_as_what_it_is(database: str) -> None:
    async with written(database) as (world, sink):
        pdf = await uploaded(world)
        forged = Attachment(id=pdf.id, media_type=pdf.media_type, size_bytes=pdf.size_bytes, sha256="0" * 64)
        nobody = Attachment(id="nothing", media_type=pdf.media_type, size_bytes=1, sha256="0" * 64)
        for seq, file in enumerate((forged, nobody, pdf, pdf), 1):
            await answer(world, seq=seq, files=((file, "r.pdf"),))
        assert await codes(world) == ["attachment-unknown"] * 3
        assert len(sink.mails) == 1


async def test_uploads_are_for_agents_have_a_limit_and_one_key_is_one_file(world: World) -> None:
    agent = await world.key("agent:dana")
    assert (await world.http.post("/v1/uploads", content=PDF, headers=await world.key("intake:write"))).status_code == 403
    assert (await world.http.post("/v1/uploads", content=PDF)).status_code == 401
    for content in (b"", bytes(10 * 2**20 + 1)):
        assert (await world.http.post("/v1/uploads", content=content, headers=agent)).status_code == 422
    named = {**agent, "Idempotency-Key": "once", "Content-Type": "text / html"}
    first, again = [await world.http.post("/v1/uploads", content=PDF, headers=named) for _ in range(2)]
    assert (first.status_code, again.json()) == (201, first.json())
    other = await world.http.post("/v1/uploads", content=b"else", headers=named)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert first.json()["media_type"] == "application/octet-stream"


async def test_what_is_uploaded_and_never_sent_is_forgotten_and_what_was_sent_goes_with_its_customer(database: str) -> None:
    async with written(database) as (world, _):
        sent, unused = await uploaded(world), await uploaded(world)
        await answer(world, files=((sent, "r.pdf"),))
        await world.execute("UPDATE intake.file SET created_at = created_at - interval '2 days'")
        await world.ticker().keep_house()
        assert await world.count("file", f"id = '{unused.id}'") == 0
        assert await world.count("file", "content IS NOT NULL") == 1
        customer_id = (await last(world)).data.customer_id
        erased = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
        assert erased.status_code == 200
        assert await world.count("file", "content IS NOT NULL") == 0


async def test_people_in_copy_get_it_and_somebody_without_an_address_holds_it_back(database: str) -> None:
    async with written(database) as (world, sink):
        dan = (await last(world)).data.customer_id
        async with mail_port(world) as listening:
            await deliver(listening, mail(Message_ID="<2@c>", From="Ana <ana@customers.example>"), sender="ana@customers.example")
        ana = (await last(world)).data.customer_id
        await answer(world, cc=(dan, ana))
        assert (sink.mails[0]["To"], sink.mails[0]["Cc"]) == ("ana@customers.example", "dan@customers.example")
        assert sink.recipients[0] == ["ana@customers.example", "dan@customers.example"]
        await answer(world, seq=2, cc=("nobody",))
        assert (await codes(world), len(sink.mails)) == (["cc-no-address"], 1)


async def test_an_answer_goes_to_another_channel_of_the_same_customer(database: str) -> None:
    async with rest_api() as (rest, url), mail_server() as (sink, port):  # noqa: SIM117 - the process needs their ports
        async with process(database, intake_mail_port=port, intake_twilio_url=url) as world:
            await world.inbox("texts", channel="sms", address="+40312295500", confirm=False)
            await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
            await sms(world)
            await answer(world, channel="email")
            assert await codes(world) == ["no-address"]
            received = await last(world)
            await world.execute(
                "INSERT INTO intake.handle (kind, scope, value, id, customer_id) VALUES ('email', '', 'p@c.example', 'h', :id)",
                id=received.data.customer_id,
            )
            await answer(world, channel="email", seq=2)
            assert [sent["To"] for sent in sink.mails] == ["p@c.example"]
            await answer(world, channel="sms", seq=3)
            assert [sent["From"] for sent in rest.posted] == ["+40312295500"]
            assert [event.data.channel for event in await world.events(MessageDelivered)] == ["email", "sms"]
            pdf = await uploaded(world)
            await answer(world, channel="sms", seq=4, files=((pdf, "r.pdf"),))
            assert await codes(world) == ["no-address", "attachments-not-possible"]


async def test_a_reply_that_waits_holds_back_what_follows_it_on_its_own_way_and_no_other(database: str) -> None:
    async with rest_api() as (rest, url), mail_server() as (sink, port):  # noqa: SIM117 - the process needs their ports
        async with process(database, intake_mail_port=port, intake_twilio_url=url) as world:
            await world.inbox("texts", channel="sms", address="+40312295500", confirm=False)
            await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
            await sms(world)
            received = await last(world)
            await world.execute(
                "INSERT INTO intake.handle (kind, scope, value, id, customer_id) VALUES ('email', '', 'p@c.example', 'h', :id)",
                id=received.data.customer_id,
            )
            sink.answers = ["451 later"]
            await answer(world, "first", channel="email")
            others: tuple[tuple[int, str, Channel], ...] = ((2, "second", "form"), (3, "third", "sms"), (4, "fourth", "sms"))
            for seq, text, channel in others:
                await world.reply(received.key, received.data.customer_id, text, channel, seq)
            assert await world.sender.send_due() == 1
            assert await world.sender.send_due() == 1
            assert ([sent["Body"] for sent in rest.posted], sink.mails) == (["third", "fourth"], [])
            await world.execute("UPDATE intake.delivery SET due_at = now() WHERE due_at IS NOT NULL")
            assert [await world.sender.send_due() for _ in range(3)] == [1, 1, 0]
            assert [parts(sent)[0].split()[0] for sent in sink.mails] == ["first", "second"]


async def test_no_text_goes_where_no_inbox_could_send_it(database: str) -> None:
    async with written(database) as (world, _):
        customer_id = (await last(world)).data.customer_id
        await world.execute(
            "INSERT INTO intake.handle (kind, scope, value, id, customer_id) VALUES ('phone', '', '+40721234567', 'h', :id)",
            id=customer_id,
        )
        await answer(world, channel="sms")
        assert await codes(world) == ["no-number"]


async def test_nothing_goes_to_an_address_that_mail_came_back_from_until_its_owner_writes_again(database: str) -> None:
    async with written(database) as (world, sink):
        await answer(world)
        [message_id] = await world.reply_ids()
        await world.intake.acceptor.accept([DeliveryWord("mailgun", "1", "bounced", message_id=message_id, code="550")])
        await answer(world, seq=2)
        assert (await codes(world), len(sink.mails)) == (["address-returned"], 1)
        async with mail_port(world) as listening:
            await deliver(listening, mail(Message_ID="<2@c>", In_Reply_To="<first@customers.example>"))
        await answer(world, seq=3)
        assert len(sink.mails) == 2


async def test_what_is_sent_again_quotes_the_same_though_the_customer_wrote_in_between(database: str) -> None:
    async with written(database) as (world, sink):
        sink.answers = ["451 later"]
        await answer(world)
        async with mail_port(world) as listening:
            await deliver(listening, mail(text="And another thing", Message_ID="<2@c>", In_Reply_To="<first@customers.example>"))
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 1
        assert "> my parcel?" in parts(sink.mails[0])[0]


def test_a_name_with_line_ends_in_it_stays_in_its_line() -> None:
    raw = b"From: =?utf-8?q?Eve=0D=0ABcc=3A_x=40y?= <eve@c.example>\r\n\r\nHello"
    quoted = quote("message/rfc822", raw, datetime(2026, 3, 2, 8, 30, tzinfo=UTC), SPEECHES["en"], "Asia/Jerusalem")
    assert quoted == Quote("On 02.03.2026 10:30, Eve Bcc: x@y wrote:", "Hello", "ltr")


async def test_a_soft_bounce_stops_nothing(database: str) -> None:
    async with written(database) as (world, sink):
        await answer(world)
        [message_id] = await world.reply_ids()
        await world.intake.acceptor.accept([DeliveryWord("m", "1", "bounced", message_id=message_id, hard=False, code="450")])
        await answer(world, seq=2)
        assert len(sink.mails) == 2
