"""Which ticket and which customer, on a real database: what is found by SQL, and what other systems got wrong."""

import asyncio

import pytest
from msgspec.structs import replace

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.domain.authentication import Authentication
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.plan import Placement
from services.intake.recalled_ticket import Written
from services.intake.recalling import OF_CUSTOMERS, CustomersRecalled
from services.intake.store import recalled_people
from shared import db
from shared.clock import clock
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.people import CustomerHandleAdded, CustomerHandleRemoved, CustomerMergedInto, MergeSuggested
from shared.events.ticket import TicketLinked, TicketOpened
from tests.services.intake.test_customers import call
from tests.services.intake.test_mail import mail
from tests.services.intake.world import World, process

INBOX = Inbox("support", "email", "support@firm.example")
OWN, FORGED = Authentication("mx", dmarc="pass", proven=True), Authentication("mx", dmarc="fail")
ANA = "Ana <ana@bigfirm.example>"
BRAZIL = ("+551187654321", "+5511987654321")


async def take(world: World, *, authentication: Authentication | None = None, **headers: str) -> Placement:
    """A mail comes; `authentication` is what our mail server found out about it."""
    subject = headers.pop("Subject", "My parcel")
    raw = mail(subject, **{"From": ANA, "To": INBOX.address, **headers}).as_bytes()
    contact = email.parse(raw, Envelope("ana@bigfirm.example", (INBOX.address,)), INBOX, world.signer)
    assert isinstance(contact, InboundMessage)
    if authentication is not None:
        contact = replace(contact, authentication=authentication)
    return await world.intake.acceptor.accept_one(contact)


def text(key: str, number: str, name: str = "", *, inbox: str = "shop") -> InboundMessage:
    handle = Handle("phone", number)
    return InboundMessage("generic", key, key, "whatsapp", inbox, handle, f"text {key}", name=name)


async def days_pass(world: World, days: int) -> None:
    """All that was written and done is so much older."""
    span = f"interval '{days} days'"
    await world.execute(f"UPDATE intake.ticket SET changed_at = changed_at - {span}, opened_at = opened_at - {span}")
    await world.execute(f"UPDATE intake.message SET received_at = received_at - {span}")


# --- a ticket's number in the subject --------------------------------------------------------------------------------------


async def test_an_answer_whose_headers_were_lost_finds_its_ticket_by_the_number_from_who_takes_part(world: World) -> None:
    first = await take(world)
    subject = f"AW: My parcel [#{first.number}]"
    own = await take(world, Subject=subject, Message_ID="<2@b>")
    other = await take(world, Subject=subject, Message_ID="<3@b>", From="Eve <eve@elsewhere.example>")
    colleague = await take(world, authentication=OWN, Subject=subject, Message_ID="<4@b>", From="Bob <bob@bigfirm.example>")
    unproven = await take(world, Subject=subject, Message_ID="<5@b>", From="Max <max@bigfirm.example>")
    forged = await take(world, authentication=FORGED, Subject=subject, Message_ID="<6@b>")
    assert own.ticket_id == colleague.ticket_id == first.ticket_id
    assert (own.customer_id, other.opened, unproven.opened, forged.opened) == (first.customer_id, True, True, True)
    assert forged.customer_id != first.customer_id
    messages = {event.data.message_id: event.data.participant for event in await world.events(MessageReceived)}
    assert (messages[own.item_id], messages[colleague.item_id]) == (True, False)


async def test_who_was_let_in_once_may_name_the_ticket_afterwards(world: World) -> None:
    first = await take(world)
    invited = "Zoe <zoe@elsewhere.example>"
    await take(world, From=invited, Message_ID="<2@b>", To=world.signer.reply_address(first.ticket_id, INBOX.address))
    again = await take(world, From=invited, Message_ID="<3@b>", Subject=f"Parcel [#{first.number}]")
    stranger = await take(world, From="Eve <eve@elsewhere.example>", Message_ID="<4@b>", Subject=f"Parcel [#{first.number}]")
    assert again.ticket_id == first.ticket_id
    assert stranger.opened, "a number is soon guessed"


