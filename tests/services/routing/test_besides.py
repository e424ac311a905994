"""Wrap-ups, questions to experts and rules of escalation on a real database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared import db
from shared.events.base import derived_id
from shared.events.people import CustomerProfileChanged
from shared.events.sla import SlaBreached, SlaWarned
from shared.events.ticket import TicketEscalated, TicketLabelled
from shared.events.work import ConsultAnswered, ConsultPersonal, WrapUpCompleted
from tests.services.routing.conftest import CUSTOMER, House
from tests.services.routing.test_moves import agent, open_house_with_tiers, past, ticket, told

pytestmark = pytest.mark.timeout(60)


async def test_whoever_resolves_gets_nothing_more_until_the_wrap_up_is_completed_with_its_codes(house: House) -> None:
    await house.queue(wrap_up_seconds=600)
    await house.agent("dana", capacity_units=2)
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {"code": "refunded"})
    await house.open("next")
    assert await house.matcher.once() == "nobody"
    [task] = (await house.done("dana", "GET", "/v1/agents/dana/tasks"))["items"]
    assert (task["kind"], task["ticket_id"]) == ("wrap_up", ticket_id)
    body = {"code": "refunded", "topic": "billing", "product": "parcels"}
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/wrap-up", body)
    facts = [event.data for event in await house.said(ticket_id)]
    [completed] = [fact for fact in facts if isinstance(fact, WrapUpCompleted)]
    assert (completed.code, completed.timed_out) == ("refunded", False)
    assert TicketLabelled(topic="billing", product="parcels", by_agent_id="dana") in facts
    assert (await house.offered("dana"))["ticket_id"] != ticket_id
    again = await house.ask("dana", "POST", f"/v1/tickets/{ticket_id}/wrap-up", body)
    assert (again.status_code, again.json()["code"]) == (409, "no-wrap-up")


async def test_a_wrap_up_ends_by_the_clock_of_the_database_once(house: House) -> None:
    await house.queue(wrap_up_seconds=600)
    await house.agent("dana", capacity_units=2)
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})
    await house.ticker.once()
    assert "wrap_up.completed" not in await house.types(ticket_id)
    await past(house, ticket_id, "besides", "wrap_ups", "0", "ends_by")
    await house.ticker.once()
    await house.ticker.once()
    completed = [event.data for event in await house.said(ticket_id) if isinstance(event.data, WrapUpCompleted)]
    assert [fact.timed_out for fact in completed] == [True]
    assert ((await agent(house, "dana"))["used_units"], (await ticket(house, ticket_id))["wrap_ups"]) == (0, [])
    assert (await told(house, "dana"))[-1] == "wrap_up.completed"


async def consulted(house: House) -> tuple[str, str]:
    """Dana, who has a ticket, asks noa. Returns the ids of the ticket and of the question."""
    await house.queue(consult_units=1)
    await house.agent("dana")
    ticket_id = await house.owned()
    await house.agent("noa", skills={"refunds": 7})
    path = f"/v1/tickets/{ticket_id}"
    assert (await house.ask("noa", "GET", path)).status_code == 403
    asked = await house.done("dana", "POST", f"{path}/consults", {"text": "May we refund Ruth?", "skill": "refunds"})
    assert (asked["expert_id"], asked["agent_id"]) == ("noa", "dana")
    return ticket_id, str(asked["consult_id"])


async def test_an_expert_sees_the_ticket_while_they_are_asked_and_their_answer_is_sealed(house: House) -> None:
    ticket_id, consult_id = await consulted(house)
    path = f"/v1/tickets/{ticket_id}"
    seen = await house.done("noa", "GET", path)
    assert "May we refund Ruth?" in str(seen["timeline"])
    await house.done("noa", "POST", f"{path}/note", {"text": "I look into it."})
    assert (await agent(house, "noa"))["used_units"] == 1
    refused = await house.ask("dana", "POST", f"{path}/consults/{consult_id}/answer", {"text": "Yes"})
    assert (refused.status_code, refused.json()["code"]) == (409, "consult-not-open")
    await house.done("noa", "POST", f"{path}/consults/{consult_id}/answer", {"text": "Yes, in full."})
    assert (await house.types(ticket_id))[-2:] == ["consult.answered", "consult.ended"]
    assert (await house.ask("noa", "GET", path)).status_code == 403
    assert (await agent(house, "noa"))["used_units"] == 0
    [(answered, told_as)] = [
        (event.data, event.id) for event in await house.said(ticket_id) if isinstance(event.data, ConsultAnswered)
    ]
    async with db.transaction(house.parts.engine) as conn:
        await house.parts.keys.load(conn, [CUSTOMER])
    assert answered.personal is not None
    assert house.parts.keys.open(answered.personal, ConsultPersonal, told_as) == ConsultPersonal(text="Yes, in full.")
    left = await house.rows("SELECT 1 FROM routing.ticket WHERE convert_from(state, 'UTF8') LIKE '%refund Ruth%'")
    assert not left, "what is asked stands sealed in the history only"


async def test_nobody_is_asked_who_is_not_there_and_one_question_names_one_expert(house: House) -> None:
    ticket_id, _ = await consulted(house)
    path = f"/v1/tickets/{ticket_id}/consults"
    nobody = await house.ask("dana", "POST", path, {"text": "?", "skill": "law"})
    assert (nobody.status_code, nobody.json()["code"]) == (409, "nobody-knows")
    for body in ({"text": "?"}, {"text": "?", "agent_id": "noa", "skill": "refunds"}):
        assert (await house.ask("dana", "POST", path, body)).status_code == 422


async def test_a_question_ends_by_the_clock_and_by_whoever_asked(house: House) -> None:
    ticket_id, consult_id = await consulted(house)
    path = f"/v1/tickets/{ticket_id}/consults"
    await house.done("dana", "POST", f"{path}/{consult_id}/end")
    second = await house.done("dana", "POST", path, {"text": "And now?", "agent_id": "noa"})
    assert second["consult_id"] != consult_id
    await past(house, ticket_id, "besides", "consults", "0", "expires_at")
    await house.ticker.once()
    assert (await house.types(ticket_id)).count("consult.ended") == 2
    assert (await agent(house, "noa"))["used_units"] == 0


async def a_rule(house: House, rule_id: str, when: dict[str, object], **more: object) -> None:
    await house.done("admin", "PUT", f"/v1/rules/{rule_id}", {"position": 1, "when": when, **more})


def asks(field: str, op: str, value: object) -> dict[str, object]:
    return {"is": "test", "field": field, "op": op, "value": value}


def breach() -> SlaBreached:
    return SlaBreached(
        clock_id="k",
        target="first_response",
        cycle=1,
        policy_id="p",
        policy_version=1,
        dedup_key="d",
        channel="email",
        priority=2,
        deadline=datetime.now(UTC),
        target_us=1,
    )


def warning() -> SlaWarned:
    return SlaWarned(
        clock_id="k",
        target="first_response",
        cycle=1,
        policy_id="p",
        policy_version=1,
        dedup_key="d",
        channel="email",
        priority=2,
        at_percent=90,
        deadline=datetime.now(UTC),
        remaining_us=1,
    )


async def test_an_agent_sends_a_ticket_up_and_the_path_is_shown(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    answer = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/escalate", {"reason": "third_contact"})
    assert (answer["queue_id"], answer["tier"], answer["path"]) == ("second", 2, ["support", "second"])
    shown = await ticket(house, ticket_id)
    assert (shown["tier"], shown["path"]) == (2, ["support", "second"])
    highest = await house.ask("rina", "POST", f"/v1/tickets/{ticket_id}/escalate", {})
    assert (highest.status_code, highest.json()["code"]) == (409, "no-higher-tier")


async def test_what_is_urgent_goes_up_as_it_comes_in(house: House) -> None:
    await open_house_with_tiers(house)
    await a_rule(house, "urgent", asks("priority", "at_least", 4))
    ticket_id = await house.open(priority=4)
    assert (await house.types(ticket_id)) == ["ticket.queued", "ticket.escalated", "ticket.left_queue", "ticket.queued"]
    calm = await house.open("calm")
    assert await house.types(calm) == ["ticket.queued"]


@pytest.mark.parametrize("how", ["breach", "warning"])
async def test_a_broken_promise_sends_its_ticket_up_once_whoever_has_it(house: House, how: str) -> None:
    await open_house_with_tiers(house)
    when = asks("sla_breached", "equals", True) if how == "breach" else asks("sla_warned_percent", "at_least", 80)
    await a_rule(house, "late", when)
    ticket_id, other = await house.owned(), await house.open("other")
    await house.ticker.once()
    assert "ticket.escalated" not in await house.types(ticket_id)
    await house.hear(ticket_id, breach() if how == "breach" else warning(), writer="sla")
    await house.ticker.once()
    await house.ticker.once()
    risen = [event.data for event in await house.said(ticket_id) if isinstance(event.data, TicketEscalated)]
    assert [(fact.rule_id, fact.path) for fact in risen] == [("late", ("support", "second"))]
    assert "ticket.escalated" not in await house.types(other)
    assert (await told(house, "dana"))[-1] == "ticket.released"
    assert await house.rows("SELECT 1 FROM routing.to_judge") == []


async def test_a_breach_that_is_heard_before_its_ticket_is_not_forgotten(house: House) -> None:
    await open_house_with_tiers(house)
    await a_rule(house, "late", asks("sla_breached", "equals", True))
    await house.hear(derived_id("ticket", "t"), breach(), writer="sla")
    await house.ticker.once()
    ticket_id = await house.open("t")
    await house.ticker.once()
    assert "ticket.escalated" in await house.types(ticket_id)


async def test_without_rules_nothing_is_noted_and_a_new_rule_looks_at_what_is_there(house: House) -> None:
    await open_house_with_tiers(house)
    ticket_id = await house.owned()
    await house.edit("dana", ticket_id, priority=4)
    assert await house.rows("SELECT 1 FROM routing.to_judge") == []
    await a_rule(house, "urgent", asks("priority", "at_least", 4))
    await house.ticker.once()
    assert (await ticket(house, ticket_id))["tier"] == 2


async def test_who_becomes_a_vip_while_waiting_goes_up(house: House) -> None:
    await open_house_with_tiers(house)
    await a_rule(house, "vip", asks("vip", "equals", True))
    ticket_id = await house.open()
    await house.hear(CUSTOMER, CustomerProfileChanged(vip=True))
    for _ in range(2):
        await house.ticker.once()
    assert "ticket.escalated" in await house.types(ticket_id)


async def test_rules_are_versioned_and_wrong_ones_refused_with_their_place(house: House) -> None:
    await house.queue()
    await a_rule(house, "r", asks("tier", "equals", 1), to_tier=2)
    changed = {"position": 5, "when": {"is": "any"}}
    assert (await house.ask("admin", "PUT", "/v1/rules/r", changed)).status_code == 428
    second = await house.ask("admin", "PUT", "/v1/rules/r", changed, {"If-Match": '"1"'})
    assert (second.status_code, second.json()["version"]) == (200, 2)
    assert (await house.done("operations", "GET", "/v1/rules/r"))["kind"] == "escalate"
    assert [one["id"] for one in (await house.done("operations", "GET", "/v1/rules"))["items"]] == ["r"]
    wrong = await house.ask("admin", "PUT", "/v1/rules/w", {"position": 1, "when": asks("weather", "is_set", True)})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "body.when.field")
