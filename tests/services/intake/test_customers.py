"""Customers' records over HTTP, on a real database."""

import asyncio
from datetime import date

import httpx
import pytest

from shared.events.base import Fact
from shared.events.people import (
    CustomerCreated,
    CustomerHandleAdded,
    CustomerJoined,
    CustomerLeft,
    CustomerMergedInto,
    CustomerPersonal,
    CustomerProfileChanged,
    CustomerRenewed,
    CustomerUnmerged,
    OrderRecorded,
)
from shared.events.ticket import TicketOpened
from tests.services.intake.world import World

ANA = "ana@example.com"


async def posted(world: World, channel: str, kind: str, value: str, text: str = "Hello", **more: object) -> dict[str, str]:
    handle = {"kind": kind, "value": value}
    body = {"channel": channel, "inbox": "in", "text": text, "handle": handle, **more}
    answer = await world.http.post("/v1/contacts", json=body, headers=await world.key("intake:write"))
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def put(world: World, ref: str, status: int = 200, if_match: str | None = None, **body: object) -> dict[str, object]:
    headers = {**await world.key("intake:write"), **({"If-Match": if_match} if if_match else {})}
    answer = await world.http.put(f"/v1/customers/{ref}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def got(world: World, ref: str, status: int = 200) -> dict[str, object]:
    answer = await world.http.get(f"/v1/customers/{ref}", headers=await world.key("agent:dana"))
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def call(world: World, path: str, status: int = 200, scope: str = "supervisor", **body: object) -> dict[str, object]:
    answer = await world.http.post(f"/v1/customers/{path}", json=body, headers=await world.key(scope))
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_record_is_made_and_a_ticket_of_theirs_has_its_dimensions(world: World) -> None:
    made = await put(world, f"email:{ANA}", name="Ana", vip=True, plan="gold", tier="t1", language="ro", fields={"size": "M"})
    ticket = await posted(world, "email", "email", ANA, "ok")
    assert ticket["customer_id"] == made["id"]
    [opened] = await world.events(TicketOpened)
    assert (opened.data.vip, opened.data.plan, opened.data.customer_tier, opened.data.language) == (True, "gold", "t1", "ro")
    [changed] = await world.events(CustomerProfileChanged)
    assert await world.opened(changed, CustomerPersonal) == CustomerPersonal(name="Ana", fields={"size": "M"})
    [added] = await world.events(CustomerHandleAdded)
    assert added.data.verified_by == "import"
    assert len(await world.events(CustomerCreated)) == 1


async def test_an_edit_needs_the_version_it_edits_and_says_what_is_no_longer_set(world: World) -> None:
    made = await put(world, "external:7", name="Ana", plan="gold", consents={"sms": True})
    await put(world, "external:7", 428, name="Eva")
    await put(world, "external:7", 412, if_match='"9"', name="Eva")
    await put(world, "external:7", if_match='"1"', name="Ana")
    assert (await world.events(CustomerProfileChanged))[-1].data.cleared == ("plan", "consents.sms")
    shown = await got(world, str(made["id"]))
    assert (shown["plan"], shown["consents"], shown["version"]) == (None, {}, 2)


async def test_a_handle_of_another_customer_is_refused_and_nobody_unknown_is_found(world: World) -> None:
    made = await put(world, "external:1", handles=[{"kind": "email", "value": ANA}])
    refused = await put(world, "external:2", 409, handles=[{"kind": "email", "value": ANA}])
    assert (refused["code"], refused["customer_id"]) == ("handle-taken", made["id"])
    await got(world, "external:2", 404)
    await put(world, "no-such-id", 404, name="x")
    await put(world, "email:nonsense", 422, name="x")
    await put(world, "phone:12", 422, name="x")
    refused = await put(world, "external:2", 422, zone="Mars/Olympus")
    assert refused["errors"] == [{"field": "body.zone", "reason": "Value error, is no time zone, such as Asia/Jerusalem"}]


async def test_a_list_of_records_has_a_result_each_and_pages_go_through_all(world: World) -> None:
    items = [{"ref": f"external:{n}", "name": f"N{n}"} for n in range(5)] + [{"ref": "email:broken", "name": "x"}]
    answer = await world.http.post("/v1/customers", json=items, headers=await world.key("intake:write"))
    assert [one["status"] for one in answer.json()["results"]] == [200] * 5 + [422]
    before = len(await world.log())
    await world.http.post("/v1/customers", json=items, headers=await world.key("intake:write"))
    assert len(await world.log()) == before
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await world.http.get(f"/v1/customers?limit=2&cursor={cursor}", headers=await world.key("supervisor"))
        names += [one["name"] for one in page.json()["customers"]]
        cursor = page.json()["next_cursor"]
    assert sorted(names) == [f"N{n}" for n in range(5)]


async def test_a_list_sees_its_own_records_and_one_of_many_handles_is_written_in_parts(world: World) -> None:
    many = [{"kind": "external_id", "value": f"h{n}-{m}"} for n in range(30) for m in range(40)]
    items = [{"ref": f"external:c{n}", "name": f"N{n}", "handles": many[40 * n : 40 * n + 40]} for n in range(30)]
    items += [
        {"ref": "external:h3-7", "name": "N3 again"},
        {"ref": "external:h4-1", "handles": [{"kind": "external_id", "value": "h5-1"}]},
    ]
    answer = await world.http.post("/v1/customers", json=items, headers=await world.key("intake:write"))
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [200] * 31 + [409]
    assert results[30]["customer_id"] == results[3]["customer_id"]
    assert (await got(world, "external:c3"))["name"] == "N3 again"
    assert await world.count("customer") == 30
    assert await world.count("handle") == 30 * 41
    assert len(await world.events(CustomerCreated)) == 30


async def test_lists_that_arrive_at_once_make_each_customer_once(world: World) -> None:
    headers = await world.key("intake:write")
    lists = [
        [{"ref": f"external:{n}", "name": f"N{n}"} for n in order] for order in (range(60), range(59, -1, -1), range(0, 60, 2))
    ]
    answers = await asyncio.gather(*(world.http.post("/v1/customers", json=one, headers=headers) for one in lists))
    assert {result["status"] for answer in answers for result in answer.json()["results"]} == {200}
    assert await world.count("customer") == 60
    assert len(await world.events(CustomerCreated)) == 60


async def test_a_command_on_customers_with_the_same_key_is_carried_out_once(world: World) -> None:
    one, other = await put(world, "external:1", name="Ana"), await put(world, f"email:{ANA}", plan="gold")
    headers = {**await world.key("supervisor"), "Idempotency-Key": "m1"}

    async def asked(path: str, **body: object) -> httpx.Response:
        return await world.http.post(f"/v1/customers/{path}", json=body, headers=headers)

    first, again = [await asked(f"{other['id']}/merge", into_customer_id=one["id"]) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert first.json() == again.json() == {"customer_id": one["id"]}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await world.events(CustomerMergedInto)) == 1
    misused = await asked(f"{one['id']}/merge", into_customer_id=other["id"])
    assert (misused.status_code, misused.json()["code"]) == (422, "idempotency-key-reused")
    headers["Idempotency-Key"] = "u1"
    answers = [await asked(f"{other['id']}/unmerge") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(await world.events(CustomerUnmerged)) == 2, "said on both, once"


async def test_a_suggestion_answered_again_with_its_key_has_the_same_answer(world: World) -> None:
    owner = await posted(world, "email", "email", ANA)
    claimer = await posted(world, "form", "email", ANA)
    headers = {**await world.key("agent:dana"), "Idempotency-Key": "s1"}
    path = f"/v1/customers/{owner['customer_id']}/suggestions/{claimer['customer_id']}"
    answers = [await world.http.post(path, json={"same": True}, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3, answers[-1].text
    assert len(await world.events(CustomerMergedInto)) == 1
    other = await world.http.post(path, json={"same": False}, headers=headers)
    assert other.json()["code"] == "idempotency-key-reused"


async def test_what_happens_elsewhere_is_said_once(world: World) -> None:
    await put(world, "external:1", name="Ana")
    headers = {**await world.key("intake:write"), "Idempotency-Key": "k1"}
    for _ in range(2):
        answer = await world.http.post("/v1/customers/external:1/joined", json={"on": "2026-03-01"}, headers=headers)
        assert answer.status_code == 200, answer.text
    assert len(await world.events(CustomerJoined)) == 1
    order = {"kind": "order", "status": "paid", "amount_minor": 1999, "currency": "RON"}
    for _ in range(2):
        answer = await world.http.put("/v1/customers/external:1/orders/A-1", json=order, headers=headers)
        assert answer.status_code == 200, answer.text
    answer = await world.http.put("/v1/customers/external:1/orders/A-1", json={**order, "status": "sent"}, headers=headers)
    assert answer.status_code == 428
    [said] = await world.events(OrderRecorded)
    assert (said.data.order_id, said.data.amount_minor) == ("A-1", 1999)
    page = await world.http.get("/v1/customers/external:1/orders", headers=headers)
    assert [one["order_id"] for one in page.json()["orders"]] == ["A-1"]


Life = tuple[str, str, dict[str, object], type[Fact], dict[str, object]]


def _order(kind: str) -> Life:
    body: dict[str, object] = {"kind": kind, "status": "sent", "amount_minor": 1999, "currency": "RON"}
    return "PUT", f"orders/{kind}-1", body, OrderRecorded, {**body, "order_id": f"{kind}-1"}


LIVES: list[Life] = [
    ("POST", "joined", {"on": "2026-03-01", "plan": "gold"}, CustomerJoined, {"on": date(2026, 3, 1), "plan": "gold"}),
    ("POST", "renewed", {"on": "2026-03-01", "until": "2027-03-01"}, CustomerRenewed, {"until": date(2027, 3, 1)}),
    ("POST", "left", {"on": "2026-03-01", "reason": "too_dear"}, CustomerLeft, {"on": date(2026, 3, 1), "reason": "too_dear"}),
    *map(_order, ("order", "payment", "shipment", "document")),
]


@pytest.mark.parametrize(("method", "path", "body", "kind", "said"), LIVES, ids=[path for _, path, *_ in LIVES])
async def test_each_thing_that_happens_elsewhere_is_told_of_the_customer_once_and_refused_where_it_makes_no_sense(
    world: World, method: str, path: str, body: dict[str, object], kind: type[Fact], said: dict[str, object]
) -> None:
    made = await put(world, "external:1", name="Ana")
    headers = {**await world.key("intake:write"), "Idempotency-Key": "k1"}

    async def ask(ref: str, body: dict[str, object], headers: dict[str, str]) -> int:
        return (await world.http.request(method, f"/v1/customers/{ref}/{path}", json=body, headers=headers)).status_code

    assert [await ask("external:1", body, headers) for _ in range(3)] == [200] * 3
    [told] = await world.events(kind)
    assert told.key == made["id"]
    assert {name: getattr(told.data, name) for name in said} == said
    headers["Idempotency-Key"] = "k2"
    assert await ask("external:2", body, headers) == 404
    assert await ask("external:1", {**body, "surprise": 1}, headers) == 422
    assert await ask("external:1", {name: value for name, value in body.items() if name not in ("on", "status")}, headers) == 422
    assert await ask("external:1", body, await world.key("agent:dana")) == 403
    assert len(await world.events(kind)) == 1
