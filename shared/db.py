"""PostgreSQL: engines, transactions at the edge, each schema's migrations, and the tables every service has.

One schema per service. The tables of the plumbing (`consumer_offset`, `key_position`, `outbox`, `parked`,
`idempotency_key`, `incarnation`) are the same in each and made by `create_plumbing`, called from its first migration.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
# The URL goes to asyncpg as it is (`dsn`): SQLAlchemy reads `sslmode` and hosts in another way than connections of our own do.
DIALECT = "postgresql+asyncpg://"
SCHEMAS_OF_SHARED = ("auth", "keys")
# SQLSTATEs after which the same transaction may simply be tried again: serialisation, deadlock, lock not available.
RETRY_STATES = frozenset({"40001", "40P01", "55P03"})
# SQLSTATE classes that say the server is away or full, not that the statement is wrong.
AWAY_CLASSES = ("08", "53", "57", "58")
# What a connection of one's own raises when it is cut or PostgreSQL is away, however far the two of them were.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

Result = TypeVar("Result")


class MigrationOperations(Protocol):
    """Alembic's `op`, as far as it is used here."""

    def execute(self, sqltext: str, /) -> None:
        """Run one statement."""


class DatabaseAway(Exception):
    """PostgreSQL cannot be used just now: not reachable, restarting, full. Try again later; nothing was committed for sure."""


def make_engine(settings: Settings, name: str) -> AsyncEngine:
    """The engine of one process. `name` shows in pg_stat_activity."""
    engine = create_async_engine(
        DIALECT,
        isolation_level="AUTOCOMMIT",  # `transaction` begins and commits, so that statements of both kinds stand in it
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,  # an error's text would hold them
        connect_args={
            "dsn": settings.database.get_secret_value(),
            "timeout": 5,
            "command_timeout": settings.transaction_seconds + 5,
            "server_settings": {
                "application_name": f"patchbay-{name}",
                "statement_timeout": _milliseconds(settings.transaction_seconds),
                # A process that was frozen neither asks nor reads: what it holds goes to who waits, and its commit is refused.
                "idle_in_transaction_session_timeout": _milliseconds(settings.standstill_seconds),
                "tcp_user_timeout": _milliseconds(settings.standstill_seconds),
                "timezone": "UTC",
                "jit": "off",
            },
        },
    )
    sa.event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _refuse_closed(connection: DBAPIConnection, *_: object) -> None:
    """Have the pool make a new connection for one that was cut while nobody used it."""
    if cast("asyncpg.Connection", connection.driver_connection).is_closed():
        raise DisconnectionError("the connection was cut")


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for statements that each stand for themselves. Raises DatabaseAway when PostgreSQL cannot be used."""
    try:
        async with engine.connect() as conn:
            yield conn
    except Exception as error:
        if is_away(error):
            raise DatabaseAway(_brief(error)) from error
        raise


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end. Raises DatabaseAway when PostgreSQL cannot be used."""
    async with reading(engine) as conn, _begun(conn):
        yield conn


@asynccontextmanager
async def _begun(conn: AsyncConnection) -> AsyncIterator[None]:
    """BEGIN and COMMIT, or ROLLBACK. A connection on which one of them did not end well is thrown away, also when it was
    cancelled: nobody knows what it is in the middle of, and asyncpg would take the next BEGIN for a savepoint.
    """
    ended = False
    try:
        begun = driver(conn).transaction()
        await begun.start()
        try:
            yield
        except Exception:
            await begun.rollback()
            ended = True
            raise
        await begun.commit()
        ended = True
    finally:
        if not ended and not conn.invalidated:
            await conn.invalidate()


@asynccontextmanager
async def savepoint(conn: AsyncConnection) -> AsyncIterator[None]:
    """Part of a transaction that can fail by itself: what it wrote is undone, what was before it stays."""
    async with driver(conn).transaction():
        yield


def driver(conn: AsyncConnection) -> asyncpg.Connection:
    """asyncpg's connection under SQLAlchemy's, for the statements that every batch runs: their own cost is a third."""
    sync = conn.sync_connection
    if sync is None or sync.connection.driver_connection is None:
        raise RuntimeError("the connection is closed")
    return cast("asyncpg.Connection", sync.connection.driver_connection)


async def fetch(conn: AsyncConnection, statement: str, *values: object) -> list[asyncpg.Record]:
    """The rows of a statement with `$1, $2 …`, in the transaction of `conn`. Raises asyncpg's errors."""
    return await driver(conn).fetch(statement, *values)


