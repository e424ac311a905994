"""Whether what intake was told is kept: as it came, or, where it is another one again, under the name that both have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.intake.channels import provided
from services.intake.channels.provided import StoredMail
from services.intake.channels.taken_apart import read
from services.intake.domain.contacts import Contact, DeliveryWord, InboundCall
from services.intake.domain.decide import names_of
from services.intake.domain.hearing import word_id_of
from services.intake.replaying import contact_of
from services.intake.store.parked import Arrival
from shared import db
from shared.events.base import derived_id
from tests.services.intake.world import World

MISSING = sa.text(
    """
    SELECT w.nth FROM unnest(CAST(:pieces AS bytea[]), CAST(:wholes AS bytea[])) WITH ORDINALITY AS w(piece, whole, nth)
    WHERE NOT EXISTS (SELECT 1 FROM intake.message WHERE sha256(body) IN (w.piece, w.whole))
        AND NOT EXISTS (SELECT 1 FROM intake.word WHERE sha256(body) IN (w.piece, w.whole))
        AND NOT EXISTS (SELECT 1 FROM intake.parked_contact WHERE sha256(body) IN (w.piece, w.whole))
    """
)
KNOWN = sa.text(
    """
    SELECT n.nth FROM unnest(CAST(:nths AS bigint[]), CAST(:ids AS text[]), CAST(:said AS text[])) AS n(nth, id, said)
    WHERE EXISTS (SELECT 1 FROM intake.message m WHERE m.id = n.id AND n.said IN ('', m.content_hash))
        OR EXISTS (SELECT 1 FROM intake.message m WHERE m.ticket_id = n.id)
        OR EXISTS (SELECT 1 FROM intake.word w WHERE w.id = n.id)
        OR EXISTS (SELECT 1 FROM intake.call c WHERE c.id = n.id)
    """
)
# Each statement of MISSING looks for a hundred among all there are.
FINDABLE = ("message", "word", "parked_contact")


@dataclass(frozen=True)
class Answered:
    """What was sent, and whether it was taken; else it was refused as the sender's fault. `pieces` are kept each by itself or
    with the whole of it. `ids` are those that the answer names: of a message, or of a ticket that it is on.
    """

    arrival: Arrival
    taken: bool
    pieces: Sequence[bytes] | None = None
    ids: tuple[str, ...] = ()

    @property
    def to_be_kept(self) -> Sequence[bytes]:
        """What of it must be found."""
        if not self.taken:
            return ()
        return (self.arrival.body,) if self.pieces is None else self.pieces


async def findable(world: World) -> None:
    """Let contacts be looked up by what they are."""
    async with db.transaction(world.parts.engine) as conn:
        for table in FINDABLE:
            await conn.execute(sa.text(f"CREATE INDEX ON intake.{table} (sha256(body))"))


async def lost(world: World, answers: Sequence[Answered]) -> list[Answered]:
    """Those of which something was taken and is not kept."""
    things = [(piece, one) for one in answers for piece in one.to_be_kept]
    hashes = {"pieces": [_hash(piece) for piece, _ in things], "wholes": [_hash(one.arrival.body) for _, one in things]}
    async with db.transaction(world.parts.engine) as conn:
        missing = [things[nth - 1] for nth in (await conn.execute(MISSING, hashes)).scalars()]
        named = [(nth, *name) for nth, (piece, one) in enumerate(missing) for name in _names(world, one, piece)]
        columns = {key: [name[n] for name in named] for n, key in enumerate(("nths", "ids", "said"))}
        known = set((await conn.execute(KNOWN, columns)).scalars())
    return [one for nth, (_, one) in enumerate(missing) if nth not in known]


def _hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _names(world: World, one: Answered, piece: bytes) -> Iterator[tuple[str, str]]:
    """The ids by which it is known, each with the hash of what must be said under it; empty where the name alone decides."""
    if one.ids:
        yield from ((known, "") for known in one.ids)
        return
    for contact in _contacts(world, one.arrival, piece):
        if isinstance(contact, DeliveryWord):
            yield word_id_of(contact), ""
        elif isinstance(contact, InboundCall):
            yield derived_id("call", contact.provider, contact.call_ref), ""
        else:
            first, *second = names_of(contact)
            yield first, contact.content_hash if second else ""
            yield from ((other, "") for other in second)
            yield derived_id("word", f"{contact.namespace}:{contact.dedup_key}"), ""  # STOP, or the answer to a question


def _contacts(world: World, arrival: Arrival, piece: bytes) -> list[Contact]:
    inboxes, signer = world.intake.inboxes.current, world.signer
    if arrival.way not in provided.PROVIDERS:
        return [contact_of(arrival, inboxes, signer)]
    pieces = read(arrival.way, arrival.body, arrival.media_type)
    pieces = [one for one in pieces if not isinstance(one, StoredMail) and one.raw == piece]
    return provided.sort(pieces, arrival.way, inboxes, signer).contacts
