"""The generic channel both ways: files that come with a contact, and replies posted to the connector's webhook."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.intake.channels.outgoing_webhook import retry_after
from services.intake.settings import IntakeSettings
from shared.events.message import DeliveryUncertain, MessageDelivered, MessageFailed, MessagePersonal, MessageReceived
from shared.events.ticket import TicketAssigned
from tests.services.intake.connector import Connector, answer, connector
from tests.services.intake.world import World, process

NEW, OLD, OTHER = ("whsec_" + letter * 32 for letter in "abc")
CONTACT = {
    "channel": "other",
    "inbox": "shop-chat",
    "id": "c-17",
    "handle": {"kind": "provider_id", "value": "user-5", "scope": "page-1"},
    "text": "Where is my order?",
}
FILE = {"name": "receipt.pdf", "media_type": "application/pdf", "content": base64.b64encode(b"%PDF-1").decode()}


@asynccontextmanager
async def replied(database: str, secrets: str = f"shop-chat={NEW},{OLD}") -> AsyncIterator[tuple[World, Connector]]:
    """A contact came through a connector and an agent answered it."""
    async with connector() as (played, url), process(database, intake_webhook_secrets=secrets) as world:
        await world.inbox("shop-chat", channel="other", address="shop-chat", webhook=url)
        taken = await world.http.post("/v1/contacts", json=CONTACT, headers=await world.key("intake:write"))
        assert taken.status_code == 201, taken.text
        [received] = await world.events(MessageReceived)
        await world.reply(received.key, received.data.customer_id, "Tomorrow.\r\nPromised.", "other")
        yield world, played


async def due(world: World) -> int:
    await world.execute("UPDATE intake.delivery SET due_at = now() WHERE due_at IS NOT NULL")
    return await world.sender.send_due()


async def test_a_reply_is_posted_to_the_connector_signed_with_each_secret(database: str) -> None:
    async with replied(database) as (world, played):
        assert await world.sender.send_due() == 1
        [request] = played.posted
        for secret in (NEW, OLD):
            Webhook(secret).verify(request.body, request.headers)
        for wrong, body in ((OTHER, request.body), (NEW, request.body.replace(b"Tomorrow", b"Tomorrov"))):
            with pytest.raises(WebhookVerificationError):
                Webhook(wrong).verify(body, request.headers)
        [message_id] = await world.reply_ids()
        said = request.data
        assert request.headers["webhook-id"] == said["message_id"] == message_id
        assert (said["text"], said["to"], said["ticket_number"]) == (
            "Tomorrow.\r\nPromised.",
            {"kind": "provider_id", "value": "user-5", "scope": "page-1"},
            100001,
        )
        assert [event.data.channel for event in await world.events(MessageDelivered)] == ["other"]


@pytest.mark.parametrize("status", [410, 404, 400, 422, 302])
async def test_what_the_connector_will_not_take_has_failed(database: str, status: int) -> None:
    async with replied(database) as (world, played):
        played.answers = [answer(status, "Location: http://127.0.0.1:1/elsewhere")]
        assert await world.sender.send_due() == 1
        assert [event.data.code for event in await world.events(MessageFailed)] == [f"webhook-{status}"]
        assert (await due(world), len(played.posted)) == (0, 1)


async def test_what_it_cannot_take_now_is_sent_again_as_late_as_it_says_and_is_the_same_request(database: str) -> None:
    async with replied(database) as (world, played):
        played.answers = [answer(503, "Retry-After: 600"), answer(429), b"", answer(200)]
        assert await world.sender.send_due() == 1
        assert await world.count("delivery", "due_at > now() + interval '500 seconds'") == 1
        for _ in range(3):
            assert await due(world) == 1
        assert {request.headers["webhook-id"] for request in played.posted} == set(await world.reply_ids())
        assert len({request.body for request in played.posted}) == 1
        assert len(played.posted) == 4
        assert [event.data.attempt for event in await world.events(DeliveryUncertain)] == [3]
        assert [event.data.attempts for event in await world.events(MessageDelivered)] == [4]


async def test_a_connector_that_is_away_is_waited_for(database: str) -> None:
    async with replied(database) as (world, _):
        await world.inbox_changed("shop-chat", channel="other", address="shop-chat", webhook="http://127.0.0.1:1/")
        assert await world.sender.send_due() == 1
        assert await world.count("delivery", "state = 'waiting' AND attempts = 1") == 1


async def test_without_a_secret_nothing_is_posted(database: str) -> None:
    async with replied(database, secrets="") as (world, played):
        assert await world.sender.send_due() == 1
        assert ([event.data.code for event in await world.events(MessageFailed)], played.posted) == (["not-set-up"], [])


@pytest.mark.parametrize("url", ["ftp://a.example/", "https://user@a.example/", "https://a.example/ b", "https://a\r\nX: y"])
async def test_a_webhook_has_to_be_a_url(world: World, url: str) -> None:
    body = {"channel": "other", "address": "x", "webhook": url}
    refused = await world.http.put("/v1/inboxes/x", json=body, headers=await world.key("admin"))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.webhook")


async def test_files_of_a_contact_are_told_kept_and_given_to_its_agent(world: World) -> None:
    headers, contact = (
        await world.key("intake:write"),
        {**CONTACT, "channel": "chat", "attachments": [FILE, {**FILE, "name": "a\r\nb"}]},
    )
    for _ in range(2):
        taken = await world.http.post("/v1/contacts", json=contact, headers=headers)
        assert taken.status_code == 201, taken.text
    [received] = await world.events(MessageReceived)
    first, second = received.data.attachments
    assert (first.media_type, first.size_bytes, first.id != second.id) == ("application/pdf", 6, True)
    personal = await world.opened(received, MessagePersonal)
    assert isinstance(personal, MessagePersonal)
    assert personal.attachment_names == ("receipt.pdf", "a b")
    await world.say(received.key, TicketAssigned(agent_id="dana", how="accepted"))
    fetched = await world.http.get(f"/v1/attachments/{second.id}", headers=await world.key("agent:dana"))
    named = "attachment; filename=\"a b\"; filename*=UTF-8''a%20b"
    assert (fetched.status_code, fetched.content, fetched.headers["content-disposition"]) == (200, b"%PDF-1", named)


async def test_each_contact_of_a_list_has_its_own_files_and_its_own_faults(world: World) -> None:
    large = base64.b64encode(bytes(11 * 2**20)).decode()
    lists: list[list[dict[str, str]]] = [
        [FILE],
        [{**FILE, "content": "&&&"}],
        [{**FILE, "media_type": "text/html\r\nX: y"}],
        [FILE] * 21,
        [{**FILE, "content": large}],
    ]
    contacts = [{**CONTACT, "channel": "chat", "id": str(n), "attachments": files} for n, files in enumerate(lists)]
    taken = await world.http.post("/v1/contacts", json=contacts, headers=await world.key("intake:write"))
    results = taken.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 422, 422, 422]
    assert [result["errors"][0]["field"] for result in results[1:]] == [
        "body[1].attachments[0].content",
        "body[2].attachments[0].media_type",
        "body[3].attachments",
        "body[4].attachments[0].content",
    ]
    assert await world.count("attachment") == 1


def test_both_forms_of_retry_after_are_read_and_nonsense_is_not() -> None:
    now = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
    said = ("120", "Thu, 15 Jan 2026 10:02:00 GMT", "Thu, 15 Jan 2026 09:00:00 GMT", "soon", "", "-5")
    assert [retry_after(one, now) for one in said] == [120.0, 120.0, 0.0, 0.0, 0.0, 0.0]
    assert timedelta(seconds=retry_after("9" * 500, now)) > timedelta(0)


def test_secrets_are_read_anew_so_that_they_can_be_changed_while_it_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secrets") / "webhooks"
    file.write_text(f"shop-chat={OLD}")
    settings = IntakeSettings.model_validate({"intake_webhook_secrets_file": file})
    assert settings.webhook_secrets == {"shop-chat": (OLD,)}
    file.write_text(f"shop-chat={NEW},{OLD}")
    assert settings.webhook_secrets == {"shop-chat": (NEW, OLD)}
