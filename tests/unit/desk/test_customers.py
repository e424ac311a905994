"""A customer's record from what the log says of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.desk.domain.customers import NAMES_KEPT, CustomerCase, Record, heard
from shared.events import people as p
from shared.events.base import Event, Fact, Position, Sealed

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BOX = Sealed(customer_id="c1", box="Ym94")


def after(*facts: Fact, record: Record | None = None) -> CustomerCase:
    case = CustomerCase(record or Record(id="c1"))
    for n, fact in enumerate(facts):
        event: Event[Any] = Event(f"e{n}", fact.TYPE, "intake", Position(1, n + 1), "c1", START + timedelta(minutes=n), fact)
        case = heard(case, event)
    return case


def test_who_was_seen_first_and_how_they_are_reached() -> None:
    handle = p.CustomerHandleAdded(handle_id="h1", kind="email", verified_by="wrote_from_it", personal=BOX)
    case = after(p.CustomerCreated(channel="email", language="und", personal=BOX), handle)
    record = case.record
    assert (record.created_at, record.channel, record.language) == (START, "email", None)
    assert record.handles["h1"].kind == "email"
    assert record.handles["h1"].box is not None
    assert case.renamed
    gone = after(p.CustomerHandleRemoved(handle_id="h1", reason="recycled"), record=record)
    assert gone.record.handles == {}


def test_what_is_none_did_not_change_and_what_is_cleared_is_not_set() -> None:
    first = p.CustomerProfileChanged(vip=True, plan="gold", zone="Asia/Jerusalem", consents={"sms": True, "mail": True})
    then = p.CustomerProfileChanged(cleared=("plan", "consents.sms", "zone"))
    record = after(first, then).record
    assert (record.vip, record.plan, record.zone, record.consents) == (True, "", None, {"mail": True})
    assert after(first).entitled
    assert after(then).entitled


def test_a_language_that_was_heard_entitles_to_nothing() -> None:
    case = after(p.CustomerProfileChanged(language="ro"))
    assert (case.record.language, case.entitled, case.record.plan) == ("ro", False, None)


def test_of_names_the_last_boxes_are_kept() -> None:
    boxes = [Sealed(customer_id="c1", box=f"b{n}") for n in range(NAMES_KEPT + 2)]
    record = after(*(p.CustomerProfileChanged(personal=box) for box in boxes)).record
    assert [box.sealed for box in record.names] == boxes[2:]


@pytest.mark.parametrize(
    ("fact", "field", "value"),
    [
        (p.CustomerJoined(on=date(2026, 1, 1)), "joined_on", date(2026, 1, 1)),
        (p.CustomerRenewed(on=date(2026, 2, 1), until=date(2027, 2, 1)), "paid_until", date(2027, 2, 1)),
        (p.CustomerLeft(on=date(2026, 3, 1)), "left_on", date(2026, 3, 1)),
        (p.CustomerMergedInto(into_customer_id="c2", evidence="agent"), "merged_into", "c2"),
    ],
)
def test_what_happened_to_them(fact: Fact, field: str, value: object) -> None:
    assert getattr(after(fact).record, field) == value


def test_who_comes_back_has_not_left() -> None:
    assert after(p.CustomerLeft(on=date(2026, 3, 1)), p.CustomerJoined(on=date(2026, 4, 1))).record.left_on is None


def test_a_merge_is_undone_on_the_one_that_comes_back_only() -> None:
    merged = p.CustomerMergedInto(into_customer_id="c2", evidence="agent")
    assert after(merged, p.CustomerUnmerged(customer_id="c2")).record.merged_into is None
    assert after(merged, p.CustomerUnmerged(customer_id="c9")).record.merged_into == "c2"


def test_the_same_suggestion_stands_once_as_it_was_made_last() -> None:
    made = [p.MergeSuggested(customer_id="c2", evidence=evidence) for evidence in ("same_name", "same_order_number")]
    [suggested] = after(*made).record.suggested
    assert (suggested.customer_id, suggested.evidence, suggested.at) == ("c2", "same_order_number", START + timedelta(minutes=1))


def test_orders_are_told_beside_the_record() -> None:
    orders = [p.OrderRecorded(order_id="A-1", kind="order", status=status) for status in ("paid", "sent")]
    case = after(*orders)
    assert [(at, order.status) for at, order in case.orders] == [(START, "paid"), (START + timedelta(minutes=1), "sent")]
    assert case.record == Record(id="c1")


def test_of_who_was_erased_nothing_is_kept_but_where_they_went_on() -> None:
    before = after(
        p.CustomerProfileChanged(vip=True, personal=BOX), p.CustomerMergedInto(into_customer_id="c2", evidence="x")
    ).record
    case = after(p.CustomerErased(customer_ids=("c1", "c2"), requested_by="rina"), record=before)
    assert case.record == Record(id="c1", merged_into="c2")
    assert case.erased == ("c1", "c2")
