"""The configuration on a real database: its versions, what a change would do, one document in and out, and that who waits is
looked at at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from services.routing.recalling import AgentsRecalled, ConfigurationRecalled
from services.routing.store import configuration
from services.routing.store.config import QueueShelf
from shared import db
from shared.clock import clock
from shared.documents import read_yaml, write_yaml
from shared.events.base import Event, Fact
from shared.events.config import AgentConfigured, ConfigRemoved, QueueConfigured, RoutingConfigured
from shared.events.people import AgentEnrolled
from shared.events.topics import AGENTS, CONFIG
from shared.folding import AnyProjection
from tests.services.routing.conftest import House
from tests.waiting import until

pytestmark = pytest.mark.timeout(60)
YAML = "application/yaml"
HEBREW = {"is": "test", "field": "language", "op": "equals", "value": "he"}
Body = dict[str, Any]


async def send(house: House, document: Body | str, *, dry_run: bool = False, **headers: str) -> httpx.Response:
    """The whole configuration, as a document or as it is written."""
    content = (document if isinstance(document, str) else write_yaml(document)).encode()
    named = {"Content-Type": YAML, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with house.client("admin") as client:
        return await client.put("/v1/config", params={"dry_run": dry_run}, content=content, headers=named)


async def applied(house: House, document: Body) -> Body:
    """That has to succeed; it is an edit of what there is."""
    answer = await send(house, {**document, "version": await version(house)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def version(house: House) -> int:
    return int((await house.done("operations", "GET", "/v1/config"))["version"])


async def exported(house: House, path: str = "/v1/config") -> str:
    answer = await house.ask("operations", "GET", path, headers={"Accept": YAML})
    assert (answer.status_code, answer.headers["content-type"]) == (200, YAML), answer.text
    return answer.text


async def put(house: House, path: str, body: Body, if_match: int | None = None, *, dry_run: bool = False) -> httpx.Response:
    headers = {"If-Match": f'"{if_match}"'} if if_match is not None else None
    return await house.ask("admin", "PUT", f"{path}{'?dry_run=true' if dry_run else ''}", body, headers)


async def told(house: House) -> list[tuple[str, str]]:
    """What was said on `config`: key and type."""
    said = [event for event in await house.said() if type(event.data) in CONFIG.facts]
    return [(event.key, event.type.rsplit(".", 1)[0]) for event in said]


@pytest.fixture
async def small(house: House) -> House:
    """A team, two agents, of whom one is there, a queue; and nothing that waits."""
    await house.done("admin", "PUT", "/v1/teams/first", {"name": {"en": "First"}})
    await house.queue(team_ids=["first"], position=5)
    await house.agent("dana", team_ids=["first"], skills={"billing": 3})
    await house.agent("noa", available=False, team_ids=["first"])
    return house


async def test_each_change_is_a_version_with_who_made_it_when_and_all_that_was_configured_then(small: House) -> None:
    page = await small.done("operations", "GET", "/v1/config/versions")
    assert [(one["number"], one["changed_by"], one["change_count"]) for one in page["items"]] == [
        (number, "admin", 1) for number in (4, 3, 2, 1)
    ]
    assert page["items"][0]["changes"] == [{"kind": "agent", "id": "noa", "version": 1, "what": "made"}]
    await applied(small, {"rules": [{"id": "up", "position": 1, "when": {}}], "teams": [{"id": "first", "name": {"en": "1st"}}]})
    newest = await small.done("operations", "GET", "/v1/config/versions/5")
    assert [(one["kind"], one["id"], one["version"], one["what"]) for one in newest["changes"]] == [
        ("rule", "up", 1, "made"),
        ("team", "first", 2, "changed"),
    ]
    assert newest["configuration"]["teams"] == [{"id": "first", "name": {"en": "1st"}}]
    second = await small.done("operations", "GET", "/v1/config/versions/2")
    there = {name: [one["id"] for one in section] for name, section in second["configuration"].items() if section}
    assert there == {"teams": ["first"], "queues": ["support"]}
    older = await small.done("operations", "GET", "/v1/config/versions?cursor=3&limit=1")
    assert ([one["number"] for one in older["items"]], older["next_cursor"]) == ([2], 2)
    assert (await small.ask("operations", "GET", "/v1/config/versions/99")).json()["code"] == "version-not-found"
    assert (await small.ask("operations", "GET", "/v1/config/versions/none")).status_code == 422


async def test_an_offer_s_trace_names_the_version_of_the_configuration_that_is_read_and_said(small: House) -> None:
    ticket_id = await small.open()
    await small.offered()
    [decision] = (await small.done("rina", "GET", f"/v1/tickets/{ticket_id}/decisions"))["items"]
    assert decision["saw"]["config_version"] == await version(small) == 4
    said = [event.data for event in await small.said("agent:noa")]
    assert [fact.config_version for fact in said if isinstance(fact, AgentConfigured)] == [4]
    await small.done("admin", "PUT", "/v1/skills/billing", {"name": {"en": "Billing"}})
    await small.done("dana", "POST", f"/v1/offers/{decision['offer_id']}/decline", {})
    await small.done("rina", "POST", "/v1/agents/noa/state", {"state": "available"})
    await small.offered("noa")
    decisions = (await small.done("rina", "GET", f"/v1/tickets/{ticket_id}/decisions"))["items"]
    assert [one["saw"]["config_version"] for one in decisions] == [4, 5]


async def test_of_two_who_edit_the_same_the_second_is_told_that_it_was_changed(small: House) -> None:
    edit = {"name": {"en": "First"}}
    assert (await put(small, "/v1/teams/first", edit)).json()["code"] == "precondition-required"
    assert (await put(small, "/v1/teams/first", edit, 1)).headers["etag"] == '"2"'
    assert (await put(small, "/v1/teams/first", edit, 1)).json()["code"] == "precondition-failed"
    whole = {"skills": [{"id": "cards", "name": {"en": "Cards"}}]}
    assert (await send(small, whole)).json()["code"] == "precondition-required"
    for stale in (await send(small, {**whole, "version": 4}), await send(small, whole, If_Match='"4"')):
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    both = await send(small, {**whole, "version": 5}, If_Match='"4"')
    assert (both.status_code, both.json()["code"]) == (412, "precondition-failed")
    done = await send(small, {**whole, "version": 5}, If_Match='"5"')
    assert (done.status_code, done.headers["etag"], done.json()["version"]) == (200, '"6"', 6)


async def test_what_is_exported_can_be_sent_back_and_changes_nothing(small: House) -> None:
    steps = [{"after_seconds": 60, "any_agent": True}]
    edit = {"name": {"en": "s"}, "position": 5, "team_ids": ["first"], "steps": steps}
    assert (await put(small, "/v1/queues/support", edit, 1)).status_code == 200
    await small.done("admin", "PUT", "/v1/rules/up", {"position": 1, "when": HEBREW, "to_tier": 2})
    before = await small.rows("SELECT count(*) FROM routing.outbox"), await told(small)
    text = await exported(small)
    answer = await send(small, text)
    assert (answer.status_code, answer.json()["change_count"], answer.json()["version"]) == (200, 0, 6)
    as_json = await small.done("operations", "GET", "/v1/config")
    assert as_json == read_yaml(text.encode())
    assert (await small.ask("admin", "PUT", "/v1/config", as_json)).json()["change_count"] == 0
    assert (await small.rows("SELECT count(*) FROM routing.outbox"), await told(small)) == before
    assert await exported(small) == text


async def test_an_earlier_version_can_be_put_in_force_again(small: House) -> None:
    second = await exported(small, "/v1/config/versions/2")
    four = await exported(small)
    answer = await send(small, second, If_Match='"4"')
    assert answer.status_code == 200, answer.text
    assert {(one["kind"], one["id"], one["what"]) for one in answer.json()["changes"]} == {
        ("agent", "dana", "removed"),
        ("agent", "noa", "removed"),
    }
    back = await send(small, four.replace("version: 4", "version: 5"))
    assert {(one["kind"], one["id"], one["what"]) for one in back.json()["changes"]} == {
        ("agent", "dana", "made"),
        ("agent", "noa", "made"),
    }
    assert await exported(small) == four.replace("version: 4", "version: 6")
    assert [key for key, what in await told(small) if what == "config.removed"] == ["agent:dana", "agent:noa"]
    versions = [
        event.data.version for event in await small.said("agent:dana") if isinstance(event.data, AgentConfigured | ConfigRemoved)
    ]
    assert versions == [1, 2, 3]


async def test_agents_who_are_removed_go_offline_and_lose_offers_but_no_tickets(small: House) -> None:
    mine = await small.owned("mine")
    other = await small.open("other")
    await small.offered()
    await applied(small, {"agents": [{"id": "noa", "display_name": "Noa", "team_ids": ["first"]}]})
    assert "offer.rescinded" in await small.types(other)
    shown = await small.done("rina", "GET", "/v1/agents/dana")
    assert (shown["state"], shown["version"]) == ("offline", None)
    assert (await small.done("rina", "GET", f"/v1/tickets/{mine}"))["agent_id"] == "dana"
    enrolled = [event.data.active for event in await small.said("dana") if isinstance(event.data, AgentEnrolled)]
    assert enrolled == [True, False]
    assert (await small.ask("rina", "POST", "/v1/agents/dana/state", {"state": "available"})).status_code == 404


async def test_a_document_that_is_wrong_anywhere_changes_nothing_and_each_fault_has_its_place(small: House) -> None:
    document = {
        "version": 4,
        "teams": [{"id": "second", "name": {"en": "Second"}}],
        "queues": [
            {"id": "support", "name": {"en": "s"}, "position": 5},
            {"id": "q", "name": {"en": "q"}, "position": 6, "steps": [{"after_seconds": 9, "team_ids": ["ghosts"]}]},
            {"id": "q", "name": {"en": "q"}, "position": "soon", "colour": "red"},
        ],
    }
    answer = await send(small, document)
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"body.queues[2].position", "body.queues[2].colour"}
    document["queues"][2] = {"id": "q", "name": {"en": "q"}, "position": 7}  # type: ignore[index]
    assert [error["field"] for error in (await send(small, document)).json()["errors"]] == ["body.queues[2].id"]
    document["queues"].pop()  # type: ignore[attr-defined]
    step = "body.queues[1].steps[0].team_ids"
    assert {(error["field"], error["reason"]) for error in (await send(small, document)).json()["errors"]} == {
        (step, "asks more than the step before it, or than the queue; steps only widen"),
        (step, "no such team: ghosts; make it first"),
        ("body.agents", "agent 'dana', team_ids: no such team: first; make it first"),
        ("body.agents", "agent 'noa', team_ids: no such team: first; make it first"),
    }
    assert await version(small) == 4
    assert ("queue:q", "queue.configured") not in await told(small)


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        ("queues: [", YAML, 400, "malformed-yaml"),
        ("a: &a [b]\nc: *a", YAML, 400, "malformed-yaml"),
        ("queues: []\nqueues: []", YAML, 400, "malformed-yaml"),
        ("- 1", YAML, 422, "invalid-request"),
        ("", YAML, 422, "invalid-request"),
        ('skills: [{id: x, name: {en: "a\\0b"}}]\nversion: 0', YAML, 422, "invalid-request"),
        ("{", "application/json", 400, "malformed-json"),
        ("[" * 5000 + "]" * 5000, "application/json", 400, "malformed-json"),
        ('{"rules": ' + "[" * 100 + "]" * 100 + "}", "application/json", 422, "invalid-request"),
        ("queues: []", "text/plain", 415, "unsupported-media-type"),
        ("x" * (4 * 1024 * 1024 + 1), YAML, 413, "too-large"),
    ],
)
async def test_what_is_no_document_is_refused(house: House, content: str, kind: str, status: int, code: str) -> None:
    answer = await send(house, content, Content_Type=kind, If_Match='"0"')
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_dry_run_tells_what_would_come_of_a_change_and_does_nothing(small: House) -> None:
    hebrew, english = await small.open("a", language="he"), await small.open("b")
    assert await small.matcher.once() == "done"
    rows = "SELECT count(*) FROM routing.outbox UNION ALL SELECT count(*) FROM routing.config_version"
    before = await small.rows(rows)
    queue = {"name": {"en": "h"}, "position": 1, "when": HEBREW, "required_skills": {"rare": 1}}
    answer = await put(small, "/v1/queues/hebrew", queue, dry_run=True)
    assert answer.status_code == 200, answer.text
    assert answer.json()["changes"] == [{"kind": "queue", "id": "hebrew", "what": "made"}]
    assert answer.json()["effects"]["waiting"] == 2
    narrow = {"name": {"en": "s"}, "position": 5, "team_ids": ["first"], "required_skills": {"billing": 9}}
    effects = (await put(small, "/v1/queues/support", narrow, dry_run=True)).json()["effects"]
    assert effects["unmatchable"] == {"count": 2, "ticket_ids": sorted([hebrew, english])}
    assert effects["offers_misplaced"]["count"] == 2
    assert [loss["agent_id"] for loss in effects["agents_losing"]["first"]] == ["dana", "noa"]
    assert (await put(small, "/v1/queues/support", {**narrow, "team_ids": ["ghosts"]}, dry_run=True)).status_code == 422
    assert (await put(small, "/v1/queues/support", narrow, 9, dry_run=True)).status_code == 412
    whole = await send(small, {"agents": []}, dry_run=True)
    assert (whole.status_code, whole.json()["version"]) == (200, 4), whole.text
    assert whole.json()["effects"]["unmatchable"]["count"] == 2
    assert await small.rows(rows) == before
    assert (await small.ask("operations", "GET", "/v1/queues/hebrew")).status_code == 404


async def test_what_a_dry_run_of_a_document_foretells_comes_of_it(small: House) -> None:
    await small.done("rina", "POST", "/v1/agents/dana/state", {"state": "break"})
    ticket_id = await small.open(language="he")
    queues = (await small.done("operations", "GET", "/v1/config"))["queues"]
    document = {"queues": [*queues, {"id": "hebrew", "name": {"en": "h"}, "position": 1, "when": HEBREW}]}
    move = {"ticket_id": ticket_id, "from_queue_id": "support", "to_queue_id": "hebrew"}
    foretold = (await send(small, document, dry_run=True)).json()["effects"]["moved"]
    assert foretold == {"count": 1, "first": [move]}
    await applied(small, document)
    await small.ticker.once()
    assert (await small.types(ticket_id))[-2:] == ["ticket.left_queue", "ticket.queued"]
    assert (await small.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["queue_id"] == "hebrew"


async def test_a_queue_that_is_removed_gives_its_tickets_to_the_others_and_is_kept_where_none_takes_them(small: House) -> None:
    await small.queue("last", position=9, when=HEBREW)
    await small.done("rina", "POST", "/v1/agents/dana/state", {"state": "break"})
    hebrew, english = await small.open("a", language="he"), await small.open("b")
    last = {"id": "last", "name": {"en": "last"}, "position": 9, "when": HEBREW}
    refused = await send(small, {"version": 5, "queues": [last]})
    assert (refused.status_code, refused.json()["code"]) == (409, "in-use")
    [error] = refused.json()["errors"]
    assert error == {
        "field": "body.queues",
        "reason": f"queue 'support': 1 tickets wait in it that no other queue takes, e.g. {english}",
    }
    await small.done("rina", "POST", f"/v1/tickets/{english}/assign", {"agent_id": "dana"})
    await applied(small, {"queues": [last]})
    await small.ticker.once()
    assert (await small.done("rina", "GET", f"/v1/tickets/{hebrew}"))["queue_id"] == "last"
    assert (await small.ask("rina", "GET", "/v1/queues/support")).status_code == 404
    await small.done("dana", "POST", f"/v1/tickets/{english}/release")
    assert (await small.types(english))[-1] == "action.required"
    await small.queue("support", position=5)
    await small.ticker.once()
    await until("placed", lambda: _placed(small, english, "support"))
    made = [
        event.data.version
        for event in await small.said("queue:support")
        if isinstance(event.data, QueueConfigured | ConfigRemoved)
    ]
    assert made == [1, 2, 3]


async def _placed(house: House, ticket_id: str, queue_id: str) -> bool:
    await house.ticker.once()
    return bool((await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["queue_id"] == queue_id)


async def test_a_ticket_that_comes_to_a_queue_while_it_is_removed_is_not_forgotten(small: House) -> None:
    await small.done("rina", "POST", "/v1/agents/dana/state", {"state": "break"})
    ticket_id = await small.open()
    # As if it had been placed by a transaction that read the queues before, and committed after.
    await small.rows("UPDATE routing.config SET kind = 'removed queue', version = 2 WHERE id = 'support'")
    await small.rows("INSERT INTO routing.config_history (kind, id, version, number) VALUES ('queue', 'support', 2, 5)")
    await small.ticker.once()
    assert (await small.types(ticket_id))[-2:] == ["ticket.left_queue", "action.required"]


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    """All that a process of routing does by itself."""
    tasks = [asyncio.create_task(run()) for run in (house.matcher.run, house.ticker.run, house.hub.run, house.hub.renew)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


SUPPORT: Body = {"name": {"en": "s"}, "position": 5, "team_ids": ["first"], "required_skills": {"rare": 5}}
DANA: Body = {"display_name": "Dana", "team_ids": ["first"]}


@pytest.mark.parametrize(
    ("path", "body", "if_match", "seen"),
    [
        ("/v1/queues/support", {**SUPPORT, "required_skills": {}}, 2, ["ticket.offered"]),
        ("/v1/queues/open", {"name": {"en": "o"}, "position": 1}, None, ["ticket.left_queue", "ticket.queued", "ticket.offered"]),
        ("/v1/agents/dana", {**DANA, "skills": {"rare": 5}}, 1, ["ticket.offered"]),
        ("/v1/rules/up", {"position": 1, "when": {}}, None, ["ticket.left_queue", "ticket.queued", "ticket.offered"]),
        ("/v1/config", {"queues": [{"id": "support", **SUPPORT, "required_skills": {}}]}, 6, ["ticket.offered"]),
        (
            "/v1/config",
            {"queues": [{"id": "new", "name": {"en": "n"}, "position": 9}]},
            6,
            ["ticket.left_queue", "ticket.offered"],
        ),
        ("/v1/config", {"agents": [{"id": "dana", **DANA, "skills": {"rare": 7}}]}, 6, ["ticket.offered"]),
    ],
)
async def test_a_change_is_in_force_for_who_waits_at_once_and_without_any_other_event(
    small: House, path: str, body: Body, if_match: int | None, seen: list[str]
) -> None:
    assert (await put(small, "/v1/queues/support", SUPPORT, 1)).status_code == 200
    await small.queue("second", position=99, tier=2, when={"is": "test", "field": "tags", "op": "has", "value": "none"})
    if path.endswith("/up"):
        assert (await put(small, "/v1/queues/second", {"name": {"en": "2"}, "position": 99, "tier": 2}, 1)).status_code == 200
    ticket_id = await small.open()
    await small.ticker.once()
    assert await small.matcher.once() == "nobody", "before the change there is nothing to do"
    before = len(await small.types(ticket_id))
    async with at_work(small):
        answer = await put(small, path, body, if_match)
        assert answer.status_code in (200, 201), answer.text

        async def offered() -> bool:
            return "ticket.offered" in await small.types(ticket_id)

        await until("offered", offered, 10)
    happened = (await small.types(ticket_id))[before:]
    assert [one for one in happened if one in seen] == seen
    configured = [event.data for event in await small.said() if isinstance(event.data, RoutingConfigured | ConfigRemoved)]
    assert max(fact.config_version or 0 for fact in configured) == await version(small)
    assert {fact.changed_by for fact in configured} == {"admin"}


STATE = {
    "config": "SELECT kind, id, version, CAST(data AS text) FROM routing.config",
    "history": "SELECT kind, id, version, number, CAST(data AS text) FROM routing.config_history",
    "versions": "SELECT number, at, changed_by FROM routing.config_version",
    "agents": "SELECT agent_id, CAST(profile AS text), state FROM routing.agent",
    "abilities": "SELECT ability, agent_id FROM routing.ability",
    "seats": "SELECT agent_id, team_id FROM routing.seat",
}


async def state(house: House) -> dict[str, set[tuple[object, ...]]]:
    return {name: {tuple(row) for row in await house.rows(query)} for name, query in STATE.items()}


async def read_back(house: House, reading: AnyProjection, said: list[Event[Fact]]) -> None:
    """As a restored service reads what it said."""
    async with db.transaction(house.parts.engine) as conn:
        loaded = await reading.load(conn, said)
        states = dict(loaded.states)
        for event in said:
            states[event.key], _ = reading.handlers[type(event.data)](loaded.context, states[event.key], event, event.time)
        await reading.save(conn, states, await clock(conn))


async def test_after_a_restore_the_configuration_is_there_with_all_its_versions(small: House) -> None:
    await applied(small, {"rules": [{"id": "up", "position": 1, "when": {}}], "skills": [{"id": "x", "name": {"en": "X"}}]})
    await applied(small, {"rules": [], "agents": [{"id": "dana", **DANA, "skills": {"rare": 7}, "signature": {"en": "Dana"}}]})
    await applied(small, {"rules": [{"id": "up", "position": 2, "when": HEBREW}]})
    before, log = await state(small), await small.said()
    tables = ("config", "config_history", "config_version", "agent", "ability", "seat")
    for _ in range(2):  # killed in the middle it reads all of it again
        await small.rows(f"TRUNCATE {', '.join(f'routing.{table}' for table in tables)}")
        for reading in (ConfigurationRecalled(), AgentsRecalled(), ConfigurationRecalled()):
            said = [event for event in log if type(event.data) in reading.topic.facts and type(event.data) in reading.handlers]
            assert said
            await read_back(small, reading, said)
        assert await state(small) == before
    assert {CONFIG, AGENTS} == {ConfigurationRecalled.topic, AgentsRecalled.topic}


async def test_what_was_said_before_changes_had_numbers_is_of_the_first_version_with_agents_as_they_are(small: House) -> None:
    before = await exported(small)
    log = [without_number(event) for event in await small.said() if isinstance(event.data, RoutingConfigured)]
    await small.rows("TRUNCATE routing.config, routing.config_history, routing.config_version")
    await read_back(small, ConfigurationRecalled(), log)
    async with db.transaction(small.parts.engine) as conn:
        await configuration.fill_in_abilities(conn)
    assert await exported(small) == before.replace("version: 4", "version: 1")


def without_number(event: Event[Any]) -> Event[Fact]:
    bare: Body = {"config_version": None, "changed_by": None}
    if isinstance(event.data, AgentConfigured):
        bare["abilities"] = None
    return replace(event, data=msgspec.structs.replace(event.data, **bare))


async def test_of_two_who_read_the_queues_at_once_each_has_those_of_its_version(house: House) -> None:
    await house.queue("a")
    async with db.transaction(house.parts.engine) as before:
        await db.fetch(before, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await db.fetch(before, "SELECT 1 FROM routing.config")
        await house.queue("b")
        async with db.transaction(house.parts.engine) as after:
            for _ in range(10):
                shelf = QueueShelf()
                newer, older = await asyncio.gather(shelf.of(after, 2), shelf.of(before, 1))
                assert ([queue.id for queue in newer], [queue.id for queue in older]) == (["a", "b"], ["a"])
