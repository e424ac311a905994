"""Figures over HTTP, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from prometheus_client import generate_latest

from deploy.local.ports import free_ports
from services.metrics import store
from services.metrics.api import make_router
from services.metrics.live import MEASURES, Live, set_gauges
from shared import auth, db
from shared.events.call import CallAnswered, CallEnded
from shared.events.config import QueueConfigured
from shared.events.people import AgentLoadChanged, AgentStateChanged
from shared.events.work import WrapUpCompleted, WrapUpStarted
from shared.http import create_app, make_server
from tests.services.metrics.conftest import Metrics
from tests.unit.metrics.teller import START, Teller

DAY = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}


def a_day() -> list[Any]:
    """Two tickets: one by mail, solved by Dana after an answer; one by SMS that waits in its queue."""
    one, two, queue = Teller("t1"), Teller("t2"), Teller("queue:support")
    one.opened()
    one.wrote(0)
    one.queued(1)
    one.assigned(40)
    one.replied(60)
    one.resolved(7300)
    two.opened(3700, channel="sms", priority=3)
    two.wrote(3700, channel="sms")
    two.queued(3701)
    names = {"en": "Support", "he": "תמיכה"}
    queue.say("routing", QueueConfigured(id="support", version=1, effective_from=START, name=names, position=1), 0)
    return [*one.events, *two.events, *queue.events]


@asynccontextmanager
async def an_app(metrics: Metrics) -> AsyncIterator[tuple[FastAPI, Live, str]]:
    live = Live(metrics.engine)

    async def ready() -> str | None:
        return None

    app = create_app("metrics", "Patchbay metrics", ready)
    app.state.authenticator = auth.Authenticator(metrics.engine)
    app.include_router(make_router(metrics.engine, live, metrics.settings.zone))
    async with db.transaction(metrics.engine) as conn:
        key = await auth.create_key(conn, "operations", "test", ("ops:read",))
    yield app, live, key


@pytest_asyncio.fixture
async def client(metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    """A caller who may read figures."""
    async with an_app(metrics) as (app, _, key):
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://metrics", headers=headers) as one:
            yield one


async def ask(client: httpx.AsyncClient, metric: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"/v1/metrics/{metric}", params={**DAY, **query})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_catalogue_tells_every_formula(client: httpx.AsyncClient) -> None:
    metrics = (await client.get("/v1/metrics")).json()["metrics"]
    assert {"ticket_volume", "backlog", "sla_compliance"} <= {metric["id"] for metric in metrics}
    assert all(metric["formula"] and metric["version"] for metric in metrics)


async def test_volume_by_channel_and_queue_with_the_queues_names(metrics: Metrics, client: httpx.AsyncClient) -> None:
    await metrics.fold(a_day())
    body = await ask(client, "ticket_volume", group_by=["channel", "queue"])
    assert [(point["group"], point["count"]) for point in body["points"]] == [
        ({"channel": "email", "queue": "support"}, 1),
        ({"channel": "sms", "queue": "support"}, 1),
    ]
    assert body["names"] == {"queue:support": {"en": "Support", "he": "תמיכה"}}
    assert body["metric"]["version"] == 1
    assert body["zone"] == "Asia/Jerusalem"


async def test_a_filter_leaves_only_what_fits(metrics: Metrics, client: httpx.AsyncClient) -> None:
    await metrics.fold(a_day())
    assert (await ask(client, "ticket_volume", priority=["3", "4"]))["points"][0]["count"] == 1
    assert (await ask(client, "ticket_volume", channel="sms", priority="2"))["points"][0]["count"] == 0


async def test_the_backlog_is_what_was_there_at_the_end_of_each_hour(metrics: Metrics, client: httpx.AsyncClient) -> None:
    await metrics.fold(a_day())
    body = await ask(client, "backlog", period="hour", to="2026-03-02T12:00:00Z", **{"from": "2026-03-02T08:00:00Z"})
    assert [point["count"] for point in body["points"]] == [0, 1, 2, 1]
    late = await ask(client, "backlog", **{"from": "2026-03-02T20:00:00Z"})
    assert late["points"][0]["beside"] == {"new": 1, "open": 0}


async def test_response_time_has_mean_and_percentiles_in_seconds(metrics: Metrics, client: httpx.AsyncClient) -> None:
    await metrics.fold(a_day())
    (point,) = (await ask(client, "first_response_time", group_by="agent", percentiles=[50, 99]))["points"]
    assert (point["group"], point["value"], point["count"]) == ({"agent": "dana"}, 60.0, 1)
    assert point["percentiles"]["p99"] == pytest.approx(60, rel=0.01)


async def test_handle_time_and_occupancy_are_told_of_calls_and_of_agents(metrics: Metrics, client: httpx.AsyncClient) -> None:
    call, dana = Teller("call"), Teller("dana")
    call.opened(channel="phone")
    call.called(0)
    call.queued(1)
    call.assigned(5)
    call.say("intake", CallAnswered(call_id="call1", agent_id="dana"), 6)
    call.say("intake", CallEnded(call_id="call1", outcome="completed", talk_us=80_000_000, hold_us=10_000_000), 96)
    call.say("routing", WrapUpStarted(agent_id="dana"), 96)
    call.say("routing", WrapUpCompleted(agent_id="dana", wrap_up_us=30_000_000), 126)
    dana.say("routing", AgentStateChanged(state="available", previous="offline"), 0)
    for second, units in ((5, 10), (126, 0), (242, 1)):
        dana.say("routing", AgentLoadChanged(used_units=units, capacity_units=10, tickets=1), second)
    await metrics.fold([*call.events, *dana.events])
    (handled,) = (await ask(client, "average_handle_time", group_by="agent"))["points"]
    assert (handled["group"], handled["value"], handled["count"]) == ({"agent": "dana"}, 120.0, 1)
    (busy,) = (await ask(client, "occupancy", group_by="agent"))["points"]
    assert (busy["value"], busy["count"], busy["out_of"]) == (0.5, 121, 242)
    assert (await ask(client, "occupancy", agent="nobody"))["points"][0]["value"] is None


async def test_nothing_measured_is_null_and_not_zero(client: httpx.AsyncClient) -> None:
    assert (await ask(client, "first_response_time"))["points"][0]["value"] is None
    assert (await ask(client, "sla_compliance"))["points"][0]["value"] is None
    assert (await ask(client, "ticket_volume"))["points"][0]["value"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"group_by": "colour"}, "query.group_by"),
        ({"group_by": ["agent", "agent"]}, "query.group_by"),
        ({"colour": "red"}, "query.colour"),
        ({"policy": "gold"}, "query.policy"),
        ({"period": "fortnight"}, "query.period"),
        ({"from": "yesterday"}, "query.from"),
        ({"from": "2026-03-02T00:00:00"}, "query.from"),
        ({"from": "2027-01-01T00:00:00Z"}, "query.from"),
        ({"from": "2001-01-01T00:00:00Z", "period": "hour"}, "query.period"),
        ({"percentiles": ["0"]}, "query.percentiles"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "query.from"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "query.to"),
        ({"to": "2190-01-01T00:00:00Z", "period": "day"}, "query.period"),
        ({"channel": "\x00"}, "query.channel"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_which_part(
    client: httpx.AsyncClient, query: dict[str, Any], field: str
) -> None:
    answer = await client.get("/v1/metrics/ticket_volume", params={**DAY, **query})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid-request"
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_an_unknown_metric_is_not_found_and_the_known_ones_are_told(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/metrics/happiness")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-metric")
    assert "ticket_volume" in answer.json()["detail"]


async def test_figures_need_a_key_that_may_read_them(metrics: Metrics, client: httpx.AsyncClient) -> None:
    async with db.transaction(metrics.engine) as conn:
        other = await auth.create_key(conn, "channels", "test", ("intake:write",))
    assert (await client.get("/v1/metrics", headers={"Authorization": ""})).status_code == 401
    assert (await client.get("/v1/metrics", headers={"Authorization": f"Bearer {other}"})).status_code == 403


async def test_the_live_stream_tells_what_stands_and_each_change(metrics: Metrics) -> None:
    port = free_ports(1)[0]
    async with an_app(metrics) as (app, live, key):
        server = make_server(app, "127.0.0.1", port)
        serving = asyncio.create_task(server.serve())
        try:
            async with asyncio.timeout(20):
                headers = {"Authorization": f"Bearer {key}"}
                async with (
                    httpx.AsyncClient(
                        base_url=f"http://127.0.0.1:{port}", headers=headers, transport=httpx.AsyncHTTPTransport(retries=5)
                    ) as client,
                    client.stream("GET", "/v1/live", timeout=10) as answer,
                ):
                    assert answer.headers["content-type"].startswith("text/event-stream")
                    snapshots = (json.loads(line[6:]) async for line in answer.aiter_lines() if line.startswith("data: "))
                    assert (await anext(snapshots))["backlog"] == 0
                    await metrics.fold(a_day())
                    changed = await anext(snapshots)
                    assert changed["backlog"] == 1
                    assert changed["waiting_by_queue"] == {"support": 1}
        finally:
            live.stop()
            server.should_exit = True
            await asyncio.wait_for(serving, 10)


async def test_prometheus_shows_the_backlog_and_forgets_what_is_gone(metrics: Metrics) -> None:
    told = Teller("t1")
    told.opened()
    await metrics.fold(told.events)
    async with db.transaction(metrics.engine) as conn:
        set_gauges(await store.standing_now(conn, MEASURES))
    assert b'patchbay_backlog_tickets{channel="email",status="new"} 1.0' in generate_latest()
    told.resolved(10)
    await metrics.fold(told.events)
    async with db.transaction(metrics.engine) as conn:
        set_gauges(await store.standing_now(conn, MEASURES))
    assert b'patchbay_backlog_tickets{channel="email"' not in generate_latest()
