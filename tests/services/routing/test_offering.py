"""Offers on a real database: declined, missed, taken back, raced for."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from services.routing.projections import all_projections
from shared import db
from shared.events import topics
from shared.events.base import derived_id
from shared.events.codec import encode
from shared.events.ticket import TicketOpened
from shared.records import Record
from tests.services.routing.conftest import CUSTOMER, House, open_house

pytestmark = pytest.mark.timeout(60)


async def two_agents(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    await house.agent("noa")


async def test_a_declined_ticket_goes_to_the_next_agent_and_not_back_at_once(house: House) -> None:
    await two_agents(house)
    ticket_id = await house.open()
    offer = await house.offered("dana")
    await house.done("dana", "POST", f"/v1/offers/{offer['offer_id']}/decline", {"reason": "lunch"})
    assert (await house.offered("noa"))["ticket_id"] == ticket_id
    second = await house.offered("noa")
    await house.done("noa", "POST", f"/v1/offers/{second['offer_id']}/decline", {})
    await house.matcher.once()
    assert (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["offered_to"] is None


async def expire(house: House) -> None:
    """The database's clock decides; so the offers are moved into its past."""
    await house.rows(
        "UPDATE routing.ticket SET offer_expires_at = now() - interval '1 second' WHERE offer_expires_at IS NOT NULL"
    )
    await house.rows(
        "UPDATE routing.ticket SET state = convert_to(jsonb_set(CAST(convert_from(state, 'UTF8') AS jsonb), '{offer,expires_at}',"
        " to_jsonb(offer_expires_at))::text, 'UTF8') WHERE offer_expires_at IS NOT NULL"
    )


async def test_an_offer_that_nobody_answers_goes_to_the_next_and_its_agent_is_missed_until_back(house: House) -> None:
    await two_agents(house)
    ticket_id = await house.open()
    offer = await house.offered("dana")
    await house.ticker.once()
    assert await house.types(ticket_id) == ["ticket.queued", "ticket.offered"]
    await expire(house)
    late = await house.ask("dana", "POST", f"/v1/offers/{offer['offer_id']}/accept")
    assert (late.status_code, late.json()["code"]) == (409, "offer-expired")
    await house.ticker.once()
    await house.ticker.once()
    assert await house.types(ticket_id) == ["ticket.queued", "ticket.offered", "offer.expired"]
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["state"] == "missed"
    assert (await house.offered("noa"))["ticket_id"] == ticket_id
    back = await house.done("dana", "POST", "/v1/agents/dana/state", {"state": "available"})
    assert back["state"] == "available"


async def test_when_an_agent_s_presence_ends_offers_go_to_the_next_and_owned_tickets_stay(house: House) -> None:
    await two_agents(house)
    kept = await house.owned("kept", "dana")
    await house.done("noa", "POST", "/v1/agents/noa/state", {"state": "break"})
    offered = await house.open("offered")
    await house.offered("dana")
    await house.done("noa", "POST", "/v1/agents/noa/state", {"state": "available"})
    await house.rows("UPDATE routing.presence SET until = now() WHERE agent_id = 'dana'")
    await house.ticker.once()
    assert (await house.types(offered))[-1] == "offer.rescinded"
    assert (await house.offered("noa"))["ticket_id"] == offered
    assert (await house.done("rina", "GET", "/v1/agents/dana"))["state"] == "offline"
    assert (await house.done("rina", "GET", f"/v1/tickets/{kept}"))["agent_id"] == "dana"


@pytest.mark.parametrize("state", ["offline", "break", "wrap_up"])
async def test_an_offer_made_in_the_instant_in_which_its_agent_left_goes_to_the_next(house: House, state: str) -> None:
    await two_agents(house)
    ticket_id = await house.open()
    await house.offered("dana")
    await house.rows(f"UPDATE routing.agent SET state = '{state}' WHERE agent_id = 'dana'")
    await house.ticker.once()
    assert (await house.types(ticket_id))[-1] == "offer.rescinded"
    assert (await house.offered("noa"))["ticket_id"] == ticket_id


