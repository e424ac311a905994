"""What every HTTP edge does alike: problems, limits, health, figures, conditional edits."""

import json
import logging
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from shared.db import DatabaseAway
from shared.http import IfMatch, Problem, check_match, create_app, etag
from shared.kafka import KafkaAway
from shared.outbox import EventTooLarge
from shared.telemetry import Reticent, describe

CANARY = "canary-Rivka-0501234567"


class Contact(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3)
    tags: list[str] = []


class Contacts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    contacts: list[Contact]


class Edge:
    """An application with a route for each thing that can go wrong."""

    def __init__(self) -> None:
        self.not_ready: str | None = None
        self.turns = True
        self.app = create_app(
            "intake",
            "Test",
            self._ready,
            lambda: self.turns,
            body_limit=1000,
            large={"/v1/imports": 3000},
            limiting=("/v1/own/",),
        )
        _add_routes(self.app)
        transport = httpx.ASGITransport(self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def _ready(self) -> str | None:
        return self.not_ready


def _add_routes(app: FastAPI) -> None:
    @app.post("/v1/contacts")
    async def post_contacts(body: Contacts) -> dict[str, int]:
        return {"taken": len(body.contacts)}

    @app.post("/v1/own/length", include_in_schema=False)
    async def post_length(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    @app.post("/v1/imports")
    async def post_import(body: Contacts) -> dict[str, int]:
        return {"taken": len(body.contacts)}

    @app.get("/v1/defect")
    async def defect() -> None:
        raise RuntimeError(CANARY)

    @app.get("/v1/unstorable")
    async def unstorable() -> None:
        raise asyncpg.CharacterNotInRepertoireError(CANARY)

    @app.get("/v1/large")
    async def event_too_large() -> None:
        raise EventTooLarge(CANARY)

    @app.get("/v1/away")
    async def database_away() -> None:
        raise DatabaseAway("ConnectionRefusedError")

    @app.get("/v1/broker")
    async def broker_away() -> None:
        raise KafkaAway("no broker")

    @app.put("/v1/queues/{queue_id}")
    async def put_queue(queue_id: str, if_match: IfMatch = None) -> None:
        check_match(if_match, 3 if queue_id == "known" else None)

    @app.get("/v1/refused/{number}")
    async def refused(number: int) -> None:
        raise Problem(409, "agent-at-capacity", "The agent has no room.", headers={"Retry-After": "1"}, more={"limit": number})


@pytest.fixture
def edge() -> Edge:
    return Edge()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The body of an answer that must be this problem, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert isinstance(body, dict)
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"].endswith(f"/{code}")
    assert body["title"]
    assert body["detail"]
    return body


async def test_malformed_json_is_a_400_that_says_where(edge: Edge) -> None:
    answer = await edge.client.post("/v1/contacts", content=b'{"contacts": [}', headers={"content-type": "application/json"})
    errors = problem(answer, 400, "malformed-json")["errors"]
    assert errors == [{"field": "body", "reason": "Expecting value, at character 14"}]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 900, b"9" * 990, b'"\\ud800"', b"", b"null", b"NaN"])