async def test_at_a_host_of_everybody_nobody_is_a_colleague(world: World) -> None:
    first = await take(world, From="ana@gmail.com")
    guessed = await take(world, authentication=OWN, From="eve@gmail.com", Message_ID="<2@b>", Subject=f"Re: [#{first.number}]")
    assert guessed.opened


async def test_a_number_of_no_ticket_is_a_mail_like_any_other(world: World) -> None:
    assert (await take(world, Subject="[#999999999999999] Hello")).opened
    assert (await take(world, Subject="[#1] [#2] Hello", Message_ID="<2@b>")).opened


# --- an old mail answered with another matter, closed and merged tickets ---------------------------------------------------


async def test_an_old_mail_answered_under_another_subject_opens_a_related_ticket_and_the_next_joins_that(world: World) -> None:
    first = await take(world)
    await days_pass(world, 40)
    old = "<first@customers.example>"
    other = await take(world, Subject="Invoice", Message_ID="<2@b>", In_Reply_To=old)
    same = await take(world, Subject="Re: My parcel", Message_ID="<3@b>", In_Reply_To=old)
    later = await take(world, Subject="Re: Invoice", Message_ID="<4@b>", In_Reply_To="<2@b>", References=f"{old} <2@b>")
    assert other.opened
    assert (same.ticket_id, later.ticket_id) == (first.ticket_id, other.ticket_id)
    links = {(event.key, event.data.ticket_id, event.data.relation) for event in await world.events(TicketLinked)}
    assert links == {(other.ticket_id, first.ticket_id, "related"), (first.ticket_id, other.ticket_id, "related")}


async def test_what_a_machine_writes_is_no_life_of_a_ticket(world: World) -> None:
    first = await take(world)
    await days_pass(world, 40)
    await take(world, Message_ID="<2@b>", In_Reply_To="<first@customers.example>", Auto_Submitted="auto-replied")
    assert await world.count("ticket", f"id = '{first.ticket_id}' AND changed_at < now() - interval '39 days'") == 1
    await take(world, Message_ID="<3@b>", In_Reply_To="<first@customers.example>")
    assert await world.count("ticket", f"id = '{first.ticket_id}' AND changed_at > now() - interval '1 day'") == 1


async def test_who_answers_the_same_old_mail_for_years_is_in_one_conversation_at_a_time(world: World) -> None:
    first = await take(world)
    before, to = first, world.signer.reply_address(first.ticket_id, INBOX.address)
    for n in range(14):  # more closed tickets in a row than one statement follows
        await world.close(before.ticket_id)
        one = await take(world, Message_ID=f"<a{n}@b>", To=to)
        two = await take(world, Message_ID=f"<b{n}@b>", To=to)
        assert one.opened
        assert two.ticket_id == one.ticket_id != before.ticket_id
        before = one
    follows = [event.data.follow_up_of for event in await world.events(TicketOpened)]
    assert len(follows) == len(set(follows)) == 15


EVE = "Eve <eve@elsewhere.example>"


async def answers_closed(world: World, to: str, n: int, who: str = EVE) -> Placement:
    return await take(world, From=who, Message_ID=f"<guest{n}@b>", To=to)


async def test_a_guest_who_answers_one_closed_ticket_twice_has_one_ticket_until_that_is_closed(world: World) -> None:
    first = await take(world)
    to = world.signer.reply_address(first.ticket_id, INBOX.address)
    await world.close(first.ticket_id)
    one, two = [await answers_closed(world, to, n) for n in range(2)]
    hers, another = await take(world, Message_ID="<2@b>", To=to), await answers_closed(world, to, 2, "Bob <bob@other.example>")
    after = await answers_closed(world, to, 3)
    assert (one.opened, two.opened, after.opened) == (True, False, False)
    assert one.ticket_id == two.ticket_id == after.ticket_id != hers.ticket_id
    assert another.ticket_id == hers.ticket_id, "whoever has none of their own goes on with what took the closed one's place"
    links = {(event.key, event.data.ticket_id, event.data.relation) for event in await world.events(TicketLinked)}
    assert (one.ticket_id, first.ticket_id, "related") in links
    received = {event.data.message_id: event.data.participant for event in await world.events(MessageReceived)}
    assert (received[two.item_id], received[another.item_id]) == (True, False)