async def test_a_call_of_the_agent_keeps_the_presence_and_does_not_bring_back_one_who_left(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.rows("UPDATE routing.presence SET until = now() + interval '1 second'")
    await house.done("dana", "GET", "/v1/agents/dana/offers")
    left = await house.rows("SELECT until - now() > interval '10 seconds' AS long FROM routing.presence")
    assert [row.long for row in left] == [True]
    await house.done("dana", "POST", "/v1/agents/dana/state", {"state": "offline"})
    await house.done("dana", "GET", "/v1/agents/dana/offers")
    assert await house.rows("SELECT 1 FROM routing.presence") == []


async def test_a_queue_that_accepts_by_itself_says_the_agent_s_load_once_a_pass(house: House) -> None:
    await house.queue(auto_accept=True)
    await house.agent(capacity_units=100)
    for n in range(5):
        await house.open(f"t{n}")
    await house.matcher.once()
    agent = await house.done("dana", "GET", "/v1/agents/dana")
    assert (agent["tickets"], agent["used_units"]) == (5, 10)
    assert (await house.types("dana")).count("agent.load_changed") == 1
    outcomes = await house.rows("SELECT state, count(*) AS n FROM routing.offer GROUP BY state")
    assert [(row.state, row.n) for row in outcomes] == [("accepted", 5)]


async def test_processes_that_match_at_the_same_time_offer_each_ticket_once_and_nobody_too_much(house: House) -> None:
    await two_agents(house)
    url = house.settings.database.get_secret_value()
    for n in range(12):
        await house.open(f"t{n}")
    async with open_house(url, house.keys, _master(house)) as second, open_house(url, house.keys, _master(house)) as third:
        for _ in range(4):
            await asyncio.gather(*(h.matcher.once() for h in (house, second, third)))
    live = await house.rows("SELECT ticket_id, agent_id FROM routing.offer WHERE state = 'live'")
    assert len(live) == len({row.ticket_id for row in live}) == 10
    used = await house.rows("SELECT agent_id, used_units FROM routing.agent ORDER BY agent_id")
    assert [(row.agent_id, row.used_units) for row in used] == [("dana", 10), ("noa", 10)]


async def test_an_acceptance_and_an_expiry_that_race_have_one_winner(house: House) -> None:
    await house.queue(offer_timeout_seconds=1)
    await house.agent(capacity_units=40)
    tickets = [await house.open(f"t{n}") for n in range(8)]
    await house.matcher.once()
    offers = (await house.done("dana", "GET", "/v1/agents/dana/offers"))["items"]
    await asyncio.gather(
        *(house.ask("dana", "POST", f"/v1/offers/{offer['offer_id']}/accept") for offer in offers),
        *(house.ticker.once() for _ in range(4)),
    )
    for ticket_id in tickets:
        types = await house.types(ticket_id)
        assert len({"ticket.assigned", "offer.expired"} & set(types)) <= 1
        assert types.count("ticket.assigned") <= 1


async def test_the_same_acceptance_twice_gives_the_same_answer_and_one_assignment(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.open()
    offer = await house.offered()
    path = f"/v1/offers/{offer['offer_id']}/accept"
    answers = await asyncio.gather(*(house.ask("dana", "POST", path) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert (await house.types(ticket_id)).count("ticket.assigned") == 1


async def test_the_database_itself_refuses_a_second_live_offer_and_an_agent_above_capacity(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.open()
    await house.offered()
    with pytest.raises(IntegrityError, match="within_capacity"):
        await house.rows("UPDATE routing.agent SET used_units = 11")
    with pytest.raises(IntegrityError, match="offer_one_live"):
        await house.rows(
            "INSERT INTO routing.offer SELECT 'x', ticket_id, 'noa', queue_id, visit, state, offered_at, expires_at"
            " FROM routing.offer"
        )


async def test_an_agent_whose_capacity_is_lowered_keeps_the_tickets_and_gets_no_more(house: House) -> None:
    await house.queue()
    await house.agent(capacity_units=4)
    await house.owned("a")
    await house.owned("b")
    edit = await house.ask("admin", "PUT", "/v1/agents/dana", {"display_name": "Dana", "capacity_units": 2}, {"If-Match": '"1"'})
    assert edit.status_code == 200
    await house.open("c")
    await house.matcher.once()
    agent = await house.done("dana", "GET", "/v1/agents/dana")
    assert (agent["used_units"], agent["capacity_units"], agent["tickets"]) == (4, 2, 2)


async def _crowd(house: House) -> None:
    """Three hundred who are free, idle for long, and can do nothing in particular."""
    await house.rows(
        "INSERT INTO routing.agent (agent_id, profile, state, state_since, idle_since, ceiling_units)"
        " SELECT 'a' || n, jsonb_build_object('display_name', 'A'), 'available', now(), now() - interval '1 hour', 10"
        " FROM generate_series(1, 300) n"
    )
    await house.rows("INSERT INTO routing.seat SELECT agent_id, '*', true, idle_since FROM routing.agent")
    await house.rows("INSERT INTO routing.presence SELECT agent_id, now() + interval '1 hour' FROM routing.agent")


async def test_many_who_lack_the_skill_do_not_hide_the_one_who_has_it(house: House) -> None:
    await house.queue(required_skills={"billing": 5})
    await _crowd(house)
    await house.agent("dana", skills={"billing": 5})
    ticket_id = await house.open()
    assert (await house.offered("dana"))["ticket_id"] == ticket_id


async def test_who_learns_a_skill_is_found_among_many_who_lack_it(house: House) -> None:
    await house.queue(required_skills={"billing": 5})
    await _crowd(house)
    await house.agent("dana", skills={"billing": 4})
    ticket_id = await house.open()
    assert await house.matcher.once() == "nobody"
    learned = {"display_name": "Dana", "skills": {"billing": 6}}
    assert (await house.ask("admin", "PUT", "/v1/agents/dana", learned, {"If-Match": '"1"'})).status_code == 200
    assert (await house.offered("dana"))["ticket_id"] == ticket_id


async def test_who_writes_in_a_language_that_no_agent_speaks_is_offered_to_anybody_until_one_does(house: House) -> None:
    await house.queue(skill_by_language=True, auto_accept=True)
    await house.agent("dana", languages=["he", "en"], capacity_units=100)
    first = await house.open("first", language="de")
    await house.matcher.once()
    assert (await house.done("rina", "GET", f"/v1/tickets/{first}"))["agent_id"] == "dana"
    await house.agent("noa", available=False, languages=["de"])
    second = await house.open("second", language="de")
    third = await house.open("third", language="fr")
    await house.matcher.once()
    assert (await house.done("rina", "GET", f"/v1/tickets/{second}"))["agent_id"] is None, "noa will come, who speaks it"
    assert (await house.done("rina", "GET", f"/v1/tickets/{third}"))["agent_id"] == "dana"
    await house.done("rina", "POST", "/v1/agents/noa/state", {"state": "available"})
    await house.matcher.once()
    assert (await house.done("rina", "GET", f"/v1/tickets/{second}"))["agent_id"] == "noa"


@pytest.mark.parametrize(
    "changed",
    [{"team_ids": ["sales"]}, {"skills": {"billing": 2}}, {"partner_id": "northern"}, {"active": False}, {"languages": []}],
)
async def test_who_speaks_it_and_does_not_serve_the_queue_keeps_nobody_waiting(house: House, changed: dict[str, object]) -> None:
    for team in ("support", "sales"):
        await house.done("admin", "PUT", f"/v1/teams/{team}", {"name": {"en": team}})
    await house.queue(skill_by_language=True, team_ids=["support"], required_skills={"billing": 3})
    able: dict[str, object] = {"team_ids": ["support"], "skills": {"billing": 3}}
    await house.agent("noa", available=False, team_ids=["support"], skills={"billing": 3}, languages=["de"])
    await house.agent("dana", team_ids=["support"], skills={"billing": 3})
    ticket_id = await house.open(language="de")
    assert await house.matcher.once() == "nobody"
    body = {"display_name": "Noa", **able, "languages": ["de"], **changed}
    assert (await house.ask("admin", "PUT", "/v1/agents/noa", body, {"If-Match": '"1"'})).status_code == 200
    assert (await house.offered("dana"))["ticket_id"] == ticket_id


def _master(house: House) -> str:
    assert house.settings.master_key is not None
    return house.settings.master_key.get_secret_value()


async def read(house: House, name: str) -> tuple[str, int]:
    """A ticket is opened, and what comes in is read as the process does it. Returns its id, and how often matchers were woken."""
    ticket_id = derived_id("ticket", name)
    opened = TicketOpened(number=7, customer_id=CUSTOMER, channel="email", inbox="help")
    record = Record("tickets", 0, 0, ticket_id, encode(await house.event(ticket_id, opened)))
    projection = next(p for p in all_projections(1, house.matcher.note) if p.topic is topics.TICKETS)
    woken: list[str] = []
    listening = await asyncpg.connect(house.parts.settings.database.get_secret_value(), timeout=10)
    try:
        await listening.add_listener("routing_match", lambda *said: woken.append(said[2]))
        async with db.transaction(house.parts.engine) as conn:
            assert not await house.parts.folder.fold_all(conn, [(projection, [record])], house.matcher.join)
        await listening.execute("SELECT 1")  # what was notified before comes before the answer, or with it
        await listening.execute("SELECT 1")
    finally:
        await listening.close(timeout=5)
    return ticket_id, len(woken)


async def test_what_comes_in_is_offered_in_the_transaction_in_which_it_is_read(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    ticket_id, woken = await read(house, "t")
    assert await house.types(ticket_id) == ["ticket.queued", "ticket.offered"]
    assert (await house.offered("dana"))["ticket_id"] == ticket_id
    history = (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["timeline"]
    assert [entry["type"] for entry in history] == ["ticket.opened.v1", "ticket.queued.v1", "ticket.offered.v1"]
    assert woken == 0


async def test_where_nobody_is_free_for_what_is_read_the_matchers_are_woken(house: House) -> None:
    await house.queue()
    ticket_id, woken = await read(house, "t")
    assert await house.types(ticket_id) == ["ticket.queued"]
    assert woken == 1
    await house.agent("dana")
    assert (await house.offered("dana"))["ticket_id"] == ticket_id
