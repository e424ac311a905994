"""Mail of ours that comes back: told on its ticket, kept, and known to what is sent next."""

import aiosmtplib

from services.intake.domain.tokens import Signer
from services.intake.recalled_ticket import Heard
from services.intake.store import recalled_deliveries
from shared import db
from shared.events.base import Event
from shared.events.message import MessageBounced, MessageDelivered, MessageFailed, MessageReceived
from shared.events.people import CustomerCreated
from shared.events.ticket import TicketOpened
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.world import MailServer, World, mail_port, mail_server, process
from tests.unit.intake.test_reports import MESSAGE, OURS, TICKET, notification


async def answered(world: World, server: MailServer, smtp: int) -> tuple[Event[MessageReceived], str, str]:
    """A customer's mail and the reply to it: its id, and its Message-ID."""
    await deliver(smtp, mail())
    [received] = await world.events(MessageReceived)
    message_id = await world.reply(received.key, received.data.customer_id, "It is on its way.", "email", 1)
    assert await world.sender.send_due() == 1
    return received, message_id, str(server.mails[-1]["Message-ID"])


async def report(smtp: int, ref: str, *said: str, name: str = "<report@mx>") -> str:
    raw = notification(*said).replace(OURS, ref).replace("<20260115.report@mx.customers.example>", name)
    return await raw_mail(smtp, raw)


async def raw_mail(smtp: int, raw: str) -> str:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=smtp, timeout=10) as client:
        _, answer = await client.sendmail("", [SUPPORT], raw)
    return answer


async def test_a_mail_that_came_back_is_told_once_on_its_ticket_and_opens_nothing(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as smtp:
            received, message_id, ref = await answered(world, server, smtp)
            for _ in range(5):
                assert "ticket #" in await report(smtp, ref)
        [bounced] = await world.events(MessageBounced)
        assert (bounced.key, bounced.data) == (received.key, MessageBounced(message_id=message_id, hard=True, code="5.1.1"))
        assert [len(await world.events(kind)) for kind in (TicketOpened, MessageReceived, CustomerCreated)] == [1, 1, 1]
        assert await world.count("word", "position(convert_to('Final-Recipient', 'UTF8') IN body) > 0") == 1
        assert await world.count("delivery", "told IS NOT NULL") == 1
        assert await world.count("parked_contact") == 0


async def test_a_reply_to_an_address_that_takes_no_mail_is_refused_until_the_customer_writes_from_it_again(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as smtp:
            received, _, ref = await answered(world, server, smtp)
            customer_id = received.data.customer_id
            await report(smtp, ref, "delayed", "4.4.1", name="<soft@mx>")
            await world.reply(received.key, customer_id, "two", "email", 2)
            assert await world.sender.send_due() == 1
            assert len(await world.events(MessageDelivered)) == 2
            await report(smtp, ref)
            await world.reply(received.key, customer_id, "three", "email", 3)
            assert await world.sender.send_due() == 1
            assert [event.data.code for event in await world.events(MessageFailed)] == ["address-returned"]
            assert len(server.mails) == 2
            await deliver(smtp, mail("I am here", Message_ID="<again@c>"))
            await world.reply(received.key, customer_id, "four", "email", 4)
            assert await world.sender.send_due() == 1
        assert (len(server.mails), len(await world.events(MessageFailed))) == (3, 1)


async def test_a_report_on_mail_that_is_not_ours_is_kept_for_a_person_and_opens_nothing(world: World) -> None:
    async with mail_port(world) as smtp:
        for ref in ("<spam@patchbay.example>", Signer(b"another company").message_ref(MESSAGE, TICKET, "patchbay.example")):
            assert "kept for a person" in await report(smtp, ref)
    assert await world.log() == []
    assert await world.count("parked_contact", "reason LIKE 'it reports on a mail%'") == 2


async def test_a_database_read_back_from_the_log_knows_the_addresses_that_take_no_mail(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as smtp:
            _, message_id, ref = await answered(world, server, smtp)
            await report(smtp, ref)
        await world.execute("UPDATE intake.handle SET returned_at = NULL")
        async with db.transaction(world.parts.engine) as conn:
            told = [Heard(message_id, event.data, event.time) for event in await world.events(MessageBounced)]
            await recalled_deliveries.told(conn, told)
        assert await world.count("handle", "returned_at IS NOT NULL") == 1
