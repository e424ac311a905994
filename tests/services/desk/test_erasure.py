"""A person who was erased is found no more, at once, and nothing of theirs is left."""

from __future__ import annotations

from deploy.erasure import Trace, find_traces, live_keys
from deploy.restoring import FORGET_ERASED
from services.desk.store.erasure import TRY_HOLD
from shared import db
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.people import CustomerErased, CustomerHandleAdded, CustomerPersonal, CustomerProfileChanged, OrderRecorded
from shared.events.ticket import TicketMergedInto
from tests.infra import execute
from tests.services.desk.conftest import Desk

ORDER = ("desk.customer_order.order_id", "desk.customer_order.data")
NEEDLES = ("Zebulon Quux", "zebulon@quux.example", "+40721999888", "flickering", "Haifa-7", "A-20417")


async def somebody(desk: Desk, customer: str = "c-1") -> str:
    """A customer with a record, an order and a ticket on which another one wrote, too."""
    await desk.meet(customer, "Zebulon Quux")
    for handle_id, kind, value in (("h1", "email", "zebulon@quux.example"), ("h2", "phone", "+40721999888")):
        fact = CustomerHandleAdded(handle_id=handle_id, kind=kind, verified_by="wrote_from_it")  # type: ignore[arg-type]
        await desk.hear(customer, fact, CustomerPersonal(handles=(value,)), person=customer)
    profile = CustomerPersonal(name="Zebulon Quux", fields={"code": "Haifa-7"})
    await desk.hear(customer, CustomerProfileChanged(vip=True, plan="gold"), profile, person=customer)
    await desk.hear(customer, OrderRecorded(order_id="A-20417", kind="order", status="paid"))
    ticket_id = await desk.open("t", 1, "my lamp is flickering", subject="Flickering", customer=customer, called="Zebulon Quux")
    await desk.note(ticket_id, "flickering for a week", customer=customer)
    guest = MessageReceived(message_id="g", customer_id="c-9", channel="email", inbox="help", provider="smtp", participant=False)
    await desk.hear(ticket_id, guest, MessagePersonal(text="mine is dark"), person="c-9")
    await desk.index()
    return ticket_id


async def traces(desk: Desk) -> list[Trace]:
    return await find_traces(desk.parts.engine, NEEDLES)


async def test_an_erased_customers_words_are_gone_at_once_and_others_stay(desk: Desk) -> None:
    ticket_id = await somebody(desk)
    assert {trace.column for trace in await traces(desk)} == {"desk.document.words", *ORDER}
    assert {trace.needle for trace in await traces(desk)} == set(range(1, len(NEEDLES) + 1))
    await desk.erase("c-1")
    assert await traces(desk) == []  # before anything was indexed anew
    assert await live_keys(desk.parts.engine, ["c-1"]) == []
    assert await desk.found("flickering") == []
    assert await desk.found("dark") == [1]
    assert await traces(desk) == []
    page = await desk.told("dana", f"tickets/{ticket_id}/timeline")
    assert [(item["erased"], item["personal"]) for item in page["items"][:3]] == [(True, None)] * 3
    assert page["items"][3]["personal"] == {"text": "mine is dark"}
    [item] = (await desk.told("dana", "tickets"))["items"]
    assert (item["subject"], item["customer_name"]) == (None, None)


async def test_the_card_of_who_was_erased_is_gone(desk: Desk) -> None:
    await somebody(desk)
    await desk.erase("c-1")
    answer = await desk.ask("rina", "customers/c-1")
    assert (answer.status_code, answer.json()["code"]) == (410, "customer-erased")
    assert await desk.rows("SELECT vip, plan FROM desk.customer WHERE customer_id = 'c-1'") == [(None, None)]


async def test_erasing_covers_all_ids_of_the_person(desk: Desk) -> None:
    await somebody(desk, "c-1")
    await desk.open("other", 2, "flickering too", customer="c-2", called="Zebulon Quux")
    await desk.index()
    await desk.erase("c-2", "c-1")
    assert await traces(desk) == []
    assert await desk.found("flickering") == []


async def test_words_of_somebody_who_was_erased_come_back_by_no_fact_that_comes_late(desk: Desk) -> None:
    """The key is remembered here for a minute, and what they wrote before may still be on its way."""
    ticket_id = await somebody(desk)
    late = await desk.event(
        ticket_id,
        MessageReceived(message_id="late", customer_id="c-1", channel="email", inbox="help", provider="smtp"),
        MessagePersonal(text="flickering again"),
    )
    await desk.hear("c-1", CustomerErased(customer_ids=("c-1",), requested_by="rina"))  # its key is not yet destroyed for us
    assert await desk.fold([late]) == []
    assert await desk.found("flickering") == []
    assert await traces(desk) == []


async def test_while_words_are_indexed_an_erasure_waits_and_then_finds_them(desk: Desk) -> None:
    """Whoever indexes holds what an erasure needs, so neither can pass the other by."""
    await somebody(desk)
    async with db.transaction(desk.parts.engine) as conn:
        assert (await db.fetch(conn, TRY_HOLD))[0][0]
        [waits] = await desk.rows("SELECT NOT pg_try_advisory_xact_lock(hashtextextended('desk words', 0))")
        assert waits[0]
    await desk.erase("c-1")
    assert await traces(desk) == []


async def test_the_words_of_a_merged_ticket_are_erased_where_it_goes_on(desk: Desk) -> None:
    one = await somebody(desk)
    two = await desk.open("2", 2, "the sofa", customer="c-2", called="Ana")
    await desk.hear(one, TicketMergedInto(into_ticket_id=two))
    assert await desk.found("flickering sofa") == [2]
    await desk.erase("c-1")
    assert await traces(desk) == []
    assert await desk.found("sofa") == [2]


async def test_the_verification_looks_into_the_names_of_views_too(desk: Desk) -> None:
    assert (await desk.ask("dana", "views", "POST", {"name": "About Zebulon Quux"})).status_code == 201
    assert [trace.column for trace in await traces(desk)] == ["desk.view.name"]


async def test_a_restore_of_a_backup_from_before_an_erasure_brings_no_words_back(desk: Desk) -> None:
    """Keys stay as they are now, so that what a restore brings of the desk is seen to be somebody's who was erased since."""
    ticket_id = await somebody(desk)
    async with db.transaction(desk.parts.engine) as conn:
        await desk.parts.keys.destroy(conn, ["c-1"])
    assert {trace.column for trace in await traces(desk)} == {"desk.document.words", *ORDER}
    await execute(desk.settings.database.get_secret_value(), FORGET_ERASED)
    assert await traces(desk) == []
    assert await desk.found("dark") == [1]
    assert await traces(desk) == []
    await desk.hear("c-1", CustomerErased(customer_ids=("c-1",), requested_by="rina"))
    await desk.write(ticket_id, "light", customer="c-9")
    assert await desk.found("dark light") == [1]
