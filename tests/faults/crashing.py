"""Runs a service that kills itself, with SIGKILL, at one named boundary: `python -m tests.faults.crashing MODULE POINT:N`.

The boundaries are put around the real code from outside, so the product knows nothing of them. Points: before-commit and
after-commit (of a transaction that wrote events or moved offsets), before-send and after-send (of the relay: after the broker's
acknowledgement, before the rows are deleted), before-outward and after-outward (of a mail's text to the customers' server).
N is at which time it happens.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

import aiosmtplib
from aiokafka import AIOKafkaProducer
from asyncpg.transaction import Transaction

from shared.offsets import Offsets
from shared.outbox import Outbox
from shared.relay import Relay

POINTS = ("before-commit", "after-commit", "before-send", "after-send", "before-outward", "after-outward")


class Fuse:
    """Burns down at each passing of the boundary, and kills the process at the last."""

    def __init__(self, times: int) -> None:
        self.left = times

    def pass_by(self) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def lay(point: str, fuse: Fuse) -> None:
    """Put the fuse at the boundary."""
    place, _, boundary = point.partition("-")
    before = fuse.pass_by if place == "before" else _nothing
    after = fuse.pass_by if place == "after" else _nothing
    {"commit": _around_commit, "send": _around_send, "outward": _around_outward}[boundary](before, after)


def _nothing() -> None:
    """The other side of the boundary."""


def _around_commit(before: Callable[[], None], after: Callable[[], None]) -> None:
    written = []
    insert, move, commit = Outbox._insert, Offsets.move, Transaction.commit

    async def noting_insert(self: Outbox, *arguments: Any) -> None:
        await insert(self, *arguments)
        written.append(True)

    async def noting_move(self: Offsets, *arguments: Any) -> bool:
        moved = await move(self, *arguments)
        written.append(True)
        return moved

    async def committing(self: Transaction) -> None:
        counts = bool(written)
        written.clear()
        if counts:
            before()
        await commit(self)
        if counts:
            after()

    Outbox._insert = noting_insert  # type: ignore[method-assign,assignment]
    Offsets.move = noting_move  # type: ignore[method-assign,assignment]
    Transaction.commit = committing  # type: ignore[method-assign]


def _around_send(before: Callable[[], None], after: Callable[[], None]) -> None:
    send, delete = AIOKafkaProducer.send, Relay._delete

    async def sending(self: AIOKafkaProducer, *arguments: Any, **named: Any) -> Any:
        before()
        return await send(self, *arguments, **named)

    async def deleting(self: Relay, connection: Any, ids: list[int]) -> None:
        if ids:
            after()
        await delete(self, connection, ids)

    AIOKafkaProducer.send = sending
    Relay._delete = deleting  # type: ignore[method-assign]


def _around_outward(before: Callable[[], None], after: Callable[[], None]) -> None:
    data = aiosmtplib.SMTP.data

    async def sending(self: aiosmtplib.SMTP, *arguments: Any, **named: Any) -> Any:
        before()
        answer = await data(self, *arguments, **named)
        after()
        return answer

    aiosmtplib.SMTP.data = sending  # type: ignore[method-assign]


def main() -> None:
    """Lay the fuse, then be the service."""
    module, crash_at = sys.argv[1], sys.argv[2]
    point, _, times = crash_at.partition(":")
    if point not in POINTS:
        sys.exit(f"no such point: {point}")
    lay(point, Fuse(int(times or 1)))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
