"""What waits to be accepted is bounded: by number, by bytes and by how long it waits. Nothing takes it here."""

from __future__ import annotations

import asyncio

import pytest

from services.intake.acceptor import GROUP, QUEUE, QUEUE_BYTES, Acceptor, Overloaded
from services.intake.domain.contacts import InboundMessage
from services.intake.word_lists import WordBook
from tests.services.intake.world import World


def contact(name: str, size: int = 0) -> InboundMessage:
    """A contact of so many bytes."""
    return InboundMessage("api", name, name, "chat", "help", None, "Hello", raw=bytes(size))


async def left_waiting(world: World, contacts: list[InboundMessage]) -> tuple[Acceptor, asyncio.Task[object]]:
    """An acceptor that takes nothing, and who waits for it."""
    acceptor = Acceptor(world.parts.engine, world.parts.outbox, asyncio.Event(), WordBook(world.parts.engine))
    waiting: asyncio.Task[object] = asyncio.create_task(acceptor.accept(contacts))
    await asyncio.sleep(0)
    return acceptor, waiting


async def test_more_contacts_than_may_wait_are_refused_at_once(world: World) -> None:
    acceptor, waiting = await left_waiting(world, [contact(str(n)) for n in range(QUEUE)])
    with pytest.raises(Overloaded):
        await acceptor.accept_one(contact("one more"))
    waiting.cancel()


async def test_more_bytes_than_may_wait_are_refused_at_once(world: World) -> None:
    acceptor, waiting = await left_waiting(world, [contact("large", QUEUE_BYTES - 10)])
    with pytest.raises(Overloaded):
        await acceptor.accept_one(contact("one more", 11))
    waiting.cancel()


async def test_one_contact_alone_is_taken_whatever_its_size(world: World) -> None:
    acceptor, waiting = await left_waiting(world, [contact("huge", QUEUE_BYTES + 1)])
    assert len(acceptor.queue) == 1
    waiting.cancel()


async def test_who_would_wait_too_long_behind_a_full_group_is_refused_at_once(world: World) -> None:
    acceptor, waiting = await left_waiting(world, [contact(str(n)) for n in range(GROUP)])
    acceptor.wait_seconds = -1.0
    with pytest.raises(Overloaded):
        await acceptor.accept_one(contact("one more"))
    waiting.cancel()


async def test_what_fits_into_the_next_group_is_taken_however_long_the_others_wait(world: World) -> None:
    acceptor, waiting = await left_waiting(world, [contact(str(n)) for n in range(GROUP - 1)])
    acceptor.wait_seconds = -1.0
    another = asyncio.create_task(acceptor.accept_one(contact("one more")))
    await asyncio.sleep(0)
    assert len(acceptor.queue) == GROUP
    another.cancel()
    waiting.cancel()
