"""Limits of what comes from one sender, with one key, from one address, over two processes on one database: what is over them is
put off, refused or quarantined, and none of it is lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiosmtplib
import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import REGISTRY

from services.intake.channels.sns import Sns
from services.intake.domain.authentication import Authentication
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.limiting import TooMuch
from services.intake.mail import MailTaker
from services.intake.smtp import NO_ROOM, TOO_MUCH, MailHandler
from services.intake.store.parked import Arrival
from shared.events.message import ConfirmationSkipped
from shared.events.ticket import SpamMarked, TicketOpened
from tests.services.intake import provider_requests as ask
from tests.services.intake.provider_requests import Posted
from tests.services.intake.test_edge import FORM, submit
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_returned_mail import answered, report
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, mail_port, mail_server, process

OK = "2.0.0 OK"
CONTACT = {"channel": "chat", "inbox": "web", "text": "hello"}
FLOOD = SpamMarked(by="rule", rule_id="flood")


@asynccontextmanager
async def two(database: str, **more: object) -> AsyncIterator[tuple[World, World]]:
    async with process(database, **more) as one, process(database, **more) as other:
        yield one, other


async def a_minute_later(*worlds: World) -> None:
    """Minutes that run are over, in the database and by the processes' clocks."""
    await worlds[0].execute("UPDATE intake.allowance SET ends_at = ends_at - interval '61 seconds'")
    for world in worlds:
        world.intake.limiter.clock = _later(world.intake.limiter.clock)


