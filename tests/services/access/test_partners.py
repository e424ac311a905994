"""A partner sees its own queues, teams, agents, tickets, files, customers, promises and figures, and of others nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared import auth, db
from shared.events.message import MessageReceived
from shared.events.ticket import TicketLinked, TicketOpened
from tests.services.access.doors import DOORS
from tests.services.access.five import Five, five_services
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
    "merge_ticket": {"into_ticket_id": "nothing"},
    "split_ticket": {"message_ids": ["nothing"]},
    "link_ticket": {"ticket_id": "nothing"},
    "transfer_ticket": {"to": "queue", "id": "north"},
    "decline_transfer": {},
    "escalate_ticket": {},
    "call_back_later": {},
    "complete_wrap_up": {},
    "consult_expert": {"text": "Who knows?", "agent_id": "ned"},
    "answer_consult": {"text": "I do"},
    "put_view": {"name": "Ours"},
}

POLICY = {
    "name": "Standard",
    "position": 1,
    "targets": [{"kind": "first_response", "seconds": dict.fromkeys("1234", 3600), "hours": "calendar"}],
}


class Partners:
    """Two partners, each with a queue, a team, an agent, and a ticket that this agent has. `own` is north's, `other` south's."""

    def __init__(self, five: Five) -> None:
        self.five = five
        self.own: dict[str, str] = {}
        self.other: dict[str, str] = {}

    async def settle(self, partner: str, agent: str) -> dict[str, str]:
        five = self.five
        await five.done("admin", "intake", "PUT", f"/v1/inboxes/{partner}", _inbox(partner))
        await five.world.intake.inboxes.refresh()
        await five.done("admin", "routing", "PUT", f"/v1/teams/{partner}", {"name": {"en": partner}, "partner_id": partner})
        when = {"is": "test", "field": "inbox", "op": "equals", "value": partner}
        queue = {"name": {"en": partner}, "position": 1, "partner_id": partner, "when": when}
        await five.done("admin", "routing", "PUT", f"/v1/queues/{partner}", queue)
        theirs = {"display_name": agent, "partner_id": partner, "team_ids": [partner]}
        await five.done("admin", "routing", "PUT", f"/v1/agents/{agent}", theirs)
        canned = {"name": {"en": partner}, "texts": {"en": "Good day"}, "team_ids": [partner]}
        await five.done("supervisor", "routing", "PUT", f"/v1/canned-responses/{partner}", canned)
        await five.done("supervisor", "routing", "POST", f"/v1/agents/{agent}/state", {"state": "available"})
        five.keys[agent] = await _key(five, agent, (f"agent:{agent}",))
        attachments = [{"name": "a.txt", "media_type": "text/plain", "content": "aGVsbG8="}]
        contact = {**_contact(partner), "attachments": attachments}
        placed = (await five.done("channels", "intake", "POST", "/v1/contacts", contact)).json()
        order = {"kind": "order", "status": "paid"}
        await five.done("admin", "intake", "PUT", f"/v1/customers/{placed['customer_id']}/orders/o-1", order)
        await five.hand_round()
        await five.house.matcher.once()
        [offer] = (await five.done("supervisor", "routing", "GET", f"/v1/agents/{agent}/offers")).json()["items"]
        view = (await five.done(agent, "desk", "POST", "/v1/desk/views", {"name": "Ours"})).json()
        [received] = [event.data for event in await five.world.events(MessageReceived) if event.key == placed["ticket_id"]]
        return {
            "ticket_id": placed["ticket_id"],
            "message_id": placed["message_id"],
            "ref": placed["customer_id"],
            "customer_id": placed["customer_id"],
            "view_id": view["view_id"],
            "consult_id": "none",
            "attachment_id": received.attachments[0].id,
            "agent_id": agent,
            "config_id": partner,
            "offer_id": offer["offer_id"],
            "order_id": "o-1",
            "kind": "reply",
        }


def _contact(partner: str) -> dict[str, object]:
    handle = {"kind": "visitor", "value": f"visitor of {partner}"}
    return {"channel": "chat", "inbox": partner, "handle": handle, "text": "Where is it?"}


def _inbox(partner: str) -> dict[str, object]:
    return {"channel": "chat", "address": partner, "partner_id": partner}


@pytest_asyncio.fixture(scope="module")
async def partners(module_database: str) -> AsyncIterator[Partners]:
    async with five_services(module_database) as five:
        made = Partners(five)
        await five.done("admin", "sla", "PUT", "/v1/policies/standard", POLICY)
        made.own = await made.settle("north", "ned")
        made.other = await made.settle("south", "sam")
        await five.done("partner agent", "routing", "POST", f"/v1/offers/{made.own['offer_id']}/accept")
        await five.hand_round()
        path = f"/v1/tickets/{made.own['ticket_id']}/drafts/reply"
        await five.done("partner agent", "routing", "PUT", path, {"text": "Good"})
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
        about_others = await partners.five.ask(role, service, method, filled(template, partners.other), body)
        about_nothing = await partners.five.ask(role, service, method, filled(template, nothing), body)
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
            answer = await partners.five.ask(role, service, method, filled(template, partners.own))
            seen[role, operation] = answer.status_code
    # Mail has HTML, a chat has none; the view is the agent's own.
    assert {one: status for one, status in seen.items() if status != 200} == {
        ("partner", "get_view"): 404,
        ("partner", "get_message_html"): 404,
        ("partner agent", "get_message_html"): 404,
    }


async def test_a_partner_s_lists_hold_what_is_its_own(partners: Partners) -> None:
    listed = {}
    for kind in ("queues", "teams", "agents"):
        answer = await partners.five.done("partner", "routing", "GET", f"/v1/{kind}")
        listed[kind] = [item["id"] for item in answer.json()["items"]]
    assert listed == {"queues": ["north"], "teams": ["north"], "agents": ["ned"]}
    tickets = (await partners.five.done("partner", "routing", "GET", "/v1/agents/ned/tickets")).json()["items"]
    assert [ticket["ticket_id"] for ticket in tickets] == [partners.own["ticket_id"]]


async def test_an_agent_of_a_partner_is_one_whichever_scopes_the_key_has(partners: Partners) -> None:
    five = partners.five
    me = (await five.done("sam", "routing", "GET", "/v1/me")).json()
    assert (me["agent_id"], me["partner_id"], me["scopes"]) == ("sam", "south", ["agent:sam"])
    assert (await five.ask("sam", "intake", "GET", f"/v1/customers/{partners.own['ref']}")).status_code == 404
    assert (await five.ask("sam", "intake", "GET", f"/v1/customers/{partners.other['ref']}")).status_code == 200
    lists = {role: (await five.done(role, "desk", "GET", "/v1/desk/tickets")).json()["items"] for role in ("sam", "supervisor")}
    assert [item["ticket_id"] for item in lists["sam"]] == [partners.other["ticket_id"]]
    assert {item["partner_id"] for item in lists["supervisor"]} == {"north", "south"}


async def test_the_desk_shows_a_partner_what_is_its_own_and_keeps_the_house_s_views_to_the_house(partners: Partners) -> None:
    five = partners.five
    shared = {"name": "Everybody's", "kind": "shared"}
    view_id = (await five.done("supervisor", "desk", "POST", "/v1/desk/views", shared)).json()["view_id"]
    for role in ("partner", "partner agent"):
        listed = (await five.done(role, "desk", "GET", "/v1/desk/tickets")).json()["items"]
        assert [item["ticket_id"] for item in listed] == [partners.own["ticket_id"]]
        views = (await five.done(role, "desk", "GET", "/v1/desk/views")).json()["items"]
        assert view_id not in [view["view_id"] for view in views]
        assert (await five.ask(role, "desk", "GET", f"/v1/desk/views/{view_id}")).status_code == 404
        assert (await five.ask(role, "desk", "POST", "/v1/desk/views", shared)).status_code == 403
        card = (await five.done(role, "desk", "GET", f"/v1/desk/customers/{partners.own['customer_id']}")).json()
        assert ([item["ticket_id"] for item in card["tickets"]], card["suggestions"]) == ([partners.own["ticket_id"]], [])


async def _key(five: Five, key_id: str, scopes: tuple[str, ...]) -> str:
    async with db.transaction(five.house.parts.engine) as conn:
        return await auth.create_key(conn, key_id, key_id, scopes)


async def test_a_partner_is_told_its_own_figures(partners: Partners) -> None:
    five = partners.five
    ours = (await five.done("operations", "metrics", "GET", "/v1/metrics/ticket_volume")).json()["points"]
    theirs = (await five.done("partner", "metrics", "GET", "/v1/metrics/ticket_volume")).json()["points"]
    assert (ours[0]["count"], theirs[0]["count"]) == (2, 1)
    assert (await five.ask("partner", "metrics", "GET", "/v1/metrics/ticket_volume?partner=south")).status_code == 403
    known = (await five.done("partner", "metrics", "GET", "/v1/metrics")).json()["metrics"]
    assert known
    assert all("partner" in one["dimensions"] for one in known)


async def test_a_partner_is_told_of_its_own_promises_however_long_the_page(partners: Partners) -> None:
    path = "/v1/sla/at-risk?within_seconds=86400"
    everybody_s = (await partners.five.done("operations", "sla", "GET", path)).json()["items"]
    assert {item["partner_id"] for item in everybody_s} == {"north", "south"}
    for limit in (1, 50):
        page = (await partners.five.done("partner", "sla", "GET", f"{path}&limit={limit}")).json()
        assert [item["ticket_id"] for item in page["items"]] == [partners.own["ticket_id"]]
        assert page["next_cursor"] is None
    assert (await partners.five.done("partner", "sla", "GET", "/v1/sla/breaches")).json()["items"] == []


async def test_what_is_in_quarantine_of_others_a_partner_does_not_see(partners: Partners) -> None:
    five = partners.five
    handle = {"kind": "visitor", "value": "a robot"}
    contact = {"channel": "chat", "inbox": "south", "handle": handle, "text": "Buy now"}
    ticket_id = (await five.done("channels", "intake", "POST", "/v1/contacts", contact)).json()["ticket_id"]
    await five.hand_round()
    await five.done("supervisor", "routing", "POST", f"/v1/tickets/{ticket_id}/spam")
    path = "/v1/tickets?attention=spam"
    assert [one["ticket_id"] for one in (await five.done("supervisor", "routing", "GET", path)).json()["items"]] == [ticket_id]
    for limit in (1, 50):
        told = (await five.done("partner", "routing", "GET", f"{path}&limit={limit}")).json()
        assert told == {"items": [], "next_cursor": None}, "where a page ends tells of nobody else"


async def test_an_agent_of_a_partner_opens_and_joins_tickets_of_its_own_and_of_no_other(partners: Partners) -> None:
    five, own, other = partners.five, partners.own, partners.other
    path = f"/v1/tickets/{own['ticket_id']}"
    for customer_id in (other["customer_id"], "nobody"):
        refused = await five.ask("partner agent", "routing", "POST", "/v1/tickets", {"customer_id": customer_id})
        assert (refused.status_code, refused.json()["code"]) == (404, "customer-not-found")
    wish = {"customer_id": own["customer_id"]}
    opened = (await five.done("partner agent", "routing", "POST", "/v1/tickets", wish)).json()["ticket_id"]
    await five.hand_round()
    await five.hand_round()
    [fact] = [event.data for event in await five.world.events(TicketOpened) if event.key == opened]
    assert (fact.partner_id, fact.opened_by) == ("north", "ned")
    for ticket_id in (other["ticket_id"], "nothing"):
        for what, body in (("merge", {"into_ticket_id": ticket_id}), ("links", {"ticket_id": ticket_id})):
            refused = await five.ask("partner agent", "routing", "POST", f"{path}/{what}", body)
            assert (refused.status_code, refused.json()["code"]) == (404, "ticket-not-found"), what
    await five.done("partner agent", "routing", "POST", f"{path}/links", {"ticket_id": opened})
    await five.hand_round()
    linked = [event.data.ticket_id for event in await five.world.events(TicketLinked) if event.key == own["ticket_id"]]
    assert linked == [opened]


async def test_of_many_tickets_a_partner_s_agent_does_its_own_and_of_others_there_are_none(partners: Partners) -> None:
    ids = [partners.other["ticket_id"], partners.own["ticket_id"], "nothing"]
    body = {"ticket_ids": ids, "command": {"do": "label", "add_tags": ["seen"]}}
    told = (await partners.five.done("partner agent", "routing", "POST", "/v1/tickets/bulk", body)).json()["items"]
    assert [(item["outcome"], item.get("code")) for item in told] == [
        ("problem", "ticket-not-found"),
        ("done", None),
        ("problem", "ticket-not-found"),
    ]
    assert told[0].keys() == told[2].keys()


async def test_an_agent_of_a_partner_sends_copies_to_nobody_else_s_customers(partners: Partners) -> None:
    own, other = partners.own, partners.other
    path = f"/v1/tickets/{own['ticket_id']}/reply"
    told = []
    for customer_id in (other["customer_id"], "nobody"):
        body = {"text": "Good day", "cc_customer_ids": [own["customer_id"], customer_id]}
        refused = await partners.five.ask("partner agent", "routing", "POST", path, body)
        told.append((refused.status_code, refused.json()))
    assert told[0] == told[1]
    assert (told[0][0], told[0][1]["errors"][0]["field"]) == (422, "body.cc_customer_ids[1]")
    await partners.five.done("partner agent", "routing", "POST", path, {"text": "Good", "cc_customer_ids": [own["customer_id"]]})
    await partners.five.done("supervisor", "routing", "POST", path, {"text": "Good", "cc_customer_ids": [other["customer_id"]]})


async def test_an_agent_of_a_partner_is_not_told_whether_agents_of_others_are_there(partners: Partners) -> None:
    path = f"/v1/tickets/{partners.own['ticket_id']}"
    asked: tuple[tuple[str, dict[str, object], str], ...] = (
        ("transfer", {"to": "agent"}, "id"),
        ("transfer", {"to": "agent", "warm": True}, "id"),
        ("consults", {"text": "Who knows?"}, "agent_id"),
    )
    for what, body, field in asked:
        told = []
        for agent_id in ("sam", "nobody"):
            answer = await partners.five.ask("partner agent", "routing", "POST", f"{path}/{what}", {**body, field: agent_id})
            told.append((answer.status_code, answer.text.replace(agent_id, "…")))
        assert told[0] == told[1], what
        assert told[0][0] == 422


async def test_an_agent_of_a_partner_is_not_told_which_canned_responses_others_have(partners: Partners) -> None:
    path = f"/v1/tickets/{partners.own['ticket_id']}/reply"
    told = []
    for config_id in ("south", "nothing"):
        answer = await partners.five.ask(
            "partner agent", "routing", "POST", path, {"text": "Good", "canned_response_id": config_id}
        )
        told.append((answer.status_code, answer.json()["errors"]))
    assert told == [(422, [{"field": "body.canned_response_id", "reason": "there is no such canned response"}])] * 2
    await partners.five.done("partner agent", "routing", "POST", path, {"text": "Good", "canned_response_id": "north"})
