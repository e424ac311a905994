"""What agents ask intake for, and how they hear what became of it."""

import pytest

from shared.events.ticket import (
    RequestRefused,
    TicketAbsorbed,
    TicketMergedInto,
    TicketMergeRequested,
    TicketOpenRequested,
    TicketUnmerged,
)
from tests.services.routing.conftest import CUSTOMER, House

pytestmark = pytest.mark.timeout(60)


async def told(house: House, agent_id: str, kind: str) -> list[str]:
    statement = "SELECT CAST(payload AS text) AS payload FROM routing.stream WHERE agent_id = :agent AND kind = :kind ORDER BY n"
    return [row.payload for row in await house.rows(statement, agent=agent_id, kind=kind)]


async def test_a_merged_ticket_leaves_its_owner_who_may_read_it_on_and_comes_back_to_a_queue(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id, other = await house.owned("a"), await house.open("b")
    asked = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/merge", {"into_ticket_id": other})
    assert asked.status_code == 202, asked.text
    assert (await house.said(ticket_id))[-1].data == TicketMergeRequested(agent_id="dana", into_ticket_id=other)
    await house.hear(ticket_id, TicketMergedInto(into_ticket_id=other, requested_by="dana"))
    assert (await house.types(ticket_id))[-1] == "ticket.released"
    shown = await house.done("dana", "GET", f"/v1/tickets/{ticket_id}")
    assert (shown["status"], shown["merged_into"], shown["agent_id"]) == ("closed", other, None)
    [heard] = await told(house, "dana", "ticket.merged_into")
    assert other in heard
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["tickets"] == 0
    await house.hear(ticket_id, TicketUnmerged(from_ticket_id=other, requested_by="dana"))
    assert (await house.types(ticket_id))[-1] == "ticket.queued"


async def test_a_waiting_ticket_that_is_merged_leaves_its_queue_as_merged_and_its_offer_is_taken_back(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.open("a")
    await house.offered()
    await house.hear(ticket_id, TicketMergedInto(into_ticket_id="other"))
    assert (await house.types(ticket_id))[-2:] == ["offer.rescinded", "ticket.left_queue"]
    assert (await house.said(ticket_id))[-1].data.reason == "merged"  # type: ignore[attr-defined]


async def test_who_asked_is_told_that_it_was_refused_and_why(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    refusal = RequestRefused(request_event_id="e", code="same-ticket", detail="Not into itself.", requested_by="dana")
    await house.hear(ticket_id, refusal)
    [heard] = await told(house, "dana", "request.refused")
    assert "same-ticket" in heard
    await house.hear("t-never-opened", refusal)
    assert len(await told(house, "dana", "request.refused")) == 2
    assert (await house.ask("rina", "GET", "/v1/tickets/t-never-opened")).status_code == 404


async def test_only_who_holds_a_ticket_may_ask_and_only_what_its_status_allows(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.agent("noa")
    ticket_id = await house.owned()
    for path, body in (("merge", {"into_ticket_id": "x"}), ("split", {"message_ids": ["m"]}), ("links", {"ticket_id": "x"})):
        answer = await house.ask("noa", "POST", f"/v1/tickets/{ticket_id}/{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "not-yours")
        assert (await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/{path}", body)).status_code == 202
    unmerge = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/unmerge")
    assert (unmerge.status_code, unmerge.json()["code"]) == (409, "not-merged")


async def test_a_ticket_is_asked_to_be_opened_once_with_a_key_and_only_for_a_customer_there_is(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.open()
    body = {"customer_id": CUSTOMER, "channel": "in_person", "subject": "At the counter"}
    key = {"Idempotency-Key": "k-1"}
    first, again = [await house.ask("dana", "POST", "/v1/tickets", body, key) for _ in range(2)]
    assert (first.status_code, first.json()) == (202, again.json())
    [asked] = await house.said(first.json()["ticket_id"])
    assert isinstance(asked.data, TicketOpenRequested)
    assert (asked.data.agent_id, asked.data.customer_id, asked.data.channel) == ("dana", CUSTOMER, "in_person")
    nobody = await house.ask("dana", "POST", "/v1/tickets", {**body, "customer_id": "nobody"})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "customer-not-found")
    unkept = await house.ask("dana", "POST", "/v1/tickets", {**body, "subject": "At\x00the counter"})
    assert (unkept.status_code, unkept.json()["errors"][0]["field"]) == (422, "body.subject"), "intake could not keep it"


async def test_what_waits_in_an_absorbed_ticket_brings_a_resolved_one_back_to_a_queue(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {"code": "answered"})
    opened = (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["opened_at"]
    assert opened
    since = (await house.event(ticket_id + "x", RequestRefused(request_event_id="e", code="c", detail="d"))).time
    absorbed = TicketAbsorbed(
        ticket_id="other",
        number=1,
        opened_at=since,
        unanswered_since=since,
        first_responded_at=None,
        first_response_us=None,
        interactions=1,
        replies=0,
        reply_us_sum=0,
        reply_us_count=0,
    )
    await house.hear(ticket_id, absorbed)
    assert (await house.types(ticket_id))[-1] == "ticket.queued"