def _later(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + 61.0


async def sent(port: int, n: int, **headers: str) -> str:
    """What the nth mail is answered."""
    try:
        return await deliver(port, mail(Message_ID=f"<{n}@c>", **headers))
    except aiosmtplib.SMTPResponseException as refused:
        return f"{refused.code} {refused.message}"


def limited(channel: str, fate: str) -> float:
    """How many contacts were over a limit so far."""
    return REGISTRY.get_sample_value("patchbay_intake_limited_total", {"channel": channel, "fate": fate}) or 0.0


async def test_mail_over_the_limit_is_put_off_by_every_process_and_taken_once_when_it_is_sent_again(database: str) -> None:
    before = limited("email", "refused")
    async with two(database, intake_mail_per_minute=3) as (one, other), mail_port(one) as first, mail_port(other) as second:
        answers = [await sent((first, second)[n % 2], n) for n in range(8)]
        assert [answer.startswith(OK) for answer in answers] == [True] * 3 + [False] * 5
        assert set(answers[3:]) == {TOO_MUCH}
        assert (await one.count("message"), await one.count("parked_contact")) == (3, 0)
        assert limited("email", "refused") - before == 5
        assert (await sent(first, 8, From="eve@other.example")).startswith(OK), "another sender is another matter"
        await a_minute_later(one, other)
        again = [await sent((first, second)[n % 2], n) for n in (3, 4, 5, 6)]
        assert [answer.startswith(OK) for answer in again] == [True] * 3 + [False]
        assert await one.count("message") == await one.count("ticket") == 7


async def refused(sending: Awaitable[str]) -> str:
    """What a mail that is put off is answered."""
    with pytest.raises(aiosmtplib.SMTPResponseException) as answer:
        await sending
    return f"{answer.value.code} {answer.value.message}"


async def test_mail_in_our_own_name_is_kept_up_to_the_limit_and_what_is_over_it_is_put_off_and_kept_later(database: str) -> None:
    """Whoever says to have sent it, and from wherever: nothing in it is proven."""
    before = limited("email", "refused")
    async with two(database, intake_mail_per_minute=3) as (one, other), mail_port(one) as first, mail_port(other) as second:
        await one.inbox("support", channel="email", address=SUPPORT)
        await other.intake.inboxes.refresh()
        ours = [mail(Message_ID=f"<{n}@c>", From=SUPPORT) for n in range(6)]
        for n in range(3):
            assert "kept for a person" in await deliver((first, second)[n % 2], ours[n], sender=f"{n}@evil.example")
        for n in (3, 4, 5):
            assert await refused(deliver((first, second)[n % 2], ours[n], sender=f"{n}@evil.example")) == TOO_MUCH
        assert (await one.count("parked_contact"), limited("email", "refused") - before) == (3, 3)
        assert (await sent(first, 7)).startswith(OK), "a customer's mail is another matter"
        await a_minute_later(one, other)
        for n in (3, 4, 5):
            assert "kept for a person" in await deliver((first, second)[n % 2], ours[n])
        assert (await one.count("parked_contact"), await one.count("message")) == (6, 1)


async def test_reports_are_kept_and_told_up_to_the_limit_of_what_they_report_on(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port, intake_mail_per_minute=3) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as smtp:
            _, _, ref = await answered(world, server, smtp)
            for about, answer, table in ((ref, "ticket #", "word"), ("<none@of.ours>", "kept for a person", "parked_contact")):
                for n in range(3):
                    assert answer in await report(smtp, about, name=f"<{n}@mx>")
                assert await refused(report(smtp, about, name="<3@mx>")) == TOO_MUCH
                assert await world.count(table) == 3
            await a_minute_later(world)
            for about, table in ((ref, "word"), ("<none@of.ours>", "parked_contact")):
                await report(smtp, about, name="<3@mx>")
                assert await world.count(table) == 4


async def test_mail_that_cannot_be_read_is_kept_as_far_as_there_is_room_and_put_off_until_there_is(database: str) -> None:
    async with process(database, intake_parked_bytes=3000) as world, mail_port(world) as port:
        await world.inbox("support", channel="email", address=SUPPORT)
        large, second, third = (
            mail(Message_ID=f"<{n}@c>", From=SUPPORT, text="x" * size) for n, size in enumerate((4000, 900, 800))
        )
        assert "kept for a person" in await deliver(port, large), "one alone is kept whatever room there is"
        assert await refused(deliver(port, second)) == NO_ROOM
        assert "kept for a person" in await deliver(port, large), "what is kept is kept"
        assert await world.count("parked_contact") == 1
        await world.execute("DELETE FROM intake.parked_contact")
        for one in (second, third):
            assert "kept for a person" in await deliver(port, one)
        assert await refused(deliver(port, large)) == NO_ROOM
        assert (await sent(port, 7)).startswith(OK), "what is understood needs no such room"
        assert (await world.count("parked_contact"), await world.count("message")) == (2, 1)


async def test_other_ways_than_smtp_do_not_use_up_its_room(database: str) -> None:
    async with process(database, intake_parked_bytes=2000) as world, mail_port(world) as port:
        await world.inbox("support", channel="email", address=SUPPORT)
        await world.intake.park("mailgun", "not understood", "text/plain", b"x" * 3000)
        for n in range(2):
            assert "kept for a person" in await deliver(port, mail(Message_ID=f"<{n}@c>", From=SUPPORT))
        assert await world.count("parked_contact") == 3


async def test_without_a_limit_all_of_it_is_taken(database: str) -> None:
    async with process(database, intake_mail_per_minute=0) as world, mail_port(world) as port:
        answers = [await sent(port, n) for n in range(8)]
        assert [answer.startswith(OK) for answer in answers] == [True] * 8
        assert (await world.count("message"), await world.count("allowance")) == (8, 0)


async def test_who_only_claims_an_address_does_not_use_up_what_its_owner_may_send(database: str) -> None:
    border = "Received: from a.evil.example (a.evil.example [192.0.2.1]) by mx.ours.example; x"
    found = "Authentication-Results: mx.ours.example; dmarc=fail header.from=customers.example"
    settings = {"intake_mail_per_minute": 1, "intake_authserv_ids": "mx.ours.example", "intake_border_hosts": "mx.ours.example"}
    async with process(database, **settings) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        inbox = world.intake.inboxes.current.by_id["support"]
        taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter, world.settings.border)
        for n in range(2):
            forged = f"{found}\n{border}\n".encode() + bytes(mail(Message_ID=f"<{n}@c>"))
            arrival = Arrival("smtp", forged, "eve@evil.example", (SUPPORT,))
            if n == 0:
                assert await taker.take(arrival, inbox) is not None
            else:
                with pytest.raises(TooMuch):
                    await taker.take(arrival, inbox)
        assert await taker.take(Arrival("smtp", bytes(mail()), "dan@customers.example", (SUPPORT,)), inbox) is not None
        assert await world.count("handle", "scope = 'claimed'") == 1


