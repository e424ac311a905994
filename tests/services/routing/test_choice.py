"""Who is asked, on a real database: the first in turn by the queue's strategy is found among many who are idle for longer."""

from __future__ import annotations

import pytest

from services.routing.store import recalling
from shared import db
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)


async def generalists(house: House) -> None:
    """A hundred who are idle for an hour, know two things a little, have something to do and were given it just now."""
    await house.agent("g", skills={"billing": 5, "cards": 5})
    await house.rows(
        "INSERT INTO routing.agent (agent_id, profile, state, state_since, idle_since, given_at, used_units, ceiling_units)"
        " SELECT 'g' || n, profile, state, now(), now() - interval '1 hour', now(), 2, 10"
        " FROM routing.agent, generate_series(1, 100) n WHERE agent_id = 'g'"
    )
    await house.rows(
        "INSERT INTO routing.seat (agent_id, team_id, ready, idle_since, given_at, used_share, versatility)"
        " SELECT 'g' || n, team_id, true, now() - interval '1 hour', now(), 2000, versatility"
        " FROM routing.seat, generate_series(1, 100) n WHERE agent_id = 'g'"
    )
    await house.rows(
        "INSERT INTO routing.ability SELECT ability, 'g' || n FROM routing.ability, generate_series(1, 100) n"
        " WHERE agent_id = 'g'"
    )
    await house.rows(
        "INSERT INTO routing.presence SELECT agent_id, now() + interval '1 hour' FROM routing.agent ON CONFLICT DO NOTHING"
    )
    await house.done("rina", "POST", "/v1/agents/g/state", {"state": "offline"})


@pytest.mark.parametrize(
    ("strategy", "required"),
    [
        ("least_versatile", {}),
        ("least_versatile", {"billing": 3}),
        ("least_loaded", {}),
        ("least_loaded", {"billing": 3}),
        ("round_robin", {}),
        ("round_robin", {"billing": 3}),
        ("best_skill", {"billing": 3}),
    ],
)
async def test_the_first_by_strategy_is_found_behind_many_who_are_idle_longer(
    house: House, strategy: str, required: dict[str, int]
) -> None:
    await house.queue(strategy=strategy, required_skills=required)
    await generalists(house)
    await house.agent("dana", skills={"billing": 9})
    await house.open()
    assert await house.matcher.once() == "done"
    assert len((await house.done("rina", "GET", "/v1/agents/dana/offers"))["items"]) == 1


async def test_by_idle_time_it_would_be_one_of_the_many(house: House) -> None:
    await house.queue(required_skills={"billing": 3})
    await generalists(house)
    await house.agent("dana", skills={"billing": 9})
    await house.open()
    assert await house.matcher.once() == "done"
    assert (await house.done("rina", "GET", "/v1/agents/dana/offers"))["items"] == []


async def resolved(house: House, agent_id: str, ticket_id: str) -> None:
    await house.done(agent_id, "POST", f"/v1/tickets/{ticket_id}/resolve", {})


@pytest.mark.parametrize(("strategy", "third"), [("round_robin", "dana"), ("longest_idle", "noa")])
async def test_round_robin_heeds_who_was_asked_and_not_who_is_idle(house: House, strategy: str, third: str) -> None:
    await house.queue(strategy=strategy)
    await house.agent("dana")
    await house.agent("noa")
    first, second = await house.owned("a", "dana"), await house.owned("b", "noa")
    await resolved(house, "noa", second)
    await resolved(house, "dana", first)
    ticket_id = await house.open("c")
    assert (await house.offered(third))["ticket_id"] == ticket_id


@pytest.mark.parametrize(("strategy", "second"), [("sticky", "dana"), ("longest_idle", "noa")])
async def test_a_customer_who_writes_about_something_else_comes_to_whom_they_know_in_a_sticky_queue(
    house: House, strategy: str, second: str
) -> None:
    await house.queue(strategy=strategy)
    await house.agent("dana")
    await house.agent("noa")
    await house.owned("a", "dana")
    ticket_id = await house.open("b")
    assert (await house.offered(second))["ticket_id"] == ticket_id


async def test_an_agent_who_learns_something_is_more_versatile_from_then_on(house: House) -> None:
    await house.queue(strategy="least_versatile")
    await house.agent("noa", skills={"cards": 1})
    await house.agent("dana")
    learned = {"display_name": "Dana", "skills": {"billing": 1, "loans": 2}}
    assert (await house.ask("admin", "PUT", "/v1/agents/dana", learned, {"If-Match": '"1"'})).status_code == 200
    rows = await house.rows("SELECT agent_id, versatility FROM routing.seat ORDER BY agent_id")
    assert [(row.agent_id, row.versatility) for row in rows] == [("dana", 2), ("noa", 1)]
    ticket_id = await house.open()
    assert (await house.offered("noa"))["ticket_id"] == ticket_id


async def test_after_a_restore_agents_were_given_something_when_their_offers_say_so(house: House) -> None:
    await house.queue(strategy="round_robin")
    await house.agent("dana")
    await house.owned()
    for table in ("agent", "seat"):
        await house.rows(f"UPDATE routing.{table} SET given_at = 'epoch'")
    async with db.transaction(house.parts.engine) as conn:
        await recalling.begin_again(conn, 20)
    rows = await house.rows(
        "SELECT a.given_at = o.offered_at AND s.given_at = o.offered_at AS told FROM routing.offer o"
        " JOIN routing.agent a USING (agent_id) JOIN routing.seat s USING (agent_id)"
    )
    assert [row.told for row in rows] == [True]
