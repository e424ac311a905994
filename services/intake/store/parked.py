"""Contacts that could not be taken: kept as they came, with how they came, until a person has seen to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import RequestName
from shared import db
from shared.events.base import Channel

Way = Literal[
    "smtp",
    "imap",
    "twilio_sms",
    "twilio_voice",
    "twilio_status",
    "twilio_sms_status",
    "mailgun",
    "sendgrid",
    "postmark",
    "ses",
    "form",
    "generic",
]
CHANNELS: dict[str, Channel] = {
    "smtp": "email",
    "imap": "email",
    "twilio_sms": "sms",
    "twilio_sms_status": "sms",
    "twilio_voice": "phone",
    "twilio_status": "phone",
    "mailgun": "email",
    "sendgrid": "email",
    "postmark": "email",
    "ses": "email",
    "form": "form",
    "generic": "other",
}

# How much there is, is counted by its sizes alone. Two who keep something at the same moment do not see each other's; where both
# keep the same, one waits for the other and has kept it, too.
PARK = """
    WITH held AS (
        SELECT coalesce(sum(size_bytes), 0) = 0 OR sum(size_bytes) + octet_length($6::bytea) <= $11::bigint AS room
        FROM intake.parked_contact WHERE way = $1::text
    ), parked AS (
        INSERT INTO intake.parked_contact (way, sender, recipients, reason, media_type, body, digest, query, naming, handles)
        SELECT $1::text, $2::text, $3::text[], $4::text, $5::text, $6::bytea, $7::bytea, $8::text, $9::bytea, $10::text[]
        FROM held WHERE room ON CONFLICT (digest) DO NOTHING
    )
    SELECT room OR EXISTS (SELECT FROM intake.parked_contact WHERE digest = $7::bytea) AS kept FROM held
    """
LISTED = """
    SELECT id, way, reason, media_type, size_bytes, attempts, replay, parked_at FROM intake.parked_contact
    WHERE $1::bigint IS NULL OR id = $1 ORDER BY id LIMIT $2
    """
KEPT = "SELECT way, sender, recipients, body, media_type, query, naming FROM intake.parked_contact WHERE id = $1"
ASK = "UPDATE intake.parked_contact SET replay = true WHERE id = $1 RETURNING id"
ASK_ALL = """
    UPDATE intake.parked_contact SET replay = true
    WHERE ($1::text IS NULL OR way = $1) AND ($2::text IS NULL OR position(lower($2) IN lower(reason)) > 0) RETURNING id
    """
STANDING = "SELECT id, replay, reason FROM intake.parked_contact WHERE id = ANY($1::bigint[]) ORDER BY id"
ASKED = "SELECT id FROM intake.parked_contact WHERE replay ORDER BY id LIMIT $1"
FAILED = "UPDATE intake.parked_contact SET replay = false, attempts = attempts + 1, reason = $2 WHERE id = $1"
DROP = "DELETE FROM intake.parked_contact WHERE id = $1 RETURNING id"
HELD = "SELECT way, count(*), sum(size_bytes)::bigint FROM intake.parked_contact GROUP BY way"


class Naming(msgspec.Struct, frozen=True, omit_defaults=True):
    """By what a form or a posted contact is known when it comes again, where its body does not tell it (`InboundMessage`)."""

    dedup_key: str
    unnamed: bool = False
    request: RequestName | None = None


_naming = msgspec.json.Decoder(Naming)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A contact as it came. `sender` and `recipients` are what SMTP said around a mail; of a form its id is the recipient.
    `query` is what stood in the URL of a request behind the `?`. `handles`: whose it is, by the keys of their handles, as they
    are when they are proven. `peer` is from whose address it came (`owner_of`), which is not kept.
    """

    way: str
    body: bytes
    sender: str = ""
    recipients: tuple[str, ...] = ()
    media_type: str = ""
    query: str = ""
    naming: Naming | None = None
    handles: tuple[str, ...] = ()
    peer: str = ""


class Held(NamedTuple):
    """So many are kept, of so many bytes together."""

    contacts: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ParkedContact:
    """A parked contact as an operator sees it: nothing that a customer wrote. `asked` for a replay that is not done yet."""

    id: int
    way: str
    reason: str
    media_type: str
    size_bytes: int
    attempts: int
    asked: bool
    parked_at: datetime

    @property
    def channel(self) -> Channel:
        """The channel on which it came."""
        return CHANNELS.get(self.way, "other")


async def park(conn: AsyncConnection, arrival: Arrival, reason: str, media_type: str, digest: bytes, most_bytes: int) -> bool:
    """Keep what is authentic but could not be taken, for people to look at. Of one `digest`, one is kept; of all that came one
    way no more than `most_bytes`, but one alone always. False where there is no room for it.
    """
    around = arrival.way, arrival.sender, list(arrival.recipients), reason, media_type
    naming = msgspec.json.encode(arrival.naming) if arrival.naming is not None else None
    more = digest, arrival.query, naming, list(arrival.handles), most_bytes
    [row] = await db.fetch(conn, PARK, *around, arrival.body, *more)
    return bool(row["kept"])


async def listed(conn: AsyncConnection, at_most: int, contact_id: int | None = None) -> list[ParkedContact]:
    """Parked contacts, longest first; or the one of this id."""
    return [ParkedContact(*row) for row in await db.fetch(conn, LISTED, contact_id, at_most)]


async def kept(conn: AsyncConnection, contact_id: int) -> Arrival | None:
    """A parked contact as it came."""
    rows = await db.fetch(conn, KEPT, contact_id)
    if not rows:
        return None
    way, sender, recipients, body, media_type, query, naming = rows[0]
    named = _naming.decode(naming) if naming is not None else None
    return Arrival(way, body, sender, tuple(recipients), media_type, query, named)


async def ask(conn: AsyncConnection, contact_id: int) -> bool:
    """Mark it to be tried again; False when there is no such contact."""
    return bool(await db.fetch(conn, ASK, contact_id))


async def ask_all(conn: AsyncConnection, way: str | None, reason: str | None) -> list[int]:
    """Mark all of this way, whose reason holds these words, to be tried again. Returns which."""
    return [row["id"] for row in await db.fetch(conn, ASK_ALL, way, reason)]


async def standing(conn: AsyncConnection, contact_ids: Sequence[int]) -> list[tuple[bool, str]]:
    """Of those that are still there: whether each waits to be tried, and why it was kept."""
    return [(row["replay"], row["reason"]) for row in await db.fetch(conn, STANDING, list(contact_ids))]


async def asked(conn: AsyncConnection, at_most: int) -> list[int]:
    """Those that are to be tried again."""
    return [row["id"] for row in await db.fetch(conn, ASKED, at_most)]


async def fail(conn: AsyncConnection, contact_id: int, reason: str) -> None:
    """It could not be taken this time either."""
    await db.fetch(conn, FAILED, contact_id, reason)


async def drop(conn: AsyncConnection, contact_id: int) -> bool:
    """It is settled: taken, or given up. False when there is no such contact."""
    return bool(await db.fetch(conn, DROP, contact_id))


async def held(conn: AsyncConnection) -> dict[str, Held]:
    """How many there are of each way, and how large they are together."""
    return {way: Held(count, size_bytes) for way, count, size_bytes in await db.fetch(conn, HELD)}
