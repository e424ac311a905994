"""Personal data on the log: sealed with a key per customer, gone when the key is destroyed.

AES-256-GCM (NIST SP 800-38D), 96-bit random nonce. The customer's key is wrapped by the master key; the wrapping is bound to
the customer's id and the box to the event's id, so that neither can be moved to another. Keys are cached at most 60 seconds,
and only such as were committed before: what a transaction made or destroyed may still be rolled back.
"""

from __future__ import annotations

import base64
import hmac
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.base import Sealed

NONCE_BYTES = 12
CACHE_SECONDS = 60.0
CACHE_SIZE = 50_000
# What is there, as it was before this statement; and whose key was made now, without anything. now() is when the transaction
# began: what it wrote itself is not earlier.
FIND_OR_MAKE = """
    WITH made AS (
        INSERT INTO keys.customer_key (customer_id, wrapped) SELECT * FROM unnest($1::text[], $2::bytea[])
        ON CONFLICT DO NOTHING RETURNING customer_id
    )
    SELECT customer_id, wrapped, greatest(created_at, destroyed_at) < now() AS settled
    FROM keys.customer_key WHERE customer_id = ANY($1::text[])
    UNION ALL SELECT customer_id, NULL, NULL FROM made
    """

# In order, as whoever destroys several holds them.
NEXT = """
    SELECT customer_id, wrapped FROM keys.customer_key WHERE customer_id > $1 AND wrapped IS NOT NULL
    ORDER BY customer_id LIMIT $2::integer FOR UPDATE
    """
WRAP = """
    UPDATE keys.customer_key k SET wrapped = w.wrapped FROM unnest($1::text[], $2::bytea[]) AS w(id, wrapped)
    WHERE k.customer_id = w.id
    """

