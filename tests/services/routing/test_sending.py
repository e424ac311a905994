"""Steps that send tickets on, on a real database: a share of them, who would wait too long, and who has waited so long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.routing.domain.sending import lot_of
from shared.events.base import derived_id
from shared.events.ticket import TicketQueued
from tests.services.routing.conftest import House
from tests.services.routing.test_moves import past
from tests.services.routing.test_waits import line, look, seconds_pass

pytestmark = pytest.mark.timeout(60)
__all__ = ["line"]


async def place_of(house: House, ticket_id: str) -> str:
    [row] = await house.rows("SELECT queue_id FROM routing.ticket WHERE ticket_id = :id", id=ticket_id)
    return str(row.queue_id)


async def sends(house: House, step: dict[str, object]) -> None:
    """The calls' queue sends on to a partner's by this step."""
    await house.queue("north", position=9, partner_id="p")
    body = {"name": {"en": "Calls"}, "position": 2, "steps": [{"to_queue_id": "north", **step}]}
    answer = await house.ask("admin", "PUT", "/v1/queues/calls", body, {"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text


async def test_a_share_of_the_tickets_goes_to_the_partner_and_the_trace_says_why(line: House) -> None:
    await sends(line, {"after_seconds": 0, "share_percent": 40})
    names = [f"share-{n}" for n in range(12)]
    lots = {derived_id("ticket", name): lot_of("calls", derived_id("ticket", name)) for name in names}
    assert 0 < sum(lot < 40 for lot in lots.values()) < len(lots)
    for name in names:
        await line.open(name, channel="chat")
    places = {ticket_id: await place_of(line, ticket_id) for ticket_id in lots}
    assert places == {ticket_id: "north" if lot < 40 else "calls" for ticket_id, lot in lots.items()}
    sent = next(ticket_id for ticket_id, lot in lots.items() if lot < 40)
    assert (await line.types(sent))[:3] == ["ticket.queued", "ticket.left_queue", "ticket.queued"]
    queued = [event.data for event in await line.said(sent) if isinstance(event.data, TicketQueued)]
    assert [(fact.queue_id, fact.reason, fact.partner_id) for fact in queued] == [
        ("calls", "opened", None),
        ("north", "overflowed", "p"),
    ]
    [why] = (await line.done("rina", "GET", f"/v1/tickets/{sent}/decisions"))["sent_on"]
    del why["at"]
    assert why == {
        "to_queue_id": "north",
        "from_queue_id": "calls",
        "step": 1,
        "queue_version": 2,
        "lot": lots[sent],
        "share_percent": 40,
    }


async def test_whoever_would_wait_too_long_goes_to_the_partner_and_stays_while_nobody_can_say(line: House) -> None:
    await sends(line, {"after_seconds": 0, "over_wait_seconds": 60})
    first = await line.open("a", channel="phone")
    await seconds_pass(line, 100)
    unsaid = await line.open("b", channel="phone")
    await look(line)
    late = await line.open("c", channel="phone")
    assert [await place_of(line, one) for one in (first, unsaid, late)] == ["calls", "calls", "north"]
    [why] = (await line.done("rina", "GET", f"/v1/tickets/{late}/decisions"))["sent_on"]
    assert (why["estimator"], round(why["wait_seconds"], -1), why["over_wait_seconds"]) == ("head_of_line", 100, 60)
    await line.rows("UPDATE routing.line SET as_of = as_of - interval '1 hour'")
    assert await place_of(line, await line.open("d", channel="phone")) == "calls"


async def test_also_mail_is_looked_at_where_a_queue_asks_how_long_it_waits(line: House) -> None:
    await line.queue("letters", position=0, steps=[{"after_seconds": 0, "to_queue_id": "calls", "over_wait_seconds": 60}])
    await line.open("a")
    await seconds_pass(line, 100)
    await look(line)
    assert await place_of(line, await line.open("b")) == "calls"


async def test_who_has_waited_so_long_and_would_still_wait_goes_to_the_partner_with_the_age_they_have(line: House) -> None:
    await sends(line, {"after_seconds": 3600, "over_wait_seconds": 60})
    ahead, ticket_id = await line.open("a", channel="chat"), await line.open("b", channel="chat")
    await look(line)
    await line.ticker.once()
    assert await place_of(line, ticket_id) == "calls"
    await seconds_pass(line, 4000)
    # As it would be said of somebody behind others in a queue that some are through with.
    await line.rows("UPDATE routing.wait SET seconds = 61, estimator = 'queue_length' WHERE ticket_id = :id", id=ticket_id)
    [before] = await line.rows("SELECT age_from FROM routing.ticket WHERE ticket_id = :id", id=ticket_id)
    await line.ticker.once()
    assert [await place_of(line, one) for one in (ahead, ticket_id)] == ["calls", "north"]
    [after] = await line.rows("SELECT age_from FROM routing.ticket WHERE ticket_id = :id", id=ticket_id)
    assert after.age_from == before.age_from
    [why] = (await line.done("rina", "GET", f"/v1/tickets/{ticket_id}/decisions"))["sent_on"]
    assert (why["step"], why["wait_seconds"]) == (1, 61)


async def test_what_was_said_of_a_wait_in_another_queue_sends_nobody_on(line: House) -> None:
    await line.queue("north", position=9, partner_id="p")
    await line.queue("other", position=8, steps=[{"after_seconds": 3600, "to_queue_id": "north", "over_wait_seconds": 60}])
    ticket_id = await line.open("a", channel="phone")
    await look(line)
    await line.rows("UPDATE routing.wait SET seconds = 600, estimator = 'queue_length'")
    await line.done("rina", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "queue", "id": "other"})
    await seconds_pass(line, 4000)
    await line.ticker.once()
    assert await place_of(line, ticket_id) == "other"


async def test_who_comes_back_by_the_clock_and_would_wait_too_long_goes_to_the_partner_too(line: House) -> None:
    await line.agent()
    back = await line.open("a", channel="phone")
    await line.done("dana", "POST", f"/v1/tickets/{back}/take")
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await line.done("dana", "POST", f"/v1/tickets/{back}/pend", {"until": until})
    await line.done("dana", "POST", "/v1/agents/dana/state", {"state": "offline"})
    await sends(line, {"after_seconds": 0, "over_wait_seconds": 60})
    await line.open("b", channel="phone")
    await seconds_pass(line, 100)
    await look(line)
    await past(line, back, "besides", "rests_until")
    await line.ticker.once()
    assert await place_of(line, back) == "north"


async def test_a_step_to_a_queue_that_is_not_there_is_refused_with_its_place(line: House) -> None:
    body = {
        "name": {"en": "q"},
        "position": 1,
        "steps": [{"after_seconds": 0, "to_queue_id": "ghost", "share_percent": 10}],
    }
    refused = await line.ask("admin", "PUT", "/v1/queues/q", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.steps[0].to_queue_id")
