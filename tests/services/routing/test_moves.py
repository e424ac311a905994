"""Moves of tickets on a real database: over HTTP, atomic against offers and each other, found again after a restart."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.events.ticket import TicketQueued
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)


async def past(house: House, ticket_id: str, *path: str) -> None:
    """The database's clock decides; so what is due on the ticket is moved into its past."""
    await house.rows(
        "UPDATE routing.ticket SET due_at = now() - interval '1 second', state = convert_to(jsonb_set(CAST(convert_from("
        " state, 'UTF8') AS jsonb), CAST(:path AS text[]), to_jsonb(now() - interval '1 second'))::text, 'UTF8')"
        " WHERE ticket_id = :id AND due_at IS NOT NULL",
        id=ticket_id,
        path=list(path),
    )


async def told(house: House, agent_id: str) -> list[str]:
    """The kinds of what an agent's stream was told."""
    rows = await house.rows("SELECT kind FROM routing.stream WHERE agent_id = :agent ORDER BY n", agent=agent_id)
    return [row.kind for row in rows]


async def agent(house: House, agent_id: str) -> dict[str, Any]:
    return await house.done("rina", "GET", f"/v1/agents/{agent_id}")


async def ticket(house: House, ticket_id: str) -> dict[str, Any]:
    return await house.done("rina", "GET", f"/v1/tickets/{ticket_id}")


async def open_house_with_tiers(house: House) -> None:
    """Two tiers, and a partner's queue; dana and noa are there."""
    await house.queue("support")
    await house.queue("second", position=2, tier=2)
    await house.queue("north", position=3, partner_id="northern")
    await house.agent("dana")
    await house.agent("noa")


async def test_a_ticket_that_is_sent_on_is_offered_there_with_its_age_and_not_to_whoever_sent_it(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    answer = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "queue", "id": "second"})
    assert (answer["agent_id"], answer["queue_id"]) == (None, "second")
    first, second = [event.data for event in await house.said(ticket_id) if isinstance(event.data, TicketQueued)]
    assert (second.reason, second.visit, second.age_from) == ("transferred", 2, first.age_from)
    assert (await house.offered("noa"))["ticket_id"] == ticket_id


@pytest.mark.parametrize(("to", "where", "queue_id"), [("tier", "2", "second"), ("partner", "northern", "north")])
async def test_it_is_sent_to_a_tier_or_a_partner(house: House, to: str, where: str, queue_id: str) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    answer = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": to, "id": where})
    assert answer["queue_id"] == queue_id


async def test_what_cannot_be_sent_there_is_refused_and_nothing_changes(house: House) -> None:
    await open_house_with_tiers(house)
    await house.agent("eve", available=False)
    ticket_id = await house.owned()
    before = await house.types(ticket_id)
    for body, status, code in (
        ({"to": "queue", "id": "nowhere"}, 422, "no-such-place"),
        ({"to": "tier", "id": "7"}, 422, "no-such-place"),
        ({"to": "agent", "id": "nobody"}, 422, "no-such-place"),
        ({"to": "agent", "id": "eve"}, 409, "agent-cannot-take"),
        ({"to": "queue", "id": "second", "warm": True}, 422, "invalid-request"),
    ):
        refused = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", body)
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    refused = await house.ask("noa", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "queue", "id": "second"})
    assert (refused.status_code, refused.json()["held_by"]) == (409, "dana")
    assert await house.types(ticket_id) == before


async def test_handed_over_cold_it_is_the_other_s_at_once(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    answer = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "agent", "id": "noa"})
    assert answer["agent_id"] == "noa"
    assert ((await agent(house, "dana"))["used_units"], (await agent(house, "noa"))["tickets"]) == (0, 1)


