"""The inboxes."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.inboxes import Inbox, Inboxes, address_key
from shared.events.config import InboxConfigured

_configs = msgspec.json.Decoder(InboxConfigured)

ALL = sa.text("SELECT config FROM intake.inbox ORDER BY id")
ONE = sa.text("SELECT config FROM intake.inbox WHERE id = :id")
LOCKED = sa.text("SELECT config FROM intake.inbox WHERE id = :id FOR UPDATE")
LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('inbox ' || :id, 0))")
TAKEN = sa.text("SELECT id FROM intake.inbox WHERE channel = :channel AND address = :address AND id <> :id")
PUT = sa.text(
    """
    INSERT INTO intake.inbox (id, channel, address, version, config) VALUES (:id, :channel, :address, :version, :config)
    ON CONFLICT (id) DO UPDATE SET channel = excluded.channel, address = excluded.address, version = excluded.version,
        config = excluded.config
    """
)


async def inboxes(conn: AsyncConnection) -> Inboxes:
    """All of them."""
    configs = [_configs.decode(row.config) for row in await conn.execute(ALL)]
    return Inboxes.of(
        Inbox(
            id=config.id,
            channel=config.channel,
            address=config.address,
            language=config.language,
            region=config.region,
            confirm=config.confirm,
            partner_id=config.partner_id,
            origins=config.origins,
            guard=config.guard,
            webhook=config.webhook,
        )
        for config in configs
    )


async def inbox(conn: AsyncConnection, inbox_id: str) -> InboxConfigured | None:
    """One, as it is now."""
    raw = (await conn.execute(ONE, {"id": inbox_id})).scalar_one_or_none()
    return _configs.decode(raw) if raw is not None else None


async def locked_inbox(conn: AsyncConnection, inbox_id: str) -> InboxConfigured | None:
    """One, held until the transaction ends, also while it does not exist yet."""
    await conn.execute(LOCK, {"id": inbox_id})
    raw = (await conn.execute(LOCKED, {"id": inbox_id})).scalar_one_or_none()
    return _configs.decode(raw) if raw is not None else None


async def other_at(conn: AsyncConnection, config: InboxConfigured) -> str | None:
    """The id of another inbox that has this address."""
    found = await conn.execute(
        TAKEN, {"id": config.id, "channel": config.channel, "address": address_key(config.channel, config.address)}
    )
    return found.scalar_one_or_none()


async def put_inbox(conn: AsyncConnection, config: InboxConfigured) -> None:
    """Write it."""
    await conn.execute(
        PUT,
        {
            "id": config.id,
            "channel": config.channel,
            "address": address_key(config.channel, config.address),
            "version": config.version,
            "config": msgspec.json.encode(config),
        },
    )
