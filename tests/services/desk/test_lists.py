"""Lists of tickets over HTTP: what is in them, in which order, page by page, and who may see what."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.desk.domain.filters import Filter, Sight
from services.desk.store import listing
from shared import db
from shared.events.config import AgentConfigured, QueueConfigured, TeamConfigured
from shared.events.people import CustomerProfileChanged
from shared.events.sla import ClockCancelled, ClockStarted, SlaBreached
from shared.events.ticket import (
    SpamMarked,
    TicketClosed,
    TicketLabelled,
    TicketMergedInto,
    TicketOpened,
    TicketPersonal,
    TicketPrioritised,
    TicketQueued,
    TicketRenamed,
)
from tests.services.desk.conftest import Desk

CLOCK: dict[str, Any] = {
    "clock_id": "k1",
    "target": "first_response",
    "cycle": 1,
    "policy_id": "gold",
    "policy_version": 1,
    "dedup_key": "k1",
    "channel": "email",
    "priority": 2,
}


async def test_a_ticket_is_listed_with_what_people_want_to_know_of_it(desk: Desk) -> None:
    now = await desk.now()
    await desk.hear(
        "queue:support", QueueConfigured(id="support", version=1, effective_from=now, name={"he": "תמיכה"}, position=1)
    )
    await desk.hear("team:first", TeamConfigured(id="first", version=1, effective_from=now, name={"en": "First line"}))
    await desk.hear("agent:dana", AgentConfigured(id="dana", version=1, effective_from=now, display_name="Dana"))
    ticket_id = await desk.open(
        "t",
        100_001,
        "מה שלומכם",
        subject="איפה החבילה",
        called="רות",
        language="he",
        direction="rtl",
        tags=("parcel",),
        plan="gold",
    )
    await desk.work(ticket_id)
    page = await desk.told("dana", "tickets")
    [item] = page["items"]
    assert item["ticket_id"] == ticket_id
    assert (item["subject"], item["subject_direction"], item["customer_name"]) == ("איפה החבילה", "rtl", "רות")
    assert (item["status"], item["queue_id"], item["team_id"], item["agent_id"]) == ("open", "support", "first", "dana")
    assert (item["language"], item["direction"], item["tags"], item["plan"]) == ("he", "rtl", ["parcel"], "gold")
    assert item["waiting_since"] is not None
    assert page["next_cursor"] is None
    assert page["names"] == {"queue:support": {"he": "תמיכה"}, "team:first": {"en": "First line"}, "agent:dana": {"*": "Dana"}}


async def test_what_was_renamed_is_listed_by_its_new_subject(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, subject="?")
    await desk.hear(ticket_id, TicketRenamed(agent_id="dana"), TicketPersonal(subject="Broken lamp"), writer="routing")
    [item] = (await desk.told("dana", "tickets"))["items"]
    assert (item["subject"], item["customer_name"]) == ("Broken lamp", "Ruth")


@pytest_asyncio.fixture(scope="module")
async def some(module_desk: Desk) -> Desk:
    """Six tickets that differ: 1 Dana's and VIP, 2 Omar's, 3 waits in billing, 4 resolved, 5 spam, 6 closed and urgent."""
    one = await module_desk.open("1", 1, vip=True, topic="billing", product="lamp", tags=("a", "b"), channel="sms", plan="gold")
    await module_desk.work(one, "dana")
    two = await module_desk.open("2", 2, language="ro", tags=("b",), customer="c-2", inbox="shop")
    await module_desk.work(two, "omar", team_id="second")
    three = await module_desk.open("3", 3, priority=3)
    queued = TicketQueued(queue_id="billing", visit=1, reason="opened", age_from=await module_desk.now())
    await module_desk.hear(three, queued, writer="routing")
    four = await module_desk.open("4", 4)
    await module_desk.work(four, "dana")
    await module_desk.resolve(four)
    await module_desk.hear(await module_desk.open("5", 5), SpamMarked(by="rule"), writer="intake")
    six = await module_desk.open("6", 6, priority=4)
    await module_desk.hear(six, TicketClosed(reason="requested"))
    return module_desk


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, {1, 2, 3, 4, 6}),
        ({"status": ["new", "open"]}, {1, 2, 3}),
        ({"status": "closed"}, {6}),
        ({"queue_id": "billing"}, {3}),
        ({"queue_id": ["billing", "support"]}, {1, 2, 3, 4}),
        ({"team_id": "second"}, {2}),
        ({"owner": "me"}, {1, 4}),
        ({"owner": "omar"}, {2}),
        ({"owner": "none", "status": ["new", "open"]}, {3}),
        ({"owner": ["none", "omar"], "status": ["new", "open"]}, {2, 3}),
        ({"channel": "sms"}, {1}),
        ({"language": "ro"}, {2}),
        ({"priority": ["3", "4"]}, {3, 6}),
        ({"vip": "true"}, {1}),
        ({"vip": "false", "status": "open"}, {2}),
        ({"plan": "gold"}, {1}),
        ({"topic": "billing"}, {1}),
        ({"product": "lamp"}, {1}),
        ({"tag": "b"}, {1, 2}),
        ({"tag": ["a", "b"]}, {1}),
        ({"inbox": "shop"}, {2}),
        ({"customer_id": "c-2"}, {2}),
        ({"spam": "only"}, {5}),
        ({"spam": "with"}, {1, 2, 3, 4, 5, 6}),
        ({"breached": "true"}, set()),
        ({"opened_before": "2020-01-01T00:00:00Z"}, set()),
        ({"updated_after": "2020-01-01T00:00:00Z"}, {1, 2, 3, 4, 6}),
        ({"due_before": "2190-01-01T00:00:00Z"}, set()),
    ],
)
async def test_a_filter_leaves_what_fits(some: Desk, query: dict[str, Any], numbers: set[int]) -> None:
    assert set(await some.listed(**query)) == numbers


async def test_lists_run_as_they_are_asked_to(some: Desk) -> None:
    assert await some.listed(sort="opened") == [6, 4, 3, 2, 1]
    assert await some.listed(sort="opened", order="asc") == [1, 2, 3, 4, 6]
    assert (await some.listed())[0] == 6
    assert await some.listed(sort="priority") == [3, 1, 2]
    assert await some.listed(sort="priority", status=["open", "new", "closed"]) == [6, 3, 1, 2]


async def test_a_list_that_is_read_page_by_page_has_everything_once(desk: Desk) -> None:
    for number in range(1, 12):
        await desk.open(str(number), number, priority=number % 3 + 1)
    for sort in ("updated", "opened", "priority"):
        for order in ("asc", "desc"):
            whole = await desk.listed(sort=sort, order=order)
            read: list[int] = []
            cursor = None
            while True:
                page = await desk.told(
                    "dana", "tickets", sort=sort, order=order, limit=3, **({"cursor": cursor} if cursor else {})
                )
                read += [item["number"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert read == whole
            assert sorted(read) == list(range(1, 12))


async def test_what_changes_while_a_list_is_read_moves_nobody_elses_place(desk: Desk) -> None:
    tickets = [await desk.open(str(number), number) for number in range(1, 7)]
    first = await desk.told("dana", "tickets", limit=2)
    assert [item["number"] for item in first["items"]] == [6, 5]
    await desk.write(tickets[5], "once more")  # it was read
    await desk.write(tickets[1], "and I")  # it lies ahead, and goes before what was read
    rest = await desk.told("dana", "tickets", limit=10, cursor=first["next_cursor"])
    assert [item["number"] for item in rest["items"]] == [4, 3, 1]
    assert (await desk.listed(limit=2)) == [2, 6]


async def test_what_is_due_next_comes_first_and_what_is_promised_nothing_does_not_come(desk: Desk) -> None:
    now = await desk.now()
    for number, minutes in ((1, 30), (2, 10), (3, 20)):
        ticket_id = await desk.open(str(number), number)
        deadline = now + timedelta(minutes=minutes)
        clock = {**CLOCK, "clock_id": f"k{number}", "started_at": now, "deadline": deadline, "target_us": 1}
        await desk.hear(ticket_id, ClockStarted(**clock))
    await desk.open("4", 4)
    assert await desk.listed(sort="due") == [2, 3, 1]
    assert await desk.listed(sort="due", order="desc") == [1, 3, 2]
    soon = (now + timedelta(minutes=25)).isoformat()
    assert set(await desk.listed(due_before=soon)) == {2, 3}
    first = await desk.told("dana", "tickets", sort="due", limit=1)
    rest = await desk.told("dana", "tickets", sort="due", cursor=first["next_cursor"])
    assert [item["number"] for item in rest["items"]] == [3, 1]


async def test_a_promise_that_comes_before_its_ticket_is_not_lost(desk: Desk) -> None:
    now = await desk.now()
    await desk.hear("t", ClockStarted(**CLOCK, started_at=now, deadline=now, target_us=1))
    await desk.hear("t", SlaBreached(**CLOCK, deadline=now, target_us=1))
    await desk.hear("t", TicketOpened(number=7, customer_id="c-1", channel="email", inbox="help"))
    [item] = (await desk.told("dana", "tickets", breached="true"))["items"]
    assert (item["number"], item["breached"], item["due_at"] is not None) == (7, True, True)
    await desk.hear("t", ClockCancelled(**CLOCK, reason="closed"))
    [item] = (await desk.told("dana", "tickets", breached="true"))["items"]
    assert item["due_at"] is None


async def test_a_ticket_is_entitled_to_what_its_customer_is_now(desk: Desk) -> None:
    await desk.open("old", 1)
    await desk.hear("c-1", CustomerProfileChanged(vip=True, plan="gold"))
    assert await desk.listed(vip="true", plan="gold") == [1]
    await desk.open("new", 2)
    assert set(await desk.listed(vip="true")) == {1, 2}
    await desk.hear("c-1", CustomerProfileChanged(cleared=("plan",)))
    assert await desk.listed(plan="gold") == []


async def test_labels_and_priority_are_as_they_were_said_last(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, tags=("a",))
    await desk.hear(ticket_id, TicketLabelled(topic="refund", tags=("x", "y\x00", "z\nz")), writer="routing")
    await desk.hear(ticket_id, TicketPrioritised(priority=4, previous=2, by_agent_id="dana"), writer="routing")
    [item] = (await desk.told("dana", "tickets", topic="refund", priority="4"))["items"]
    assert item["tags"] == ["x", "y\ufffd", "z z"]


async def test_a_ticket_that_was_merged_is_in_no_list(desk: Desk) -> None:
    one, two = await desk.open("1", 1), await desk.open("2", 2)
    await desk.hear(one, TicketMergedInto(into_ticket_id=two))
    assert await desk.listed() == [2]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "sleeping"}, "query.status[0]"),
        ({"priority": "5"}, "query.priority[0]"),
        ({"colour": "red"}, "query.colour"),
        ({"sort": "mood"}, "query.sort"),
        ({"limit": "0"}, "query.limit"),
        ({"limit": "1000"}, "query.limit"),
        ({"opened_after": "yesterday"}, "query.opened_after"),
        ({"opened_after": "2026-03-02T00:00:00"}, "query.opened_after"),
        ({"opened_after": "0001-01-01T00:00:00+14:00"}, "query.opened_after"),
        ({"cursor": "nonsense"}, "query.cursor"),
        ({"cursor": "e30="}, "query.cursor"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_which_part(module_desk: Desk, query: dict[str, Any], field: str) -> None:
    answer = await module_desk.ask("dana", "tickets", **query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_cursor_is_of_its_own_list(desk: Desk) -> None:
    for number in range(1, 4):
        await desk.open(str(number), number)
    cursor = (await desk.told("dana", "tickets", sort="opened", limit=1))["next_cursor"]
    answer = await desk.ask("dana", "tickets", sort="updated", cursor=cursor)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.cursor")


async def test_a_nul_in_a_filter_is_refused(module_desk: Desk) -> None:
    assert (await module_desk.ask("dana", "tickets", topic="a\x00b")).status_code == 422


async def test_counting_stops_at_what_it_was_given(desk: Desk) -> None:
    for number in range(1, 6):
        await desk.open(str(number), number)
    async with db.transaction(desk.parts.engine) as conn:
        found = await listing.counts(conn, [("all", Filter()), ("none", Filter(statuses=("closed",)))], Sight(), None, 3)
    assert found == {"all": 3, "none": 0}


async def test_lists_are_read_while_tickets_come_in(desk: Desk) -> None:
    """Neither waits for the other for long, and a list is whole at any moment."""
    for number in range(1, 6):
        await desk.open(str(number), number)
    answers = await asyncio.gather(*(desk.listed() for _ in range(5)), desk.open("6", 6))
    assert all(set(numbers) >= {1, 2, 3, 4, 5} for numbers in answers[:5])
