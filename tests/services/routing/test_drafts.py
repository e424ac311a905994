"""Drafts: an agent's own, in every window, until they are sent; gone with their customer, and going on where a ticket goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deploy.erasure import find_traces
from services.routing.store import drafts
from shared import db
from shared.events.people import CustomerErased
from shared.events.ticket import TicketMergedInto
from tests.services.routing.conftest import CUSTOMER, House

pytestmark = pytest.mark.timeout(60)
WORDS = "the quick brown parcel"


def path(ticket_id: str, kind: str = "reply") -> str:
    return f"/v1/tickets/{ticket_id}/drafts/{kind}"


async def at_work(house: House, name: str = "t") -> str:
    """A ticket that dana has."""
    await house.queue()
    await house.agent()
    await house.agent("noa", available=False)
    return await house.owned(name)


async def kept(house: House, ticket_id: str, text: str = WORDS, role: str = "dana", kind: str = "reply") -> dict[str, Any]:
    """A first draft."""
    return await house.done(role, "PUT", path(ticket_id, kind), {"text": text})


async def test_a_draft_is_there_in_every_window_and_its_agent_s_alone(house: House) -> None:
    ticket_id = await at_work(house)
    whole = {
        "text": WORDS,
        "subject": "Your parcel",
        "language": "en",
        "channel": "email",
        "cc_customer_ids": ["c-2"],
        "attachments": [{"id": "f-1", "media_type": "image/png", "size_bytes": 3, "sha256": "0" * 64, "name": "a.png"}],
        "canned_response_id": "refund",
    }
    made = await house.ask("dana", "PUT", path(ticket_id), whole)
    assert made.status_code == 201, made.text
    read = await house.ask("dana", "GET", path(ticket_id))
    shown = read.json()
    assert read.headers["etag"] == made.headers["etag"] == f'"{shown["version"]}"'
    assert {name: shown[name] for name in whole} == whole
    assert (await house.ask("dana", "GET", path(ticket_id, "note"))).json()["code"] == "draft-not-found"
    assert (await house.ask("noa", "GET", path(ticket_id))).status_code == 404
    await kept(house, ticket_id, "mine", "noa", "note")
    await kept(house, ticket_id, "seen by a supervisor", "rina")
    listed = (await house.done("dana", "GET", "/v1/drafts"))["items"]
    assert [(one["ticket_id"], one["kind"], one["number"]) for one in listed] == [(ticket_id, "reply", 100_000)]


async def test_two_windows_do_not_overwrite_each_other(house: House) -> None:
    ticket_id = await at_work(house)
    first = await house.ask("dana", "PUT", path(ticket_id), {"text": "one"})
    etag = first.headers["etag"]
    second = await house.ask("dana", "PUT", path(ticket_id), {"text": "two"}, {"If-Match": etag})
    assert (second.status_code, second.headers["etag"] != etag) == (200, True)
    late = await house.ask("dana", "PUT", path(ticket_id), {"text": "three"}, {"If-Match": etag})
    blind = await house.ask("dana", "PUT", path(ticket_id), {"text": "four"})
    assert [(one.status_code, one.headers["etag"]) for one in (late, blind)] == [
        (412, second.headers["etag"]),
        (428, second.headers["etag"]),
    ]
    assert (await house.done("dana", "GET", path(ticket_id)))["text"] == "two"
    assert (await house.ask("dana", "DELETE", path(ticket_id))).status_code == 428
    assert (await house.ask("dana", "DELETE", path(ticket_id), None, {"If-Match": etag})).status_code == 412
    assert (await house.ask("dana", "DELETE", path(ticket_id), None, {"If-Match": second.headers["etag"]})).status_code == 204
    gone = await house.ask("dana", "PUT", path(ticket_id), {"text": "five"}, {"If-Match": second.headers["etag"]})
    assert gone.status_code == 412, "what was deleted elsewhere is not begun again by who did not know"
    begun = await house.ask("dana", "PUT", path(ticket_id), {"text": "six"})
    assert (begun.status_code, begun.headers["etag"] != etag) == (201, True), "no version is given out twice"


async def test_of_windows_that_begin_at_once_one_does(house: House) -> None:
    ticket_id = await at_work(house)
    answers = await asyncio.gather(*(house.ask("dana", "PUT", path(ticket_id), {"text": str(n)}) for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 428, 428, 428, 428]


async def test_what_is_sent_is_no_draft_any_more_and_other_drafts_stay(house: House) -> None:
    ticket_id = await at_work(house)
    await kept(house, ticket_id)
    await kept(house, ticket_id, kind="note")
    await kept(house, ticket_id, role="noa")
    assert (await house.ask("noa", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": WORDS})).status_code == 409
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": WORDS})
    left = await house.rows("SELECT agent_id, kind FROM routing.draft ORDER BY agent_id, kind")
    assert [tuple(row) for row in left] == [("dana", "note"), ("noa", "reply")]
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/note", {"text": WORDS})
    assert [row.agent_id for row in await house.rows("SELECT agent_id FROM routing.draft")] == ["noa"]


async def test_a_draft_stands_nowhere_in_clear_and_goes_with_its_customer(house: House) -> None:
    ticket_id = await at_work(house)
    await kept(house, ticket_id)
    await kept(house, ticket_id, kind="note")
    assert await find_traces(house.parts.engine, [WORDS]) == []
    async with db.transaction(house.parts.engine) as conn:
        await house.parts.keys.destroy(conn, [CUSTOMER])
    assert (await house.ask("dana", "GET", path(ticket_id))).status_code == 404, "without the key there is nothing to read"
    await house.hear(CUSTOMER, CustomerErased(customer_ids=(CUSTOMER,), requested_by="admin"))
    assert await house.rows("SELECT 1 FROM routing.draft") == []
    refused = await house.ask("dana", "PUT", path(ticket_id), {"text": WORDS})
    assert (refused.status_code, refused.json()["code"]) == (409, "erased")


async def test_a_draft_goes_on_where_its_ticket_goes_on(house: House) -> None:
    ticket_id = await at_work(house, "a")
    into, final = await house.open("b"), await house.open("c")
    made = await kept(house, ticket_id)
    await house.hear(ticket_id, TicketMergedInto(into_ticket_id=into))
    assert (await house.done("dana", "GET", path(into)))["text"] == WORDS
    etag = {"If-Match": f'"{made["version"]}"'}
    edited = await house.ask("dana", "PUT", path(ticket_id), {"text": "more of it"}, etag)
    assert (edited.status_code, edited.json()["ticket_id"]) == (200, into), "a window that does not know it yet goes on"
    await house.hear(into, TicketMergedInto(into_ticket_id=final))
    for place in (ticket_id, into, final):
        assert (await house.done("dana", "GET", path(place)))["text"] == "more of it"


async def test_what_was_begun_on_both_of_two_tickets_stays_on_both(house: House) -> None:
    ticket_id = await at_work(house, "a")
    into = await house.open("b")
    await kept(house, ticket_id, "on the one")
    await kept(house, into, "on the other")
    await house.hear(ticket_id, TicketMergedInto(into_ticket_id=into))
    assert (await house.done("dana", "GET", path(into)))["text"] == "on the other"
    assert (await house.done("dana", "GET", path(ticket_id)))["text"] == "on the one"


@pytest.mark.parametrize(
    ("kind", "body", "code", "field"),
    [
        ("reply", {"text": "ש" * 8193}, "text-too-long", "body.text"),
        ("reply", {"text": "x" * 64_001}, "invalid-request", "body.text"),
        ("reply", {"mentions": ["noa"]}, "invalid-request", "body.mentions"),
        ("note", {"subject": "s"}, "invalid-request", "body.subject"),
        ("letter", {"text": "x"}, "invalid-request", "path.kind"),
        ("reply", {"subject": "a\nb"}, "invalid-request", "body.subject"),
    ],
)
async def test_what_could_never_be_sent_is_refused_with_its_place(
    house: House, kind: str, body: dict[str, object], code: str, field: str
) -> None:
    answer = await house.ask("dana", "PUT", path("any", kind), body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_an_agent_has_so_many_drafts_and_old_ones_are_forgotten(house: House) -> None:
    ticket_id = await at_work(house)
    await house.rows(
        "INSERT INTO routing.draft SELECT 't' || n, 'dana', 'note', 'd' || n, n, 'c', '', now() FROM generate_series(1, :most) n",
        most=drafts.MOST_OF_AN_AGENT,
    )
    refused = await house.ask("dana", "PUT", path(ticket_id), {"text": WORDS})
    assert (refused.status_code, refused.json()["code"]) == (409, "too-many-drafts")
    await house.rows("UPDATE routing.draft SET updated_at = now() - interval '31 days' WHERE ticket_id <> 't1'")
    await house.ticker.once()
    assert [row.ticket_id for row in await house.rows("SELECT ticket_id FROM routing.draft")] == ["t1"]
    await kept(house, ticket_id)


async def test_after_a_restore_what_was_sent_since_is_no_draft(house: House) -> None:
    ticket_id = await at_work(house)
    await kept(house, ticket_id)
    await kept(house, ticket_id, kind="note")
    backup = [tuple(row) for row in await house.rows("SELECT * FROM routing.draft WHERE kind = 'reply'")]
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": WORDS})
    async with db.transaction(house.parts.engine) as conn:
        await db.fetch(conn, "INSERT INTO routing.draft VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", *backup[0])
        await drafts.forget_sent(conn)
    assert [row.kind for row in await house.rows("SELECT kind FROM routing.draft")] == ["note"]
