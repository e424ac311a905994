"""People of tests, and browsers that keep their cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.services.routing.conftest import House

PASSWORD = "correct horse battery"
OURS = "http://127.0.0.1:8102"


async def person(house: House, login: str = "dana", *scopes: str, **more: object) -> dict[str, Any]:
    """Somebody who may sign in with PASSWORD: by default an agent of the login's name."""
    body = {"name": login.title(), "scopes": list(scopes) or [f"agent:{login}"], "password": PASSWORD, **more}
    return await house.done("admin", "PUT", f"/v1/people/{login}", body)


@asynccontextmanager
async def browser(house: House, address: str = "192.0.2.1", url: str = OURS) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, from this address."""
    transport = httpx.ASGITransport(house.app, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=url, timeout=10) as client:
        yield client


async def sign_in(house: House, login: str = "dana", password: str = PASSWORD, address: str = "192.0.2.1") -> httpx.Response:
    """One attempt."""
    async with browser(house, address) as client:
        return await client.post("/v1/sessions", json={"login": login, "password": password})


async def token_of(house: House, login: str = "dana") -> str:
    """A session's token; the house knows it as a key of the login's."""
    answer = await sign_in(house, login)
    assert answer.status_code == 201, answer.text
    house.keys[login] = str(answer.json()["token"])
    return house.keys[login]
