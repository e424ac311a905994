"""What sealing and opening the personal data of one event costs, beside the bare cipher on the same bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.figures import Column, Line, Repeat, lines
from bench.interleave import interleaved, quick
from bench.requests import TEXT
from bench.world import World, world
from shared import db
from shared.events.message import MessagePersonal
from shared.personal import NONCE_BYTES, KeyRing, Seals

NAME = "personal"
CALLS = 20_000
CUSTOMER = "customer-1"
EVENT = "0b0c7d1e-5a52-5b0e-9f0e-7d6a5c1b9a10"
CONTENT = MessagePersonal(text=TEXT, name="Visitor One", handle="visitor@example.org", subject="Where is my order?")


async def run() -> list[Line]:
    """Measure."""
    async with world() as here:
        keys, seals = await _keys(here)
    cipher, plain = AESGCM(AESGCM.generate_key(256)), msgspec.json.encode(CONTENT)
    sealed, nonce = seals.seal(CUSTOMER, CONTENT, EVENT), os.urandom(NONCE_BYTES)
    boxed, bound = cipher.encrypt(nonce, plain, EVENT.encode()), EVENT.encode()

    async def product() -> Repeat:
        return {
            "seal": _microseconds(partial(seals.seal, CUSTOMER, CONTENT, EVENT)),
            "open": _microseconds(partial(keys.open, sealed, MessagePersonal, EVENT)),
        }

    async def baseline() -> Repeat:
        return {
            "seal": _microseconds(partial(cipher.encrypt, nonce, plain, bound)),
            "open": _microseconds(partial(cipher.decrypt, nonce, boxed, bound)),
        }

    products, baselines = await interleaved("sealing", baseline, product)
    columns = (Column("seal", "seal one event's personal data", "µs"), Column("open", "open it", "µs"))
    return lines(NAME, columns, products, baselines, "AES-256-GCM alone on the same bytes")


async def _keys(here: World) -> tuple[KeyRing, Seals]:
    settings = here.settings(await here.database(("keys",)))
    engine = db.make_engine(settings, "bench")
    keys = KeyRing(settings.master_key_bytes())
    try:
        async with db.transaction(engine) as conn:
            seals = await keys.seals(conn, [CUSTOMER])
    finally:
        await engine.dispose()
    return keys, seals


def _microseconds(call: Callable[[], object]) -> float:
    calls = CALLS // 10 if quick() else CALLS
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls * 1e6