async def test_mail_in_an_owners_name_does_not_use_up_what_they_may_send_from_another_server(database: str) -> None:
    async with process(database, intake_mail_per_minute=1) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
        loop, handler = asyncio.get_running_loop(), MailHandler(taker, world.intake.inboxes)
        server = SMTP(handler, hostname="mx.test", loop=loop)

        async def brought(n: int, by: str) -> str:
            session, envelope = Session(loop), Envelope()
            session.peer = (by, 4321)  # type: ignore[assignment]  # as asyncio tells it
            envelope.mail_from, envelope.rcpt_tos = "dan@customers.example", [SUPPORT]
            envelope.content = bytes(mail(Message_ID=f"<{n}@c>"))
            return await handler.handle_DATA(server, session, envelope)

        answers = [await brought(n, by) for n, by in enumerate(["192.0.2.66", "192.0.2.66", "192.0.2.1", "192.0.2.1"])]
        assert [answer == TOO_MUCH for answer in answers] == [False, True, False, True]
        assert await world.count("message") == 2


async def test_mail_that_is_proven_counts_for_its_owner_and_all_else_with_what_the_same_server_brought(database: str) -> None:
    async with process(database, intake_mail_per_minute=1) as world:
        limiter, dan = world.intake.limiter, Handle("email", "dan@customers.example")

        def letter(handle: Handle | None, *, proven: bool = False) -> InboundMessage:
            found = Authentication("mx", spf="pass", proven=proven)
            return InboundMessage("smtp", "1", "", "email", "support", handle, "hi", authentication=found)

        assert await limiter.of_sender(letter(dan), "192.0.2.66") == 0.0
        assert await limiter.of_sender(letter(dan), "192.0.2.66") > 0.0
        assert await limiter.of_sender(letter(dan, proven=True), "192.0.2.66") == 0.0
        assert await limiter.of_sender(letter(dan, proven=True), "192.0.2.1") > 0.0, "wherever it comes from"
        assert await limiter.of_sender(letter(None), "192.0.2.66") == 0.0
        assert await limiter.of_sender(letter(None), "192.0.2.66") > 0.0
        assert await limiter.of_sender(letter(None), "192.0.2.1") == 0.0, "nobody's mail is nobody's in particular"


async def test_most_senders_cost_the_database_nothing(database: str) -> None:
    async with process(database) as world:
        wait = world.intake.limiter.wait
        assert {await wait("mail", f"c{who}", 120) for who in range(50) for _ in range(6)} == {0.0}
        assert await world.count("allowance") == 0
        assert await wait("mail", "c7", 120) == 0.0
        assert await world.count("allowance", "given = 7") == 1, "with what came before it was asked for"


@pytest.mark.parametrize(("per_minute", "least", "most"), [(10, 10, 10), (100, 92, 105)])
async def test_of_many_at_once_to_two_processes_as_many_come_as_may(
    database: str, per_minute: int, least: int, most: int
) -> None:
    async with two(database) as worlds:
        limiters = [world.intake.limiter for world in worlds]
        waits = await asyncio.gather(*(limiters[n % 2].wait("sms", "x", per_minute) for n in range(4 * per_minute)))
        assert least <= waits.count(0.0) <= most
        assert all(0.0 <= wait <= 60.0 for wait in waits)


