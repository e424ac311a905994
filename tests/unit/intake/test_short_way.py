"""The short way to the routes that take contacts: what it lets in at once, and what it tells the rest."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
from fastapi import APIRouter, Request, Response

from services.intake.api.edge import body_of
from services.intake.api.large_bodies import SmallBodies
from services.intake.api.short import AT_ONCE, shorten
from shared.http import create_app
from tests.waiting import until

router = APIRouter()
LET_OUT = asyncio.Event()


async def _ready() -> None:
    return None


@router.post("/v1/slow")
async def slow(request: Request) -> Response:
    """Answers when it is let out."""
    await LET_OUT.wait()
    return Response(status_code=201)


async def test_more_than_can_be_answered_in_time_are_told_to_come_again_and_nobody_let_in_is_forgotten() -> None:
    LET_OUT.clear()
    app = create_app("intake", "Test", _ready)
    app.include_router(router)
    shorten(app, [router], [(slow, 0)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        coming = [asyncio.create_task(client.post("/v1/slow")) for _ in range(AT_ONCE + 5)]
        refused: set[asyncio.Task[httpx.Response]] = set()
        async with asyncio.timeout(20):
            while len(refused) < 5:
                refused, waiting = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
                coming = list(waiting) + list(refused)
                await asyncio.sleep(0)
            answers = {(a.status_code, a.json()["code"], a.headers["retry-after"]) for a in (task.result() for task in refused)}
            assert answers == {(503, "overloaded", "1")}
            LET_OUT.set()
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {201}
            assert (await client.post("/v1/slow")).status_code == 201


@router.post("/v1/signed")
async def signed(request: Request) -> Response:
    """Answers with what came."""
    return Response(await body_of(request, 100))


async def test_who_says_nothing_where_anybody_may_come_keeps_nobody_out() -> None:
    app = create_app("intake", "Test", _ready)
    app.state.intake = SimpleNamespace(unproven=SmallBodies.of_all())
    app.include_router(router)
    shorten(app, [router], [(slow, 0), (signed, 100)])
    reading: list[str] = []

    async def nothing() -> AsyncIterator[bytes]:
        reading.append("a body")
        await asyncio.Event().wait()
        yield b""

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        silent = [asyncio.create_task(client.post("/v1/signed", content=nothing())) for _ in range(AT_ONCE + 5)]
        try:
            await until("all of them are waited for", lambda: len(reading) == AT_ONCE + 5)
            LET_OUT.set()
            assert (await client.post("/v1/slow")).status_code == 201
            said = await client.post("/v1/signed", content=b"as it was")
            assert (said.status_code, said.content) == (200, b"as it was")
            assert (await client.post("/v1/signed", content=b"x" * 101)).status_code == 413
        finally:
            for one in silent:
                one.cancel()
            await asyncio.gather(*silent, return_exceptions=True)
