"""A partner sees its own queues, teams, agents, tickets, files, customers, promises and figures, and of others nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared import auth, db
from shared.events.message import MessageReceived
from tests.services.access.doors import DOORS
from tests.services.access.four import Four, four_services
from tests.services.access.test_doors import routes_of

pytestmark = pytest.mark.timeout(120)
BODIES: dict[str, object] = {
    "reply_to_ticket": {"text": "Good day"},
    "note_on_ticket": {"text": "for us"},
    "resolve_ticket": {},
    "hold_ticket": {},
    "reopen_ticket": {},
    "edit_ticket": {"priority": 3},
    "attend_ticket": {"doing": "viewing"},
    "put_draft": {"text": "Good"},
    "change_agent_state": {"state": "available"},
    "decline_offer": {},
}

POLICY = {
    "name": "Standard",
    "position": 1,
    "targets": [{"kind": "first_response", "seconds": dict.fromkeys("1234", 3600), "hours": "calendar"}],
}


class Partners:
    """Two partners, each with a queue, a team, an agent, and a ticket that this agent has. `own` is north's, `other` south's."""

    def __init__(self, four: Four) -> None:
        self.four = four
        self.own: dict[str, str] = {}
        self.other: dict[str, str] = {}

    async def settle(self, partner: str, agent: str) -> dict[str, str]:
        four = self.four
        await four.done("admin", "intake", "PUT", f"/v1/inboxes/{partner}", _inbox(partner))
        await four.world.intake.inboxes.refresh()
        await four.done("admin", "routing", "PUT", f"/v1/teams/{partner}", {"name": {"en": partner}, "partner_id": partner})
        when = {"is": "test", "field": "inbox", "op": "equals", "value": partner}
        queue = {"name": {"en": partner}, "position": 1, "partner_id": partner, "when": when}
        await four.done("admin", "routing", "PUT", f"/v1/queues/{partner}", queue)
        theirs = {"display_name": agent, "partner_id": partner, "team_ids": [partner]}
        await four.done("admin", "routing", "PUT", f"/v1/agents/{agent}", theirs)
        canned = {"name": {"en": partner}, "texts": {"en": "Good day"}, "team_ids": [partner]}
        await four.done("supervisor", "routing", "PUT", f"/v1/canned-responses/{partner}", canned)
        await four.done("supervisor", "routing", "POST", f"/v1/agents/{agent}/state", {"state": "available"})
        contact = {
            "channel": "chat",
            "inbox": partner,
            "handle": {"kind": "visitor", "value": f"visitor of {partner}"},
            "text": "Where is it?",
            "attachments": [{"name": "a.txt", "media_type": "text/plain", "content": "aGVsbG8="}],
        }
        placed = (await four.done("channels", "intake", "POST", "/v1/contacts", contact)).json()
        order = {"kind": "order", "status": "paid"}
        await four.done("admin", "intake", "PUT", f"/v1/customers/{placed['customer_id']}/orders/o-1", order)
        await four.hand_round()
        await four.house.matcher.once()
        [offer] = (await four.done("supervisor", "routing", "GET", f"/v1/agents/{agent}/offers")).json()["items"]
        [received] = [event.data for event in await four.world.events(MessageReceived) if event.key == placed["ticket_id"]]
        return {
            "ticket_id": placed["ticket_id"],
            "message_id": placed["message_id"],
            "ref": placed["customer_id"],
            "attachment_id": received.attachments[0].id,
            "agent_id": agent,
            "config_id": partner,
            "offer_id": offer["offer_id"],
            "order_id": "o-1",
            "kind": "reply",
        }


def _inbox(partner: str) -> dict[str, object]:
    return {"channel": "chat", "address": partner, "partner_id": partner}


@pytest_asyncio.fixture(scope="module")
async def partners(module_database: str) -> AsyncIterator[Partners]:
    async with four_services(module_database) as four:
        made = Partners(four)
        await four.done("admin", "sla", "PUT", "/v1/policies/standard", POLICY)
        made.own = await made.settle("north", "ned")
        made.other = await made.settle("south", "sam")
        await four.done("partner agent", "routing", "POST", f"/v1/offers/{made.own['offer_id']}/accept")
        await four.hand_round()
        path = f"/v1/tickets/{made.own['ticket_id']}/drafts/reply"
        await four.done("partner agent", "routing", "PUT", path, {"text": "Good"})
        yield made


def filled(path: str, ids: dict[str, str]) -> str:
    """The path with these ids. Raises KeyError for an id of a kind that no partner has: say in `Partners` whose it is."""
    return path.format_map(ids)


def operations() -> list[tuple[str, str, str, str, str]]:
    """Role, service, operation, method and path of all that partners may call about one thing."""
    roles = ("partner", "partner agent")
    return [
        (role, service, route.id, route.method, route.template)
        for service, doors in DOORS.items()
        for route in routes_of(service)
        for role in roles
        if role in doors[route.id] and "{" in route.template and route.id not in ("get_metric", "stream_agent")
    ]


async def test_of_another_partner_s_there_is_nothing_to_see_and_nothing_to_do(partners: Partners) -> None:
    nothing = {**dict.fromkeys(partners.own, "nothing"), "kind": "reply"}
    wrong = []
    for role, service, operation, method, template in operations():
        body = BODIES.get(operation)
        about_others = await partners.four.ask(role, service, method, filled(template, partners.other), body)
        about_nothing = await partners.four.ask(role, service, method, filled(template, nothing), body)
        seen, unseen = (_told(answer.json(), answer.status_code) for answer in (about_others, about_nothing))
        if seen != unseen or about_others.status_code not in (403, 404):
            wrong.append(f"{role} {operation}: {seen}, and where there is nothing: {unseen}")
    assert wrong == []


def _told(problem: dict[str, object], status: int) -> tuple[object, ...]:
    """What an answer tells, but for the id that was asked for."""
    return status, problem.get("code"), tuple(sorted(problem.keys()))


async def test_what_is_a_partner_s_own_it_sees(partners: Partners) -> None:
    seen = {}
    for role, service, operation, method, template in operations():
        if method == "GET":
            answer = await partners.four.ask(role, service, method, filled(template, partners.own))
            seen[role, operation] = answer.status_code
    # Mail has HTML, a chat has none.
    assert {one: status for one, status in seen.items() if status != 200} == {
        ("partner", "get_message_html"): 404,
        ("partner agent", "get_message_html"): 404,
    }


async def test_a_partner_s_lists_hold_what_is_its_own(partners: Partners) -> None:
    listed = {}
    for kind in ("queues", "teams", "agents"):
        answer = await partners.four.done("partner", "routing", "GET", f"/v1/{kind}")
        listed[kind] = [item["id"] for item in answer.json()["items"]]
    assert listed == {"queues": ["north"], "teams": ["north"], "agents": ["ned"]}
    tickets = (await partners.four.done("partner", "routing", "GET", "/v1/agents/ned/tickets")).json()["items"]
    assert [ticket["ticket_id"] for ticket in tickets] == [partners.own["ticket_id"]]


async def test_an_agent_of_a_partner_is_one_whichever_scopes_the_key_has(partners: Partners) -> None:
    four = partners.four
    four.keys["sam"] = await _key(four, "sam", ("agent:sam",))
    me = (await four.done("sam", "routing", "GET", "/v1/me")).json()
    assert (me["agent_id"], me["partner_id"], me["scopes"]) == ("sam", "south", ["agent:sam"])
    assert (await four.ask("sam", "intake", "GET", f"/v1/customers/{partners.own['ref']}")).status_code == 404
    assert (await four.ask("sam", "intake", "GET", f"/v1/customers/{partners.other['ref']}")).status_code == 200
    assert (await four.ask("sam", "routing", "POST", "/v1/tickets", {"customer_id": partners.other["ref"]})).status_code == 403


async def _key(four: Four, key_id: str, scopes: tuple[str, ...]) -> str:
    async with db.transaction(four.house.parts.engine) as conn:
        return await auth.create_key(conn, key_id, key_id, scopes)


async def test_a_partner_is_told_its_own_figures(partners: Partners) -> None:
    four = partners.four
    ours = (await four.done("operations", "metrics", "GET", "/v1/metrics/ticket_volume")).json()["points"]
    theirs = (await four.done("partner", "metrics", "GET", "/v1/metrics/ticket_volume")).json()["points"]
    assert (ours[0]["count"], theirs[0]["count"]) == (2, 1)
    assert (await four.ask("partner", "metrics", "GET", "/v1/metrics/ticket_volume?partner=south")).status_code == 403
    known = (await four.done("partner", "metrics", "GET", "/v1/metrics")).json()["metrics"]
    assert known
    assert all("partner" in one["dimensions"] for one in known)


async def test_a_partner_is_told_of_its_own_promises_however_long_the_page(partners: Partners) -> None:
    path = "/v1/sla/at-risk?within_seconds=86400"
    everybody_s = (await partners.four.done("operations", "sla", "GET", path)).json()["items"]
    assert {item["partner_id"] for item in everybody_s} == {"north", "south"}
    for limit in (1, 50):
        page = (await partners.four.done("partner", "sla", "GET", f"{path}&limit={limit}")).json()
        assert [item["ticket_id"] for item in page["items"]] == [partners.own["ticket_id"]]
        assert page["next_cursor"] is None
    assert (await partners.four.done("partner", "sla", "GET", "/v1/sla/breaches")).json()["items"] == []


async def test_what_is_in_quarantine_of_others_a_partner_does_not_see(partners: Partners) -> None:
    four = partners.four
    handle = {"kind": "visitor", "value": "a robot"}
    contact = {"channel": "chat", "inbox": "south", "handle": handle, "text": "Buy now"}
    ticket_id = (await four.done("channels", "intake", "POST", "/v1/contacts", contact)).json()["ticket_id"]
    await four.hand_round()
    await four.done("supervisor", "routing", "POST", f"/v1/tickets/{ticket_id}/spam")
    path = "/v1/tickets?attention=spam"
    assert [one["ticket_id"] for one in (await four.done("supervisor", "routing", "GET", path)).json()["items"]] == [ticket_id]
    assert (await four.done("partner", "routing", "GET", path)).json() == {"items": [], "next_cursor": None}
