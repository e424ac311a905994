"""The client has a method for each operation that the services document, and none besides; and sends what is documented."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict
from urllib.parse import parse_qs, quote, urlencode

import msgspec
import pytest

from client import Desk, Intake, Metrics, ProblemError, Routing, Service, Sla
from deploy.openapi import FOLDER
from tests.contract.operations import OURS, Method, Operation, faults, lines_to_add, operations_of
from tests.unit.simulator.scripted import scripted

CLIENTS: dict[str, type[Service]] = {"intake": Intake, "routing": Routing, "sla": Sla, "metrics": Metrics, "desk": Desk}
BODY = b'{"code": "not-found", "detail": "There is nothing."}'
REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
SAMPLES: dict[object, object] = {
    int: 7,
    bool: True,
    float: 1.5,
    bytes: b"content",
    datetime: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    date: date(2026, 1, 2),
    Any: "anything",
}
Document = dict[str, Any]


def document_of(service: str) -> Document:
    found: Document = json.loads((FOLDER / f"openapi-{service}.json").read_text(encoding="utf-8"))
    return found


def methods_of(client: type[Service]) -> dict[str, Method]:
    """Its own, without those that every service has."""
    own = [one for one in client.__mro__ if one not in Service.__mro__]
    return {name: made for one in own for name, made in vars(one).items() if callable(made) and not name.startswith("_")}


def complaints(document: Document, client: type[Service]) -> list[str]:
    """What to change in the client, each with the lines to add where some are."""
    operations, methods = operations_of(document), methods_of(client)
    missing = [f"add to {client.__name__}:\n{lines_to_add(operations[name])}" for name in operations.keys() - methods.keys()]
    besides = [f"{client.__name__}.{name}: no operation has this id" for name in methods.keys() - operations.keys()]
    return [
        *missing,
        *besides,
        *(
            f"{client.__name__}.{name}: {fault}"
            for name in operations.keys() & methods.keys()
            for fault in faults(operations[name], methods[name])
        ),
    ]


@pytest.mark.parametrize("service", CLIENTS)
def test_a_client_has_the_operations_of_its_document_with_their_parameters_bodies_and_answers(service: str) -> None:
    found = complaints(document_of(service), CLIENTS[service])
    assert not found, "\n".join(["", *found])


Change = Callable[[Document], object]
PRAISE = """    async def praise_ticket(self, ticket_id: str, body: Resolve, idempotency_key: str | None = None) -> Json:
        return await self._post(Json, at("/v1/tickets/{}/praise", ticket_id), body, idempotency_key)"""
RESOLVE, QUEUES = "/v1/tickets/{ticket_id}/resolve", "/v1/queues"
CHANGES: dict[str, tuple[Change, str]] = {
    "an operation more": (
        lambda document: document["paths"].update({"/v1/tickets/{ticket_id}/praise": _as(document, RESOLVE, "praise_ticket")}),
        PRAISE,
    ),
    "an operation less": (
        lambda document: document["paths"].pop(RESOLVE),
        "Routing.resolve_ticket: no operation has this id",
    ),
    "a parameter more": (
        lambda document: document["paths"][QUEUES]["get"]["parameters"].append(
            {"in": "query", "name": "team", "schema": {"type": "string"}}
        ),
        "Routing.list_queues: add the parameter `team: str | None = None`",
    ),
    "a parameter less": (
        lambda document: document["paths"][QUEUES]["get"]["parameters"].clear(),
        "Routing.list_queues: take out the parameter `cursor`",
    ),
    "a parameter of another type": (
        lambda document: document["paths"][QUEUES]["get"]["parameters"][1].update(schema={"type": "string"}),
        "Routing.list_queues: limit: is `int`, the document says `str`",
    ),
    "a field more": (
        lambda document: document["components"]["schemas"]["Resolve"]["properties"].update(note={"type": "string"}),
        "Routing.resolve_ticket: body: add `note: str`",
    ),
    "a field that must be there": (
        lambda document: document["components"]["schemas"]["Resolve"].update(required=["code"]),
        "Routing.resolve_ticket: body.code: is Required",
    ),
    "a field within a field less": (
        lambda document: document["components"]["schemas"]["ReplyFile"]["properties"].pop("name"),
        "Routing.reply_to_ticket: body.attachments[]: take out `name`",
    ),
    "no body": (
        lambda document: document["paths"][RESOLVE]["post"].pop("requestBody"),
        "Routing.resolve_ticket: take out `body`",
    ),
    "an answer that says what it is": (
        lambda document: document["paths"][RESOLVE]["post"]["responses"]["200"]["content"].update(
            {"application/json": {"schema": {"properties": {"code": {"type": "string"}}, "required": ["code"], "type": "object"}}}
        ),
        "Routing.resolve_ticket: its answer: is `dict[str, Any]`, the document says `{code: Required[str]}`",
    ),
}


def _as(document: Document, path: str, operation_id: str) -> Document:
    told: Document = copy.deepcopy(document["paths"][path])
    told["post"]["operationId"] = operation_id
    return told


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_in_a_document_is_noticed_and_what_to_do_is_said(change: str) -> None:
    document = document_of("routing")
    make, expected = CHANGES[change]
    make(document)
    assert any(expected in complaint for complaint in complaints(document, Routing)), complaints(document, Routing)


@dataclass(frozen=True)
class Sent:
    """A request as it came to the server."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    content: bytes