async def test_a_minute_that_is_over_is_forgotten_and_one_that_runs_is_not(database: str) -> None:
    async with process(database) as world:
        assert await world.intake.limiter.wait("sms", "before", 1) == 0.0
        await a_minute_later(world)
        assert await world.intake.limiter.wait("sms", "now", 1) == 0.0
        await world.ticker().keep_house()
        assert await world.count("allowance") == 1
        assert await world.intake.limiter.wait("sms", "now", 1) > 0.0


def _whole(n: int, **headers: str) -> str:
    return mail(Message_ID=f"<{n}@c>", **headers).as_string()


ENVELOPE = json.dumps({"to": [SUPPORT], "from": "dan@customers.example"}).encode()


def _by_mailgun(n: int, **headers: str) -> Posted:
    return ask.mailgun([("recipient", SUPPORT.encode()), ("body-mime", _whole(n, **headers).encode())], token=f"{n}" * 50)


def _by_sendgrid(n: int, **headers: str) -> Posted:
    return ask.sendgrid(ask.multipart([("email", _whole(n, **headers).encode()), ("envelope", ENVELOPE)]), ask.FORM)


def _by_postmark(n: int, **headers: str) -> Posted:
    whole = _whole(n, **headers)
    return ask.postmark({"OriginalRecipient": SUPPORT, "MessageID": f"{n}", "Subject": "", "RawEmail": whole})


BY: dict[str, Callable[..., Posted]] = {"mailgun": _by_mailgun, "sendgrid": _by_sendgrid, "postmark": _by_postmark}


def by_ses(n: int, **headers: str) -> Posted:
    receipt = {"recipients": [SUPPORT], "action": {"type": "SNS", "encoding": "UTF-8"}}
    mail_ = {"mail": {"source": "dan@customers.example"}, "receipt": receipt, "content": _whole(n, **headers)}
    said = {"notificationType": "Received", **mail_}
    return ask.ses(json.dumps(said), MessageId=f"{n}")


@pytest.mark.parametrize("provider", BY)
async def test_a_provider_is_asked_to_bring_mail_over_the_limit_again_and_then_it_is_taken(database: str, provider: str) -> None:
    """503: what Mailgun, SendGrid and Postmark try again for hours."""
    async with process(database, intake_mail_per_minute=1, **ask.settings()) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        assert (await BY[provider](1).to(world.http)).status_code == 200
        for _ in range(2):
            refused = await BY[provider](2).to(world.http)
            assert (refused.status_code, refused.json()["code"]) == (503, "too-much-from-sender")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await world.count("message"), await world.count("parked_contact")) == (1, 0)
        await a_minute_later(world)
        assert (await BY[provider](2).to(world.http)).status_code == 200
        assert (await world.count("message"), await world.count("parked_contact")) == (2, 0)


@pytest.mark.parametrize("provider", BY)
async def test_mail_in_our_own_name_is_put_off_by_providers_too(database: str, provider: str) -> None:
    async with process(database, intake_mail_per_minute=1, **ask.settings()) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        ours = [BY[provider](n, From=SUPPORT) for n in (1, 2)]
        assert (await ours[0].to(world.http)).status_code == 200
        refused = await ours[1].to(world.http)
        assert (refused.status_code, refused.json()["code"]) == (503, "too-much-from-sender")
        assert await world.count("parked_contact") == 1
        await a_minute_later(world)
        assert (await ours[1].to(world.http)).status_code == 200
        assert (await world.count("parked_contact"), await world.count("message")) == (2, 0)