async def retrying(work: Callable[[], Awaitable[Result]], attempts: int = 4) -> Result:
    """Run a whole transaction again when PostgreSQL aborted it for a conflict (deadlock, serialisation)."""
    for attempt in range(1, attempts):
        try:
            return await work()
        except (DBAPIError, asyncpg.PostgresError) as error:
            if sqlstate(error) not in RETRY_STATES:
                raise
            await asyncio.sleep(0.01 * 2**attempt)
    return await work()


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of a database error, None where it has none."""
    origin = getattr(error, "orig", error)
    return getattr(origin, "sqlstate", None) or getattr(getattr(origin, "__cause__", None), "sqlstate", None)


def is_away(error: BaseException) -> bool:
    """Whether the error says that PostgreSQL is unreachable, stopping, starting or full, rather than that we are wrong."""
    if isinstance(error, ConnectionError | TimeoutError | PoolTimeout | OSError | DatabaseAway | asyncpg.InternalClientError):
        return True  # the last: asyncpg was told that its connection ends, and was asked for more
    if not isinstance(error, DBAPIError | asyncpg.PostgresError | asyncpg.InterfaceError):
        return False
    state = sqlstate(error)
    if state is not None:
        return state.startswith(AWAY_CLASSES) or state == "25P03"
    if _is_wrong_value(error):
        return False
    return isinstance(error, asyncpg.InterfaceError | InterfaceError | OperationalError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def _is_wrong_value(error: BaseException) -> bool:
    """Whether a value fits no parameter of the statement: asyncpg counts that as an error of its interface."""
    causes = (error, getattr(getattr(error, "orig", None), "__cause__", None))
    return any(isinstance(cause, asyncpg.InterfaceError) and isinstance(cause, ValueError) for cause in causes)


def may_pass(error: BaseException) -> bool:
    """Whether the same transaction may succeed later: PostgreSQL is away, or aborted it for a conflict with another."""
    return is_away(error) or sqlstate(error) in RETRY_STATES


def _brief(error: BaseException) -> str:
    return type(getattr(error, "orig", error)).__name__


def run_script(op: MigrationOperations, script: str) -> None:
    """Run several statements in a migration: asyncpg takes one at a time. Statements end with `;` at the end of a line."""
    for statement in script.split(";\n"):
        if statement.strip(" \n;"):
            op.execute(statement)


def create_plumbing(op: MigrationOperations, schema: str) -> None:
    """Make the tables that the consumer, the outbox and the commands need in this schema. For a first migration."""
    run_script(
        op,
        f"""
        CREATE TABLE {schema}.incarnation (one boolean PRIMARY KEY DEFAULT true CHECK (one), number integer NOT NULL);
        INSERT INTO {schema}.incarnation (number) VALUES (1);
        CREATE TABLE {schema}.consumer_offset (
            topic text NOT NULL, partition integer NOT NULL, next_offset bigint NOT NULL,
            record_time timestamptz, updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (topic, partition));
        CREATE TABLE {schema}.key_position (
            topic text NOT NULL, key text NOT NULL, writer text NOT NULL,
            incarnation integer NOT NULL, seq bigint NOT NULL,
            PRIMARY KEY (topic, key, writer)) WITH (fillfactor = 80);
        CREATE TABLE {schema}.outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shard smallint NOT NULL,
            topic text NOT NULL, key text NOT NULL, value bytea NOT NULL, traceparent text,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp())
            WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);
        CREATE INDEX outbox_shard ON {schema}.outbox (shard, id);
        CREATE TABLE {schema}.parked (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            topic text NOT NULL, key text NOT NULL, partition integer NOT NULL, "offset" bigint NOT NULL,
            value bytea, reason text NOT NULL, error text NOT NULL, event_type text,
            code_version text NOT NULL, attempts integer NOT NULL DEFAULT 1,
            requested text CHECK (requested IN ('replay', 'discard', 'skip')),
            parked_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (topic, partition, "offset"));
        CREATE INDEX parked_key ON {schema}.parked (topic, key, id);
        CREATE TABLE {schema}.idempotency_key (
            scope text NOT NULL, key text NOT NULL, request_hash bytea NOT NULL,
            status integer NOT NULL, headers jsonb NOT NULL, body bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (scope, key));
        CREATE INDEX idempotency_key_age ON {schema}.idempotency_key (created_at);
        """,
    )


def drop_plumbing(op: MigrationOperations, schema: str) -> None:
    """Undo `create_plumbing`."""
    for table in ("idempotency_key", "parked", "outbox", "key_position", "consumer_offset", "incarnation"):
        op.execute(f"DROP TABLE {schema}.{table}")


async def incarnation(engine: AsyncEngine, schema: str) -> int:
    """The incarnation of this database: raised when a backup is restored; part of every event's source."""
    async with transaction(engine) as conn:
        return (await conn.execute(sa.text(f"SELECT number FROM {schema}.incarnation"))).scalar_one()  # type: ignore[no-any-return]


def migrations_of(schema: str) -> Path:
    """Where the Alembic history of a schema lives."""
    if schema in SCHEMAS_OF_SHARED:
        return ROOT / "shared" / "migrating" / schema
    return ROOT / "services" / schema / "migrations"


def migrate(url: str, schema: str, revision: str = "head", *, down: bool = False) -> None:
    """Bring one schema up, or back down, to `revision`; `base` is before the first (blocking; each schema has its own history and
    version table).
    """
    from alembic import command  # here, because no running service needs it and it takes a tenth of a second
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(ROOT / "shared" / "migrating"))
    config.set_main_option("version_locations", str(migrations_of(schema)))
    config.set_main_option("path_separator", "os")
    config.attributes.update(url=url, schema=schema)
    command.downgrade(config, revision) if down else command.upgrade(config, revision)


async def execute_many(
    conn: AsyncConnection, statement: sa.TextClause, **columns: Sequence[object]
) -> sa.CursorResult[tuple[object, ...]]:
    """One statement over arrays (`unnest(:a, :b)`), for set-based writes."""
    return await conn.execute(statement, {name: list(values) for name, values in columns.items()})