Content = TypeVar("Content", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Erased:
    """The person's data is gone: the key was destroyed."""

    customer_id: str


class WrongMasterKey(RuntimeError):
    """A customer's key cannot be unwrapped: the master key is not the one that wrapped it."""


class NotLoaded(LookupError):
    """The customer's key was not loaded in this transaction: a defect of the caller."""


@dataclass(frozen=True, slots=True)
class Seals:
    """Keys at hand for one transaction: of each customer, None where it was destroyed."""

    ciphers: Mapping[str, AESGCM | None]

    def seal(self, customer_id: str, content: msgspec.Struct, bound_to: str) -> Sealed:
        """Seal `content` for the event `bound_to`; an empty box for a person who was erased. Raises NotLoaded."""
        if customer_id not in self.ciphers:
            raise NotLoaded(customer_id)
        cipher = self.ciphers[customer_id]
        if cipher is None:
            return Sealed(customer_id=customer_id, box="")
        nonce = os.urandom(NONCE_BYTES)
        box = nonce + cipher.encrypt(nonce, msgspec.json.encode(content), bound_to.encode())
        return Sealed(customer_id=customer_id, box=base64.b64encode(box).decode())


@dataclass(frozen=True, slots=True)
class _Cached:
    cipher: AESGCM | None
    until: float


@dataclass(frozen=True, slots=True)
class _Row:
    """A customer's key in the table. `settled`: it is not the work of a transaction that might still be rolled back."""

    wrapped: bytes | None
    settled: bool


class KeyRing:
    """The only way to the customers' keys. One per process; give it the connection of the transaction at hand. What the master
    keys `before` wrapped is opened, too.

    A key destroyed by another process is forgotten here after at most `cache_seconds`.
    """

    def __init__(self, master_key: bytes, cache_seconds: float = CACHE_SECONDS, before: Sequence[bytes] = ()) -> None:
        self._masters = tuple(AESGCM(one) for one in (master_key, *before))
        self._master_key = master_key
        self._cache_seconds = cache_seconds
        self._cache: dict[str, _Cached] = {}

    @classmethod
    def of(cls, master_keys: Sequence[bytes]) -> KeyRing:
        """By the first of them, and those before it."""
        return cls(master_keys[0], before=master_keys[1:])

    def derived(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for this purpose alone: the same as long as the master key is."""
        return hmac.digest(self._master_key, purpose, "sha256")

    async def check_master_key(self, conn: AsyncConnection) -> None:
        """Raises WrongMasterKey when a customer's key in this database was wrapped by another master key."""
        kept = "SELECT customer_id, wrapped FROM keys.customer_key WHERE wrapped IS NOT NULL LIMIT 1"
        for customer_id, wrapped in await db.fetch(conn, kept):
            self._unwrap(customer_id, wrapped)

    async def create(self, conn: AsyncConnection, customer_ids: Sequence[str]) -> None:
        """Make keys for new customers, in the transaction that creates them. Harmless where one exists or was destroyed."""
        if not customer_ids:
            return
        ids = sorted(set(customer_ids))
        wrapped = [self._wrap(customer_id, AESGCM.generate_key(256)) for customer_id in ids]
        await db.fetch(
            conn,
            "INSERT INTO keys.customer_key (customer_id, wrapped)"
            " SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING",
            ids,
            wrapped,
        )

    async def load(self, conn: AsyncConnection, customer_ids: Iterable[str]) -> None:
        """Have the keys of these customers at hand for `open` (one statement for those not cached). Raises WrongMasterKey."""
        await self._look_up(conn, customer_ids)

    async def knows(self, conn: AsyncConnection, customer_id: str) -> bool:
        """Whether there is such a customer who was not erased: everybody who ever came has a key."""
        return (await self._look_up(conn, [customer_id])).get(customer_id) is not None

    async def seals(self, conn: AsyncConnection, customer_ids: Iterable[str]) -> Seals:
        """The keys to seal with in this transaction, made now for customers who never had one. Raises WrongMasterKey."""
        wanted = sorted(set(customer_ids))
        now = time.monotonic()
        found = {customer_id: entry.cipher for customer_id in wanted if (entry := self._cached(customer_id, now)) is not None}
        missing = [customer_id for customer_id in wanted if customer_id not in found]
        if missing:
            found |= await self._find_or_make(conn, missing, now)
        if len(found) < len(wanted):  # made by another transaction while this one waited for it
            found |= await self._look_up(conn, [customer_id for customer_id in wanted if customer_id not in found])
        return Seals(found)

    async def _find_or_make(self, conn: AsyncConnection, customer_ids: Sequence[str], now: float) -> dict[str, AESGCM | None]:
        keys = {customer_id: AESGCM.generate_key(256) for customer_id in customer_ids}
        found: dict[str, AESGCM | None] = {}
        wrapped_keys = [self._wrap(customer_id, key) for customer_id, key in keys.items()]
        for customer_id, wrapped, settled in await db.fetch(conn, FIND_OR_MAKE, list(keys), wrapped_keys):
            made = settled is None
            key = keys[customer_id] if made else self._unwrap(customer_id, wrapped) if wrapped else None
            found[customer_id] = AESGCM(key) if key else None
            self._keep(customer_id, _Cached(found[customer_id], now + self._cache_seconds if settled else 0.0))
        return found

    def _cached(self, customer_id: str, now: float) -> _Cached | None:
        """The key as it is remembered, None when that is too long ago."""
        cached = self._cache.pop(customer_id, None)
        if cached is not None:
            self._cache[customer_id] = cached  # at the end: what was used last is forgotten last
        return cached if cached is not None and cached.until > now else None

    async def _look_up(self, conn: AsyncConnection, customer_ids: Iterable[str]) -> dict[str, AESGCM | None]:
        """The keys that there are, destroyed ones as None; customers without any are left out."""
        now = time.monotonic()
        found: dict[str, AESGCM | None] = {}
        missing = []
        for customer_id in sorted(set(customer_ids)):
            cached = self._cached(customer_id, now)
            if cached is not None:
                found[customer_id] = cached.cipher
            else:
                missing.append(customer_id)
        if missing:
            for customer_id, row in (await self._rows(conn, missing)).items():
                found[customer_id] = AESGCM(self._unwrap(customer_id, row.wrapped)) if row.wrapped else None
                self._keep(customer_id, _Cached(found[customer_id], now + self._cache_seconds if row.settled else 0.0))
            for customer_id in missing:
                if customer_id not in found and customer_id not in self._cache:
                    self._keep(customer_id, _Cached(None, 0.0))
        return found

    async def _rows(self, conn: AsyncConnection, customer_ids: Sequence[str]) -> dict[str, _Row]:
        # now() is when this transaction began: what it wrote itself is not earlier.
        rows = await db.fetch(
            conn,
            "SELECT customer_id, wrapped, greatest(created_at, destroyed_at) < now() AS settled"
            " FROM keys.customer_key WHERE customer_id = ANY($1::text[])",
            list(customer_ids),
        )
        return {customer_id: _Row(wrapped, settled) for customer_id, wrapped, settled in rows}

    def _keep(self, customer_id: str, entry: _Cached) -> None:
        self._cache.pop(customer_id, None)
        if len(self._cache) >= CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        self._cache[customer_id] = entry

    def open(self, sealed: Sealed, shape: type[Content], bound_to: str) -> Content | Erased:
        """What is in the box, or Erased; the key must have been loaded. Raises ValueError for a box that was tampered with
        or moved, NotLoaded.
        """
        if sealed.customer_id not in self._cache:
            raise NotLoaded(sealed.customer_id)
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
        await db.fetch(
            conn,
            "INSERT INTO keys.customer_key (customer_id, wrapped, destroyed_at)"
            " SELECT id, NULL, now() FROM unnest($1::text[]) id ORDER BY id"
            " ON CONFLICT (customer_id) DO UPDATE SET wrapped = NULL,"
            " destroyed_at = coalesce(customer_key.destroyed_at, now())",
            sorted(set(customer_ids)),
        )
        for customer_id in customer_ids:
            self._keep(customer_id, _Cached(None, 0.0))

    async def give_up(self, conn: AsyncConnection, customer_ids: Sequence[str]) -> list[str]:
        """Note as destroyed the keys that these customers should have and that are not there: lost with a database. Returns
        whose they were.
        """
        rows = await db.fetch(
            conn,
            "INSERT INTO keys.customer_key (customer_id, wrapped, destroyed_at)"
            " SELECT id, NULL, now() FROM unnest($1::text[]) id ORDER BY id"
            " ON CONFLICT DO NOTHING RETURNING customer_id",
            sorted(set(customer_ids)),
        )
        return [row["customer_id"] for row in rows]

    async def count(self, conn: AsyncConnection) -> int:
        """How many keys there are, without the destroyed ones."""
        [row] = await db.fetch(conn, "SELECT count(*) FROM keys.customer_key WHERE wrapped IS NOT NULL")
        return int(row[0])

    async def wrap_anew(self, conn: AsyncConnection, after: str, most: int) -> tuple[list[str], int]:
        """Wrap the keys of the next customers by the master key where one before it did. Returns whose were looked at, and how
        many were wrapped. Raises WrongMasterKey.
        """
        rows = [(row[0], row[1]) for row in await db.fetch(conn, NEXT, after, most)]
        old = [(one, wrapped) for one, wrapped in rows if _opened(self._masters[0], one, wrapped) is None]
        anew = [self._wrap(one, self._unwrap(one, wrapped)) for one, wrapped in old]
        if old:
            await db.fetch(conn, WRAP, [one for one, _ in old], anew)
        return [one for one, _ in rows], len(old)

    def _wrap(self, customer_id: str, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._masters[0].encrypt(nonce, key, customer_id.encode())

    def _unwrap(self, customer_id: str, wrapped: bytes) -> bytes:
        found = next(filter(None, (_opened(master, customer_id, wrapped) for master in self._masters)), None)
        if found is None:
            raise WrongMasterKey(
                "The master key does not fit this database. Set PATCHBAY_MASTER_KEY_FILE to the key the data was written with."
            )
        return found


def opens(master_keys: Sequence[bytes], customer_id: str, wrapped: bytes) -> bool:
    """Whether one of these master keys wrapped this customer's key."""
    return any(_opened(AESGCM(one), customer_id, wrapped) is not None for one in master_keys)


def _opened(master: AESGCM, customer_id: str, wrapped: bytes) -> bytes | None:
    """A customer's key, None where another master key wrapped it."""
    try:
        return master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], customer_id.encode())
    except InvalidTag:
        return None
