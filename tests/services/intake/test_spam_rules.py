"""Rules about spam through the API: what they quarantine and let through, versions, removal, restore, forgetting."""

from __future__ import annotations

from collections.abc import Mapping

import aiosmtplib
import pytest

from services.intake.recalling import ConfigRecalled
from shared import db
from shared.events.base import Event, Fact
from shared.events.config import ConfigRemoved, SpamRuleConfigured, SpamRulePersonal
from shared.events.message import ConfirmationSkipped, MessageReceived
from shared.events.ticket import SpamMarked, SpamUnmarked, TicketOpened
from shared.personal import Erased
from tests.services.intake.test_customers import posted
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, mail_port, process

SENDERS = {"verdict": "block", "part": "address", "values": ["Dan@Customers.example", "bot@bulk.example"]}
WORDS = {"verdict": "block", "part": "subject", "values": ["Cheap pills"], "inboxes": ["support"]}
PARTNERS = {"verdict": "allow", "part": "domain", "values": ["customers.example"]}
BORDER = "Received: from a.customers.example (a.customers.example [192.0.2.1]) by mx.ours.example; x"
PASSED = "Authentication-Results: mx.ours.example; dmarc=pass header.from=customers.example"


async def put(world: World, name: str, body: Mapping[str, object], status: int = 200, version: int = 0) -> dict[str, object]:
    headers = await world.key("admin")
    if version:
        headers["If-Match"] = f'"{version}"'
    answer = await world.http.put(f"/v1/spam-rules/{name}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def remove(world: World, name: str, version: int) -> int:
    headers = {**await world.key("admin"), "If-Match": f'"{version}"'}
    return (await world.http.delete(f"/v1/spam-rules/{name}", headers=headers)).status_code


async def said(world: World) -> list[Event[Fact]]:
    return [event for event in await world.log() if isinstance(event.data, SpamRuleConfigured | ConfigRemoved)]


async def test_what_a_rule_names_is_quarantined_and_the_fact_says_by_which(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    await put(world, "senders", SENDERS)
    await put(world, "words", WORDS)
    async with mail_port(world) as port:
        await deliver(port, mail())
        await deliver(port, mail(Message_ID="<2@c>", From="eve@other.example", Subject="CHEAP pills!"))
        await deliver(port, mail(Message_ID="<3@c>", From="eve@other.example"))
    opened = [event.key for event in await world.events(TicketOpened)]
    marked = [(event.key, event.data) for event in await world.events(SpamMarked)]
    expected = [SpamMarked(by="rule", rule_id="senders"), SpamMarked(by="rule", rule_id="words")]
    assert marked == list(zip(opened, expected, strict=False))
    assert [event.data.reason for event in await world.events(ConfirmationSkipped)] == ["spam", "spam"]
    assert await world.count("delivery") == 1


async def test_a_number_is_blocked_and_what_is_cleared_is_confirmed_by_text(world: World) -> None:
    await world.inbox("sms", channel="sms", address="+40312295500", region="RO")
    await put(world, "numbers", {"verdict": "block", "part": "number", "values": ["+40 721 234 567"]})
    await sms(world)
    [marked] = await world.events(SpamMarked)
    assert marked.data.rule_id == "numbers"
    assert await world.count("delivery") == 0
    assert await world.say(marked.key, SpamUnmarked(by="agent", agent_id="rina")) == []
    assert await world.count("delivery", "kind = 'confirmation' AND channel = 'sms'") == 1


@pytest.mark.parametrize("proof", [True, False])
async def test_who_is_allowed_comes_through_when_our_mail_server_vouches_for_them(database: str, proof: bool) -> None:
    async with process(database, intake_authserv_ids="mx.ours.example") as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        await put(world, "partners", PARTNERS)
        await put(world, "senders", SENDERS)
        head = f"{PASSED}\r\n{BORDER}\r\n" if proof else f"{BORDER}\r\nReceived: from x by y.example; z\r\n{PASSED}\r\n"
        async with mail_port(world) as port:
            raw = head.encode() + mail(X_Spam_Flag="YES").as_bytes()
            await aiosmtplib.send(raw, sender="dan@customers.example", recipients=[SUPPORT], hostname="127.0.0.1", port=port)
        assert len(await world.events(TicketOpened)) == 1
        assert [event.data.rule_id for event in await world.events(SpamMarked)] == ([] if proof else ["senders"])
        assert await world.count("delivery") == (1 if proof else 0)


async def test_rules_are_versioned_and_listed_and_an_old_version_names_nobody_any_more(world: World) -> None:
    made = await put(world, "senders", SENDERS)
    assert (made["version"], made["values"]) == (1, ["dan@customers.example", "bot@bulk.example"])
    await put(world, "senders", SENDERS, status=428)
    await put(world, "senders", SENDERS, status=412, version=7)
    await put(world, "senders", {**SENDERS, "values": ["bot@bulk.example"]}, version=1)
    await put(world, "words", WORDS)
    headers = await world.key("admin")
    listed = (await world.http.get("/v1/spam-rules", headers=headers)).json()["spam_rules"]
    assert [(one["id"], one["version"], one["values"]) for one in listed] == [
        ("senders", 2, ["bot@bulk.example"]),
        ("words", 1, ["cheap pills"]),
    ]
    one = await world.http.get("/v1/spam-rules/senders", headers=headers)
    assert (one.headers["etag"], one.json()["part"]) == ('"2"', "address")
    first, second, third = await said(world)
    for event in (first, second, third):
        assert b"bulk.example" not in str(event.data).encode()
    assert isinstance(await world.opened(first, SpamRulePersonal), Erased)  # type: ignore[arg-type]
    assert await world.opened(second, SpamRulePersonal) == SpamRulePersonal(values=("bot@bulk.example",))  # type: ignore[arg-type]
    assert isinstance(third.data, SpamRuleConfigured)
    assert third.data.values == ("cheap pills",)
    assert await remove(world, "senders", 1) == 412
    assert await remove(world, "senders", 2) == 204
    assert await remove(world, "senders", 3) == 404
    assert (await world.http.get("/v1/spam-rules/senders", headers=headers)).status_code == 404
    assert isinstance(await world.opened(second, SpamRulePersonal), Erased)  # type: ignore[arg-type]
    assert (await put(world, "senders", SENDERS))["version"] == 4


async def test_a_rule_that_cannot_be_used_is_refused_with_its_field(world: World) -> None:
    for change, field in (
        ({"values": []}, "body.values"),
        ({"values": ["dan@customers.example", "nobody"]}, "body.values[1]"),
        ({"part": "domain", "values": ["a b"]}, "body.values[0]"),
        ({"part": "subject", "values": ["!"]}, "body.values[0]"),
        ({"part": "text", "verdict": "allow", "values": ["hello"]}, "body.part"),
        ({"part": "nose"}, "body.part"),
        ({"verdict": "maybe"}, "body.verdict"),
        ({"inboxes": ["No Inbox"]}, "body.inboxes"),
        ({"more": 1}, "body.more"),
        ({"values": ["x"] * 1001}, "body.values"),
    ):
        answer = await put(world, "r", {**SENDERS, **change}, status=422)
        errors = answer["errors"]
        assert isinstance(errors, list)
        assert str(errors[0]["field"]).startswith(field), change
    denied = await world.http.put("/v1/spam-rules/r", json=SENDERS, headers=await world.key("supervisor"))
    assert denied.status_code == 403


async def test_rules_are_read_back_from_the_log_and_what_was_forgotten_stays_so(world: World) -> None:
    await put(world, "senders", {**SENDERS, "values": ["gone@bulk.example"]})
    backup = await said(world)
    await put(world, "senders", SENDERS, version=1)
    await put(world, "removed", WORDS)
    assert await remove(world, "removed", 1) == 204
    told = await said(world)
    await world.execute("DELETE FROM intake.spam_rule")
    async with db.transaction(world.parts.engine) as conn:
        await ConfigRecalled(world.parts.keys).save(conn, {backup[0].key: tuple(backup)}, backup[0].time)
        since: dict[str, tuple[Event[Fact], ...]] = {}
        for event in told[1:]:
            since[event.key] = (*since.get(event.key, ()), event)
        await ConfigRecalled(world.parts.keys).save(conn, since, told[-1].time)
    headers = await world.key("admin")
    listed = (await world.http.get("/v1/spam-rules", headers=headers)).json()["spam_rules"]
    assert [(one["id"], one["version"], one["values"]) for one in listed] == [
        ("senders", 2, ["dan@customers.example", "bot@bulk.example"])
    ]
    world.intake.acceptor.spam._changes = -1
    await world.intake.acceptor.spam.refresh()
    async with mail_port(world) as port:
        await deliver(port, mail())
    assert [event.data.rule_id for event in await world.events(SpamMarked)] == ["senders"]
    assert (await put(world, "removed", WORDS))["version"] == 3


async def test_who_is_erased_stands_in_no_rule_any_more(world: World) -> None:
    await put(world, "senders", SENDERS)
    await put(world, "alone", {**SENDERS, "values": ["dan@customers.example"], "verdict": "allow"})
    async with mail_port(world) as port:
        await deliver(port, mail())
    [received] = await world.events(MessageReceived)
    before = await said(world)
    headers = await world.key("admin")
    assert (await world.http.post(f"/v1/customers/{received.data.customer_id}/erase", headers=headers)).status_code == 200
    listed = (await world.http.get("/v1/spam-rules", headers=headers)).json()["spam_rules"]
    assert [(one["id"], one["version"], one["values"]) for one in listed] == [("senders", 2, ["bot@bulk.example"])]
    for event in before:
        assert isinstance(await world.opened(event, SpamRulePersonal), Erased)  # type: ignore[arg-type]


async def test_a_rule_keeps_an_address_that_the_one_who_is_erased_only_claimed(world: World) -> None:
    await put(world, "senders", SENDERS)
    claim = await posted(world, "form", "email", "dan@customers.example")
    headers = await world.key("admin")
    assert (await world.http.post(f"/v1/customers/{claim['customer_id']}/erase", headers=headers)).status_code == 200
    listed = (await world.http.get("/v1/spam-rules", headers=headers)).json()["spam_rules"]
    assert [(one["version"], sorted(one["values"])) for one in listed] == [(1, ["bot@bulk.example", "dan@customers.example"])]


async def test_who_is_erased_stands_in_no_rule_under_the_other_form_of_their_number_either(world: World) -> None:
    await put(world, "numbers", {"verdict": "block", "part": "number", "values": ["+5511987654321", "+40721234567"]})
    ticket = await posted(world, "whatsapp", "phone", "+551187654321")
    headers = await world.key("admin")
    assert (await world.http.post(f"/v1/customers/{ticket['customer_id']}/erase", headers=headers)).status_code == 200
    listed = (await world.http.get("/v1/spam-rules", headers=headers)).json()["spam_rules"]
    assert [one["values"] for one in listed] == [["+40721234567"]]


async def test_another_process_knows_a_rule_after_it_asked(database: str) -> None:
    async with process(database) as world, process(database) as other:
        await put(world, "senders", SENDERS)
        await other.intake.acceptor.spam.refresh()
        async with mail_port(other) as port:
            await deliver(port, mail())
        assert len(await world.events(SpamMarked)) == 1
