"""Calendars, policies and how promises stand, over HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.sla.api import make_router
from shared import auth, db
from shared.events.codec import decode
from shared.events.config import CalendarConfigured, ConfigRemoved, PolicyConfigured
from shared.events.ticket import TicketQueued
from shared.http import create_app
from tests.services.sla.conftest import Sla
from tests.unit.sla.desk import reply

NINE_TO_FIVE = [{"opens": "09:00", "closes": "17:00"}]
OFFICE: dict[str, Any] = {"zone": "Asia/Jerusalem", "weekly": [*[NINE_TO_FIVE] * 5, [], []], "holidays_of": ["IL"]}
STANDARD: dict[str, Any] = {
    "name": "Standard",
    "position": 10,
    "calendar_id": "office",
    "targets": [{"kind": "first_response", "seconds": {"2": 3600, "3": 900}}, {"kind": "resolution", "seconds": {"2": 28800}}],
}
ALWAYS: dict[str, Any] = {
    "name": "Always",
    "position": 1,
    "targets": [{"kind": "first_response", "seconds": {"2": 600}, "hours": "calendar"}],
}


@dataclass
class Desk:
    """Clients of the service, each with a key of its own."""

    sla: Sla
    admin: httpx.AsyncClient
    operations: httpx.AsyncClient
    agent: httpx.AsyncClient
    partner: httpx.AsyncClient
    nobody: httpx.AsyncClient


@pytest_asyncio.fixture
async def desk(sla: Sla) -> AsyncIterator[Desk]:
    async def ready() -> str | None:
        return None

    app = create_app("sla", "Patchbay sla", ready)
    app.state.authenticator = auth.Authenticator(sla.engine)
    app.include_router(make_router(sla.engine, sla.outbox))
    async with db.transaction(sla.engine) as conn:
        keys = [
            await auth.create_key(conn, role, role, scopes)
            for role, scopes in (
                ("admin", ("admin",)),
                ("operations", ("ops:read",)),
                ("dana", ("agent:dana",)),
                ("north", ("partner:north",)),
            )
        ]
    clients = [
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sla", headers=headers)
        for headers in (*({"Authorization": f"Bearer {key}"} for key in keys), {})
    ]
    yield Desk(sla, *clients)
    for client in clients:
        await client.aclose()


async def test_a_policy_is_made_read_changed_and_said_on_the_log(desk: Desk) -> None:
    assert (await desk.admin.put("/v1/calendars/office", json=OFFICE)).status_code == 201
    made = await desk.admin.put("/v1/policies/standard", json=STANDARD)
    assert (made.status_code, made.headers["etag"], made.json()["version"]) == (201, '"1"', 1)
    read = await desk.operations.get("/v1/policies/standard")
    assert (read.status_code, read.json(), read.headers["etag"]) == (200, made.json(), '"1"')
    again = await desk.admin.put("/v1/policies/standard", json={**STANDARD, "position": 5}, headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["etag"], again.json()["position"]) == (200, '"2"', 5)
    rows = await desk.sla.rows("SELECT key, value FROM sla.outbox WHERE topic = 'config' ORDER BY id")
    facts = [decode(row[1]).data for row in rows]  # type: ignore[arg-type]
    assert [row[0] for row in rows] == ["calendar:office", "policy:standard", "policy:standard"]
    assert [type(fact) for fact in facts] == [CalendarConfigured, PolicyConfigured, PolicyConfigured]


async def test_an_edit_needs_the_version_that_it_edits(desk: Desk) -> None:
    await desk.admin.put("/v1/policies/always", json=ALWAYS)
    blind = await desk.admin.put("/v1/policies/always", json=ALWAYS)
    stale = await desk.admin.put("/v1/policies/always", json=ALWAYS, headers={"If-Match": '"7"'})
    early = await desk.admin.put("/v1/policies/other", json=ALWAYS, headers={"If-Match": '"1"'})
    assert [r.status_code for r in (blind, stale, early)] == [428, 412, 412]
    assert [r.json()["code"] for r in (blind, stale)] == ["precondition-required", "precondition-failed"]


WRONG = [
    ("/v1/calendars/office", {**OFFICE, "zone": "Mars/Olympus"}, "body.zone"),
    ("/v1/calendars/office", {**OFFICE, "weekly": OFFICE["weekly"][:5]}, "body.weekly"),
    (
        "/v1/calendars/office",
        {**OFFICE, "weekly": [[{"opens": "9", "closes": "17:00"}], *[[]] * 6]},
        "body.weekly[0][0].opens",
    ),
    ("/v1/calendars/office", {**OFFICE, "weekly": [[]] * 7}, "body.weekly"),
    ("/v1/calendars/office", {**OFFICE, "holidays_of": ["XX"]}, "body.holidays_of[0]"),
    ("/v1/calendars/office", {**OFFICE, "colour": "blue"}, "body.colour"),
    ("/v1/policies/p", STANDARD, "body.calendar_id"),
    ("/v1/policies/p", {**ALWAYS, "when": {"is": "test", "field": "colour", "op": "equals"}}, "body.when.field"),
    ("/v1/policies/p", {**ALWAYS, "when": {"is": "sometimes"}}, "body.when.is"),
    ("/v1/policies/p", {**ALWAYS, "targets": [{"kind": "answer", "seconds": {"2": 20}}]}, "body.targets[0].kind"),
    ("/v1/policies/p", {**ALWAYS, "targets": [{"kind": "resolution", "seconds": {"9": 20}}]}, "body.targets[0].seconds.9"),
    ("/v1/policies/p", {**ALWAYS, "targets": [{"kind": "resolution", "seconds": {"2": "soon"}}]}, "body.targets[0].seconds.2"),
    ("/v1/policies/p", {**ALWAYS, "name": "x\u0000"}, None),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG, ids=[f"{n} {case[2]}" for n, case in enumerate(WRONG)])
async def test_what_cannot_be_promised_is_refused_with_the_field(desk: Desk, path: str, body: object, field: str | None) -> None:
    answer = await desk.admin.put(path, json=body)
    if field is None:
        assert answer.status_code == 201  # an odd name harms nobody
        return
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert answer.json()["errors"][0]["reason"]


async def test_a_calendar_by_which_a_policy_could_no_longer_be_kept_is_refused(desk: Desk) -> None:
    await desk.admin.put("/v1/calendars/office", json=OFFICE)
    await desk.admin.put("/v1/policies/standard", json=STANDARD)
    once = {"zone": "UTC", "weekly": [[]] * 7, "dates": [{"on": "2100-01-01", "hours": [{"opens": "09:00", "closes": "10:00"}]}]}
    answer = await desk.admin.put("/v1/calendars/office", json=once, headers={"If-Match": '"1"'})
    assert answer.status_code == 422
    assert "standard" in answer.json()["errors"][0]["reason"]


async def test_a_calendar_in_use_stays_and_a_removed_policy_is_gone(desk: Desk) -> None:
    await desk.admin.put("/v1/calendars/office", json=OFFICE)
    await desk.admin.put("/v1/policies/standard", json=STANDARD)
    used = await desk.admin.delete("/v1/calendars/office", headers={"If-Match": '"1"'})
    assert (used.status_code, used.json()["code"]) == (409, "in-use")
    assert (await desk.admin.delete("/v1/policies/standard")).status_code == 428
    assert (await desk.admin.delete("/v1/policies/standard", headers={"If-Match": '"1"'})).status_code == 204
    assert (await desk.admin.get("/v1/policies/standard")).status_code == 404
    assert (await desk.admin.delete("/v1/policies/standard", headers={"If-Match": '"2"'})).status_code == 404
    assert (await desk.admin.delete("/v1/calendars/office", headers={"If-Match": '"1"'})).status_code == 204
    again = await desk.admin.put("/v1/policies/standard", json={**STANDARD, "calendar_id": None})
    assert (again.status_code, again.json()["version"]) == (201, 3)
    (last,) = await desk.sla.rows("SELECT value FROM sla.outbox WHERE key = 'calendar:office' ORDER BY id DESC LIMIT 1")
    assert isinstance(decode(last[0]).data, ConfigRemoved)  # type: ignore[arg-type]


async def test_a_version_is_never_in_force_before_it_was_made(desk: Desk) -> None:
    before = await desk.sla.now()
    past = await desk.admin.put("/v1/policies/past", json={**ALWAYS, "effective_from": "2020-01-01T00:00:00Z"})
    later = await desk.admin.put("/v1/policies/later", json={**ALWAYS, "effective_from": "2100-01-01T00:00:00Z"})
    assert past.json()["effective_from"] >= before.strftime("%Y-%m-%dT%H:%M:%S")
    assert later.json()["effective_from"].startswith("2100-01-01T00:00:00")


async def test_lists_come_in_pages(desk: Desk) -> None:
    for name in ("c", "a", "b"):
        await desk.admin.put(f"/v1/policies/{name}", json=ALWAYS)
    first = (await desk.operations.get("/v1/policies", params={"limit": 2})).json()
    rest = (await desk.operations.get("/v1/policies", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"]] == ["a", "b"]
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == (["c"], None)
    assert (await desk.operations.get("/v1/calendars")).json() == {"items": [], "next_cursor": None}


async def test_keys_may_do_what_their_scopes_say(desk: Desk) -> None:
    assert (await desk.nobody.get("/v1/policies")).status_code == 401
    assert (await desk.agent.get("/v1/policies")).status_code == 403
    assert (await desk.operations.put("/v1/policies/always", json=ALWAYS)).status_code == 403
    assert (await desk.agent.get("/v1/sla/breaches")).status_code == 403
    assert (await desk.agent.get("/v1/sla/tickets/none")).status_code == 404


async def test_a_ticket_tells_its_clocks(desk: Desk) -> None:
    sla = desk.sla
    await desk.admin.put("/v1/policies/always", json=ALWAYS)
    asked = await sla.now()
    await sla.fold(sla.log.asked("a", asked))
    told = (await desk.agent.get("/v1/sla/tickets/a")).json()
    assert (told["status"], told["policy_id"], told["policy_version"], told["calendar_id"]) == ("new", "always", 1, None)
    (clock,) = told["clocks"]
    assert (clock["target"], clock["state"], clock["target_us"], clock["kept"]) == (
        "first_response",
        "running",
        600_000_000,
        None,
    )
    assert 0 < clock["elapsed_us"] < 60_000_000
    assert clock["elapsed_us"] + clock["remaining_us"] == 600_000_000
    await sla.fold(sla.log.say("a", "routing", asked + timedelta(seconds=5), reply()))
    (clock,) = (await desk.agent.get("/v1/sla/tickets/a")).json()["clocks"]
    assert (clock["state"], clock["kept"], clock["elapsed_us"]) == ("fulfilled", True, 5_000_000)


async def test_a_ticket_without_a_promise_says_so(desk: Desk) -> None:
    await desk.sla.fold(desk.sla.log.asked("a", await desk.sla.now()))
    told = (await desk.operations.get("/v1/sla/tickets/a")).json()
    assert (told["policy_id"], told["clocks"]) == (None, [])


async def test_at_risk_and_breaches_are_listed_in_pages(desk: Desk) -> None:
    sla = desk.sla
    await sla.promise(600)
    now = await sla.now()
    for n in range(5):
        await sla.fold(sla.log.asked(f"risk{n}", now - timedelta(seconds=300 + n)))
        await sla.fold(sla.log.asked(f"broken{n}", now - timedelta(seconds=1000 + n)))
    await sla.ticker().tick()
    assert await _all(desk, "/v1/sla/breaches") == [f"broken{n}" for n in range(5)]
    assert await _all(desk, "/v1/sla/at-risk", within_seconds=3600) == [f"risk{n}" for n in reversed(range(5))]
    assert await _all(desk, "/v1/sla/at-risk", within_seconds=10) == []
    odd = await desk.operations.get("/v1/sla/breaches", params={"cursor": "nonsense"})
    assert (odd.status_code, odd.json()["errors"][0]["field"]) == (422, "query.cursor")


async def test_a_partner_s_lists_are_of_what_is_its_own_now_and_end_where_that_ends(desk: Desk) -> None:
    sla = desk.sla
    await sla.promise(600)
    now = await sla.now()
    for n in range(6):
        given = TicketQueued(queue_id="q", visit=1, reason="opened", age_from=now, partner_id="north" if n % 2 else None)
        for name, since in (("risk", 300), ("broken", 1000)):
            await sla.fold(sla.log.asked(f"{name}{n}", now - timedelta(seconds=since + n)))
            await sla.fold(sla.log.say(f"{name}{n}", "routing", now - timedelta(seconds=200), given))
    await sla.ticker().tick()
    assert await _all(desk, "/v1/sla/breaches", "partner") == ["broken1", "broken3", "broken5"]
    assert await _all(desk, "/v1/sla/at-risk", "partner", within_seconds=3600) == ["risk5", "risk3", "risk1"]
    back = TicketQueued(queue_id="ours", visit=2, reason="transferred", age_from=now)
    for name in ("risk3", "broken3"):
        await sla.fold(sla.log.say(name, "routing", now, back))
    assert await _all(desk, "/v1/sla/breaches", "partner") == ["broken1", "broken5"]
    assert await _all(desk, "/v1/sla/at-risk", "partner", within_seconds=3600) == ["risk5", "risk1"]


async def _all(desk: Desk, path: str, role: str = "operations", **params: int) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, str | int] = {**params, "limit": 2, **({"cursor": cursor} if cursor else {})}
        client: httpx.AsyncClient = getattr(desk, role)
        answer = (await client.get(path, params=query)).json()
        found += [item["ticket_id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            return found