async def test_what_a_guest_answers_after_their_own_ticket_was_closed_is_one_of_its_own_again(world: World) -> None:
    first = await take(world)
    to = world.signer.reply_address(first.ticket_id, INBOX.address)
    await world.close(first.ticket_id)
    before = await answers_closed(world, to, 0)
    await world.close(before.ticket_id)
    next_one, joined = await answers_closed(world, to, 1), await answers_closed(world, to, 2)
    assert next_one.opened
    assert joined.ticket_id == next_one.ticket_id not in (before.ticket_id, first.ticket_id)


async def test_by_which_address_a_guest_goes_on_beside_a_closed_ticket_goes_back_with_it_and_is_erased_with_them(
    world: World,
) -> None:
    first, other = await take(world), await take(world, From="Zoe <zoe@else.example>", Message_ID="<2@b>", Subject="Lamp")
    to = world.signer.reply_address(first.ticket_id, INBOX.address)
    await world.close(first.ticket_id)
    guests = await answers_closed(world, to, 0)
    await call(world, f"{guests.customer_id}/merge", into_customer_id=other.customer_id)
    while_one = await answers_closed(world, to, 1)
    await call(world, f"{guests.customer_id}/unmerge")
    after = await answers_closed(world, to, 2)
    assert (while_one.ticket_id, after.ticket_id) == (guests.ticket_id, guests.ticket_id)
    assert (while_one.customer_id, after.customer_id) == (other.customer_id, guests.customer_id)
    named = "position('eve@elsewhere.example' IN conversation) > 0"
    assert await world.count("ticket", named) == 1
    answer = await world.http.post(f"/v1/customers/{guests.customer_id}/erase", headers=await world.key("admin"))
    assert answer.status_code == 200
    assert await world.count("ticket", named) == 0


async def test_answers_of_a_guest_to_a_closed_ticket_at_once_over_two_processes_are_one_ticket(database: str) -> None:
    async with process(database) as one, process(database) as other:
        first = await take(one)
        to = one.signer.reply_address(first.ticket_id, INBOX.address)
        await one.close(first.ticket_id)
        placed = await asyncio.gather(*(answers_closed((one, other)[n % 2], to, n) for n in range(20)))
        assert len({placement.ticket_id for placement in placed} | {first.ticket_id}) == 2
        assert (await one.count("ticket"), await one.count("customer"), await one.count("message")) == (2, 2, 21)


# --- one line under two numbers --------------------------------------------------------------------------------------------


