"""Finds every await of a piece of work, and stops the process at one of them. The product knows nothing of it.

A watched coroutine is driven by hand, one step of the event loop after the other: each time it gives control away (a statement
to the database, a request to the broker, a line to a mail server) is a point, named by the lines of our own code that wait
there. Code between two points only computes, so a process killed anywhere leaves outside what it would leave at one of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial, wraps
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple, cast

import msgspec

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = (f"{ROOT / 'shared'}/", f"{ROOT / 'services'}/")
STATEMENT_LENGTH = 60
PASSED_THROUGH = ("shared/db.py", "shared/clock.py", "shared/deadlines.py")
# asyncpg prepares a statement the first time that a connection is given it, and a connection is opened where none is free:
# that changes nothing outside, and when it happens depends on what else was under way.
OUTSIDE = ("/httpx/", "/aiosmtplib/")
PREPARING = ("_get_statement", "_prepare", "prepare", "connect", "set_type_codec", "set_builtin_type_codec")

Phase = Literal["sent", "answered"]
PHASES: tuple[Phase, ...] = ("sent", "answered")
Watched = Callable[..., Coroutine[Any, Any, Any]]


class Line(NamedTuple):
    """A line of our code that waits."""

    file: str
    number: int
    function: str


class Point(msgspec.Struct, frozen=True):
    """Where a process can be stopped: the lines that wait, outermost first, the statement, and at which time of passing.

    `sent`: what is asked for is on its way and may be done; the answer was not seen. `answered`: it is done, and nothing came of
    it yet: what is asked for next was not sent. `varies`: not passed each time, because the client of the broker may know
    already what it would ask, and what is outside may answer in one piece or in several.
    """

    lines: tuple[Line, ...]
    statement: str
    nth: int
    varies: bool = False
    phase: Phase = "sent"

    def __str__(self) -> str:
        told = [line for line in self.lines if line.file not in PASSED_THROUGH] or list(self.lines) or [Line("?", 0, "?")]
        line = told[-1]
        return f"{self.phase} {line.file}:{line.number} {line.function} {self.statement} #{self.nth}".replace("  ", " ")

    def at(self, phase: Phase) -> Point:
        """The same place in another phase."""
        return msgspec.structs.replace(self, phase=phase)


class Order(msgspec.Struct, frozen=True):
    """What to do where: be killed there, or stand still there until the process gets SIGCONT."""

    point: Point
    signal: int = signal.SIGKILL


class Track:
    """Notes the points that the watched coroutines of this process pass, and carries out an order."""

    def __init__(self, order: Order | None = None) -> None:
        self.points: list[Point] = []
        self._order = order
        self._passed: Counter[tuple[tuple[Line, ...], str]] = Counter()
        self._inside: set[asyncio.Task[Any]] = set()

    def watch(self, owner: object, name: str) -> None:
        """From now on the coroutine function `name` of a class or module is driven step by step."""
        original = cast(Watched, getattr(owner, name))

        @wraps(original)
        async def watched(*arguments: Any, **named: Any) -> Any:
            task = asyncio.current_task()
            assert task is not None
            coroutine = original(*arguments, **named)
            if task in self._inside:
                return await coroutine
            self._inside.add(task)
            try:
                return await _Driven(coroutine, self)
            finally:
                self._inside.discard(task)

        setattr(owner, name, watched)

    def waits(self, coroutine: Coroutine[Any, Any, Any]) -> Point | None:
        """The coroutine has given control away. Returns the point, None where the one before goes on."""
        frames = list(_frames(coroutine))
        if any(frame.f_code.co_name in PREPARING and "/asyncpg/" in frame.f_code.co_filename for frame in frames):
            return None
        lines = tuple(_line(frame) for frame in frames if frame.f_code.co_filename.startswith(OURS))
        statement = next((told for frame in reversed(frames) if (told := _statement(frame))), "")
        # How often aiokafka waits depends on what the broker has answered already: one point for each of our awaits.
        broker = any("/aiokafka/" in frame.f_code.co_filename for frame in frames)
        if broker and self.points and self.points[-1].lines == lines:
            return None
        self._passed[lines, statement] += 1
        outside = any(name in frame.f_code.co_filename for frame in frames for name in OUTSIDE)
        point = Point(lines, statement, self._passed[lines, statement], broker or outside)
        self.points.append(point)
        self._obey(point)
        return point

    def goes_on(self, point: Point | None) -> None:
        """The answer is there."""
        if point is not None:
            self._obey(point.at("answered"))

    def _obey(self, point: Point) -> None:
        if self._order is not None and self._order.point == point:
            number, self._order = self._order.signal, None
            os.kill(os.getpid(), number)


class _Driven(Awaitable[Any]):
    """Awaits a coroutine, telling the track of each time it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], track: Track) -> None:
        self._coroutine = coroutine
        self._track = track

    def __await__(self) -> Generator[Any, Any, Any]:
        go_on: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = go_on()
            except StopIteration as end:
                return end.value
            point = self._track.waits(self._coroutine)
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation too is the coroutine's to take
                go_on = partial(self._coroutine.throw, error)
            else:
                go_on = partial(self._coroutine.send, value)
            self._track.goes_on(point)


def _frames(awaited: object) -> Iterator[FrameType]:
    """The frames that wait for each other, outermost first; the generator of a context manager is found in contextlib's frame."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None) or getattr(awaited, "ag_frame", None)
        inner = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None) or getattr(awaited, "ag_await", None)
        if frame is not None:
            yield frame
            if frame.f_code.co_filename.endswith("contextlib.py") and not _is_followable(inner):
                inner = getattr(frame.f_locals.get("self"), "gen", None)
        awaited = inner


def _is_followable(awaited: object) -> bool:
    return any(hasattr(awaited, name) for name in ("cr_frame", "gi_frame", "ag_frame"))


def _statement(frame: FrameType) -> str:
    """The beginning of the statement that asyncpg carries out in this frame."""
    if "/asyncpg/" not in frame.f_code.co_filename:
        return ""
    query = frame.f_locals.get("query") or getattr(frame.f_locals.get("self"), "_query", "")
    return " ".join(query.split())[:STATEMENT_LENGTH].rstrip(";") if isinstance(query, str) else ""


def _line(frame: FrameType) -> Line:
    file = Path(frame.f_code.co_filename).relative_to(ROOT)
    return Line(str(file), frame.f_lineno, frame.f_code.co_qualname.rpartition(".")[2])