async def test_a_warm_transfer_waits_for_an_answer_which_both_are_told(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    path = f"/v1/tickets/{ticket_id}/transfer"
    asked = await house.done("dana", "POST", path, {"to": "agent", "id": "noa", "warm": True})
    assert asked["agent_id"] == "dana"
    assert (await house.done("noa", "GET", f"/v1/tickets/{ticket_id}"))["transfer"]["id"] == asked["transfer_id"]
    [task] = (await house.done("noa", "GET", "/v1/agents/noa/tasks"))["items"]
    assert (task["kind"], task["ticket_id"], task["id"]) == ("transfer", ticket_id, asked["transfer_id"])
    await house.done("noa", "POST", f"{path}/decline", {"reason": "busy"})
    assert (await ticket(house, ticket_id))["agent_id"] == "dana"
    assert (await house.done("noa", "GET", "/v1/agents/noa/tasks"))["items"] == []
    await house.done("dana", "POST", path, {"to": "agent", "id": "noa", "warm": True})
    assert (await house.done("noa", "POST", f"{path}/accept"))["agent_id"] == "noa"
    late = await house.ask("noa", "POST", f"{path}/accept")
    assert (late.status_code, late.json()["code"]) == (409, "transfer-gone")
    assert (await told(house, "noa")).count("transfer.offered") == 2
    assert (await told(house, "dana")).count("transfer.ended") == 2


async def test_a_hand_over_that_nobody_answers_ends_by_the_clock_and_who_was_asked_is_missed_until_a_supervisor_says_otherwise(
    house: House,
) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "agent", "id": "noa", "warm": True})
    await past(house, ticket_id, "besides", "hand_over", "expires_at")
    late = await house.ask("noa", "POST", f"/v1/tickets/{ticket_id}/transfer/accept")
    assert late.json()["code"] == "transfer-gone"
    await house.ticker.once()
    await house.ticker.once()
    assert (await house.types(ticket_id)).count("transfer.ended") == 1
    assert ((await ticket(house, ticket_id))["agent_id"], (await agent(house, "noa"))["state"]) == ("dana", "missed")
    await house.done("rina", "POST", "/v1/agents/noa/state", {"state": "available"})
    assert (await agent(house, "noa"))["state"] == "available"


async def test_an_owner_takes_a_hand_over_back(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "agent", "id": "noa", "warm": True})
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer/withdraw")
    assert ((await agent(house, "noa"))["used_units"], (await ticket(house, ticket_id))["transfer"]) == (0, None)


async def test_a_hand_over_to_one_who_goes_is_taken_back_at_once(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "agent", "id": "noa", "warm": True})
    await house.done("noa", "POST", "/v1/agents/noa/state", {"state": "break"})
    assert (await house.types(ticket_id))[-1] == "transfer.ended"
    assert ((await agent(house, "noa"))["used_units"], (await ticket(house, ticket_id))["agent_id"]) == (0, "dana")
    assert (await told(house, "dana"))[-1] == "transfer.ended"


async def test_of_all_who_take_a_ticket_at_once_one_has_it_and_the_others_learn_who(house: House) -> None:
    await house.queue()
    for name in ("dana", "noa"):
        await house.agent(name, capacity_units=20)
    for n in range(6):
        ticket_id = await house.open(f"t{n}")
        path = f"/v1/tickets/{ticket_id}/take"
        _, *answers = await asyncio.gather(_matched(house), house.ask("dana", "POST", path), house.ask("noa", "POST", path))
        codes = sorted(answer.json().get("code", "taken") for answer in answers)
        assert codes in (["not-yours", "taken"], ["offered-to-another", "taken"], ["offered-to-another"] * 2), codes
        owners = [one for one in await house.types(ticket_id) if one == "ticket.assigned"]
        assert len(owners) == codes.count("taken")


async def test_nobody_takes_above_capacity_or_without_being_there(house: House) -> None:
    await house.queue()
    await house.agent("dana", capacity_units=2)
    first, second = await house.open("a"), await house.open("b")
    assert (await house.done("dana", "POST", f"/v1/tickets/{first}/take"))["agent_id"] == "dana"
    full = await house.ask("dana", "POST", f"/v1/tickets/{second}/take")
    assert (full.status_code, full.json()["code"], full.json()["verdict"]) == (409, "agent-cannot-take", "at_capacity")
    supervisor = await house.ask("rina", "POST", f"/v1/tickets/{second}/take")
    assert supervisor.status_code == 403