async def test_first_messages_from_both_forms_of_a_number_at_once_over_two_processes_are_one_customer(database: str) -> None:
    async with process(database) as one, process(database) as other:
        sent = [(one, other)[n % 2].intake.acceptor.accept_one(text(f"m-{n}", BRAZIL[n // 2 % 2])) for n in range(40)]
        placed = await asyncio.gather(*sent)
        assert (len({p.customer_id for p in placed}), len({p.ticket_id for p in placed})) == (1, 1)
        assert (await one.count("message"), await one.count("customer"), await one.count("handle")) == (40, 1, 2)


async def test_a_customer_is_found_by_either_form_of_their_number(world: World) -> None:
    headers = await world.key("intake:write")
    made = await world.http.put(f"/v1/customers/phone:{BRAZIL[1]}", json={"name": "Ana"}, headers=headers)
    found = await world.http.get(f"/v1/customers/phone:{BRAZIL[0]}", headers=headers)
    assert found.json()["id"] == made.json()["id"]
    assert (await world.intake.acceptor.accept_one(text("m", BRAZIL[0]))).customer_id == made.json()["id"]
    taken = await world.http.put(
        "/v1/customers/external:9", json={"handles": [{"kind": "phone", "value": BRAZIL[0]}]}, headers=headers
    )
    assert (taken.status_code, taken.json()["code"]) == (409, "handle-taken")


async def test_what_came_from_the_other_form_goes_back_when_a_merge_is_undone(world: World) -> None:
    accept = world.intake.acceptor.accept_one
    number, letter = await accept(text("m-1", BRAZIL[1])), await take(world)
    await call(world, f"{number.customer_id}/merge", into_customer_id=letter.customer_id)
    since = await accept(text("m-2", BRAZIL[0], inbox="other"))
    assert since.customer_id == letter.customer_id
    await call(world, f"{number.customer_id}/unmerge")
    back = [await accept(text(f"m-{n}", form)) for n, form in enumerate(BRAZIL, start=3)]
    assert {one.customer_id for one in back} == {number.customer_id}
    assert await world.count("ticket", f"customer_id = '{letter.customer_id}'") == 1
    assert await world.count("ticket", f"id = '{since.ticket_id}' AND customer_id = '{number.customer_id}'") == 1


# --- a number that a network gave to somebody else -------------------------------------------------------------------------

NUMBER = "+40722345678"


async def recycled(world: World) -> tuple[Placement, Placement]:
    """Ana wrote, and long after that Radu from her number."""
    before = await world.intake.acceptor.accept_one(text("m-1", NUMBER, "Ana Pop"))
    await days_pass(world, 100)
    return before, await world.intake.acceptor.accept_one(text("m-2", NUMBER, "Radu Marin"))


async def test_a_recycled_number_is_somebody_elses_with_a_story_of_their_own(world: World) -> None:
    before, after = await recycled(world)
    assert after.customer_id != before.customer_id
    assert after.ticket_id != before.ticket_id
    again = await world.intake.acceptor.accept_one(text("m-3", NUMBER, "Radu Marin"))
    elsewhere = await world.intake.acceptor.accept_one(text("m-4", NUMBER, "Radu Marin", inbox="other"))
    assert (again.ticket_id, elsewhere.customer_id) == (after.ticket_id, after.customer_id)
    [left] = await world.events(CustomerHandleRemoved)
    assert (left.key, left.data.reason) == (before.customer_id, "recycled")
    assert [event.key for event in await world.events(CustomerHandleAdded)] == [before.customer_id, after.customer_id]
    assert [event.data.follow_up_of for event in await world.events(TicketOpened)] == [None] * 3
    assert await world.events(TicketLinked) == []


async def test_people_may_say_that_it_is_the_same_person_after_all(world: World) -> None:
    before, after = await recycled(world)
    [said] = await world.events(MergeSuggested)
    assert (said.key, said.data.customer_id, said.data.evidence) == (after.customer_id, before.customer_id, "recycled_number")
    await call(world, f"{before.customer_id}/suggestions/{after.customer_id}", scope="agent:dana", same=True)
    [merged] = await world.events(CustomerMergedInto)
    assert (merged.key, merged.data.into_customer_id) == (after.customer_id, before.customer_id)
    assert (await world.intake.acceptor.accept_one(text("m-3", NUMBER, "Radu Marin"))).customer_id == before.customer_id


@pytest.mark.parametrize("order", ["as it was", "the other way round"])
async def test_a_number_that_was_recycled_after_the_backup_is_its_new_owners_after_the_restore(world: World, order: str) -> None:
    before = await world.intake.acceptor.accept_one(text("m-1", NUMBER, "Ana Pop"))
    backup = len(await world.log())
    await days_pass(world, 100)
    after = await world.intake.acceptor.accept_one(text("m-2", NUMBER, "Radu Marin"))
    stop = replace(text("m-3", NUMBER, "Radu Marin"), consent=False)
    await world.intake.acceptor.accept_one(stop)
    assert await world.count("handle", "refuses = ARRAY['whatsapp']") == 1
    since = [event for event in (await world.log())[backup:] if isinstance(event.data, OF_CUSTOMERS)]
    keys = [before.customer_id, after.customer_id]
    batches = [{key: tuple(event for event in since if event.key == key)} for key in keys]
    await world.execute("DELETE FROM intake.customer WHERE id = :id", id=after.customer_id)
    await world.execute(
        "UPDATE intake.handle SET customer_id = :id, id = :handle, refuses = DEFAULT",
        id=before.customer_id,
        handle=next(e.data.handle_id for e in await world.events(CustomerHandleRemoved)),
    )
    reading = CustomersRecalled(world.parts.keys)
    for batch in batches if order == "as it was" else batches[::-1]:
        async with db.transaction(world.parts.engine) as conn:
            await reading.save(conn, batch, await clock(conn))
    async with db.transaction(world.parts.engine) as conn:
        await reading.settle(conn)
    where = f"customer_id = '{after.customer_id}' AND value = '{NUMBER}' AND refuses = ARRAY['whatsapp']"
    assert (await world.count("handle", where), await world.count("handle")) == (1, 1)


async def test_who_changes_their_name_while_they_write_stays_the_same(world: World) -> None:
    accept = world.intake.acceptor.accept_one
    before = await accept(text("m-1", NUMBER, "Ana Pop"))
    await days_pass(world, 80)
    married = await accept(text("m-2", NUMBER, "Ana Marin"))
    await days_pass(world, 100)
    later = await accept(text("m-3", NUMBER, "Ana Marin"))
    assert before.customer_id == married.customer_id == later.customer_id


async def test_by_what_name_somebody_wrote_is_read_back_from_the_log_and_forgotten_with_them(world: World) -> None:
    before = await world.intake.acceptor.accept_one(text("m-1", NUMBER, "Ana Pop"))
    hashed = "name_hash IS NOT NULL"
    assert await world.count("handle", hashed) == 1
    [received] = await world.events(MessageReceived)
    told = await world.opened(received, MessagePersonal)
    assert isinstance(told, MessagePersonal)
    await world.execute("UPDATE intake.handle SET name_hash = NULL")
    reached = recalled_people.handle_of(Written(received.data, received.time, True, told))
    assert reached is not None
    async with db.transaction(world.parts.engine) as conn:
        await recalled_people.called(conn, [reached, reached._replace(called=None)])
    assert await world.count("handle", hashed) == 1
    answer = await world.http.post(f"/v1/customers/{before.customer_id}/erase", headers=await world.key("admin"))
    assert answer.status_code == 200
    assert await world.count("handle") == 0


# --- mail in somebody's name -----------------------------------------------------------------------------------------------


async def test_mail_that_was_found_not_to_be_of_its_address_is_not_its_owners(world: World) -> None:
    owner = await take(world, authentication=OWN)
    forged = await take(world, authentication=FORGED, Message_ID="<2@b>")
    again = await take(world, authentication=FORGED, Message_ID="<3@b>")
    assert forged.customer_id == again.customer_id != owner.customer_id
    added = [(event.key, event.data.verified_by) for event in await world.events(CustomerHandleAdded)]
    assert added == [(owner.customer_id, "wrote_from_it"), (forged.customer_id, "not")]
    [said] = await world.events(MergeSuggested)
    assert (said.key, said.data.customer_id, said.data.evidence) == (forged.customer_id, owner.customer_id, "claimed_address")
    assert (await take(world, authentication=OWN, Message_ID="<4@b>")).customer_id == owner.customer_id


async def test_a_forged_answer_to_a_claim_merges_nobody(world: World) -> None:
    body = {"channel": "form", "inbox": "in", "text": "Hello", "handle": {"kind": "email", "value": "ana@bigfirm.example"}}
    answer = await world.http.post("/v1/contacts", json=body, headers=await world.key("intake:write"))
    to = world.signer.reply_address(answer.json()["ticket_id"], INBOX.address)
    await take(world, authentication=FORGED, To=to)
    await take(world, To=to, Message_ID="<2@b>", Auto_Submitted="auto-replied")
    assert await world.ticker().merge_proven() == 0
    await take(world, To=to, Message_ID="<3@b>")
    assert await world.ticker().merge_proven() == 1