def sent_as(raw: bytes) -> Sent:
    head, _, content = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Sent(method, path, parse_qs(query), headers, content)


def sample(kind: Any, name: str) -> Any:
    """A value of the type, with all that it may have."""
    if is_typeddict(kind):
        return {field: sample(of, field) for field, of in get_type_hints(kind).items()}
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return sample(of[0], name)
    if origin is Literal:
        return of[0]
    if origin in (list, Sequence):
        return [sample(of[0], name)]
    if origin in (dict, Mapping):
        return {"x": sample(of[1], name)}
    return f"{name}/1" if kind is str else SAMPLES[kind]


def texts(value: Any) -> list[str]:
    """A parameter's value as it stands in a URL."""
    several = value if isinstance(value, list) else [value]
    return [
        one.isoformat() if isinstance(one, datetime) else str(one).lower() if isinstance(one, bool) else str(one)
        for one in several
    ]


async def call(client: Service, operation: Operation) -> dict[str, Any]:
    """Call it with all it may be given, and return that. It is refused."""
    method = methods_of(type(client))[operation.id]
    given = {name: sample(kind, name) for name, kind in get_type_hints(method).items() if name not in {"return", *OURS}}
    if "headers" in given:
        given["headers"] = {"X-Signature": "of the provider"}
    made = method(client, **given)
    with pytest.raises(ProblemError, match="There is nothing"):
        await (anext(made) if isinstance(made, AsyncIterator) else made)
    return given


def expected(operation: Operation, given: Mapping[str, Any]) -> tuple[str, str, dict[str, list[str]]]:
    """Method, path and query."""
    path = operation.path
    for name, documented in operation.called("path").items():
        path = path.replace("{" + documented["name"] + "}", quote(given[name], safe=""))
    query = {documented["name"]: texts(given[name]) for name, documented in operation.called("query").items()}
    return operation.method, path, query


@pytest.mark.parametrize("service", CLIENTS)
async def test_what_a_method_sends_is_what_the_operation_takes(service: str) -> None:
    async with scripted(REFUSED) as server, CLIENTS[service](server.url, "k-1") as client:
        for operation in operations_of(document_of(service)).values():
            given = await call(client, operation)
            sent = sent_as(server.requests[-1])
            assert (sent.method, sent.path, sent.query) == expected(operation, given)
            assert sent.headers["authorization"] == "Bearer k-1"
            for name, documented in operation.called("header").items():
                value = f'"{given[name]}"' if name == "if_match" else given[name]
                assert sent.headers[documented["name"].lower()] == value, operation.id
            if "headers" in given:
                assert sent.headers["x-signature"] == "of the provider"
            assert sent.content == _content(sent, given), operation.id


def _content(sent: Sent, given: Mapping[str, Any]) -> bytes:
    if "body" not in given:
        return bytes(given.get("content", b""))
    as_form = sent.headers["content-type"] == "application/x-www-form-urlencoded"
    return urlencode(given["body"]).encode() if as_form else msgspec.json.encode(given["body"])