async def test_a_body_that_is_no_such_thing_is_never_a_500(edge: Edge, content: bytes) -> None:
    answer = await edge.client.post("/v1/contacts", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_wrong_fields_are_named_with_their_path_and_reason(edge: Edge) -> None:
    body = {"contacts": [{"email": "a@b"}, {"email": "x", "tags": ["a", 5], "colour": "red"}]}
    answer = await edge.client.post("/v1/contacts", json=body)
    errors = problem(answer, 422, "invalid-request")["errors"]
    assert errors == [
        {"field": "body.contacts[1].email", "reason": "String should have at least 3 characters"},
        {"field": "body.contacts[1].tags[1]", "reason": "Input should be a valid string"},
        {"field": "body.contacts[1].colour", "reason": "Extra inputs are not permitted"},
    ]


async def test_a_missing_body_and_a_wrong_path_parameter_are_named(edge: Edge) -> None:
    missing = problem(await edge.client.post("/v1/contacts"), 422, "invalid-request")
    assert missing["errors"] == [{"field": "body", "reason": "Field required"}]
    wrong = problem(await edge.client.get("/v1/refused/many"), 422, "invalid-request")
    assert [error["field"] for error in wrong["errors"]] == ["path.number"]  # type: ignore[attr-defined]


async def test_a_field_named_with_half_a_character_is_refused_and_not_a_500(edge: Edge) -> None:
    content = b'{"contacts": [], "\\ud800": 1}'
    answer = await edge.client.post("/v1/contacts", content=content, headers={"content-type": "application/json"})
    problem(answer, 422, "invalid-request")


async def test_an_unknown_route_and_a_wrong_method_are_problems(edge: Edge) -> None:
    problem(await edge.client.get("/v1/nothing"), 404, "not-found")
    answer = await edge.client.delete("/v1/contacts")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_body_declared_too_large_is_refused_unread(edge: Edge) -> None:
    answer = await edge.client.post("/v1/contacts", content=b" " * 1001, headers={"content-type": "application/json"})
    assert "1000 bytes" in str(problem(answer, 413, "too-large")["detail"])


async def test_a_body_that_turns_out_too_large_is_refused_while_it_is_read(edge: Edge) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100

    answer = await edge.client.post("/v1/contacts", content=chunks(), headers={"content-type": "application/json"})
    assert "1000 bytes" in str(problem(answer, 413, "too-large")["detail"])
    assert sent <= 11


async def test_a_route_that_limits_its_bodies_itself_is_left_to_it(edge: Edge) -> None:
    answer = await edge.client.post("/v1/own/length", content=b" " * 1001)
    assert answer.json() == {"length": 1001}


@pytest.mark.parametrize("in_parts", [False, True])
async def test_more_may_be_sent_to_a_path_that_is_named_and_not_to_others(edge: Edge, in_parts: bool) -> None:
    async def parts(size: int) -> AsyncIterator[bytes]:
        yield b'{"contacts": []}'
        yield b" " * (size - 16)

    for path, size, status in (("/v1/imports", 3000, 200), ("/v1/imports", 3001, 413), ("/v1/contacts", 1001, 413)):
        whole = b"".join([part async for part in parts(size)])
        content = parts(size) if in_parts else whole
        answer = await edge.client.post(path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status, (path, size)


async def test_an_unexpected_exception_is_a_500_that_tells_nothing_of_the_inside(edge: Edge) -> None:
    answer = await edge.client.get("/v1/defect")
    body = problem(answer, 500, "internal-error")
    assert CANARY not in answer.text
    assert "RuntimeError" not in answer.text
    assert "errors" not in body


async def test_a_text_that_no_column_takes_is_a_422_whichever_way_its_statement_went(edge: Edge) -> None:
    body = problem(await edge.client.get("/v1/unstorable"), 422, "invalid-request")
    assert CANARY not in json.dumps(body)


async def test_what_is_too_large_for_the_log_is_a_413(edge: Edge) -> None:
    body = problem(await edge.client.get("/v1/large"), 413, "too-large")
    assert CANARY not in json.dumps(body)


@pytest.mark.parametrize("path", ["/v1/away", "/v1/broker"])
async def test_a_database_or_broker_that_is_away_is_a_503_with_retry_after(edge: Edge, path: str) -> None:
    answer = await edge.client.get(path)
    problem(answer, 503, "temporarily-unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_problem_carries_its_headers_and_further_members(edge: Edge) -> None:
    answer = await edge.client.get("/v1/refused/7")
    assert problem(answer, 409, "agent-at-capacity")["limit"] == 7
    assert answer.headers["retry-after"] == "1"


async def test_an_edit_needs_the_etag_of_what_the_caller_read(edge: Edge) -> None:
    problem(await edge.client.put("/v1/queues/known"), 428, "precondition-required")
    problem(await edge.client.put("/v1/queues/known", headers={"if-match": etag(2)}), 412, "precondition-failed")
    assert (await edge.client.put("/v1/queues/known", headers={"if-match": etag(3)})).status_code == 200
    assert (await edge.client.put("/v1/queues/new")).status_code == 200
    problem(await edge.client.put("/v1/queues/new", headers={"if-match": etag(1)}), 412, "precondition-failed")


async def test_health_tells_whether_the_loop_turns_and_readiness_whether_traffic_may_come(edge: Edge) -> None:
    assert (await edge.client.get("/healthz")).status_code == 200
    assert (await edge.client.get("/readyz")).text == "ready\n"
    edge.turns, edge.not_ready = False, "PostgreSQL does not answer"
    assert (await edge.client.get("/healthz")).status_code == 503
    refused = await edge.client.get("/readyz")
    assert (refused.status_code, refused.text) == (503, "PostgreSQL does not answer\n")


async def test_figures_count_requests_by_operation_and_status(edge: Edge) -> None:
    await edge.client.get("/v1/refused/1")
    await edge.client.get("/v1/nothing-at-all-4711")
    figures = (await edge.client.get("/metrics")).text
    assert 'patchbay_request_seconds_count{operation="refused",service="intake",status="409"}' in figures
    assert 'patchbay_request_seconds_count{operation="unknown",service="intake",status="404"}' in figures
    assert "nothing-at-all" not in figures


async def test_operations_are_named_as_their_functions(edge: Edge) -> None:
    document = (await edge.client.get("/openapi.json")).json()
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert names == {
        *("post_contacts", "post_import", "defect", "unstorable", "event_too_large", "database_away", "broker_away"),
        *("put_queue", "refused"),
    }
    assert document["openapi"].startswith("3.1")


@pytest.fixture
def failure() -> Iterator[RuntimeError]:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as cause:
            raise RuntimeError(CANARY) from cause
    except RuntimeError as error:
        yield error


def test_an_error_is_described_by_type_and_place_without_its_words(failure: RuntimeError) -> None:
    assert describe(failure).startswith("RuntimeError at tests/unit/shared/test_http.py:")
    assert CANARY not in describe(failure)
    assert describe(RuntimeError(CANARY)) == "RuntimeError"


def test_libraries_log_errors_without_their_words(failure: RuntimeError) -> None:
    info = (type(failure), failure, failure.__traceback__)
    text = f"Task exception was never retrieved\nfuture: <Task exception=RuntimeError('{CANARY}')>"
    record = logging.LogRecord("asyncio", logging.ERROR, __file__, 1, text, None, info)
    line = Reticent().format(record)
    assert line.startswith("ERROR asyncio Task exception was never retrieved (RuntimeError at tests/unit/")
    assert CANARY not in line


def test_problems_keep_letters_of_every_script() -> None:
    assert json.loads(bytes(Problem(400, "bad", "שלום").response().body))["detail"] == "שלום"
