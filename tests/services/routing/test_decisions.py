"""Why a ticket was offered to whom it was, and why not to somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)


async def decisions(house: House, ticket_id: str, query: str = "", role: str = "rina") -> dict[str, Any]:
    return await house.done(role, "GET", f"/v1/tickets/{ticket_id}/decisions{query}")


async def why_not(house: House, ticket_id: str, agent_id: str) -> str:
    now = (await decisions(house, ticket_id, f"?agent_id={agent_id}"))["now"]
    return str(now["verdict"])


async def a_few(house: House) -> None:
    """Two who can take it, one who cannot and one who is away."""
    await house.queue(required_skills={"billing": 3})
    await house.agent("dana", skills={"billing": 3})
    await house.agent("noa", skills={"billing": 5})
    await house.agent("omar", skills={"cards": 5})


async def test_an_offer_tells_what_it_was_decided_by(house: House) -> None:
    await a_few(house)
    ticket_id = await house.open()
    offer = await house.offered("dana")
    [told] = (await decisions(house, ticket_id))["items"]
    assert (told["offer_id"], told["agent_id"], told["state"], told["how"]) == (offer["offer_id"], "dana", "live", "next_in_turn")
    saw = told["saw"]
    assert (saw["queue_id"], saw["queue_version"], saw["step"], saw["strategy"]) == ("support", 1, 0, "longest_idle")
    assert saw["verdicts"] == {"fits": 2, "missing_skill": 1}
    verdicts = {candidate["agent_id"]: candidate["verdict"] for candidate in saw["candidates"]}
    assert verdicts == {"dana": "fits", "noa": "fits", "omar": "missing_skill"}
    assert [told["offer_id"] for told in (await decisions(house, ticket_id, role="dana"))["items"]] == [offer["offer_id"]]


async def test_the_next_offer_tells_who_let_the_ticket_go(house: House) -> None:
    await a_few(house)
    ticket_id = await house.open()
    offer = await house.offered("dana")
    await house.done("dana", "POST", f"/v1/offers/{offer['offer_id']}/decline", {})
    await house.offered("noa")
    first, second = (await decisions(house, ticket_id))["items"]
    assert (first["state"], first["let_go"]) == ("declined", [])
    assert (second["agent_id"], second["let_go"]) == ("noa", ["dana"])
    page = await decisions(house, ticket_id, "?limit=1")
    rest = await decisions(house, ticket_id, f"?after={page['next_after']}")
    assert [told["agent_id"] for told in page["items"] + rest["items"]] == ["dana", "noa"]


async def test_a_ticket_that_goes_to_who_had_it_before_says_so(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    ticket_id = await house.owned()
    await house.agent("noa")
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})
    await house.write(ticket_id, "And now?")
    await house.offered("dana")
    assert [told["how"] for told in (await decisions(house, ticket_id))["items"]] == ["next_in_turn", "last_agent"]


async def test_tickets_that_are_decided_together_share_what_was_seen(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    await house.agent("noa")
    tickets = [await house.open(f"t{n}") for n in range(3)]
    assert await house.matcher.once() == "done"
    saw = [(await decisions(house, ticket_id))["items"][0]["saw"] for ticket_id in tickets]
    assert saw[0] == saw[1] == saw[2]
    assert saw[0]["verdicts"] == {"fits": 2}
    assert [row.n for row in await house.rows("SELECT count(*) AS n FROM routing.decision")] == [1]


async def test_why_not_somebody_is_answered_for_a_ticket_that_waits(house: House) -> None:
    await a_few(house)
    for agent_id in ("dana", "noa"):
        await house.done("rina", "POST", f"/v1/agents/{agent_id}/state", {"state": "break"})
    ticket_id = await house.open()
    assert await house.matcher.once() == "nobody"
    assert await why_not(house, ticket_id, "dana") == "break"
    asked = (await decisions(house, ticket_id, "?agent_id=omar"))["now"]
    assert (asked["verdict"], asked["missing_skills"], asked["step"]) == ("missing_skill", {"billing": 3}, 0)
    await house.done("rina", "POST", "/v1/agents/dana/state", {"state": "available"})
    assert await why_not(house, ticket_id, "dana") == "fits"
    offer = await house.offered("dana")
    assert (await decisions(house, ticket_id, "?agent_id=dana"))["now"] is None, "it does not wait"
    await house.done("dana", "POST", f"/v1/offers/{offer['offer_id']}/decline", {})
    assert await why_not(house, ticket_id, "dana") == "let_it_go"
    await house.rows("UPDATE routing.presence SET until = now() WHERE agent_id = 'omar'")
    assert await why_not(house, ticket_id, "omar") == "not_present"


async def test_decisions_are_for_supervisors_and_whom_the_ticket_was_offered_to(house: House) -> None:
    await a_few(house)
    ticket_id = await house.open()
    await house.offered("dana")
    refused = {
        ("noa", f"/v1/tickets/{ticket_id}/decisions"): (403, "forbidden"),
        ("operations", f"/v1/tickets/{ticket_id}/decisions"): (403, "forbidden"),
        ("dana", f"/v1/tickets/{ticket_id}/decisions?agent_id=noa"): (403, "forbidden"),
        ("rina", "/v1/tickets/nothing/decisions"): (404, "ticket-not-found"),
        ("rina", f"/v1/tickets/{ticket_id}/decisions?agent_id=nobody"): (404, "agent-not-found"),
    }
    for (role, path), expected in refused.items():
        answer = await house.ask(role, "GET", path)
        assert (answer.status_code, answer.json()["code"]) == expected, path


async def test_what_was_seen_is_kept_for_so_many_days(house: House) -> None:
    await a_few(house)
    ticket_id = await house.open()
    await house.offered("dana")
    await house.rows("UPDATE routing.decision SET at = now() - interval '6 days'")
    await house.ticker.once()
    assert (await decisions(house, ticket_id))["items"][0]["saw"] is not None
    await house.rows("UPDATE routing.decision SET at = now() - interval '8 days'")
    house.ticker._ticks = 0  # when the house is kept
    await house.ticker.once()
    [told] = (await decisions(house, ticket_id))["items"]
    assert (told["saw"], told["agent_id"]) == (None, "dana")
