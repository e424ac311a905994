"""How far each mailbox was read, and the lease of the one process that reads it. PostgreSQL's clock alone decides."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db

HOLD = """
    INSERT INTO intake.mailbox AS m (account, folder, holder, held_until)
    VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
    ON CONFLICT (account, folder) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
    WHERE m.holder = excluded.holder OR m.held_until < clock_timestamp()
    RETURNING account
    """
RELEASE = "UPDATE intake.mailbox SET held_until = clock_timestamp() WHERE account = $1 AND folder = $2 AND holder = $3"
POSITION = "SELECT uidvalidity, last_uid FROM intake.mailbox WHERE account = $1 AND folder = $2"
ADVANCE = """
    UPDATE intake.mailbox SET uidvalidity = $4, last_uid = $5 WHERE account = $1 AND folder = $2 AND holder = $3 RETURNING account
    """


async def hold(conn: AsyncConnection, account: str, folder: str, holder: str, seconds: float) -> bool:
    """Take or renew the lease for so long; False while another holds it."""
    return bool(await db.fetch(conn, HOLD, account, folder, holder, seconds))


async def release(conn: AsyncConnection, account: str, folder: str, holder: str) -> None:
    """Let another have it at once."""
    await db.fetch(conn, RELEASE, account, folder, holder)


async def last_uid(conn: AsyncConnection, account: str, folder: str, uidvalidity: int) -> int:
    """The last UID that was taken; 0 when nothing was, or when the server numbers anew."""
    rows = await db.fetch(conn, POSITION, account, folder)
    return int(rows[0]["last_uid"]) if rows and rows[0]["uidvalidity"] == uidvalidity else 0


async def advance(conn: AsyncConnection, account: str, folder: str, holder: str, uidvalidity: int, uid: int) -> bool:
    """All up to this UID are taken. False when another process holds the mailbox by now."""
    return bool(await db.fetch(conn, ADVANCE, account, folder, holder, uidvalidity, uid))
