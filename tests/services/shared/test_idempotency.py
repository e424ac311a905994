"""The Idempotency-Key store on a real PostgreSQL, with requests that truly come at once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.http import Problem
from shared.idempotency import Answer, forget_old, once, request_hash
from tests.services.shared.conftest import Plumbing

HASH = request_hash("post_contacts", b'{"text": "hello"}')
Work = Callable[[AsyncConnection], Awaitable[Answer]]


@pytest_asyncio.fixture
async def shop(plumbing: Plumbing) -> Plumbing:
    """A table in which each effect leaves a row."""
    async with db.transaction(plumbing.engine) as conn:
        await conn.execute(sa.text("CREATE TABLE intake.effect (id bigint GENERATED ALWAYS AS IDENTITY, what text)"))
    return plumbing


def effect(what: str = "opened", status: int = 201) -> Work:
    async def work(conn: AsyncConnection) -> Answer:
        row = await conn.execute(sa.text("INSERT INTO intake.effect (what) VALUES (:what) RETURNING id"), {"what": what})
        return Answer(status, b'{"id": %d}' % row.scalar_one(), {"Location": "/v1/tickets/1"})

    return work


async def effects(shop: Plumbing) -> int:
    return (await shop.rows("SELECT count(*) FROM intake.effect"))[0][0]  # type: ignore[return-value]


async def ask(shop: Plumbing, key: str | None, work: Work, digest: bytes = HASH, caller: str = "channels") -> Answer:
    return await once(shop.engine, "intake", caller, key, digest, work)


async def test_the_same_key_and_body_get_the_same_answer_and_one_effect(shop: Plumbing) -> None:
    first, second = await ask(shop, "k", effect()), await ask(shop, "k", effect())
    assert (second.status, second.body) == (first.status, first.body) == (201, b'{"id": 1}')
    assert second.headers == {**first.headers, "Idempotency-Replayed": "true"}
    assert await effects(shop) == 1


async def test_without_a_key_every_request_has_its_effect(shop: Plumbing) -> None:
    await ask(shop, None, effect())
    await ask(shop, None, effect())
    assert await effects(shop) == 2
    assert await shop.rows("SELECT * FROM intake.idempotency_key") == []


@pytest.mark.parametrize(
    "digest", [request_hash("post_contacts", b'{"text": "other"}'), request_hash("post_forms", b'{"text": "hello"}')]
)
async def test_the_key_with_another_body_or_operation_is_a_422(shop: Plumbing, digest: bytes) -> None:
    await ask(shop, "k", effect())
    with pytest.raises(Problem) as refused:
        await ask(shop, "k", effect(), digest)
    assert (refused.value.status, refused.value.code) == (422, "idempotency-key-reused")
    assert await effects(shop) == 1


async def test_keys_of_two_callers_have_nothing_to_do_with_each_other(shop: Plumbing) -> None:
    await ask(shop, "k", effect())
    await ask(shop, "k", effect(), caller="other")
    assert await effects(shop) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00b", "a\nb"])
async def test_a_key_that_cannot_be_stored_is_refused_by_name(shop: Plumbing, key: str) -> None:
    with pytest.raises(Problem) as refused:
        await ask(shop, key, effect())
    assert refused.value.status == 422
    assert [error.field for error in refused.value.errors] == ["header.idempotency-key"]
    assert await effects(shop) == 0


async def test_requests_that_come_at_once_have_one_effect_and_one_answer(shop: Plumbing) -> None:
    together = asyncio.Barrier(8)

    async def request() -> Answer:
        await together.wait()
        return await ask(shop, "k", effect())

    answers = await asyncio.gather(*(request() for _ in range(8)))
    assert {answer.body for answer in answers} == {b'{"id": 1}'}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert await effects(shop) == 1


async def test_the_second_waits_for_the_first_and_does_it_itself_when_that_fails(shop: Plumbing) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def failing(conn: AsyncConnection) -> Answer:
        await effect("lost")(conn)
        begun.set()
        await go_on.wait()
        raise Problem(409, "agent-at-capacity", "No room.")

    first = asyncio.create_task(ask(shop, "k", failing))
    await asyncio.wait_for(begun.wait(), 10)
    second = asyncio.create_task(ask(shop, "k", effect("done")))
    await _until_one_waits_for_a_lock(shop)
    assert not second.done()
    go_on.set()
    with pytest.raises(Problem):
        await first
    assert (await second).status == 201
    assert await shop.rows("SELECT what FROM intake.effect") == [("done",)]


async def _until_one_waits_for_a_lock(shop: Plumbing) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(10):
        while await shop.rows(waiting) == [(0,)]:
            pass


async def test_what_is_rolled_back_stores_no_answer(shop: Plumbing) -> None:
    async def failing(conn: AsyncConnection) -> Answer:
        await effect("lost")(conn)
        raise RuntimeError("defect")

    with pytest.raises(RuntimeError):
        await ask(shop, "k", failing)
    assert await shop.rows("SELECT * FROM intake.idempotency_key") == []
    assert await effects(shop) == 0
    assert "Idempotency-Replayed" not in (await ask(shop, "k", effect())).headers


async def test_answers_are_forgotten_after_a_day(shop: Plumbing) -> None:
    await ask(shop, "old", effect())
    await ask(shop, "new", effect())
    async with db.transaction(shop.engine) as conn:
        await conn.execute(
            sa.text("UPDATE intake.idempotency_key SET created_at = now() - interval '25 hours' WHERE key = 'old'")
        )
        await forget_old(conn, "intake")
    assert await shop.rows("SELECT key FROM intake.idempotency_key") == [("new",)]