async def test_a_supervisor_assigns_what_nobody_could_take_and_takes_it_from_whoever_has_it(house: House) -> None:
    await house.queue(required_skills={"billing": 5})
    await house.agent("dana")
    await house.agent("noa")
    ticket_id = await house.open()
    path = f"/v1/tickets/{ticket_id}/assign"
    assert (await house.ask("dana", "POST", path, {"agent_id": "dana"})).status_code == 403
    assert (await house.done("rina", "POST", path, {"agent_id": "dana"}))["agent_id"] == "dana"
    assert (await house.done("rina", "POST", path, {"agent_id": "noa"}))["agent_id"] == "noa"
    assert (await told(house, "dana"))[-1] == "ticket.released"
    assert ((await agent(house, "dana"))["used_units"], (await agent(house, "noa"))["used_units"]) == (0, 2)


async def test_a_customer_who_is_called_back_comes_back_by_the_clock_where_they_stood(house: House) -> None:
    await house.queue()
    ticket_id = await house.open(channel="phone")
    never = await house.ask("rina", "POST", f"/v1/tickets/{ticket_id}/callback", {"not_before": "9999-12-31T23:59:59-14:00"})
    assert (never.status_code, never.json()["code"]) == (422, "wrong-time")
    body = {"not_before": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    answer = await house.done("rina", "POST", f"/v1/tickets/{ticket_id}/callback", body)
    assert answer["queue_id"] is None
    assert (await ticket(house, ticket_id))["returns_at"] is not None
    await house.ticker.once()
    assert (await house.types(ticket_id))[-1] == "ticket.left_queue"
    await past(house, ticket_id, "besides", "callback", "due_at")
    await house.ticker.once()
    await house.ticker.once()
    queued = [event.data for event in await house.said(ticket_id) if isinstance(event.data, TicketQueued)]
    assert [fact.visit for fact in queued] == [1, 2]
    assert queued[0].age_from == queued[1].age_from


async def test_a_rest_with_an_end_is_over_by_the_clock_once_and_its_owner_is_told(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    ticket_id = await house.owned()
    path = f"/v1/tickets/{ticket_id}"
    for until in ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"):
        refused = await house.ask("dana", "POST", f"{path}/pend", {"until": until})
        assert (refused.status_code, refused.json()["code"]) == (422, "wrong-time")
    body = {"until": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    assert (await house.done("dana", "POST", f"{path}/pend", body))["status"] == "pending"
    assert (await ticket(house, ticket_id))["rests_until"] is not None
    await house.ticker.once()
    assert (await ticket(house, ticket_id))["status"] == "pending"
    await past(house, ticket_id, "besides", "rests_until")
    await house.ticker.once()
    await house.ticker.once()
    back = await ticket(house, ticket_id)
    assert (back["status"], back["agent_id"], back["rests_until"]) == ("open", "dana", None)
    assert (await house.types(ticket_id)).count("ticket.reopened") == 1
    assert (await told(house, "dana"))[-1] == "ticket.due"
    assert (await house.done("dana", "POST", f"{path}/pend"))["status"] == "pending"
    assert (await ticket(house, ticket_id))["rests_until"] is None


async def test_a_chat_of_an_agent_who_does_not_come_back_is_offered_to_the_next_and_mail_stays(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    mail, chat = await house.owned("mail"), await house.open("chat", channel="chat")
    offer = await house.offered("dana")
    await house.done("dana", "POST", f"/v1/offers/{offer['offer_id']}/accept")
    await house.agent("noa")
    await house.rows("UPDATE routing.presence SET until = now() WHERE agent_id = 'dana'")
    await _ticks(house)
    assert (await ticket(house, chat))["agent_id"] == "dana", "there is a grace"
    await house.rows("UPDATE routing.agent SET state_since = now() - interval '1 minute' WHERE agent_id = 'dana'")
    await _ticks(house)
    assert ((await ticket(house, chat))["agent_id"], (await ticket(house, mail))["agent_id"]) == (None, "dana")
    assert (await house.offered("noa"))["ticket_id"] == chat
    assert (await agent(house, "dana"))["used_units"] == 2


async def _matched(house: House) -> None:
    await house.matcher.once()


async def _ticks(house: House) -> None:
    """As many as it takes until all is looked at."""
    for _ in range(4):
        await house.ticker.once()
