"""One command on many tickets, over HTTP on a real database: each by itself, all together, once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from shared.events.ticket import TicketAssigned, TicketLabelled, TicketResolved
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)


async def bulk(house: House, role: str, ticket_ids: list[str], *, key: str | None = None, **command: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key is not None else None
    return await house.ask(role, "POST", "/v1/tickets/bulk", {"ticket_ids": ticket_ids, "command": command}, headers)


async def items(house: House, role: str, ticket_ids: list[str], **command: Any) -> list[dict[str, Any]]:
    answer = await bulk(house, role, ticket_ids, **command)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_each_ticket_is_decided_by_itself_and_those_that_can_be_are_done(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    first, second = await house.owned("first"), await house.owned("second")
    waiting = await house.open("waiting")
    answer = await bulk(house, "dana", [second, waiting, "nothing", first, second], do="resolve", code="solved")
    told = answer.json()
    assert (answer.status_code, told["done"], told["problems"]) == (200, 2, 2)
    assert [(item["ticket_id"], item["outcome"], item.get("code"), item["status"]) for item in told["items"]] == [
        (second, "done", None, "resolved"),
        (waiting, "problem", "not-yours", 409),
        ("nothing", "problem", "ticket-not-found", 404),
        (first, "done", None, "resolved"),
    ]
    assert told["items"][1]["queue_id"] == "support"
    for ticket_id in (first, second):
        [fact] = [event.data for event in await house.said(ticket_id) if isinstance(event.data, TicketResolved)]
        assert (fact.agent_id, fact.code) == ("dana", "solved")
    assert (await house.done("rina", "GET", "/v1/agents/dana"))["used_units"] == 0
    rows = await house.rows("SELECT by, about, detail FROM auth.audit WHERE what = 'tickets.bulk'")
    assert [tuple(row) for row in rows] == [("dana", "resolve", "2 of 4")]


async def test_the_same_key_gets_the_same_answer_and_does_nothing_again(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    ticket_id = await house.owned()
    waiting = await house.open("waiting")
    wish: dict[str, Any] = {"do": "label", "add_tags": ["late"]}
    first = await bulk(house, "dana", [ticket_id, waiting], key="k", **wish)
    await house.done("rina", "POST", f"/v1/tickets/{waiting}/assign", {"agent_id": "dana"})
    again = await bulk(house, "dana", [ticket_id, waiting], key="k", **wish)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (200, first.json(), "true")
    assert first.json()["problems"] == 1
    assert sum(isinstance(event.data, TicketLabelled) for event in await house.said()) == 1
    for other in ([ticket_id], [waiting, ticket_id]):
        refused = await bulk(house, "dana", other, key="k", **wish)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")


async def test_an_agent_is_given_as_many_as_there_is_room_for_and_the_first_come_first(house: House) -> None:
    await house.queue()
    await house.agent("dana", channel_limits={"email": 2})
    ticket_ids = [await house.open(name) for name in ("a", "b", "c")]
    told = await items(house, "rina", ticket_ids, do="assign", agent_id="dana")
    assert [item["outcome"] for item in told] == ["done", "done", "problem"]
    assert (told[2]["code"], told[2]["verdict"]) == ("agent-cannot-take", "channel_full")
    assert {event.data.how for event in await house.said() if isinstance(event.data, TicketAssigned)} == {"supervisor"}
    agent = await house.done("rina", "GET", "/v1/agents/dana")
    assert (agent["tickets"], len((await house.done("rina", "GET", "/v1/agents/dana/tickets"))["items"])) == (2, 2)
    back = await items(house, "rina", ticket_ids[:2], do="transfer", to="queue", id="support")
    assert {(item["outcome"], item["queue_id"], item["agent_id"]) for item in back} == {("done", "support", None)}


async def test_agents_take_many_and_only_supervisors_assign(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    ticket_ids = [await house.open(name) for name in ("a", "b")]
    refused = await bulk(house, "dana", ticket_ids, do="assign", agent_id="dana")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await bulk(house, "rina", ticket_ids, do="take")).status_code == 403
    told = await items(house, "dana", ticket_ids, do="take")
    assert {(item["outcome"], item["agent_id"]) for item in told} == {("done", "dana")}


@pytest.mark.parametrize(
    ("command", "status", "more"),
    [
        ({"do": "prioritise", "priority": 4}, "open", {}),
        ({"do": "pend"}, "pending", {}),
        ({"do": "hold", "third_party": "bank"}, "on_hold", {}),
        ({"do": "release"}, "open", {"queue_id": "support", "agent_id": None}),
        ({"do": "escalate"}, "open", {"queue_id": "second"}),
        ({"do": "mark_spam"}, "open", {"agent_id": None, "queue_id": None}),
        ({"do": "close"}, "open", {"agent_id": "dana"}),
    ],
)
async def test_many_are_done_as_one_is(house: House, command: dict[str, Any], status: str, more: dict[str, Any]) -> None:
    await house.queue()
    await house.queue("second", position=2, tier=2)
    await house.agent("dana")
    ticket_ids = [await house.owned(name) for name in ("a", "b")]
    told = await items(house, "dana", ticket_ids, **command)
    assert [(item["ticket_id"], item["outcome"], item["status"]) for item in told] == [
        (one, "done", status) for one in ticket_ids
    ]
    assert all(item.items() >= more.items() for item in told)


async def test_what_was_spam_or_at_rest_comes_back_together(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    ticket_ids = [await house.owned(name) for name in ("a", "b")]
    await items(house, "dana", ticket_ids, do="pend")
    assert {item["status"] for item in await items(house, "dana", ticket_ids, do="reopen", reason="again")} == {"open"}
    await items(house, "dana", ticket_ids, do="mark_spam")
    assert {item["code"] for item in await items(house, "rina", ticket_ids, do="assign", agent_id="dana")} == {"not-at-work"}
    back = await items(house, "rina", ticket_ids, do="unmark_spam")
    assert {(item["outcome"], item["queue_id"]) for item in back} == {("done", "support")}


async def test_a_command_that_fits_nothing_is_refused_whole_with_its_field(house: House) -> None:
    for body, field in (
        ({"ticket_ids": ["t"], "command": {"do": "prioritise"}}, "body.command"),
        ({"ticket_ids": ["t"] * 101, "command": {"do": "pend"}}, "body.ticket_ids"),
        ({"ticket_ids": ["a b"], "command": {"do": "pend"}}, "body.ticket_ids[0]"),
        ({"ticket_ids": ["t"], "command": {"do": "vanish"}}, "body.command.do"),
    ):
        answer = await house.ask("rina", "POST", "/v1/tickets/bulk", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
        assert field in [error["field"] for error in answer.json()["errors"]]
