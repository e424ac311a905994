"""Edits of a ticket say which version they edit; only the owner answers, and others learn who that is."""

from __future__ import annotations

import asyncio

import pytest

from shared.events.ticket import TicketLabelled, TicketPrioritised
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)


async def at_work(house: House) -> str:
    """A ticket that dana has."""
    await house.queue()
    await house.agent()
    await house.agent("noa", available=False)
    return await house.owned()


async def test_a_ticket_is_read_with_its_etag_and_edited_with_it(house: House) -> None:
    ticket_id = await at_work(house)
    path = f"/v1/tickets/{ticket_id}"
    read = await house.ask("dana", "GET", path)
    assert (read.headers["etag"], read.json()["version"]) == ('"1"', 1)
    wanted = {
        "subject": "Lost parcel",
        "priority": 4,
        "topic": "delivery.lost",
        "product": "kettle",
        "tags": ["late", "late", "haifa"],
        "fields": {"order": "A-20417"},
    }
    edited = await house.ask("dana", "PATCH", path, wanted, {"If-Match": '"1"'})
    assert (edited.status_code, edited.headers["etag"], edited.json()["version"]) == (200, '"4"', 4)
    again = await house.ask("rina", "GET", path)
    shown = again.json()
    assert again.headers["etag"] == '"4"'
    expected = {**wanted, "tags": ["late", "haifa"], "customer_name": "Ruth", "version": 4}
    assert {name: shown[name] for name in expected} == expected
    assert (await house.types(ticket_id))[-3:] == ["ticket.prioritised", "ticket.labelled", "ticket.renamed"]
    stored = await house.rows(
        "SELECT CAST(data AS text) AS data FROM routing.entry UNION SELECT convert_from(value, 'UTF8') FROM routing.outbox"
    )
    assert not any("Lost parcel" in row.data for row in stored)


async def test_an_edit_of_what_one_has_not_seen_is_refused_with_the_etag_as_it_is(house: House) -> None:
    ticket_id = await at_work(house)
    path = f"/v1/tickets/{ticket_id}"
    blind = await house.ask("dana", "PATCH", path, {"priority": 3})
    assert (blind.status_code, blind.json()["code"], blind.headers["etag"]) == (428, "precondition-required", '"1"')
    await house.hear(ticket_id, TicketLabelled(topic="refund"))  # the words of a later message say so
    stale = await house.ask("dana", "PATCH", path, {"priority": 3}, {"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"], stale.headers["etag"]) == (412, "precondition-failed", '"2"')
    assert stale.json()["version"] == 2
    assert (await house.ask("dana", "PATCH", path, {"priority": 3}, {"If-Match": '"2"'})).status_code == 200
    assert "ticket.prioritised" in await house.types(ticket_id)


async def test_of_edits_at_once_one_is_carried_out(house: House) -> None:
    ticket_id = await at_work(house)
    path = f"/v1/tickets/{ticket_id}"
    asked = [house.ask("rina", "PATCH", path, {"topic": f"topic-{n}"}, {"If-Match": '"1"'}) for n in range(5)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [200, 412, 412, 412, 412]
    assert (await house.types(ticket_id)).count("ticket.labelled") == 1


async def test_what_others_did_not_do_to_it_leaves_the_version_as_it_is(house: House) -> None:
    ticket_id = await at_work(house)
    await house.write(ticket_id, "anybody there?")
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "Yes"})
    assert (await house.ask("dana", "PATCH", f"/v1/tickets/{ticket_id}", {"priority": 3}, {"If-Match": '"1"'})).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "body"),
        ({"priority": None}, "body"),
        ({"priority": 5}, "body.priority"),
        ({"subject": ""}, "body.subject"),
        ({"subject": "a\nBcc: b@example.com"}, "body.subject"),
        ({"tags": [""]}, "body.tags[0]"),
        ({"fields": {"Order": "1"}}, "body.fields.Order"),
        ({"fields": {"order": "two words"}}, "body.fields.order"),
        ({"colour": "red"}, "body.colour"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(house: House, wanted: dict[str, object], field: str) -> None:
    answer = await house.ask("dana", "PATCH", "/v1/tickets/any", wanted, {"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert any(error["field"].startswith(field) for error in answer.json()["errors"]), answer.text


async def test_a_ticket_holds_so_many_own_fields(house: House) -> None:
    ticket_id = await at_work(house)
    await house.edit("dana", ticket_id, fields={f"f{n}": "1" for n in range(50)})
    answer = await house.ask("dana", "PATCH", f"/v1/tickets/{ticket_id}", {"fields": {"more": "1"}}, {"If-Match": '"2"'})
    assert (answer.status_code, answer.json()["code"]) == (422, "too-many-fields")
    assert (await house.edit("dana", ticket_id, fields={"f0": None, "more": "1"}))["fields"]["more"] == "1"


async def test_only_the_owner_answers_and_edits_and_others_learn_who_has_it(house: House) -> None:
    ticket_id = await at_work(house)
    for method, path, body in (("POST", "/reply", {"text": "Me too"}), ("PATCH", "", {"priority": 3})):
        answer = await house.ask("noa", method, f"/v1/tickets/{ticket_id}{path}", body, {"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["code"], answer.json()["held_by"]) == (409, "not-yours", "dana")
    assert "reply.requested" not in await house.types(ticket_id)


async def test_the_owner_is_told_what_a_supervisor_edits(house: House) -> None:
    ticket_id = await at_work(house)
    await house.edit("rina", ticket_id, priority=4)
    [told] = await house.rows(
        "SELECT agent_id, CAST(payload AS text) AS payload FROM routing.stream WHERE kind = 'ticket.edited'"
    )
    assert (told.agent_id, '"rina"' in told.payload) == ("dana", True)
    await house.edit("dana", ticket_id, priority=3)
    assert len(await house.rows("SELECT 1 FROM routing.stream WHERE kind = 'ticket.edited'")) == 1


async def test_an_urgent_edit_and_intakes_words_come_to_one_version_wherever_they_are_folded(house: House) -> None:
    ticket_id = await at_work(house)
    await house.edit("dana", ticket_id, priority=4)
    await house.hear(ticket_id, TicketPrioritised(priority=3, previous=2))
    shown = await house.done("dana", "GET", f"/v1/tickets/{ticket_id}")
    assert (shown["priority"], shown["version"]) == (4, 3)


async def test_who_is_mentioned_in_a_note_is_told_and_nobody_else(house: House) -> None:
    ticket_id = await at_work(house)
    note = {"text": "Look here", "mentions": ["noa", "dana", "ghost", "noa"]}
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/note", note)
    told = await house.rows("SELECT agent_id, CAST(payload AS text) AS payload FROM routing.stream WHERE kind = 'note.mentioned'")
    assert [(row.agent_id, "Look" in row.payload, ticket_id in row.payload) for row in told] == [("noa", False, True)]
