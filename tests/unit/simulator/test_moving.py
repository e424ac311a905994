"""What simulated agents do with tickets besides answering and resolving them, as the API is asked for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from simulator.hand import OBLIGING, Conduct, Desk, Hand
from simulator.moving import MOVES, Mover
from simulator.patience import Patience
from simulator.transport import new_http
from simulator.truth import Truth
from tests.unit.simulator.scripted import Scripted, scripted

DONE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
REFUSAL = b'{"code": "transfer-gone"}'
GONE = b"HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(REFUSAL),
    REFUSAL,
)
TICKET = {"ticket_id": "t-1", "queue_id": "support"}
MOVING = Conduct(moves=1.0, handle_seconds=(0.0, 0.0), repeats=0.0)


@asynccontextmanager
async def mover(*answers: bytes, conduct: Conduct = MOVING) -> AsyncIterator[tuple[Mover, Scripted, Truth]]:
    """Dana, whose colleague is omar, at an API that answers so."""
    truth = Truth()
    async with scripted(*answers) as api, new_http() as http:
        desk = Desk("run", api.url, http, truth, lambda: 0.0, Patience(), conduct, ("dana", "omar"), "key of rina")
        yield Mover(Hand("dana", "key of dana", desk)), api, truth


def paths(api: Scripted) -> list[str]:
    """What was asked for, in order."""
    return [request.split(b" ")[1].decode().removeprefix("/v1/tickets/t-1/") for request in api.requests]


async def test_every_move_is_made_and_noted_under_a_key_of_its_own() -> None:
    kinds, asked = set(), set()
    for move in MOVES:
        async with mover(DONE) as (dana, api, truth):
            assert await move(dana, TICKET, "omar")
            kinds |= {act.kind for act in truth.acts}
            asked |= set(paths(api))
            assert len({act.key for act in truth.acts}) == len(api.requests)
    assert kinds == {"transfer", "take", "hand_over", "escalate", "consult", "assign", "release", "call_back"}
    assert asked == {"transfer", "take", "escalate", "consults", "assign", "release", "callback"}


async def test_a_move_that_is_refused_leaves_the_ticket_where_it_is() -> None:
    for move in MOVES:
        async with mover(GONE) as (dana, api, truth):
            assert not await move(dana, TICKET, "omar")
            assert len(api.requests) == len(truth.acts) == 1


async def test_what_a_supervisor_assigns_is_asked_for_with_the_supervisor_s_key_and_noted_of_who_gets_it() -> None:
    async with mover(DONE) as (dana, api, truth):
        assert await dana._is_assigned_by_a_supervisor(TICKET, "omar")
        assert b"Bearer key of rina" in api.requests[0]
        assert [(act.kind, act.agent) for act in truth.acts] == [("assign", "omar")]


@pytest.mark.parametrize(
    ("task", "kinds"),
    [("transfer", {"accept_transfer", "decline_transfer"}), ("consult", {"answer"}), ("wrap_up", {"wrap_up"})],
)
async def test_who_is_asked_answers(task: str, kinds: set[str]) -> None:
    async with mover(DONE) as (dana, _, truth):
        for seed in range(20):
            await dana.asked(task, "t-1", "c-1", Random(seed))
        assert {act.kind for act in truth.acts} == kinds


async def test_agents_who_do_not_move_tickets_ask_for_nothing() -> None:
    async with mover(DONE, conduct=OBLIGING) as (dana, api, _):
        assert not await dana.move(TICKET, Random(1))
        assert api.requests == []
