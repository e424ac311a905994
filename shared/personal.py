"""Personal data on the log: sealed with a key per customer, gone when the key is destroyed.

AES-256-GCM (NIST SP 800-38D), 96-bit random nonce. The customer's key is wrapped by the master key; the wrapping is bound to
the customer's id and the box to the event's id, so that neither can be moved to another. Keys are cached at most 60 seconds.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.base import Sealed

NONCE_BYTES = 12
CACHE_SECONDS = 60.0
CACHE_SIZE = 50_000

Content = TypeVar("Content", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Erased:
    """The person's data is gone: the key was destroyed."""

    customer_id: str


class WrongMasterKey(RuntimeError):
    """A customer's key cannot be unwrapped: the master key is not the one that wrapped it."""


@dataclass(slots=True)
class _Cached:
    cipher: AESGCM | None
    until: float


class KeyRing:
    """The only way to the customers' keys. One per process; give it the connection of the transaction at hand."""

    def __init__(self, master_key: bytes) -> None:
        self._master = AESGCM(master_key)
        self._cache: dict[str, _Cached] = {}

    async def create(self, conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
        """Make keys for new customers, in the transaction that creates them. Harmless where one exists or was destroyed."""
        if not customer_ids:
            return
        ids = sorted(set(customer_ids))
        wrapped = [self._wrap(customer_id, AESGCM.generate_key(256)) for customer_id in ids]
        await conn.execute(
            sa.text(
                "INSERT INTO keys.customer_key (customer_id, wrapped)"
                " SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:wrapped AS bytea[])) ON CONFLICT DO NOTHING"
            ),
            {"ids": ids, "wrapped": wrapped},
        )

    async def load(self, conn: AsyncConnection, customer_ids: Iterable[str]) -> None:
        """Have the keys of these customers at hand for `seal` and `open` (one statement for those not cached)."""
        now = time.monotonic()
        missing = sorted({c for c in customer_ids if c not in self._cache or self._cache[c].until < now})
        if not missing:
            return
        rows = await conn.execute(
            sa.text("SELECT customer_id, wrapped FROM keys.customer_key WHERE customer_id = ANY(:ids)"),
            {"ids": missing},
        )
        if len(self._cache) + len(missing) > CACHE_SIZE:
            self._cache = {c: kept for c, kept in self._cache.items() if kept.until >= now}
            if len(self._cache) + len(missing) > CACHE_SIZE:
                self._cache.clear()
        found = {row.customer_id: row.wrapped for row in rows}
        for customer_id in missing:
            wrapped = found.get(customer_id)
            cipher = AESGCM(self._unwrap(customer_id, wrapped)) if wrapped else None
            self._cache[customer_id] = _Cached(cipher, now + CACHE_SECONDS)

    def seal(self, customer_id: str, content: msgspec.Struct, bound_to: str) -> Sealed:
        """Seal `content` for the event `bound_to`. The customer's key must have been loaded; no key gives an empty box."""
        cipher = self._cache[customer_id].cipher
        if cipher is None:
            return Sealed(customer_id=customer_id, box="")
        nonce = os.urandom(NONCE_BYTES)
        box = nonce + cipher.encrypt(nonce, msgspec.json.encode(content), bound_to.encode())
        return Sealed(customer_id=customer_id, box=base64.b64encode(box).decode())

    def open(self, sealed: Sealed, shape: type[Content], bound_to: str) -> Content | Erased:
        """What is in the box, or Erased. Raises ValueError for a box that was tampered with or moved."""
        cipher = self._cache[sealed.customer_id].cipher
        if cipher is None or not sealed.box:
            return Erased(sealed.customer_id)
        try:
            box = base64.b64decode(sealed.box, validate=True)
            return msgspec.json.decode(cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], bound_to.encode()), type=shape)
        except (InvalidTag, ValueError) as error:
            raise ValueError(f"the sealed data of event {bound_to} cannot be opened") from error

    async def destroy(self, conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
        """Destroy the keys of a person's whole merge set; what they sealed can never be read again."""
        await conn.execute(
            sa.text(
                "INSERT INTO keys.customer_key (customer_id, wrapped, destroyed_at)"
                " SELECT id, NULL, now() FROM unnest(CAST(:ids AS text[])) id ORDER BY id"
                " ON CONFLICT (customer_id) DO UPDATE SET wrapped = NULL,"
                " destroyed_at = coalesce(customer_key.destroyed_at, now())"
            ),
            {"ids": sorted(set(customer_ids))},
        )
        for customer_id in customer_ids:
            self._cache.pop(customer_id, None)

    def _wrap(self, customer_id: str, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, key, customer_id.encode())

    def _unwrap(self, customer_id: str, wrapped: bytes) -> bytes:
        try:
            return self._master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], customer_id.encode())
        except InvalidTag:
            raise WrongMasterKey(
                "The master key does not fit this database. Set PATCHBAY_MASTER_KEY_FILE to the key the data was written with."
            ) from None
