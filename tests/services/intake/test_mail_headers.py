"""Mail through lists, from ourselves, of machines, and passed on: on a real SMTP port."""

from services.intake.channels.email import OWN_LOOP
from shared.events.message import ConfirmationSkipped, MessagePersonal, MessageReceived
from shared.events.people import CustomerHandleAdded, MergeSuggested
from shared.events.ticket import TicketOpened
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.world import World, mail_port, mail_server, process

TICKET = "6f1d2a52-3b57-5e0e-9f0e-7d6a5c1b9a10"
GROUP = {"From": f"Somebody via Support <{SUPPORT}>", "List_ID": "<support.patchbay.example>"}


async def test_customers_who_write_through_a_group_of_ours_are_themselves(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    async with mail_port(world) as port:
        await deliver(port, mail(Message_ID="<1@c>", X_Original_From="Ana <ana@one.example>", **GROUP))
        await deliver(port, mail(Message_ID="<2@c>", Reply_To="Bob <bob@two.example>", **GROUP))
        await deliver(port, mail(Message_ID="<3@c>", From="Ana <ana@one.example>", Reply_To="Eve <eve@three.example>"))
    ana, bob, again = [event.data.customer_id for event in await world.events(TicketOpened)]
    assert ana == again != bob
    opened = [await world.opened(event, MessagePersonal) for event in await world.events(MessageReceived)]
    handles = [one.handle for one in opened if isinstance(one, MessagePersonal)]
    assert handles == ["ana@one.example", "bob@two.example", "ana@one.example"]
    assert len(await world.events(CustomerHandleAdded)) == 2
    assert await world.count("delivery", "kind = 'confirmation'") == 3


async def test_mail_from_an_address_of_ours_is_kept_for_a_person_and_opens_nothing(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    await world.inbox("sales", channel="email", address="sales@patchbay.example")
    async with mail_port(world) as port:
        by_hand = await deliver(port, mail(From="Dana <sales+x@patchbay.example>", Reply_To="support@patchbay.example"))
        unmarked = mail(Message_ID=world.signer.message_ref(TICKET, TICKET, "patchbay.example"))
        assert by_hand == await deliver(port, unmarked) == "2.0.0 OK, kept for a person to look at"
    assert await world.count("parked_contact", f"reason = '{OWN_LOOP}'") == 2
    assert await world.events(TicketOpened) == []
    assert await world.count("delivery") == 0


async def test_what_names_us_in_x_loop_is_not_confirmed(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    async with mail_port(world) as port:
        await deliver(port, mail(X_Loop="desk@patchbay.example"))
    assert [event.data.reason for event in await world.events(ConfirmationSkipped)] == ["automatic_mail"]


async def test_an_answer_that_was_passed_on_finds_its_ticket_by_the_address_that_it_was_sent_to(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    async with mail_port(world) as port:
        await deliver(port, mail())
        [opened] = await world.events(TicketOpened)
        address = world.signer.reply_address(opened.key, SUPPORT)
        headers = ("Cc", "Delivered-To", "X-Original-To", "X-Forwarded-To")
        for n, header in enumerate(headers):
            await deliver(port, mail("Something else", f"Answer {n}", Message_ID=f"<{n}@other>", **{header: address}))
    assert {event.key for event in await world.events(MessageReceived)} == {opened.key}
    assert len(await world.events(TicketOpened)) == 1


async def test_what_a_form_of_our_site_mails_is_confirmed_to_its_visitor_who_only_claims_the_address(database: str) -> None:
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        async with mail_port(world) as listening:
            await deliver(listening, mail(From="Ana <ana@one.example>"))
            await deliver(listening, mail(From=f"Our shop <{SUPPORT}>", Reply_To="Ana <ana@one.example>", Message_ID="<f@site>"))
        owner, visitor = [event.data.customer_id for event in await world.events(MessageReceived)]
        assert [(event.key, event.data.customer_id) for event in await world.events(MergeSuggested)] == [(visitor, owner)]
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 2
        assert sink.recipients == [["ana@one.example"]] * 2
