"""The parts of the relay's bench that run in processes of their own: `python -m bench.parts relay`, `… consumer FILE`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from bench.fold import SCHEMA, TicketFold
from bench.lines.consumer import make_consumer
from shared.outbox import Outbox
from shared.personal import KeyRing
from shared.relay import Relay
from shared.service import run_until_stopped
from shared.settings import Settings


async def relay() -> None:
    """Send intake's outbox until told to stop."""
    settings = Settings()
    outbox = Outbox(schema="intake", incarnation=1, keys=KeyRing(settings.master_key_bytes()), wake=asyncio.Event())
    await run_until_stopped({"relay": Relay(settings, outbox).run})


async def consumer(file: Path) -> None:
    """Fold tickets until told to stop; then write when the commit of each event was known (monotonic seconds)."""
    fold, known = TicketFold(), dict[str, float]()

    def committed() -> None:
        known.update(dict.fromkeys(fold.applied, time.monotonic()))

    running = make_consumer(Settings(), SCHEMA, (fold,), committed)
    await run_until_stopped({"consume": running.run})
    await asyncio.to_thread(file.write_bytes, msgspec.json.encode(known))


if __name__ == "__main__":
    uvloop.run(relay() if sys.argv[1] == "relay" else consumer(Path(sys.argv[2])))
