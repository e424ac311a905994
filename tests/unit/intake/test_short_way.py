"""The short way to the routes that take contacts: what it lets in at once, and what it tells the rest."""

import asyncio

import httpx
from fastapi import APIRouter, Request, Response

from services.intake.api.short import AT_ONCE, shorten
from shared.http import create_app

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
    shorten(app, [router], [slow])
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
