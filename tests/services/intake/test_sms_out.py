"""What becomes of text messages that go out: Twilio's word on each, STOP and START, and the short confirmation."""

from __future__ import annotations

from itertools import permutations
from urllib.parse import urlencode

import pytest

from services.intake.channels import twilio
from services.intake.domain.delivery import BACK_OFF_SECONDS
from services.intake.recalling import OF_CUSTOMERS, CustomersRecalled
from shared import db
from shared.events.message import (
    ConfirmationSent,
    DeliveryUncertain,
    MessageDelivered,
    MessageFailed,
    MessageRead,
    MessageReceived,
)
from shared.events.people import CustomerCreated, CustomerPersonal, CustomerProfileChanged
from shared.events.ticket import TicketOpened
from tests.services.intake.test_parked import replay
from tests.services.intake.test_twilio import _answered_sms, post, rest_api, sms
from tests.services.intake.world import PUBLIC, TOKEN, World, process

STATUS = "/v1/providers/twilio/sms/status"
NUMBER = "+40312295500"


async def told(world: World, message_id: str, status: str, **more: str) -> int:
    """Twilio says what became of a message."""
    fields = {"MessageSid": "SM99", "MessageStatus": status, "To": "+40721234567", "From": NUMBER, **more}
    return (await post(world, f"{STATUS}?message={message_id}", fields)).status_code


async def answers(world: World, text: str = "Revenim.", seq: int = 1) -> str:
    """An agent answers the only ticket by SMS."""
    received = (await world.events(MessageReceived))[0]
    return await world.reply(received.key, received.data.customer_id, text, "sms", seq)


