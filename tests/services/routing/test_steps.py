"""Steps on a real database: when one begins somebody looks again, and less is asked."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.work import TicketOffered
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)
HOUR = 3600


async def hours_pass(house: House, hours: int = 2) -> None:
    """The database's clock decides; so those who wait came earlier."""
    await house.rows(
        "UPDATE routing.ticket SET entered_at = entered_at - make_interval(hours => :hours),"
        " file_again_at = file_again_at - make_interval(hours => :hours),"
        " state = convert_to(jsonb_set(CAST(convert_from(state, 'UTF8') AS jsonb), '{visit,entered_at}',"
        " to_jsonb(entered_at - make_interval(hours => :hours)))::text, 'UTF8') WHERE queue_id IS NOT NULL",
        hours=hours,
    )


async def filed(house: House) -> tuple[str, bool]:
    """The lane of the one ticket that waits, and whether it is to be filed again."""
    [row] = await house.rows("SELECT lane, file_again_at FROM routing.ticket WHERE queue_id IS NOT NULL")
    return row.lane, row.file_again_at is not None


@pytest.mark.parametrize(
    ("asks", "step"),
    [
        ({"required_skills": {"billing": 5}}, {"required_skills": {"billing": 2}}),
        ({"team_ids": ["first"]}, {"team_ids": ["first", "second"]}),
        ({"team_ids": ["first"], "required_skills": {"cards": 1}, "skill_by_language": True}, {"any_agent": True}),
    ],
)
async def test_when_a_step_begins_the_ticket_is_offered_to_whom_less_is_asked_of(
    house: House, asks: dict[str, Any], step: dict[str, Any]
) -> None:
    for team in ("first", "second"):
        await house.done("admin", "PUT", f"/v1/teams/{team}", {"name": {"en": team}})
    await house.queue(**asks, steps=[{"after_seconds": HOUR, **step}])
    await house.agent("dana", skills={"billing": 2}, team_ids=["second"] if "team_ids" in asks else [])
    ticket_id = await house.open()
    assert await house.matcher.once() == "nobody"
    await house.ticker.once()
    before, again = await filed(house)
    assert again
    await hours_pass(house)
    await house.ticker.once()
    lane, again = await filed(house)
    assert (lane, again) == (f"support|email|{'*' if 'any_agent' in step else before.split('|')[2]}|1", False)
    assert (await house.offered("dana"))["ticket_id"] == ticket_id
    offered = [event.data for event in await house.said(ticket_id) if isinstance(event.data, TicketOffered)]
    assert [fact.step for fact in offered] == [1]


async def test_steps_of_a_queue_that_is_configured_anew_hold_for_those_who_wait(house: House) -> None:
    await house.queue(required_skills={"billing": 5})
    await house.agent("dana")
    ticket_id = await house.open()
    await hours_pass(house)
    assert await house.matcher.once() == "nobody"
    steps = [{"after_seconds": 60, "any_agent": True}]
    edit = {"name": {"en": "s"}, "position": 1, "required_skills": {"billing": 5}, "steps": steps}
    assert (await house.ask("admin", "PUT", "/v1/queues/support", edit, {"If-Match": '"1"'})).status_code == 200
    await house.ticker.once()
    assert await filed(house) == ("support|email|*|1", False)
    assert (await house.offered("dana"))["ticket_id"] == ticket_id


async def back_in_line(house: House, prefer: int) -> tuple[str, str]:
    """Dana, who can carry one ticket, has another one when the customer writes again. Returns that one and the one that waits."""
    await house.queue(prefer_last_agent_seconds=prefer)
    await house.agent("dana", capacity_units=2)
    ticket_id = await house.owned("a")
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})
    other = await house.owned("b")
    await house.agent("noa")
    await house.write(ticket_id, "And now?")
    assert await house.matcher.once() == "nobody"
    return other, ticket_id


async def test_a_ticket_that_comes_back_is_kept_for_the_one_who_had_it_until_free(house: House) -> None:
    other, ticket_id = await back_in_line(house, HOUR)
    assert await filed(house) == ("support|email|*|kept", True)
    await house.done("dana", "POST", f"/v1/tickets/{other}/resolve", {})
    assert (await house.offered("dana"))["ticket_id"] == ticket_id


async def test_a_ticket_is_kept_no_longer_than_the_queue_says(house: House) -> None:
    _, ticket_id = await back_in_line(house, HOUR)
    await hours_pass(house)
    await house.ticker.once()
    assert await filed(house) == ("support|email|*", False)
    assert (await house.offered("noa"))["ticket_id"] == ticket_id


async def test_a_step_of_teams_that_are_not_there_is_refused_with_its_place(house: House) -> None:
    await house.done("admin", "PUT", "/v1/teams/first", {"name": {"en": "First"}})
    steps = [{"after_seconds": 60, "team_ids": ["first", "ghosts"]}]
    body = {"name": {"en": "q"}, "position": 1, "team_ids": ["first"], "steps": steps}
    refused = await house.ask("admin", "PUT", "/v1/queues/q", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.steps[0].team_ids")
