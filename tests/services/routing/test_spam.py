"""Quarantine: agents mark spam, supervisors see it and let it out."""

import pytest

from shared.events.ticket import SpamMarked, SpamUnmarked, TicketClosed, TicketOpened, TicketQueued
from tests.services.routing.conftest import CUSTOMER, House

pytestmark = pytest.mark.timeout(60)


async def quarantined(house: House, name: str = "spam") -> str:
    """Intake opens a ticket as spam."""
    opened = TicketOpened(number=99, customer_id=CUSTOMER, channel="email", inbox="help")
    event = await house.event(name, opened)
    await house.fold([event, await house.event(name, SpamMarked(by="provider", score_millis=9100))])
    await house.write(name, "Win a prize")
    return name


async def in_quarantine(house: House, query: str = "") -> list[str]:
    return [item["ticket_id"] for item in (await house.done("rina", "GET", f"/v1/tickets?attention=spam{query}"))["items"]]


async def test_an_agent_marks_their_ticket_as_spam_and_is_free_of_it(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.agent("noa", available=False)
    ticket_id = await house.owned()
    refused = await house.ask("noa", "POST", f"/v1/tickets/{ticket_id}/spam")
    assert (refused.status_code, refused.json()["code"]) == (409, "not-yours")
    key = {"Idempotency-Key": "once"}
    answers = [await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/spam", headers=key) for _ in range(2)]
    assert [answer.json()["spam"] for answer in answers] == [True, True]
    assert answers[0].json()["agent_id"] is None
    said = await house.said(ticket_id)
    assert [event.data for event in said if isinstance(event.data, SpamMarked)] == [SpamMarked(by="agent", agent_id="dana")]
    assert said[-1].type == "ticket.released.v1"
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["tickets"] == 0
    assert await in_quarantine(house) == [ticket_id]


async def test_a_waiting_ticket_that_a_supervisor_marks_leaves_its_queue_as_spam(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.open()
    await house.offered()
    await house.done("rina", "POST", f"/v1/tickets/{ticket_id}/spam")
    assert (await house.types(ticket_id))[-3:] == ["spam.marked", "offer.rescinded", "ticket.left_queue"]
    assert (await house.said(ticket_id))[-1].data.reason == "spam"  # type: ignore[attr-defined]
    await house.write(ticket_id, "Win another")
    assert (await house.types(ticket_id))[-1] == "ticket.left_queue"


async def test_what_is_in_quarantine_a_supervisor_sees_and_lets_out_with_its_age(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await quarantined(house)
    assert await in_quarantine(house) == [ticket_id]
    assert (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["attention"] == "spam"
    assert (await house.ask("dana", "GET", "/v1/tickets?attention=spam")).status_code == 403
    assert (await house.ask("dana", "DELETE", f"/v1/tickets/{ticket_id}/spam")).status_code == 409
    for _ in range(2):
        out = await house.done("rina", "DELETE", f"/v1/tickets/{ticket_id}/spam")
        assert (out["spam"], out["queue_id"]) == (False, "support")
    said = [event for event in await house.said(ticket_id) if not event.type.startswith("offer.")]
    assert [event.type for event in said[-3:]] == ["ticket.left_queue.v1", "spam.unmarked.v1", "ticket.queued.v1"]
    cleared, queued = said[-2:]
    assert isinstance(cleared.data, SpamUnmarked)
    assert isinstance(queued.data, TicketQueued)
    first = next(event for event in said if isinstance(event.data, TicketQueued))
    assert isinstance(first.data, TicketQueued)
    assert queued.data.age_from == first.data.age_from < first.time < queued.time
    assert await in_quarantine(house) == []
    assert (await house.offered())["ticket_id"] == ticket_id


async def test_quarantine_is_read_page_by_page_and_without_what_is_closed(house: House) -> None:
    names = [await quarantined(house, f"spam-{n}") for n in range(3)]
    first = await house.done("rina", "GET", "/v1/tickets?attention=spam&limit=2")
    assert [item["ticket_id"] for item in first["items"]] == names[:2]
    assert await in_quarantine(house, f"&cursor={first['next_cursor']}") == names[2:]
    await house.hear(names[0], TicketClosed(reason="spam"))
    assert await in_quarantine(house) == names[1:]
    closed = await house.ask("rina", "DELETE", f"/v1/tickets/{names[0]}/spam")
    assert (closed.status_code, closed.json()["code"]) == (409, "wrong-status")


async def test_spam_waits_in_no_queue_even_when_it_is_opened_again(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/spam")
    reopened = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/reopen", {})
    assert (reopened["status"], reopened["queue_id"]) == ("open", None)
    assert (await house.done("rina", "DELETE", f"/v1/tickets/{ticket_id}/spam"))["queue_id"] == "support"