async def test_words_of_twilio_come_in_any_order_and_often_and_a_late_one_takes_nothing_back(database: str) -> None:
    async with rest_api() as (_, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        await world.sender.send_due()
        [message_id] = await world.reply_ids()
        for order in list(permutations(("queued", "sending", "sent", "delivered", "read")))[::24]:
            for status in order:
                assert await told(world, message_id, status) == 204
        finals = [event.data.provider_ref for event in await world.events(MessageDelivered) if event.data.final]
        assert finals == ["SM99"]
        assert len(await world.events(MessageRead)) == 1
        assert await world.count("parked_contact") == 0


async def test_a_message_that_did_not_arrive_is_told_with_twilios_code_once(database: str) -> None:
    async with rest_api() as (_, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        await world.sender.send_due()
        [message_id] = await world.reply_ids()
        for status in ("sent", "undelivered", "undelivered", "sent", "failed"):
            assert await told(world, message_id, status, ErrorCode="30003") == 204
        assert [event.data.code for event in await world.events(MessageFailed)] == ["twilio-30003"]


async def test_a_status_is_believed_only_with_its_signature_and_kept_when_it_says_nothing_we_know(world: World) -> None:
    forged = await post(world, f"{STATUS}?message=m", {"MessageSid": "SM1", "MessageStatus": "read"}, token="forged")
    assert forged.status_code == 403
    moved = await world.http.post(f"{STATUS}?message=other", content=b"MessageSid=SM1", headers={"X-Twilio-Signature": "AAAA"})
    assert moved.status_code == 403
    assert await told(world, "m", "teleported") == 204
    assert await told(world, "of-nobody", "delivered") == 204
    assert await world.count("parked_contact", "way = 'twilio_sms_status'") == 2


async def test_a_signature_is_good_for_the_message_that_its_url_names_only(database: str) -> None:
    async with rest_api() as (_, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        await world.sender.send_due()
        [message_id] = await world.reply_ids()
        fields = {"MessageSid": "SM98", "MessageStatus": "delivered", "To": "+40721234567", "From": NUMBER}
        signature = twilio.signature(f"{PUBLIC}{STATUS}?message=another", list(fields.items()), TOKEN)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        for query in (f"?message={message_id}", "", f"?message=another&message={message_id}"):
            answer = await world.http.post(STATUS + query, content=urlencode(fields), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "bad-signature"), query
        assert [event.data.final for event in await world.events(MessageDelivered)] == [False]
        assert await world.count("parked_contact") == 0


async def test_who_writes_stop_gets_no_more_messages_until_start(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await world.inbox("sms", channel="sms", address=NUMBER, confirm=False)
        await sms(world)
        for _ in range(2):
            await sms(world, MessageSid="SM2", Body="Stop.")
        await answers(world, "Revenim.", seq=1)
        assert await world.sender.send_due() == 1
        assert (rest.posted, [event.data.code for event in await world.events(MessageFailed)]) == ([], ["opted-out"])
        await sms(world, MessageSid="SM3", Body="START")
        await answers(world, "Aici suntem.", seq=2)
        assert await world.sender.send_due() == 1
        assert [sent["Body"] for sent in rest.posted] == ["Aici suntem."]
        consents = await world.events(CustomerProfileChanged)
        assert [event.data.consents for event in consents] == [{"sms": False}, {"sms": True}]
        assert await world.opened(consents[0], CustomerPersonal) == CustomerPersonal(handles=("+40721234567",))
        bodies = len(await world.events(MessageReceived))
        assert bodies == 3, "in an open conversation it is a message too: the agent sees why nothing goes out"


async def outcomes(world: World) -> list[str]:
    """What was said of attempts to send."""
    return [
        event.type for event in await world.log() if isinstance(event.data, MessageDelivered | MessageFailed | DeliveryUncertain)
    ]


@pytest.mark.parametrize(("word", "said"), [("UNSUBSCRIBE", {}), ("הסר", {}), ("إلغاء", {}), ("x", {"OptOutType": "STOP"})])
async def test_stop_of_a_stranger_is_heard_and_opens_no_ticket(world: World, word: str, said: dict[str, str]) -> None:
    await sms(world, Body=word, **said)
    await sms(world, Body=word, **said)
    assert [event.data.consents for event in await world.events(CustomerProfileChanged)] == [{"sms": False}]
    assert (len(await world.events(CustomerCreated)), await world.events(TicketOpened)) == (1, [])
    assert await world.count("word", "body IS NOT NULL") == 1


async def test_nothing_goes_to_a_number_whose_owner_wrote_stop_from_its_other_form(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await sms(world, From="+5491112345678")
        await sms(world, MessageSid="SM2", From="+541112345678", Body="Where is it?")
        await sms(world, MessageSid="SM3", From="+5491112345678", Body="STOP")
        await sms(world, MessageSid="SM4", From="+541112345678", Body="And is it paid?")
        await answers(world)
        await world.sender.send_due()
        assert [event.data.code for event in await world.events(MessageFailed)] == ["opted-out"]
        assert rest.posted == []


async def test_yes_and_help_are_messages_of_those_who_refused_nothing(world: World) -> None:
    for sid, body in (("SM1", "Yes"), ("SM2", "HELP"), ("SM3", "start the return, please"), ("SM4", "Stop sending it to Ion")):
        await sms(world, MessageSid=sid, Body=body, **({"OptOutType": "HELP"} if body == "HELP" else {}))
    assert len(await world.events(MessageReceived)) == 4
    assert [event for event in await world.events(CustomerProfileChanged) if event.data.consents] == []


async def test_who_refused_is_known_again_after_a_restore(world: World) -> None:
    await sms(world, Body="STOP")
    facts = [event for event in await world.log() if isinstance(event.data, OF_CUSTOMERS)]
    await world.execute("DELETE FROM intake.handle")
    await world.execute("DELETE FROM intake.customer")
    async with db.transaction(world.parts.engine) as conn:
        told = {facts[0].key: tuple(facts)}
        await CustomersRecalled(world.parts.keys).save(conn, told, facts[0].time)
    assert await world.count("handle", "refuses = '{sms}'") == 1


async def test_both_forms_of_a_number_refuse_after_a_restore_though_one_is_read_later(world: World) -> None:
    await sms(world, From="+5511987654321", Body="STOP")
    await sms(world, MessageSid="SM2", From="+551187654321", Body="Where is it?")
    facts = [event for event in await world.log() if isinstance(event.data, OF_CUSTOMERS)]
    for table in ("message", "ticket", "handle", "customer"):
        await world.execute(f"DELETE FROM intake.{table}")
    recalled = CustomersRecalled(world.parts.keys)
    async with db.transaction(world.parts.engine) as conn:
        for fact in facts:
            await recalled.save(conn, {fact.key: (fact,)}, fact.time)
        await recalled.settle(conn)
    assert await world.count("handle", "refuses = '{sms}'") == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("Where is my order? I ordered it two weeks ago", "Your ticket number is #100001."),
        ("Unde este coletul meu? L-am comandat acum două săptămâni", "Tichetul are nr. #100001."),
        ("איפה ההזמנה שלי? הזמנתי לפני שבועיים", "מספרה \u2068#100001\u2069."),
        ("أين طلبي؟ لقد طلبته قبل أسبوعين", "رقمها \u2068#100001\u2069."),
    ],
)
async def test_a_new_ticket_is_confirmed_by_a_short_text_in_the_language_of_its_first_message(
    database: str, body: str, said: str
) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await world.inbox("sms", channel="sms", address=NUMBER, region="RO")
        await sms(world, Body=body)
        await sms(world, MessageSid="SM2", Body=body)
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 1
        [sent] = rest.posted
        assert said in sent["Body"]
        assert len(sent["Body"]) <= (160 if sent["Body"].isascii() else 70)
        assert [event.data.channel for event in await world.events(ConfirmationSent)] == ["sms"]


async def test_an_inbox_that_does_not_confirm_and_one_that_nobody_set_up_send_nothing(world: World) -> None:
    await sms(world)
    await world.inbox("sms", channel="sms", address=NUMBER, confirm=False)
    await sms(world, MessageSid="SM2", From="+40721234568")
    assert await world.count("delivery") == 0


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_while_twilio_lets_nobody_in_or_is_full_a_reply_waits_and_goes_out_once_after_it(
    database: str, status: int
) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        rest.answers = [rest.reply(status, b'{"code":20003,"message":"Authenticate"}')]
        assert await world.sender.send_due() == 1
        assert await outcomes(world) == []
        assert await world.count("delivery", "state = 'waiting' AND due_at > now() AND NOT uncertain") == 1
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 1
        [delivered] = await outcomes(world)
        assert (delivered, len(rest.posted), rest.asked) == (MessageDelivered.TYPE, 2, 0)


async def test_a_reply_that_twilio_never_lets_in_fails_in_the_end_and_says_why(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        await world.execute("UPDATE intake.delivery SET attempts = :n", n=len(BACK_OFF_SECONDS))
        rest.answers = [rest.reply(401, b'{"code":20003,"message":"Authenticate"}')]
        assert await world.sender.send_due() == 1
        assert [event.data.code for event in await world.events(MessageFailed)] == ["twilio-401"]


async def test_after_an_error_of_twilios_own_it_is_asked_before_the_reply_is_sent_again(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        rest.answers = [rest.reply(500, b"{}")]
        for asked in range(2):
            await world.execute("UPDATE intake.delivery SET due_at = now()")
            assert await world.sender.send_due() == 1
            assert rest.asked == asked
        assert await outcomes(world) == [DeliveryUncertain.TYPE, MessageDelivered.TYPE]


async def test_while_nobody_listens_where_twilio_is_a_reply_waits_and_nothing_is_uncertain(database: str) -> None:
    async with process(database, intake_twilio_url="http://127.0.0.1:1") as world:
        await _answered_sms(world)
        assert await world.sender.send_due() == 1
        assert await outcomes(world) == []
        assert await world.count("delivery", "state = 'waiting' AND due_at > now() AND NOT uncertain") == 1


async def test_who_wrote_stop_to_twilio_gets_nothing_more_until_they_write_again(database: str) -> None:
    """Error 21610, with the answer to the attempt."""
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        rest.answers = [rest.reply(400, b'{"code":21610,"message":"unsubscribed"}')]
        assert await world.sender.send_due() == 1
        await answers(world, "Mai sunteți?", seq=2)
        assert await world.sender.send_due() == 1
        assert len(rest.posted) == 1, "the second is refused here"
        assert [event.data.code for event in await world.events(MessageFailed)] == ["opted-out", "opted-out"]
        [withdrawn] = await world.events(CustomerProfileChanged)
        assert withdrawn.data.consents == {"sms": False}
        assert await world.opened(withdrawn, CustomerPersonal) == CustomerPersonal(handles=("+40721234567",))
        await sms(world, MessageSid="SM3", Body="START")
        await answers(world, "Bine ați revenit.", seq=3)
        assert await world.sender.send_due() == 1
        assert len(rest.posted) == 2


async def test_who_wrote_stop_to_twilio_is_known_also_by_a_status_once(database: str) -> None:
    async with rest_api() as (_, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        await world.sender.send_due()
        [message_id] = await world.reply_ids()
        assert await told(world, message_id, "failed", ErrorCode="30003") == 204
        assert await told(world, "of-nobody", "failed", ErrorCode="21610") == 204
        assert await world.events(CustomerProfileChanged) == []
        for _ in range(3):
            assert await told(world, message_id, "undelivered", ErrorCode="21610") == 204
        assert [event.data.consents for event in await world.events(CustomerProfileChanged)] == [{"sms": False}]
        assert await world.count("handle", "refuses = '{sms}'") == 1


async def test_a_status_that_was_kept_is_heard_when_it_is_tried_again_of_the_message_that_its_url_names(database: str) -> None:
    async with rest_api() as (_, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        await world.sender.send_due()
        [message_id] = await world.reply_ids()
        await world.execute("ALTER TABLE intake.word ADD CONSTRAINT poison CHECK (false) NOT VALID")
        for _ in range(2):
            assert await told(world, message_id, "undelivered", ErrorCode="21610") == 204
        assert await told(world, "of-nobody", "undelivered", ErrorCode="21610") == 204
        assert (await world.count("parked_contact"), await world.events(MessageFailed)) == (2, [])
        await world.execute("ALTER TABLE intake.word DROP CONSTRAINT poison")
        for _ in range(2):
            await replay(world)
        assert [event.data.code for event in await world.events(MessageFailed)] == ["opted-out"]
        assert [event.data.consents for event in await world.events(CustomerProfileChanged)] == [{"sms": False}]
        assert await world.count("parked_contact", f"query = 'message={message_id}'") == 0
        assert await world.count("parked_contact", "query = 'message=of-nobody'") == 1
