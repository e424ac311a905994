"""The API's promises: who may what, versions, idempotency, problems with a code."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from shared.events.base import Channel
from shared.events.config import InboxConfigured
from shared.events.message import ReplyRequested
from shared.events.people import CustomerErased, CustomerProfileChanged, CustomerReachabilityChanged, Unreachable
from tests.services.routing.conftest import CUSTOMER, House

pytestmark = pytest.mark.timeout(60)


async def test_an_edit_needs_the_version_that_it_edits(house: House) -> None:
    body = {"name": {"en": "Support"}, "position": 1}
    made = await house.ask("admin", "PUT", "/v1/queues/support", body)
    assert (made.status_code, made.headers["etag"], made.json()["version"]) == (201, '"1"', 1)
    assert (await house.ask("admin", "PUT", "/v1/queues/support", body)).status_code == 428
    assert (await house.ask("admin", "PUT", "/v1/queues/support", body, {"If-Match": '"7"'})).status_code == 412
    edited = await house.ask("admin", "PUT", "/v1/queues/support", {**body, "position": 5}, {"If-Match": '"1"'})
    assert (edited.status_code, edited.headers["etag"]) == (200, '"2"')
    read = await house.ask("operations", "GET", "/v1/queues/support")
    assert (read.json()["position"], read.headers["etag"]) == (5, '"2"')
    assert [event.data.version for event in await house.said("queue:support")] == [1, 2]  # type: ignore[attr-defined]


async def test_two_who_make_the_same_thing_at_once_make_it_once(house: House) -> None:
    answers = await asyncio.gather(*(house.ask("admin", "PUT", "/v1/teams/first", {"name": {"en": str(n)}}) for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 428, 428, 428, 428]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/queues/q", {"name": {"en": "q"}}, "body.position"),
        ("/v1/queues/q", {"name": {"en": "q"}, "position": 1, "colour": "red"}, "body.colour"),
        (
            "/v1/queues/q",
            {"name": {"en": "q"}, "position": 1, "when": {"is": "test", "field": "x", "op": "equals", "value": 1}},
            "body.when.field",
        ),
        ("/v1/queues/q", {"name": {"en": "q"}, "position": 1, "when": {"is": "all", "of": [{"is": "no"}]}}, "body.when.of[0].is"),
        ("/v1/queues/q", {"name": {"en": "q"}, "position": 1, "team_ids": ["ghosts"]}, "body.team_ids"),
        (
            "/v1/queues/q",
            {"name": {"en": "q"}, "position": 1, "steps": [{"after_seconds": 5, "required_skills": {"billing": 1}}]},
            "body.steps[0].required_skills.billing",
        ),
        ("/v1/queues/q", {"name": {"en": "q"}, "position": 1, "strategy": "at_random"}, "body.strategy"),
        ("/v1/agents/dana", {"display_name": "Dana", "skills": {"billing": 11}}, "body.skills.billing"),
        ("/v1/agents/da na", {"display_name": "Dana"}, "path.config_id"),
        ("/v1/teams/first", {"name": {"en": "x"}, "effective_from": "2999-01-01T00:00:00Z"}, "body.effective_from"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(house: House, path: str, body: object, field: str) -> None:
    answer = await house.ask("admin", "PUT", path, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid-request")
    assert field in [error["field"] for error in problem["errors"]]


async def test_everybody_may_only_what_is_theirs(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.agent("noa")
    ticket_id = await house.owned()
    refused = {
        ("dana", "PUT", "/v1/queues/other"): 403,
        ("dana", "GET", "/v1/queues"): 403,
        ("dana", "POST", "/v1/agents/noa/state"): 403,
        ("dana", "GET", "/v1/agents/noa/offers"): 403,
        ("dana", "GET", "/v1/agents/noa/stream"): 403,
        ("operations", "POST", f"/v1/tickets/{ticket_id}/reply"): 403,
        ("operations", "GET", f"/v1/tickets/{ticket_id}"): 403,
    }
    bodies = {"reply": {"text": "x"}, "state": {"state": "break"}, "other": {"name": {"en": "o"}, "position": 1}}
    for (role, method, path), status in refused.items():
        answer = await house.ask(role, method, path, bodies.get(path.rsplit("/", 1)[1]))
        assert (answer.status_code, answer.json()["code"]) == (status, "forbidden"), (role, path)
    nobody = await house.ask("dana", "GET", "/v1/agents/dana", headers={"Authorization": "Bearer pb_no"})
    assert nobody.status_code == 401


async def test_who_does_not_hold_a_ticket_is_told_who_does(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    await house.agent("noa")
    ticket_id = await house.owned()
    answer = await house.ask("noa", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "me too"})
    assert (answer.status_code, answer.json()["code"], answer.json()["held_by"]) == (409, "not-yours", "dana")
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})
    again = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/pend")
    assert (again.status_code, again.json()["code"], again.json()["ticket_status"]) == (409, "wrong-status", "resolved")


async def test_of_two_who_answer_at_once_with_one_key_one_message_goes_out(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    path, key = f"/v1/tickets/{ticket_id}/reply", {"Idempotency-Key": "once"}
    answers = await asyncio.gather(*(house.ask("dana", "POST", path, {"text": "hello"}, key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert (await house.types(ticket_id)).count("reply.requested") == 1
    other = await house.ask("dana", "POST", path, {"text": "something else"}, key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_a_text_that_cannot_be_sent_whole_is_a_problem_and_not_a_cut_message(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    answer = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "ש" * 10_000})
    assert (answer.status_code, answer.json()["code"]) == (422, "text-too-long")


async def test_queues_tell_how_many_wait_and_how_long_and_who_could_come(house: House) -> None:
    await house.done("admin", "PUT", "/v1/teams/first", {"name": {"en": "First"}})
    await house.queue("support", team_ids=["first"])
    await house.queue("other", position=2)
    await house.agent("dana", team_ids=["first"])
    await house.agent("noa")
    await house.open("a")
    await house.open("b")
    listed = await house.done("operations", "GET", "/v1/queues?limit=1")
    assert [item["id"] for item in listed["items"]] == ["other"]
    rest = await house.done("operations", "GET", f"/v1/queues?limit=5&cursor={listed['next_cursor']}")
    now = rest["items"][0]["now"]
    assert (now["waiting"], now["offered"], now["available_agents"]) == (2, 0, 1)
    assert now["oldest_wait_seconds"] > 0
    assert listed["items"][0]["now"]["available_agents"] == 2


async def test_agents_are_listed_by_state_and_team(house: House) -> None:
    await house.done("admin", "PUT", "/v1/teams/first", {"name": {"en": "First"}})
    await house.agent("dana", team_ids=["first"])
    await house.agent("noa", team_ids=["first"], available=False)
    await house.agent("omar")
    for query, expected in (
        ("", ["dana", "noa", "omar"]),
        ("?state=available", ["dana", "omar"]),
        ("?team_id=first", ["dana", "noa"]),
        ("?team_id=first&state=offline", ["noa"]),
        ("?team_id=nobody", []),
    ):
        listed = (await house.done("operations", "GET", f"/v1/agents{query}"))["items"]
        assert [agent["id"] for agent in listed] == expected, query
    answer = await house.ask("operations", "GET", "/v1/agents?state=asleep")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.state")


async def test_a_queue_counts_those_who_work_for_whoever_serves_it(house: House) -> None:
    await house.queue("ours")
    await house.queue("theirs", position=2, partner_id="north")
    for agent_id, partner_id in (("dana", None), ("noa", None), ("ned", "north")):
        await house.agent(agent_id, partner_id=partner_id)
    listed = (await house.done("operations", "GET", "/v1/queues"))["items"]
    assert {item["id"]: item["now"]["available_agents"] for item in listed} == {"ours": 2, "theirs": 1}


async def test_agents_see_their_tickets_page_by_page(house: House) -> None:
    await house.queue(auto_accept=True)
    await house.agent()
    opened = {await house.open(f"t{n}") for n in range(3)}
    await house.matcher.once()
    first = await house.done("dana", "GET", "/v1/agents/dana/tickets?limit=2")
    second = await house.done("dana", "GET", f"/v1/agents/dana/tickets?limit=2&cursor={first['next_cursor']}")
    assert {item["ticket_id"] for item in first["items"] + second["items"]} == opened
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("command", "field"), [("resolve", "code"), ("hold", "third_party"), ("reopen", "reason"), ("note", "mentions")]
)
async def test_what_stands_on_the_log_in_clear_takes_no_words_about_a_customer(house: House, command: str, field: str) -> None:
    words = "Ruth Levi, 050-1234567"
    body = {"text": "see there", field: [words]} if field == "mentions" else {field: words}
    refused = await house.ask("rina", "POST", f"/v1/tickets/any/{command}", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    assert refused.json()["errors"][0]["field"].startswith(f"body.{field}")
    assert words not in refused.text


FILE = {"id": "f-1", "media_type": "application/pdf", "size_bytes": 5, "sha256": "a" * 64, "name": "receipt.pdf"}


async def test_an_answer_names_its_channel_copies_and_files_and_bears_the_signature_of_its_language(house: House) -> None:
    await house.queue(signature={"he": "צוות ההזמנות", "en": "The orders team"})
    await house.agent()
    ticket_id = await house.owned()
    path, body = f"/v1/tickets/{ticket_id}/reply", {"text": "Here.", "attachments": [FILE], "cc_customer_ids": ["c-2"]}
    await house.done("dana", "POST", path, {**body, "channel": "chat", "language": "en-GB"})
    await house.signs(en="Dana")
    await house.done("dana", "POST", path, {**body, "language": "en"})
    await house.done("dana", "POST", path, {**body, "language": "fr"})
    first = next(event.data for event in await house.said(ticket_id) if isinstance(event.data, ReplyRequested))
    assert (first.channel, first.cc_customer_ids, [file.id for file in first.attachments]) == ("chat", ("c-2",), ["f-1"])
    assert await house.signatures(ticket_id) == ["The orders team", "Dana", ""]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"channel": "phone"}, "body.channel"),
        ({"channel": "review"}, "body.channel"),
        ({"attachments": [{**FILE, "name": "a\r\nBcc: x"}]}, "body.attachments[0].name"),
        ({"attachments": [{**FILE, "media_type": "text/html\r\nX: y"}]}, "body.attachments[0].media_type"),
        ({"attachments": [{**FILE, "size_bytes": 10 * 2**20}] * 2}, "body.attachments"),
        ({"attachments": [FILE] * 21}, "body.attachments"),
        ({"subject": "a\nBcc: x"}, "body.subject"),
        ({"cc_customer_ids": ["a b"]}, "body.cc_customer_ids[0]"),
    ],
)
async def test_an_answer_that_could_not_go_out_is_refused_at_once(house: House, more: dict[str, object], field: str) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    refused = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "Here.", **more})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def configured(house: House, **inbox: object) -> None:
    """Intake says how the inbox of the tickets is set up."""
    told = {"id": "help", "version": 1, "effective_from": "2026-01-01T00:00:00Z", "address": "help", **inbox}
    await house.hear("inbox:help", msgspec.convert(told, InboxConfigured))


@pytest.mark.parametrize(
    ("inbox", "more", "status", "code", "field"),
    [
        ({"channel": "sms"}, {"channel": "sms", "attachments": [FILE]}, 422, "attachments-not-possible", "body.attachments"),
        ({"channel": "sms"}, {"channel": "sms", "text": "x" * 1601}, 422, "text-too-long", "body.text"),
        ({"channel": "email"}, {"channel": "sms"}, 409, "no-number", None),
        ({"channel": "chat"}, {"channel": "chat"}, 409, "channel-cannot-send", None),
    ],
)
async def test_an_answer_that_its_channel_cannot_carry_is_refused_and_leaves_no_trace(
    house: House, inbox: dict[str, object], more: dict[str, object], status: int, code: str, field: str | None
) -> None:
    await configured(house, **inbox)
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    path = f"/v1/tickets/{ticket_id}/reply"
    refused = await house.ask("dana", "POST", path, {"text": "Here.", **more}, {"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert [error["field"] for error in refused.json().get("errors", [])] == ([field] if field else [])
    assert "reply.requested" not in await house.types(ticket_id)
    await configured(house, **{**inbox, "version": 2, "channel": more["channel"], "webhook": "https://connector.example/in"})
    await house.done("dana", "POST", path, {"text": "Here.", **more})


async def test_an_answer_to_somebody_who_was_erased_is_refused(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    await house.hear(CUSTOMER, CustomerErased(customer_ids=(CUSTOMER,), requested_by="admin"))
    refused = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "Here."})
    assert (refused.status_code, refused.json()["code"]) == (409, "erased")
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})


@pytest.mark.parametrize(("channel", "told", "reason"), [("email", "email", "address-returned"), ("sms", "sms", "opted-out")])
async def test_an_answer_to_somebody_who_cannot_be_written_to_is_refused_until_they_can(
    house: House, channel: Channel, told: Channel, reason: Unreachable
) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    path, answer = f"/v1/tickets/{ticket_id}/reply", {"text": "Here.", "channel": channel}
    await house.hear(CUSTOMER, CustomerReachabilityChanged(channel=told, reachable=False, reason=reason))
    await house.hear(CUSTOMER, CustomerReachabilityChanged(channel="whatsapp", reachable=False, reason="opted-out"))
    refused = await house.ask("dana", "POST", path, answer)
    assert (refused.status_code, refused.json()["code"]) == (409, reason)
    assert refused.json()["detail"].startswith("This cannot go out: ")
    assert "reply.requested" not in await house.types(ticket_id)
    await house.hear(CUSTOMER, CustomerProfileChanged(plan="gold"))
    assert (await house.ask("dana", "POST", path, answer)).json()["code"] == reason, "what else is heard changes nothing"
    await house.hear(CUSTOMER, CustomerReachabilityChanged(channel=told, reachable=True))
    await house.done("dana", "POST", path, answer)
    assert (await house.ask("dana", "POST", path, {**answer, "channel": "whatsapp"})).json()["code"] == "opted-out"
