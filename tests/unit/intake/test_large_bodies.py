"""Bodies as large as mails: how large one is, how many bytes of all are held, and what who comes too much is told."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from fastapi import Request
from starlette.types import Message, Scope

from services.intake.api.large_bodies import UNCOUNTED_BYTES, LargeBodies, SmallBodies
from services.intake.held_bytes import SMALL_BYTES, Room
from shared.http import Problem
from tests.waiting import until

LARGE = 2 * SMALL_BYTES


def bodies(*, of_the_largest: int = 2, read_seconds: float = 5.0) -> LargeBodies:
    return LargeBodies(most_bytes=LARGE, room=Room(of_the_largest * LARGE), read_seconds=read_seconds)


def request(*chunks: int, declared: int | None = None, comes: bool = True, stops: bool = False) -> Request:
    """One whose body comes in pieces of these lengths, or never, or all but the last."""
    headers = [(b"content-length", str(declared).encode())] if declared is not None else []
    scope: Scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    waiting = list(chunks)

    async def receive() -> Message:
        if not comes or (stops and len(waiting) == 1):
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b" " * (waiting.pop(0) if waiting else 0), "more_body": bool(waiting)}

    return Request(scope, receive)


async def taken(held: LargeBodies, one: Request) -> int:
    """How long it was, when all of it came."""
    async with held.of(one, too_large=413) as body:
        return len(body)


async def refused(held: LargeBodies, one: Request, too_large: int = 413) -> tuple[int, str]:
    with pytest.raises(Problem) as problem:
        async with held.of(one, too_large=too_large):
            raise AssertionError("it was taken")
    return problem.value.status, problem.value.code


async def test_a_body_is_taken_up_to_the_limit_and_held_until_it_was_dealt_with() -> None:
    held = bodies()
    async with held.of(request(SMALL_BYTES, LARGE - SMALL_BYTES), too_large=413) as body:
        assert (len(body), held.room.held) == (LARGE, LARGE)
    assert held.room.held == 0


@pytest.mark.parametrize("status", [413, 503])
async def test_one_that_is_larger_is_refused_as_its_provider_wants_it_with_a_declared_length_and_without(status: int) -> None:
    held = bodies()
    assert await refused(held, request(declared=LARGE + 1, comes=False), status) == (status, "too-large")
    assert await refused(held, request(LARGE, 1, LARGE), status) == (status, "too-large")
    assert held.room.held == 0


async def test_no_more_is_held_at_a_time_than_there_is_room_for_and_small_ones_need_none() -> None:
    held = bodies()
    async with AsyncExitStack() as going_on:
        for _ in range(2):
            await going_on.enter_async_context(held.of(request(LARGE, declared=LARGE), too_large=413))
        assert await refused(held, request(LARGE, declared=LARGE)) == (503, "overloaded")
        assert await refused(held, request(SMALL_BYTES, SMALL_BYTES)) == (503, "overloaded"), "it is counted as it comes"
        assert held.room.held == 2 * LARGE, "what was refused is not counted"
        assert await taken(held, request(SMALL_BYTES)) == SMALL_BYTES
    assert await taken(held, request(LARGE)) == LARGE


async def test_one_alone_is_taken_whatever_room_there_is() -> None:
    held = LargeBodies(most_bytes=LARGE, room=Room(SMALL_BYTES))
    assert await taken(held, request(LARGE)) == LARGE


async def test_a_body_that_does_not_come_is_waited_for_for_so_long_and_takes_no_room_then() -> None:
    held = bodies(read_seconds=0.02)
    assert await refused(held, request(declared=LARGE, comes=False)) == (503, "too-slow")
    assert held.room.held == 0


async def test_what_is_announced_and_does_not_come_takes_no_room_from_what_comes() -> None:
    held = bodies(read_seconds=0.1)
    announced = [asyncio.create_task(refused(held, request(declared=LARGE, comes=False))) for _ in range(4)]
    await asyncio.sleep(0)  # each of them is waited for
    assert await taken(held, request(LARGE, declared=LARGE)) == LARGE
    assert [await one for one in announced] == [(503, "too-slow")] * 4


def test_a_mail_of_the_largest_size_fits_as_postmark_posts_it_and_four_of_them_are_held() -> None:
    mail = 25_000_000
    in_lines_of_json, files_again = mail * 80 // 78, mail * 76 // 78  # CRLF is four characters; Base64 without line ends
    held = LargeBodies.of_mails(mail)
    assert in_lines_of_json + files_again < held.most_bytes < 3 * mail
    assert held.room.most_bytes == 4 * held.most_bytes


def small(*, seconds: float = 5.0) -> SmallBodies:
    return SmallBodies(Room(2 * UNCOUNTED_BYTES, small_bytes=UNCOUNTED_BYTES), read_seconds=seconds)


async def refused_small(held: SmallBodies, one: Request, most: int = 3 * UNCOUNTED_BYTES) -> tuple[int, str]:
    with pytest.raises(Problem) as problem:
        await held.of(one, most)
    return problem.value.status, problem.value.code


async def test_a_small_body_is_read_as_far_as_such_requests_go_and_waited_for_for_so_long() -> None:
    assert len(await small().of(request(10, 20), 30)) == 30
    assert await refused_small(small(), request(10, 21), 30) == (413, "too-large")
    assert await refused_small(small(seconds=0.02), request(comes=False)) == (503, "too-slow")


async def test_of_small_bodies_no_more_comes_at_a_time_than_there_is_room_for_but_what_sns_and_twilio_bring_always() -> None:
    held = small(seconds=0.1)
    comes = request(2 * UNCOUNTED_BYTES, 1, stops=True)
    waited = asyncio.create_task(refused_small(held, comes))
    await until("it is there but for its end", lambda: held.room.held == 2 * UNCOUNTED_BYTES)
    assert await refused_small(held, request(UNCOUNTED_BYTES, 1)) == (503, "overloaded")
    assert len(await held.of(request(256 * 1024), 256 * 1024)) == 256 * 1024
    assert await waited == (503, "too-slow")
    assert held.room.held == 0
    assert len(await held.of(request(UNCOUNTED_BYTES, 1), LARGE)) == UNCOUNTED_BYTES + 1


async def test_who_hangs_up_in_the_middle_is_no_failure_of_ours() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    gone = Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}, receive)
    assert await refused_small(small(), gone) == (400, "cut-off")
    assert await refused(bodies(), gone) == (400, "cut-off")
