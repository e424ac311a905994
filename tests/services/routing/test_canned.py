"""Canned responses: made by supervisors, found by the agents of their teams, filled in with what is known of a ticket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.routing.recalling import ConfigurationRecalled
from shared import db
from shared.clock import clock
from shared.events.config import CannedResponseConfigured, ConfigRemoved
from shared.events.message import ReplyRequested
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)
REFUND = {
    "name": {"en": "Refund", "he": "החזר כספי"},
    "texts": {
        "en": "Hello {{customer.name}}, order {{field.order}} is refunded. {{agent.name}}, {{queue.name}}",
        "he": "שלום {{customer.name}}, הזמנה {{field.order}} זוכתה. פנייה #{{ticket.number}}",
    },
    "shortcut": "/refund",
}


async def made(house: House, config_id: str = "refund", **changes: object) -> dict[str, Any]:
    """A supervisor makes one."""
    return await house.done("rina", "PUT", f"/v1/canned-responses/{config_id}", {**REFUND, **changes})


async def listed(house: House, role: str = "dana", **query: str) -> list[str]:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    page = await house.done(role, "GET", f"/v1/canned-responses?{asked}")
    return [one["id"] for one in page["items"]]


async def at_work(house: House) -> str:
    """A ticket that dana has."""
    await house.queue()
    await house.agent()
    return await house.owned()


async def test_a_response_is_made_changed_and_removed_and_each_is_said_on_the_log(house: House) -> None:
    first = await house.ask("rina", "PUT", "/v1/canned-responses/refund", REFUND)
    assert (first.status_code, first.headers["etag"]) == (201, '"1"')
    again = {**REFUND, "shortcut": "/Money"}
    assert (await house.ask("rina", "PUT", "/v1/canned-responses/refund", again)).status_code == 428
    changed = await house.ask("admin", "PUT", "/v1/canned-responses/refund", again, {"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["shortcut"]) == (200, "/money")
    assert (await house.ask("rina", "GET", "/v1/canned-responses/refund")).headers["etag"] == '"2"'
    assert (await house.ask("rina", "DELETE", "/v1/canned-responses/refund", None, {"If-Match": '"1"'})).status_code == 412
    assert (await house.ask("rina", "DELETE", "/v1/canned-responses/refund", None, {"If-Match": '"2"'})).status_code == 204
    for method in ("GET", "DELETE"):
        gone = await house.ask("rina", method, "/v1/canned-responses/refund", None, {"If-Match": '"3"'})
        assert (gone.status_code, gone.json()["code"]) == (404, "canned-response-not-found")
    assert await listed(house, "rina") == []
    assert (await made(house))["version"] == 4, "a removal is a version too"
    said = [event.data for event in await house.said("canned_response:refund")]
    kinds = [type(fact) for fact in said]
    assert kinds == [CannedResponseConfigured, CannedResponseConfigured, ConfigRemoved, CannedResponseConfigured]
    assert [fact.version for fact in said] == [1, 2, 3, 4]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        (
            {"texts": {"en": "Hi", "he": "שלום {{customer.nme}}"}},
            "body.texts.he",
            "at character 6: unknown variable 'customer.nme'",
        ),
        ({"texts": {"en": "Hello {{customer.name"}}, "body.texts.en", "at character 7"),
        ({"texts": {"en": "x" * 16_385}}, "body.texts.en", "16384"),
        ({"texts": {}}, "body.texts", ""),
        ({"texts": {"EN_us": "x"}}, "body.texts.EN_us", ""),
        ({"shortcut": "refund"}, "body.shortcut", ""),
        ({"shortcut": "/two words"}, "body.shortcut", ""),
        ({"team_ids": ["ghosts"]}, "body.team_ids", "no such team"),
        ({"colour": "red"}, "body.colour", ""),
    ],
)
async def test_what_could_not_be_filled_in_or_found_is_refused_with_its_place(
    house: House, changes: dict[str, object], field: str, reason: str
) -> None:
    answer = await house.ask("rina", "PUT", "/v1/canned-responses/refund", {**REFUND, **changes})
    assert answer.status_code == 422
    assert any(error["field"].startswith(field) and reason in error["reason"] for error in answer.json()["errors"]), answer.text


async def test_agents_find_those_of_their_teams_in_the_language_nearest_to_what_they_ask(house: House) -> None:
    for team in ("first", "second"):
        await house.done("admin", "PUT", f"/v1/teams/{team}", {"name": {"en": team}})
    await house.agent(team_ids=["first"])
    await made(house, "all", shortcut=None)
    await made(house, "ours", team_ids=["first", "second"])
    await made(house, "theirs", team_ids=["second"], shortcut=None)
    assert (await listed(house), await listed(house, "rina")) == (["all", "ours"], ["all", "ours", "theirs"])
    assert (await house.ask("dana", "GET", "/v1/canned-responses/theirs")).status_code == 404
    assert (await house.done("dana", "GET", "/v1/canned-responses/ours"))["texts"] == REFUND["texts"]
    assert await listed(house, shortcut="/ref") == ["ours"]
    assert await listed(house, q="REFUNDED order") == ["all", "ours"]
    assert await listed(house, q="החזר", language="he") == ["all", "ours"]
    assert await listed(house, q="nothing of it") == []
    [in_hebrew] = (await house.done("dana", "GET", "/v1/canned-responses?language=he-IL&shortcut=/refund"))["items"]
    assert (in_hebrew["language"], in_hebrew["direction"], in_hebrew["name"]) == ("he", "rtl", "החזר כספי")
    [in_english] = (await house.done("dana", "GET", "/v1/canned-responses?language=ro&shortcut=/refund"))["items"]
    assert (in_english["language"], in_english["languages"]) == ("en", ["en", "he"])
    first = await house.done("dana", "GET", "/v1/canned-responses?limit=1")
    assert (first["next_cursor"], await listed(house, cursor=first["next_cursor"])) == ("all", ["ours"])


async def test_two_responses_for_some_of_the_same_agents_have_no_shortcut_in_common(house: House) -> None:
    for team in ("first", "second"):
        await house.done("admin", "PUT", f"/v1/teams/{team}", {"name": {"en": team}})
    await made(house, "one", team_ids=["first"])
    await made(house, "two", team_ids=["second"])
    for teams in ([], ["first", "second"]):
        taken = await house.ask("rina", "PUT", "/v1/canned-responses/three", {**REFUND, "team_ids": teams, "shortcut": "/REFUND"})
        assert (taken.status_code, taken.json()["errors"][0]["field"]) == (422, "body.shortcut")
    asked = [house.ask("rina", "PUT", f"/v1/canned-responses/r{n}", {**REFUND, "shortcut": "/new"}) for n in range(4)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [201, 422, 422, 422]


async def test_a_response_is_filled_in_with_what_is_known_and_says_what_is_not(house: House) -> None:
    ticket_id = await at_work(house)
    await made(house)
    path = f"/v1/tickets/{ticket_id}/canned-responses/refund"
    blank = await house.done("dana", "GET", path)
    assert blank["text"] == "Hello Ruth, order {{field.order}} is refunded. Dana, support"
    assert blank["missing"] == [{"variable": "field.order", "at": 19}]
    await house.edit("dana", ticket_id, fields={"order": "A-1"})
    filled = await house.done("dana", "GET", path)
    assert (filled["text"], filled["missing"]) == ("Hello Ruth, order A-1 is refunded. Dana, support", [])
    assert (filled["language"], filled["direction"], filled["version"]) == ("en", "ltr", 1)
    hebrew = await house.done("dana", "GET", f"{path}?language=he")
    assert hebrew["text"] == "שלום \u2068Ruth\u2069, הזמנה \u2068A-1\u2069 זוכתה. פנייה #100000"
    assert hebrew["direction"] == "rtl"
    by_supervisor = await house.done("rina", "GET", path)
    assert [one["variable"] for one in by_supervisor["missing"]] == ["agent.name"]
    assert (await house.ask("noa", "GET", path)).status_code == 403
    assert (await house.ask("dana", "GET", f"/v1/tickets/{ticket_id}/canned-responses/nothing")).status_code == 404


async def test_what_a_customer_or_an_agent_wrote_is_no_template(house: House) -> None:
    ticket_id = await at_work(house)
    await made(house, texts={"en": "{{ticket.subject}}|{{customer.name}}"}, shortcut=None)
    await house.edit("dana", ticket_id, subject="{{agent.name}} <b>{{ticket.number}}</b>")
    filled = await house.done("dana", "GET", f"/v1/tickets/{ticket_id}/canned-responses/refund")
    assert (filled["text"], filled["missing"]) == ("{{agent.name}} <b>{{ticket.number}}</b>|Ruth", [])


async def test_a_reply_names_the_response_it_was_made_of_and_goes_out_without_places_left_in_it(house: House) -> None:
    ticket_id = await at_work(house)
    await made(house)
    path = f"/v1/tickets/{ticket_id}/reply"
    left = await house.ask("dana", "POST", path, {"text": "Hello {{customer.name}}", "canned_response_id": "refund"})
    assert (left.status_code, left.json()["code"]) == (422, "placeholder-left")
    assert left.json()["errors"][0]["reason"] == "still has '{{customer.name}}' at character 7"
    unknown = await house.ask("dana", "POST", path, {"text": "Hello", "canned_response_id": "ghost"})
    assert unknown.json()["errors"][0]["field"] == "body.canned_response_id"
    await house.done("dana", "POST", path, {"text": "Hello Ruth", "canned_response_id": "refund"})
    await house.done("dana", "POST", path, {"text": "I quote {{customer.name}}"})
    named = [event.data.template_id for event in await house.said(ticket_id) if isinstance(event.data, ReplyRequested)]
    assert named == ["refund", None]


async def test_after_a_restore_responses_are_as_the_log_has_them(house: House) -> None:
    await made(house, "kept")
    await made(house, "changed", shortcut="/old")
    changed = {**REFUND, "shortcut": "/new"}
    await house.ask("rina", "PUT", "/v1/canned-responses/changed", changed, {"If-Match": '"1"'})
    await made(house, "gone", shortcut=None)
    await house.ask("rina", "DELETE", "/v1/canned-responses/gone", None, {"If-Match": '"1"'})
    statement = "SELECT kind, id, version, data FROM routing.config WHERE kind LIKE '%canned_response' ORDER BY id"
    before = await house.rows(statement)
    log = [event for event in await house.said() if event.key.startswith("canned_response:")]
    await house.rows("DELETE FROM routing.config")
    reading = ConfigurationRecalled()
    async with db.transaction(house.parts.engine) as conn:
        loaded = await reading.load(conn, log)
        states = dict(loaded.states)
        for event in log:
            states[event.key], _ = reading.handlers[type(event.data)](None, states[event.key], event, event.time)
        await reading.save(conn, states, await clock(conn))
    assert await house.rows(statement) == before
    assert await listed(house, "rina") == ["changed", "kept"]
