"""What is being measured just now, for whoever waits: benches tell it, the runner shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nobody(_what: str) -> None:
    return


_listener: ContextVar[Callable[[str], None]] = ContextVar("listener", default=_nobody)


def tell(what: str) -> None:
    """Say what begins now, in a few words."""
    _listener.get()(what)


@contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """While the context lasts, the listener hears what is told."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
