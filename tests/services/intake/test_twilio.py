"""Twilio's webhooks and REST API, on real PostgreSQL: signed, deduplicated, parked when they cannot be read."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree as ET

import httpx

from services.intake.channels import twilio
from shared.events.call import CallAnswered, CallEnded, CallReceived
from shared.events.message import DeliveryUncertain, MessageDelivered, MessageFailed, MessageReceived
from shared.events.ticket import TicketAssigned, TicketOpened
from tests.services.intake.world import PUBLIC, TOKEN, World, process

SMS = {
    "MessageSid": "SM1",
    "From": "+40721234567",
    "To": "+40312295500",
    "Body": "Bună ziua, unde este coletul meu?",
    "NumMedia": "0",
}
CALL = {"CallSid": "CA1", "From": "+40722345678", "To": "+40312295501", "CallStatus": "ringing", "Direction": "inbound"}


async def post(
    world: World, path: str, fields: dict[str, str], token: str = TOKEN, url: str = PUBLIC, **headers: str
) -> httpx.Response:
    signature = twilio.signature(f"{url}{path}", list(fields.items()), token)
    return await world.http.post(
        path,
        content=urlencode(fields),
        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature, **headers},
    )


async def sms(world: World, **more: str) -> httpx.Response:
    return await post(world, "/v1/providers/twilio/sms", {**SMS, **more})


async def status(world: World, status: str, sequence: int, **more: str) -> None:
    fields = {**CALL, "CallStatus": status, "SequenceNumber": str(sequence), **more}
    assert (await post(world, "/v1/providers/twilio/voice/status", fields)).status_code == 204


async def test_a_signed_sms_opens_a_ticket_and_the_next_ones_join_it(world: World) -> None:
    answers = [
        await sms(world),
        await sms(world),
        await sms(world, MessageSid="SM2"),
        await sms(world, MessageSid="SM3", From="+4072"),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert ET.fromstring(answers[0].text).tag == "Response"
    opened = await world.events(TicketOpened)
    assert len(opened) == 2
    assert (opened[0].data.channel, opened[0].data.language) == ("sms", "ro")
    assert await world.count("message") == 3


async def test_a_signature_is_taken_with_either_port_and_either_token_and_no_other(world: World) -> None:
    path = "/v1/providers/twilio/sms"
    assert (await post(world, path, SMS, url=f"{PUBLIC}:443")).status_code == 200
    assert (await post(world, path, SMS, token="old-token")).status_code == 200
    forged = await post(world, path, SMS, token="forged")
    assert (forged.status_code, forged.json()["code"]) == (403, "bad-signature")
    tampered = await world.http.post(path, content=urlencode({**SMS, "Body": "x"}), headers={"X-Twilio-Signature": "AAAA"})
    assert tampered.status_code == 403


async def test_one_changed_byte_of_a_message_breaks_its_signature(world: World) -> None:
    path, body = "/v1/providers/twilio/sms", urlencode(SMS)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    headers["X-Twilio-Signature"] = twilio.signature(f"{PUBLIC}{path}", list(SMS.items()), TOKEN)
    for old, new in (("coletul", "colejul"), ("SM1", "SM2"), ("40721234567", "40721234568"), ("NumMedia", "numMedia")):
        assert old in body
        answer = await world.http.post(path, content=body.replace(old, new), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "bad-signature"), new
    assert await world.log() == []
    assert (await world.http.post(path, content=body, headers=headers)).status_code == 200


async def test_messages_that_come_five_times_each_in_any_order_are_there_once(world: World) -> None:
    sids = [f"SM{n}" for n in range(5)] * 5
    random.Random(5).shuffle(sids)
    answers = await asyncio.gather(*(sms(world, MessageSid=sid, Body=f"Mesajul {sid}, unde este coletul meu?") for sid in sids))
    assert {answer.status_code for answer in answers} == {200}
    assert await world.count("message") == len(await world.events(MessageReceived)) == 5
    assert len(await world.events(TicketOpened)) == 1
    assert await world.count("parked_contact") == 0


async def test_without_a_token_no_request_is_believed_and_twilio_is_to_come_again(database: str) -> None:
    async with process(database, intake_twilio_tokens="") as world:
        for path in ("sms", "sms/status", "voice", "voice/status"):
            answer = await post(world, f"/v1/providers/twilio/{path}", SMS)
            assert (answer.status_code, answer.json()["code"]) == (503, "twilio-not-configured")
            assert int(answer.headers["retry-after"]) > 0
        assert await world.log() == []


async def test_what_is_signed_but_unreadable_is_kept_and_answered_well(world: World) -> None:
    answer = await post(world, "/v1/providers/twilio/sms", {"Surprise": "1"})
    call = await post(world, "/v1/providers/twilio/voice/status", {"CallSid": "CA9", "CallStatus": "levitating"})
    assert (answer.status_code, call.status_code) == (200, 204)
    assert await world.count("parked_contact") == 2
    assert await world.log() == []


async def test_a_message_that_the_tables_refuse_is_kept_and_answered_well(world: World) -> None:
    await world.execute("ALTER TABLE intake.message ADD CONSTRAINT poison CHECK (convert_from(body, 'UTF8') NOT LIKE '%SM1%')")
    assert (await sms(world)).status_code == 200
    assert await world.count("parked_contact") == 1


async def test_a_call_rings_is_answered_and_ends_with_its_talk_time_in_any_order_and_number_of_words(world: World) -> None:
    answer = await post(world, "/v1/providers/twilio/voice", CALL)
    document = ET.fromstring(answer.text)
    assert (answer.headers["content-type"].partition(";")[0], [child.tag for child in document]) == (
        "text/xml",
        ["Say", "Enqueue"],
    )
    ticket_id = (await world.events(CallReceived))[0].key
    assert await world.say(ticket_id, TicketAssigned(agent_id="dana", how="accepted")) == []
    await status(world, "in-progress", 2, Timestamp="Thu, 15 Jan 2026 10:00:05 +0000")
    await status(world, "ringing", 1, Timestamp="Thu, 15 Jan 2026 10:00:00 +0000")
    for _ in range(2):
        await status(world, "completed", 3, CallDuration="95", Timestamp="Thu, 15 Jan 2026 10:01:40 +0000")
    await status(world, "in-progress", 4)
    assert [event.data.agent_id for event in await world.events(CallAnswered)] == ["dana"]
    [ended] = await world.events(CallEnded)
    assert (ended.data.outcome, ended.data.talk_us) == ("completed", 95_000_000)


async def test_a_call_taken_after_the_greeting_is_answered_by_its_agent_when_it_ends(world: World) -> None:
    await post(world, "/v1/providers/twilio/voice", CALL)
    await status(world, "in-progress", 1)
    ticket_id = (await world.events(CallReceived))[0].key
    assert await world.say(ticket_id, TicketAssigned(agent_id="dana", how="accepted")) == []
    await status(world, "completed", 2, CallDuration="40")
    assert [event.data.agent_id for event in await world.events(CallAnswered)] == [None, "dana"]


async def test_a_caller_who_leaves_before_an_agent_has_abandoned(world: World) -> None:
    await post(world, "/v1/providers/twilio/voice", CALL)
    await status(world, "in-progress", 1)
    await status(world, "completed", 2, CallDuration="40")
    [ended] = await world.events(CallEnded)
    assert (ended.data.outcome, ended.data.talk_us, ended.data.ended_by) == ("abandoned", 0, "customer")


async def test_callers_who_show_no_number_are_people_apart(world: World) -> None:
    for sid, number in (("CA1", "anonymous"), ("CA2", "+266696687"), ("CA3", "Restricted")):
        await post(world, "/v1/providers/twilio/voice", {**CALL, "CallSid": sid, "From": number})
    received = await world.events(CallReceived)
    assert [event.data.anonymous for event in received] == [True] * 3
    assert len({event.data.customer_id for event in received}) == 3


async def test_a_status_that_overtakes_the_call_itself_loses_nothing(world: World) -> None:
    await asyncio.gather(
        status(world, "completed", 3, CallDuration="5"),
        post(world, "/v1/providers/twilio/voice", CALL),
        status(world, "in-progress", 2),
    )
    assert len(await world.events(TicketOpened)) == 1
    assert len(await world.events(CallReceived)) == 1
    assert len(await world.events(CallEnded)) == 1


class Rest:
    """Twilio's message resource as far as we use it."""

    def __init__(self) -> None:
        self.posted: list[dict[str, str]] = []
        self.answers: list[bytes] = []
        self.kept = b'{"messages":[]}'
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(next((line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")), "0"))
        body = (await reader.readexactly(length)).decode()
        if head.startswith("GET"):
            self.asked += 1
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(self.kept), self.kept)
        else:
            self.posted.append({name: values[0] for name, values in parse_qs(body).items()})
            answer = self.answers.pop(0) if self.answers else self.reply(201, b'{"sid":"SM99"}')
        writer.write(answer)
        await writer.drain()
        writer.close()

    @staticmethod
    def reply(code: int, body: bytes) -> bytes:
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (code, len(body), body)


@asynccontextmanager
async def rest_api() -> AsyncIterator[tuple[Rest, str]]:
    rest = Rest()
    server = await asyncio.start_server(rest.serve, "127.0.0.1", 0)
    try:
        yield rest, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _answered_sms(world: World) -> None:
    await world.inbox("sms", channel="sms", address="+40312295500", region="RO", confirm=False)
    await sms(world)
    [received] = await world.events(MessageReceived)
    await world.reply(received.key, received.data.customer_id, "Coletul ajunge mâine.", "sms")


async def test_a_reply_goes_out_as_sms_from_the_number_that_was_written_to(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        assert await world.sender.send_due() == 1
        [reply] = await world.reply_ids()
        callback = f"{PUBLIC}/v1/providers/twilio/sms/status?message={reply}"
        sent = {"To": "+40721234567", "From": "+40312295500", "Body": "Coletul ajunge mâine.", "StatusCallback": callback}
        assert rest.posted == [sent]
        assert (await world.events(MessageDelivered))[0].data.provider_ref == "SM99"


async def test_an_sms_whose_fate_is_unknown_is_looked_up_before_it_is_sent_again(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        rest.answers = [b""]
        assert await world.sender.send_due() == 1
        assert len(await world.events(DeliveryUncertain)) == 1
        made = format_datetime(datetime.now(UTC))
        rest.kept = f'{{"messages":[{{"sid":"SM77","body":"Coletul ajunge mâine.","date_created":"{made}"}}]}}'.encode()
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 1
        assert (len(rest.posted), rest.asked) == (1, 1)
        assert (await world.events(MessageDelivered))[0].data.provider_ref == "SM77"


async def test_a_number_that_twilio_refuses_is_told_with_twilios_code(database: str) -> None:
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await _answered_sms(world)
        rest.answers = [rest.reply(400, b'{"code":21211,"message":"invalid"}')]
        assert await world.sender.send_due() == 1
        assert (await world.events(MessageFailed))[0].data.code == "twilio-21211"


async def test_a_reply_on_a_channel_that_cannot_send_fails_with_a_reason(world: World) -> None:
    await sms(world)
    [received] = await world.events(MessageReceived)
    await world.reply(received.key, received.data.customer_id, "hello", "line")
    assert await world.sender.send_due() == 1
    assert (await world.events(MessageFailed))[0].data.code == "channel-cannot-send"