@pytest.mark.parametrize("provider", [*BY, "ses"])
async def test_what_a_provider_brings_and_nobody_can_read_is_kept_as_far_as_there_is_room_and_asked_for_again(
    database: str, provider: str
) -> None:
    """Each way by itself: who fills up one keeps nothing out of another."""
    async with process(database, intake_parked_bytes=10_000, **ask.settings()) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        await world.inbox("support", channel="email", address=SUPPORT)
        brings = BY.get(provider, by_ses)
        before = limited("email", "refused")
        first = brings(1, From=SUPPORT, text="x" * 12_000)
        assert (await first.to(world.http)).status_code == 200, "one alone always"
        assert (await first.to(world.http)).status_code == 200, "what is kept is kept"
        put_off = await brings(2, From=SUPPORT).to(world.http)
        assert (put_off.status_code, put_off.json()["code"], put_off.headers["retry-after"]) == (503, "no-room", "600")
        assert (await world.count("parked_contact"), limited("email", "refused") - before) == (1, 1)
        assert (await brings(3).to(world.http)).status_code == 200, "what is understood needs no such room"
        other = "postmark" if provider == "mailgun" else "mailgun"
        assert (await BY[other](4, From=SUPPORT).to(world.http)).status_code == 200
        await world.execute("DELETE FROM intake.parked_contact")
        assert (await brings(2, From=SUPPORT).to(world.http)).status_code == 200
        assert (await world.count("parked_contact"), await world.count("message")) == (1, 1)


async def test_a_form_that_can_only_be_kept_and_not_even_that_is_told_so_and_not_lost_unsaid(database: str) -> None:
    async with process(database, intake_parked_bytes=100) as world:
        await world.execute("ALTER TABLE intake.message ADD CONSTRAINT poison CHECK (content_hash = '') NOT VALID")
        assert (await submit(world)).status_code == 202
        refused = await submit(world, text="Another matter")
        assert (refused.status_code, refused.json()["code"]) == (503, "no-room")
        page = await world.http.post("/v1/forms/contact", data={**FORM, "text": "x"}, headers={"Accept": "text/html"})
        assert (page.status_code, "<h1>" in page.text) == (503, True)


async def test_mail_over_the_limit_that_sns_would_drop_is_taken_into_quarantine(database: str) -> None:
    async with process(database, intake_mail_per_minute=1, **ask.settings()) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        await world.inbox("support", channel="email", address=SUPPORT)
        before = limited("email", "quarantined")
        assert [(await by_ses(n).to(world.http)).status_code for n in range(3)] == [200] * 3
        assert limited("email", "quarantined") - before == 2
        tickets = [event.key for event in await world.events(TicketOpened)]
        assert [(event.key, event.data) for event in await world.events(SpamMarked)] == [(key, FLOOD) for key in tickets[1:]]
        assert [event.data.reason for event in await world.events(ConfirmationSkipped)] == ["spam", "spam"]
        assert await world.count("message") == 3


async def test_text_messages_over_the_limit_are_taken_and_only_a_ticket_that_they_open_is_quarantined(database: str) -> None:
    async with process(database, intake_sms_per_minute=1) as world:
        assert [(await sms(world, MessageSid=f"SM{n}")).status_code for n in range(3)] == [200] * 3
        [opened] = await world.events(TicketOpened)
        assert (await world.count("message"), await world.events(SpamMarked)) == (3, [])
        await world.close(opened.key)
        assert (await sms(world, MessageSid="SM3")).status_code == 200
        [marked] = await world.events(SpamMarked)
        assert (marked.key, marked.data) == ((await world.events(TicketOpened))[1].key, FLOOD)
        assert (await sms(world, MessageSid="SM4", Body="STOP")).status_code == 200
        assert await world.count("handle", "'sms' = ANY(refuses)") == 1, "whatever the limit, STOP is heard"


async def test_mail_that_lies_in_a_mailbox_is_taken_however_much_it_is(database: str) -> None:
    async with process(database, intake_mail_per_minute=1) as world:
        taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
        for n in range(3):
            arrival = Arrival("imap", bytes(mail(Message_ID=f"<{n}@c>")), "dan@customers.example", (SUPPORT,))
            assert await taker.take(arrival, Inbox("email", "email", SUPPORT)) is not None
        assert (await world.count("message"), await world.events(SpamMarked)) == (3, [])


