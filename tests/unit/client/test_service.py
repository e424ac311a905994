"""A service is called until it answers, where that is safe, and no longer than the caller waits."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from client import FieldError, Intake, NoAnswer, ProblemError, Request, Routing, Service, Waiting, every, new_http
from client.exchange import Answer
from tests.unit.simulator.scripted import CUT, LATER, Scripted, scripted

SOON = Waiting(attempt_seconds=2, call_seconds=5, first_wait_seconds=0.01, longest_wait_seconds=0.02)


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


TAKEN = answer("200 OK", b'{"ticket_id": "t-1"}')
FIRST = answer("200 OK", b'{"items": [{"id": "a"}, {"id": "b"}], "next_cursor": "b"}')
LAST = answer("200 OK", b'{"items": [{"id": "c"}], "next_cursor": null}')


def keys(server: Scripted) -> list[bytes]:
    """The Idempotency-Keys that came."""
    lines = [line for request in server.requests for line in request.split(b"\r\n")]
    return [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"idempotency-key:")]


async def test_a_command_that_is_told_to_come_later_or_gets_no_answer_comes_again_with_the_same_key() -> None:
    async with scripted(LATER, CUT, TAKEN) as server, Routing(server.url, "k-1", waiting=SOON) as routing:
        assert await routing.accept_offer("o-1") == {"ticket_id": "t-1"}
        assert await routing.accept_offer("o-1") == {"ticket_id": "t-1"}
    first, second, third, _ = server.requests
    assert first == second == third
    assert b"Authorization: Bearer k-1" in first
    assert len(keys(server)) == 4
    assert keys(server)[3] != keys(server)[0]


async def test_a_key_of_the_caller_s_is_the_one_that_is_sent() -> None:
    async with scripted(LATER, TAKEN) as server, Routing(server.url, waiting=SOON) as routing:
        await routing.reply_to_ticket("t-1", {"text": "שלום"}, idempotency_key="mine")
    assert keys(server) == [b"mine", b"mine"]


async def test_the_wait_that_a_service_asks_for_is_kept() -> None:
    asked = answer("503 Service Unavailable", b"", "Retry-After: 1")
    began = time.monotonic()
    async with scripted(asked, TAKEN) as server, Routing(server.url, waiting=SOON) as routing:
        await routing.get_ticket("t-1")
    assert 1.0 <= time.monotonic() - began < 4.0
    assert len(server.requests) == 2


@pytest.mark.parametrize("lost", [LATER, CUT])
async def test_what_nobody_could_tell_from_a_repeat_is_sent_once(lost: bytes) -> None:
    async with scripted(lost) as server, Intake(server.url, waiting=SOON) as intake:
        for call in (
            intake.erase_customer("c-1"),
            intake.put_customer("c-1", {"name": "Ana"}, if_match=3),
            intake.delete_survey("care", if_match=1),
        ):
            with pytest.raises((ProblemError, NoAnswer)):
                await call
    assert [request.partition(b" ")[0] for request in server.requests] == [b"POST", b"PUT", b"DELETE"]


async def test_what_is_refused_is_not_sent_again_and_says_what_is_wrong() -> None:
    body = (
        b'{"type": "x", "title": "Invalid", "status": 422, "code": "invalid-request", "detail": "See errors",'
        b' "errors": [{"field": "body.text", "reason": "is missing"}], "held_by": "omar"}'
    )
    async with scripted(answer("422 Unprocessable Content", body)) as server, Routing(server.url, waiting=SOON) as routing:
        with pytest.raises(ProblemError, match=r"422 invalid-request: See errors; body\.text is missing") as refused:
            await routing.note_on_ticket("t-1", {"text": ""})
    problem = refused.value
    assert (problem.status, problem.code, problem.detail) == (422, "invalid-request", "See errors")
    assert problem.errors == (FieldError("body.text", "is missing"),)
    assert problem.more == {"held_by": "omar"}
    assert len(server.requests) == 1


NO_PROBLEMS = [b"<html>bad gateway</html>", b"[1]", b'{"code": "x"}', b'{"code": 1, "errors": 2}', b"\xff", b""]


@pytest.mark.parametrize("body", NO_PROBLEMS)
async def test_a_refusal_that_is_no_problem_is_one_all_the_same(body: bytes) -> None:
    async with scripted(answer("502 Bad Gateway", body)) as server, Routing(server.url) as routing:
        with pytest.raises(ProblemError) as refused:
            await routing.get_ticket("t-1")
    assert (refused.value.status, refused.value.code, refused.value.passing) == (502, "http-error", False)


async def test_a_call_ends_at_its_deadline_whatever_is_asked_and_whether_anybody_answers() -> None:
    silent = b"HTTP/1.1 200 OK\r\n"
    hasty = Waiting(attempt_seconds=0.05, call_seconds=0.3, first_wait_seconds=0.01, longest_wait_seconds=0.02)
    began = time.monotonic()
    async with scripted(silent) as server, Routing(server.url, waiting=hasty) as routing:
        with pytest.raises(NoAnswer):
            await routing.get_ticket("t-1")
        assert len(server.requests) > 1
    async with scripted(answer("429 Too Many Requests", b"", "Retry-After: 60")) as server:
        async with Routing(server.url, waiting=hasty) as routing:
            with pytest.raises(ProblemError) as refused:
                await routing.get_ticket("t-1")
        assert refused.value.retry_after_seconds == 60
        assert len(server.requests) == 1
    async with Routing(server.url, waiting=hasty) as routing:
        with pytest.raises(NoAnswer):
            await routing.get_ticket("t-1")
    assert time.monotonic() - began < 3


async def test_one_attempt_gives_whatever_was_answered() -> None:
    async with scripted(LATER, CUT) as server, Service(server.url) as service:
        told = await service.attempt(Request("POST", "/v1/x", {"Content-Type": "text/plain"}, b"body"))
        assert (told.status, told.retry_after_seconds, told.content) == (503, 0.0, b"")
        with pytest.raises(NoAnswer):
            await service.attempt(Request("GET", "/v1/x"))
    assert server.requests[0].endswith(b"\r\n\r\nbody")


async def test_services_share_connections_that_are_brought_to_them() -> None:
    async with scripted(TAKEN) as server, new_http() as http:
        for key in ("dana", "omar"):
            async with Routing(server.url, key, http=http) as routing:
                await routing.get_ticket("t-1")
    assert server.connections == 1
    assert [b"Bearer dana" in request for request in server.requests] == [True, False]


async def test_a_list_is_read_page_by_page_to_its_end() -> None:
    async with scripted(FIRST, LAST) as server, Routing(server.url) as routing:
        assert [queue["id"] async for queue in every(routing.list_queues, limit=2)] == ["a", "b", "c"]
    assert [request.partition(b" HTTP")[0] for request in server.requests] == [
        b"GET /v1/queues?limit=2",
        b"GET /v1/queues?cursor=b&limit=2",
    ]


def test_waits_double_up_to_the_longest_and_are_never_shorter_than_asked() -> None:
    waiting = Waiting(first_wait_seconds=0.2, longest_wait_seconds=5)
    for failures, most in ((1, 0.2), (2, 0.4), (5, 3.2), (6, 5.0), (10_000, 5.0)):
        assert most / 2 <= waiting.wait(failures, None) <= most
    assert waiting.wait(1, 60.0) == 60.0


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3.0), ("", None), ("soon", None), ("-1", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)]
)
def test_when_to_come_again_is_read_as_seconds_or_as_a_date(value: str, seconds: float | None) -> None:
    assert Answer(503, {"retry-after": value}, b"").retry_after_seconds == seconds


def test_when_to_come_again_may_lie_ahead() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert 50 < (Answer(503, {"retry-after": date}, b"").retry_after_seconds or 0.0) <= 60
