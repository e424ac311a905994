"""Every route of every service, from its OpenAPI document, is tried with every key; and none may be there that is not listed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from httpx import Response

from deploy import openapi
from services.routing.__main__ import PARTS
from tests.services.access.doors import DOORS, OPEN
from tests.services.access.five import NOBODY, ROLES, SIGNED_IN, Five, five_services

pytestmark = pytest.mark.timeout(120)
SERVICES = tuple(name.removeprefix("openapi-").removesuffix(".json") for name in openapi.documents())
FITTING = {"agent_id": "dana", "attention": "spam", "metric_id": "ticket_volume", "order_id": "o-1", "login": "nobody"}


@dataclass(frozen=True)
class Route:
    """An operation; `path` asks for nothing that is there."""

    id: str
    method: str
    path: str
    template: str


def routes_of(service: str) -> Iterator[Route]:
    document = json.loads(openapi.documents()[f"openapi-{service}.json"])
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Route(told["operationId"], method.upper(), _asked(path, told.get("parameters", ())), path)


def _asked(path: str, parameters: Any) -> str:
    needed = {one["name"]: FITTING.get(one["name"], "nothing") for one in parameters if one.get("required")}
    for one in parameters:
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", needed.pop(one["name"]))
    query = "&".join(f"{one['name']}={needed[one['name']]}" for one in parameters if one["in"] == "query" and one.get("required"))
    return f"{path}?{query}" if query else path


def is_shut(answer: Response) -> bool:
    """Whether the door was shut, rather than what was asked for is not there or another's."""
    if answer.status_code == 401:
        return True
    return answer.status_code == 403 and str(answer.json().get("detail")).startswith("This needs one of")


@pytest_asyncio.fixture(scope="module")
async def five(module_database: str) -> AsyncIterator[Five]:
    async with five_services(module_database) as opened:
        yield opened


def strays(listed: Mapping[str, Mapping[str, frozenset[str]]]) -> list[str]:
    """Routes that are in no list, and what is listed and no route."""
    there = {service: {route.id for route in routes_of(service)} for service in SERVICES}
    return [f"{service}: {name}" for service in SERVICES for name in sorted(there[service] ^ listed.get(service, {}).keys())]


def test_every_route_is_listed_with_who_may_call_it() -> None:
    assert strays(DOORS) == [], "say in tests/services/access/doors.py who may call it"


def test_a_route_that_is_not_listed_is_noticed() -> None:
    without = {name: who for name, who in DOORS["routing"].items() if name != "get_ticket"}
    assert strays({**DOORS, "routing": without}) == ["routing: get_ticket"]
    nothing: Mapping[str, frozenset[str]] = {}
    assert strays({**DOORS, "metrics": nothing}) == ["metrics: get_metric", "metrics: list_metrics", "metrics: watch_live"]


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_is_open_to_those_who_are_listed_and_shut_to_all_others(five: Five, service: str) -> None:
    wrong = []
    for route in routes_of(service):
        may = DOORS[service][route.id]
        people = SIGNED_IN if route.id != "sign_out" else ()  # who would be out for the rest
        for role in (*ROLES, *people, *NOBODY) if may is not OPEN else ():
            answer = await five.ask(
                role, service, route.method, route.path, {} if route.method not in ("GET", "DELETE") else None
            )
            if is_shut(answer) == (role in may) or answer.status_code >= 500:
                wrong.append(f"{role} {route.id}: {answer.status_code} {answer.text[:120]}")
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
async def test_who_is_nobody_is_told_so_and_nothing_else(five: Five, service: str) -> None:
    told = set()
    for route in routes_of(service):
        for role in NOBODY if DOORS[service][route.id] is not OPEN else ():
            answer = await five.ask(role, service, route.method, route.path)
            told.add((answer.status_code, answer.json()["code"], answer.headers.get("www-authenticate")))
    assert told == {(401, "unauthorised", "Bearer")}


def needs_of(dependant: Dependant) -> Iterator[tuple[str, ...]]:
    """What is declared beside a route, anywhere among its dependencies."""
    needs = getattr(dependant.call, "needs", None)
    if needs is not None:
        yield needs
    for one in dependant.dependencies:
        yield from needs_of(one)


def test_what_a_route_of_routing_needs_is_declared_beside_it() -> None:
    routes = [route for part in PARTS for route in part.router.routes if isinstance(route, APIRoute)]
    declared = {route.name for route in routes if any(True for _ in needs_of(route.dependant))}
    assert declared == {name for name, may in DOORS["routing"].items() if may is not OPEN}
