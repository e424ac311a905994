"""One ticket with its history, one customer with theirs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.events.call import CallReceived
from shared.events.config import AgentConfigured, QueueConfigured
from shared.events.message import (
    MessageBounced,
    MessageDelivered,
    SurveyAnswered,
    SurveyPersonal,
    SurveySent,
)
from shared.events.people import (
    CustomerAbsorbed,
    CustomerHandleAdded,
    CustomerJoined,
    CustomerMergedInto,
    CustomerPersonal,
    CustomerProfileChanged,
    CustomerUnmerged,
    MergeSuggested,
    OrderRecorded,
)
from shared.events.sla import ClockMet, ClockPaused, ClockStarted
from shared.events.ticket import (
    TicketCustomerChanged,
    TicketEscalated,
    TicketLabelled,
    TicketMergedInto,
    TicketPrioritised,
    TicketTransferred,
    TicketUnmerged,
)
from shared.events.work import TransferOffered
from tests.services.desk.conftest import Desk
from tests.services.desk.test_lists import CLOCK

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


async def test_a_ticket_is_told_with_its_promises(desk: Desk) -> None:
    ticket_id = await desk.open("t", 100_001, "Hello", subject="Lamp")
    now = await desk.now()
    await desk.hear(ticket_id, ClockStarted(**CLOCK, started_at=now, deadline=now + timedelta(hours=1), target_us=1))
    shown = await desk.told("dana", f"tickets/{ticket_id}")
    assert (shown["number"], shown["subject"], shown["asked_for"], shown["merged"]) == (100_001, "Lamp", ticket_id, [])
    [promise] = shown["promises"]
    assert (promise["target"], promise["state"], promise["breached"]) == ("first_response", "running", False)
    assert shown["due_at"] == promise["deadline"]
    assert shown["incomplete"] is False


async def test_a_ticket_is_told_with_the_version_and_the_own_fields_that_are_edited(desk: Desk) -> None:
    ticket_id = await desk.open("t", 100_001, "Hello")
    await desk.hear(ticket_id, TicketLabelled(fields={"order": "A-1", "site": ""}))
    await desk.hear(ticket_id, TicketPrioritised(priority=4, previous=2, by_agent_id="dana"))
    answer = await desk.ask("dana", f"tickets/{ticket_id}")
    shown = answer.json()
    assert (shown["version"], shown["fields"], answer.headers["etag"]) == (3, {"order": "A-1"}, '"3"')


async def test_a_ticket_of_which_something_could_not_be_taken_says_so(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1)
    await desk.event(ticket_id, TicketPrioritised(priority=3, previous=2), writer="routing")  # is lost on its way
    late = await desk.event(ticket_id, TicketPrioritised(priority=4, previous=3), writer="routing")
    assert len(await desk.fold([late])) == 1
    assert (await desk.told("dana", f"tickets/{ticket_id}"))["incomplete"] is True


async def test_a_history_names_whom_a_ticket_went_to_and_the_queues_through_which_it_rose(desk: Desk) -> None:
    now = await desk.now()
    for n, queue_id in enumerate(("support", "experts", "night"), start=1):
        queue = QueueConfigured(id=queue_id, version=1, effective_from=now, name={"en": queue_id.title()}, position=n, tier=n)
        await desk.hear(f"queue:{queue_id}", queue)
    for agent_id in ("dana", "omar"):
        agent = AgentConfigured(id=agent_id, version=1, effective_from=now, display_name=agent_id.title())
        await desk.hear(f"agent:{agent_id}", agent)
    ticket_id = await desk.open("t", 1)
    risen = TicketEscalated(from_tier=1, to_tier=2, by_agent_id="dana", queue_id="experts", path=("support", "experts"))
    offered = TransferOffered(transfer_id="x", by_agent_id="dana", to_agent_id="omar", expires_at=now)
    for fact in (risen, offered, TicketTransferred(by_agent_id="dana", to_kind="queue", to_id="night")):
        await desk.hear(ticket_id, fact)
    names = (await desk.told("dana", f"tickets/{ticket_id}/timeline"))["names"]
    assert {key: list(name.values()) for key, name in names.items()} == {
        "agent:dana": ["Dana"],
        "agent:omar": ["Omar"],
        "queue:support": ["Support"],
        "queue:experts": ["Experts"],
        "queue:night": ["Night"],
    }


async def test_no_ticket_is_not_found(module_desk: Desk) -> None:
    for path in ("tickets/none", "tickets/none/timeline"):
        answer = await module_desk.ask("dana", path)
        assert (answer.status_code, answer.json()["code"]) == (404, "ticket-not-found")


async def test_a_history_is_told_in_its_order_with_what_was_sealed(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, "שלום, איפה החבילה?", subject="חבילה")
    await desk.work(ticket_id)
    await desk.reply(ticket_id, "It comes today")
    await desk.note(ticket_id, "call them back")
    await desk.hear(ticket_id, MessageDelivered(message_id="r", channel="email", attempts=1))
    page = await desk.told("dana", f"tickets/{ticket_id}/timeline")
    assert [(item["type"].removesuffix(".v1"), item["kind"]) for item in page["items"]] == [
        ("ticket.opened", "event"),
        ("message.received", "message"),
        ("ticket.queued", "event"),
        ("ticket.assigned", "event"),
        ("reply.requested", "message"),
        ("note.added", "note"),
        ("message.delivered", "delivery"),
    ]
    texts = [(item["personal"] or {}).get("text") for item in page["items"]]
    assert texts == [None, "שלום, איפה החבילה?", None, None, "It comes today", "call them back", None]
    assert [item["direction"] for item in page["items"]][:2] == ["rtl", "rtl"]
    assert page["items"][0]["personal"] == {"subject": "חבילה", "customer_name": "Ruth"}
    assert all("personal" not in item["data"] for item in page["items"])


@pytest.mark.parametrize(
    ("kinds", "types"),
    [
        (["message"], ["message.received.v1", "reply.requested.v1"]),
        (["note"], ["note.added.v1"]),
        (["delivery"], ["message.bounced.v1"]),
        (["note", "delivery"], ["note.added.v1", "message.bounced.v1"]),
    ],
)
async def test_a_history_can_be_read_by_kind(desk: Desk, kinds: list[str], types: list[str]) -> None:
    ticket_id = await desk.open("t", 1, "Hello")
    await desk.work(ticket_id)
    await desk.reply(ticket_id, "Hi")
    await desk.note(ticket_id, "hm")
    await desk.hear(ticket_id, MessageBounced(message_id="r", hard=True, code="5.1.1"))
    page = await desk.told("dana", f"tickets/{ticket_id}/timeline", kind=kinds)
    assert [item["type"] for item in page["items"]] == types


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_history_that_is_read_page_by_page_has_everything_once(desk: Desk, order: str) -> None:
    ticket_id = await desk.open("t", 1)
    for n in range(7):
        await desk.write(ticket_id, str(n))
    whole = (await desk.told("dana", f"tickets/{ticket_id}/timeline", order=order))["items"]
    assert [(item["personal"] or {}).get("text") for item in whole if item["kind"] == "message"] == [
        str(n) for n in (range(7) if order == "asc" else reversed(range(7)))
    ]
    read: list[Any] = []
    cursor: str | None = None
    while True:
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        page = await desk.told("dana", f"tickets/{ticket_id}/timeline", order=order, limit=3, **more)
        read += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert read == whole


async def test_facts_of_one_instant_keep_the_order_in_which_they_came(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1)
    later = await desk.now() + timedelta(hours=1)
    for code in ("a", "b", "c"):
        await desk.hear(ticket_id, MessageBounced(message_id="r", hard=False, code=code), at=later)
    page = await desk.told("dana", f"tickets/{ticket_id}/timeline", kind="delivery", limit=2)
    rest = await desk.told("dana", f"tickets/{ticket_id}/timeline", kind="delivery", limit=2, cursor=page["next_cursor"])
    assert [item["data"]["code"] for item in page["items"] + rest["items"]] == ["a", "b", "c"]


async def test_a_cursor_of_the_other_way_is_refused(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, "a")
    page = await desk.told("dana", f"tickets/{ticket_id}/timeline", limit=1)
    answer = await desk.ask("dana", f"tickets/{ticket_id}/timeline", order="desc", cursor=page["next_cursor"])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.cursor")


async def test_a_merged_ticket_is_answered_with_the_one_that_goes_on_and_both_histories(desk: Desk) -> None:
    one, two, three = await desk.open("1", 1, "first"), await desk.open("2", 2, "second"), await desk.open("3", 3, "third")
    await desk.hear(one, TicketMergedInto(into_ticket_id=two))
    await desk.hear(two, TicketMergedInto(into_ticket_id=three))
    await desk.write(one, "it still comes here")
    for asked in (one, two, three):
        shown = await desk.told("dana", f"tickets/{asked}")
        assert (shown["ticket_id"], shown["asked_for"]) == (three, asked)
        assert shown["merged"] == [{"ticket_id": one, "number": 1}, {"ticket_id": two, "number": 2}]
        page = await desk.told("dana", f"tickets/{asked}/timeline", kind="message")
        assert page["ticket_id"] == three
        assert [(item["ticket_id"], item["personal"]["text"]) for item in page["items"]] == [
            (one, "first"),
            (two, "second"),
            (three, "third"),
            (one, "it still comes here"),
        ]
    await desk.hear(two, TicketUnmerged(from_ticket_id=three))
    assert (await desk.told("dana", f"tickets/{one}"))["ticket_id"] == two


async def test_a_customers_card_has_who_they_are_and_all_that_was_between_us(desk: Desk) -> None:
    await desk.meet("c-1", "Ruth L.")
    email = CustomerHandleAdded(handle_id="h1", kind="email", verified_by="wrote_from_it")
    await desk.hear("c-1", email, CustomerPersonal(handles=("ruth@example.com",)))
    profile = CustomerProfileChanged(
        vip=True, plan="gold", tier="a", language="he", zone="Asia/Jerusalem", consents={"sms": True}
    )
    await desk.hear("c-1", profile, CustomerPersonal(name="רות לוי", fields={"city": "Haifa"}))
    await desk.hear("c-1", CustomerJoined(on=date(2025, 1, 1)))
    await desk.hear("c-1", OrderRecorded(order_id="A-1", kind="order", status="paid", amount_minor=24990, currency="ILS"))
    await desk.hear("c-1", OrderRecorded(order_id="A-1", kind="order", status="sent", amount_minor=24990, currency="ILS"))
    mail, call = await desk.open("mail", 1, "Hello"), await desk.open("call", 2, channel="phone")
    await desk.hear(call, CallReceived(call_id="k", customer_id="c-1", inbox="line", provider="twilio", provider_ref="CA1"))
    await desk.work(mail)
    await desk.resolve(mail)
    card = await desk.told("dana", "customers/c-1")
    assert (card["name"], card["name_direction"], card["fields"]) == ("רות לוי", "rtl", {"city": "Haifa"})
    assert (card["vip"], card["plan"], card["tier"], card["language"], card["zone"]) == (
        True,
        "gold",
        "a",
        "he",
        "Asia/Jerusalem",
    )
    assert card["consents"] == {"sms": True}
    assert card["joined_on"] == "2025-01-01"
    assert card["handles"] == [
        {"handle_id": "h1", "kind": "email", "value": "ruth@example.com", "scope": "", "verified_by": "wrote_from_it"}
    ]
    assert [(order["order_id"], order["status"], order["amount_minor"]) for order in card["orders"]] == [("A-1", "sent", 24990)]
    assert [(item["number"], item["channel"], item["status"]) for item in card["tickets"]] == [
        (2, "phone", "new"),
        (1, "email", "resolved"),
    ]
    assert card["totals"] == [
        {"status": "new", "channel": "phone", "tickets": 1},
        {"status": "resolved", "channel": "email", "tickets": 1},
    ]


async def test_a_card_has_what_customers_answered_the_last_answer_to_each_question(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1)
    sent = SurveySent(survey_id="s", kind="csat", scale_min=1, scale_max=5, channel="email", language="he")
    await desk.hear(ticket_id, sent)
    for score, comment in ((2, "לא טוב"), (4, "תודה")):
        fact = SurveyAnswered(survey_id="s", kind="csat", score=score, scale_min=1, scale_max=5, channel="email")
        await desk.hear(ticket_id, fact, SurveyPersonal(comment=comment))
    [answer] = (await desk.told("dana", "customers/c-1"))["satisfaction"]
    assert (answer["number"], answer["score"], answer["comment"], answer["comment_direction"]) == (1, 4, "תודה", "rtl")


async def test_a_card_has_what_is_still_promised_the_nearest_first(desk: Desk) -> None:
    now = await desk.now()
    for number, minutes in ((1, 30), (2, 10)):
        ticket_id = await desk.open(str(number), number)
        clock = {
            **CLOCK,
            "clock_id": f"k{number}",
            "started_at": now,
            "deadline": now + timedelta(minutes=minutes),
            "target_us": 1,
        }
        await desk.hear(ticket_id, ClockStarted(**clock))
    paused = await desk.open("3", 3)
    await desk.hear(paused, ClockPaused(**{**CLOCK, "clock_id": "k3"}, remaining_us=5, reason="pending"))
    kept = await desk.open("4", 4)
    await desk.hear(kept, ClockMet(**{**CLOCK, "clock_id": "k4"}, met_at=now, elapsed_us=1, deadline=now))
    owed = (await desk.told("dana", "customers/c-1"))["promises"]
    assert [(one["number"], one["state"]) for one in owed] == [(2, "running"), (1, "running"), (3, "paused")]


async def test_a_customer_who_was_merged_is_answered_with_who_goes_on_and_all_of_both(desk: Desk) -> None:
    for customer, name in (("c-1", "Ruth"), ("c-2", "Ruth Levi")):
        await desk.meet(customer, name)
        await desk.hear(customer, OrderRecorded(order_id=f"of {customer}", kind="order", status="paid"), person=customer)
    one = await desk.open("1", 1, customer="c-1")
    await desk.open("2", 2, customer="c-2")
    await desk.hear("c-1", MergeSuggested(customer_id="c-2", evidence="same_name"))
    await desk.hear("c-1", MergeSuggested(customer_id="c-3", evidence="same_order_number"))
    assert {s["customer_id"] for s in (await desk.told("dana", "customers/c-1"))["suggestions"]} == {"c-2", "c-3"}
    await desk.hear("c-1", CustomerMergedInto(into_customer_id="c-2", evidence="agent"))
    await desk.hear("c-2", CustomerAbsorbed(customer_id="c-1", evidence="agent"))
    card = await desk.told("dana", "customers/c-1")  # before their tickets were told to be the other's
    assert {item["number"] for item in card["tickets"]} == {1, 2}
    await desk.hear(one, TicketCustomerChanged(customer_id="c-2", previous="c-1", reason="merged"))
    for asked in ("c-1", "c-2"):
        card = await desk.told("dana", f"customers/{asked}")
        assert (card["customer_id"], card["asked_for"], card["merged_ids"], card["name"]) == ("c-2", asked, ["c-1"], "Ruth Levi")
        assert {item["number"] for item in card["tickets"]} == {1, 2}
        assert {order["order_id"] for order in card["orders"]} == {"of c-1", "of c-2"}
        assert [s["customer_id"] for s in card["suggestions"]] == ["c-3"]
    await desk.hear("c-1", CustomerUnmerged(customer_id="c-2"))
    await desk.hear("c-2", CustomerUnmerged(customer_id="c-1"))
    await desk.hear(one, TicketCustomerChanged(customer_id="c-1", previous="c-2", reason="unmerged"))
    assert [item["number"] for item in (await desk.told("dana", "customers/c-1"))["tickets"]] == [1]


async def test_the_cursor_of_a_card_goes_on_in_the_list(desk: Desk) -> None:
    for number in range(1, 24):
        await desk.open(str(number), number)
    card = await desk.told("dana", "customers/c-1")
    assert [item["number"] for item in card["tickets"]] == list(range(23, 3, -1))
    rest = await desk.told("dana", "tickets", customer_id="c-1", sort="opened", cursor=card["tickets_cursor"])
    assert [item["number"] for item in rest["items"]] == [3, 2, 1]


async def test_who_is_not_known_is_not_found(module_desk: Desk) -> None:
    answer = await module_desk.ask("rina", "customers/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer-not-found")