async def test_a_list_of_contacts_counts_by_its_length_and_is_taken_whole_or_not_at_all(database: str) -> None:
    async with two(database, intake_key_per_minute=4) as (one, other):
        key = await one.key("intake:write")

        async def post(world: World, body: object) -> httpx.Response:
            return await world.http.post("/v1/contacts", json=body, headers=key)

        before = limited("chat", "refused")
        assert (await post(one, [CONTACT] * 3)).status_code == 200
        assert (await post(other, [CONTACT] * 3)).status_code == 200, "one of four was left, and two were taken in advance"
        for world, body in ((one, CONTACT), (other, [CONTACT] * 2)):
            refused = await post(world, body)
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
            assert 60 < int(refused.headers["retry-after"]) <= 90, "half a minute longer for the two"
        assert (await one.count("message"), limited("chat", "refused") - before) == (6, 3)
        await a_minute_later(one, other)
        assert (await post(one, CONTACT)).status_code == 429
        await a_minute_later(one, other)
        assert (await post(one, CONTACT)).status_code == 201


async def test_a_key_has_a_limit_where_nobody_set_one_far_above_what_connectors_bring(database: str) -> None:
    async with process(database) as world:
        key = await world.key("intake:write")
        first = await world.http.post("/v1/contacts", json=CONTACT, headers=key)
        key_id, per_minute = key["Authorization"].split("_")[1], world.settings.intake_key_per_minute
        assert [await world.intake.limiter.wait("key", key_id, per_minute, count) for count in (50_000, 9_999)] == [0.0, 0.0]
        refused = await world.http.post("/v1/contacts", json=CONTACT, headers=key)
        assert (first.status_code, refused.status_code) == (201, 429)


async def test_a_key_of_which_a_process_knows_that_nothing_more_may_come_is_refused_before_a_body_is_read(database: str) -> None:
    read: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        read.append("a body")
        yield json.dumps(CONTACT).encode()

    async with process(database, intake_key_per_minute=1) as world:
        headers = {**await world.key("intake:write"), "Content-Type": "application/json"}
        answers = [await world.http.post("/v1/contacts", content=body(), headers=headers) for _ in range(3)]
        assert ([answer.status_code for answer in answers], len(read)) == ([201, 429, 429], 2)
        assert answers[2].json()["code"] == "too-many-requests"
        assert 1 <= int(answers[2].headers["retry-after"]) <= 60
        await a_minute_later(world)
        assert (await world.http.post("/v1/contacts", content=body(), headers=headers)).status_code == 201


async def test_what_is_wrong_in_itself_does_not_count(database: str) -> None:
    async with process(database, intake_key_per_minute=1) as world:
        key = await world.key("intake:write")
        for body in ({**CONTACT, "text": 7}, [{**CONTACT, "channel": "nonsense"}]):
            assert (await world.http.post("/v1/contacts", json=body, headers=key)).status_code in (200, 422)
        assert (await world.http.post("/v1/contacts", json=CONTACT, headers=key)).status_code == 201


async def test_forms_are_counted_over_all_processes(database: str) -> None:
    async with two(database, intake_form_per_minute=2) as worlds:
        statuses = [
            (await submit(worlds[n % 2], text=f"number {n}", email=f"{n}@customers.example")).status_code for n in range(4)
        ]
        assert statuses == [201, 201, 429, 429]
    async with two(database, intake_sender_per_minute=2) as worlds:
        statuses = [(await submit(worlds[n % 2], text=f"again {n}")).status_code for n in range(4)]
        assert statuses == [201, 201, 429, 429]
        page = await worlds[0].http.post("/v1/forms/contact?lang=he", data={**FORM, "text": "x"}, headers={"Accept": "text/html"})
        assert (page.status_code, '<html lang="he" dir="rtl">' in page.text) == (429, True)


async def test_limits_of_nothing_are_none(database: str) -> None:
    settings = {f"intake_{name}_per_minute": 0 for name in ("form", "sender", "key", "sms", "mail")}
    async with process(database, **settings) as world:
        assert {(await submit(world, text=f"number {n}")).status_code for n in range(25)} == {201}
        assert await world.count("allowance") == 0
