"""Who may see what at the desk."""

from __future__ import annotations

import pytest

from shared.events.ticket import TicketQueued
from tests.services.desk.conftest import Desk


async def test_a_partners_agent_sees_only_what_is_the_partners_now(desk: Desk) -> None:
    theirs, ours = await desk.open("theirs", 1, "about the lamp"), await desk.open("ours", 2, "about the lamp")
    at = await desk.now()
    given = TicketQueued(queue_id="outside", visit=1, reason="transferred", age_from=at, partner_id="north")
    await desk.hear(theirs, given, writer="routing")
    assert await desk.listed("northern") == [1]
    assert await desk.found("lamp", "northern") == [1]
    assert (await desk.ask("northern", f"tickets/{ours}")).status_code == 404
    assert (await desk.ask("northern", f"tickets/{ours}/timeline")).status_code == 404
    assert (await desk.ask("northern", f"tickets/{theirs}")).status_code == 200
    card = await desk.told("northern", "customers/c-1")
    assert [item["number"] for item in card["tickets"]] == [1]
    back = TicketQueued(queue_id="support", visit=2, reason="transferred", age_from=at)
    await desk.hear(theirs, back, writer="routing")
    assert await desk.listed("northern") == []
    assert (await desk.ask("northern", "customers/c-1")).status_code == 404


@pytest.mark.parametrize(
    "path", ["tickets", "counts", "search?q=lamp", "views", "tickets/t", "tickets/t/timeline", "customers/c"]
)
async def test_desk_is_for_agents_and_supervisors_who_are_known(module_desk: Desk, path: str) -> None:
    assert (await module_desk.ask("", path)).status_code == 401
    assert (await module_desk.ask("operations", path)).status_code == 403
    for role in ("dana", "rina", "admin"):
        assert (await module_desk.ask(role, path)).status_code in (200, 404)


async def test_an_agent_who_is_not_enrolled_sees_nothing(desk: Desk) -> None:
    await desk.rows("DELETE FROM desk.agent WHERE agent_id = 'dana'")
    answer = await desk.ask("dana", "tickets")
    assert (answer.status_code, answer.json()["code"]) == (403, "agent-not-enrolled")
