"""Saved views over HTTP: made once, changed by version, used in lists, counted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.desk.api.viewing import OWNED_CAP
from tests.services.desk.conftest import Desk

MINE: dict[str, Any] = {
    "name": "Mine",
    "filter": {"owner": ["me"], "status": ["open"]},
    "sort": "opened",
    "columns": ["number", "due_at"],
}


async def make(desk: Desk, role: str = "dana", key: str | None = None, **changes: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key is not None else None
    return await desk.ask(role, "views", "POST", {**MINE, **changes}, headers)


async def made(desk: Desk, role: str = "dana", **changes: Any) -> dict[str, Any]:
    answer = await make(desk, role, **changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_view_is_kept_as_it_was_said(desk: Desk) -> None:
    answer = await make(desk)
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    view = answer.json()
    again = await desk.ask("dana", f"views/{view['view_id']}")
    assert (again.json(), again.headers["etag"]) == (view, '"1"')
    assert (view["owner"], view["kind"], view["sort"], view["columns"]) == ("dana", "personal", "opened", ["number", "due_at"])
    assert (view["filter"]["owner"], view["filter"]["status"], view["filter"]["spam"]) == (["me"], ["open"], "without")


async def test_the_same_key_makes_one_view_and_another_wish_under_it_is_refused(desk: Desk) -> None:
    first, second = await make(desk, key="k"), await make(desk, key="k")
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len((await desk.told("dana", "views"))["items"]) == 1
    other = await make(desk, key="k", name="Another")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_an_edit_needs_the_version_that_was_read(desk: Desk) -> None:
    path = f"views/{(await made(desk))['view_id']}"
    body = {**MINE, "name": "Renamed"}
    assert (await desk.ask("dana", path, "PUT", body)).status_code == 428
    changed = await desk.ask("dana", path, "PUT", body, {"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["name"]) == (200, '"2"', "Renamed")
    assert (await desk.ask("dana", path, "PUT", body, {"If-Match": '"1"'})).status_code == 412
    assert (await desk.ask("dana", path, "DELETE", headers={"If-Match": '"1"'})).status_code == 412
    assert (await desk.ask("dana", path, "DELETE", headers={"If-Match": '"2"'})).status_code == 204
    assert (await desk.ask("dana", path)).status_code == 404


async def test_of_two_edits_at_once_one_is_told_that_it_was_late(desk: Desk) -> None:
    path = f"views/{(await made(desk))['view_id']}"
    edits = [desk.ask("dana", path, "PUT", {**MINE, "name": str(n)}, {"If-Match": '"1"'}) for n in range(2)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*edits)) == [200, 412]


async def test_views_are_for_whom_they_are(desk: Desk) -> None:
    await made(desk, "dana", name="a mine")
    await made(desk, "dana", name="b ours", kind="team", team_id="first")
    await made(desk, "rina", name="c everybody's", kind="shared")
    await made(desk, "rina", name="d theirs", kind="team", team_id="second")
    names = {role: [view["name"] for view in (await desk.told(role, "views"))["items"]] for role in ("dana", "omar", "rina")}
    assert names == {
        "dana": ["a mine", "b ours", "c everybody's"],
        "omar": ["c everybody's", "d theirs"],
        "rina": ["b ours", "c everybody's", "d theirs"],
    }


@pytest.mark.parametrize(("role", "changes"), [("dana", {"kind": "shared"}), ("dana", {"kind": "team", "team_id": "second"})])
async def test_agents_save_no_views_for_others(desk: Desk, role: str, changes: dict[str, Any]) -> None:
    answer = await make(desk, role, **changes)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_nobody_changes_a_view_of_somebody_else_and_no_agent_makes_it_one_of_all(desk: Desk) -> None:
    personal = f"views/{(await made(desk))['view_id']}"
    match = {"If-Match": '"1"'}
    assert (await desk.ask("omar", personal, "PUT", MINE, match)).status_code == 404
    assert (await desk.ask("rina", personal, "DELETE", headers=match)).status_code == 404
    assert (await desk.ask("dana", personal, "PUT", {**MINE, "kind": "shared"}, match)).status_code == 403
    shared = f"views/{(await made(desk, 'rina', kind='shared'))['view_id']}"
    assert (await desk.ask("dana", shared, "PUT", {**MINE, "kind": "shared"}, match)).status_code == 403
    assert (await desk.ask("dana", shared)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "  "}, "body.name"),
        ({"kind": "secret"}, "body.kind"),
        ({"kind": "team"}, "body"),
        ({"team_id": "first"}, "body"),
        ({"filter": {"status": ["sleeping"]}}, "body.filter.status[0]"),
        ({"filter": {"colour": ["red"]}}, "body.filter.colour"),
        ({"columns": ["shoe_size"]}, "body.columns[0]"),
        ({"sort": "mood"}, "body.sort"),
        ({"more": 1}, "body.more"),
    ],
)
async def test_a_view_that_is_none_says_which_part(module_desk: Desk, changes: dict[str, Any], field: str) -> None:
    answer = await make(module_desk, **changes)
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_list_by_a_view_is_what_it_asks_for_and_what_is_said_besides_goes_over_it(desk: Desk) -> None:
    for number, agent in ((1, "dana"), (2, "omar"), (3, "dana")):
        await desk.work(await desk.open(str(number), number, channel="sms" if number == 3 else "email"), agent)
    view_id = (await made(desk, "rina", kind="shared", sort="opened", order="asc"))["view_id"]
    assert await desk.listed("dana", view=view_id) == [1, 3]
    assert await desk.listed("omar", view=view_id) == [2]
    assert await desk.listed("dana", view=view_id, channel="sms") == [3]
    assert await desk.listed("dana", view=view_id, owner="omar") == [2]
    assert await desk.listed("dana", view=view_id, order="desc") == [3, 1]
    assert await desk.listed("dana", view=view_id, sort="updated") == [3, 1]
    private = (await made(desk, "omar"))["view_id"]
    answer = await desk.ask("dana", "tickets", view=private)
    assert (answer.status_code, answer.json()["code"]) == (404, "view-not-found")


async def test_views_are_counted_for_who_looks(desk: Desk) -> None:
    for number, agent in ((1, "dana"), (2, "omar"), (3, "dana")):
        await desk.work(await desk.open(str(number), number), agent)
    shared = (await made(desk, "rina", name="everybody's own", kind="shared"))["view_id"]
    everything = (await made(desk, "dana", name="all", filter={}))["view_id"]
    counts = (await desk.told("dana", "counts"))["counts"]
    assert {(one["view_id"], one["tickets"], one["capped"]) for one in counts} == {(shared, 2, False), (everything, 3, False)}
    counts = (await desk.told("omar", "counts", view_id=[shared, everything, "gone"]))["counts"]
    assert [(one["view_id"], one["tickets"]) for one in counts] == [(shared, 1)]


async def test_views_are_read_page_by_page(desk: Desk) -> None:
    for name in ("b", "a", "c", "a"):
        await made(desk, name=name)
    first = await desk.told("dana", "views", limit=3)
    rest = await desk.told("dana", "views", limit=3, cursor=first["next_cursor"])
    assert [view["name"] for view in first["items"] + rest["items"]] == ["a", "a", "b", "c"]
    assert rest["next_cursor"] is None


async def test_nobody_keeps_views_without_end(desk: Desk) -> None:
    await desk.rows(
        "INSERT INTO desk.view (view_id, version, kind, owner, name, asked, sort, columns, changed_at)"
        " SELECT 'v' || n, 1, 'personal', 'dana', 'v', '{}', 'updated', '{}', now() FROM generate_series(1, :most) n",
        most=OWNED_CAP,
    )
    answer = await make(desk)
    assert (answer.status_code, answer.json()["code"]) == (409, "too-many-views")
    assert (await make(desk, "omar")).status_code == 201
