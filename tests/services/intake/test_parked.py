"""What could not be taken: kept as it came, tried again the same way, counted, forgotten with the person."""

from __future__ import annotations

from prometheus_client import REGISTRY

from services.intake.replaying import Replayer
from services.intake.store import parked
from services.intake.store.parked import ParkedContact
from shared import db
from shared.events.call import CallReceived
from shared.events.message import MessageReceived
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.test_twilio import CALL, post, sms
from tests.services.intake.world import World, mail_port

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


async def test_a_sender_who_is_known_only_from_the_envelope_is_forgotten_too(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        [received] = await world.events(MessageReceived)
        await world.execute(POISON)
        unsigned = mail(From="Somebody <else@other.example>", Message_ID="<2@other.example>")
        await deliver(port, unsigned, sender="Dan@Customers.example")
    assert len(await listed(world)) == 1
    answer = await world.http.post(f"/v1/customers/{received.data.customer_id}/erase", headers=await world.key("admin"))
    assert (answer.status_code, await listed(world)) == (200, [])
