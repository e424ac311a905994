"""Putting a backup back, all of it or nothing: one transaction of one psql.

The database may be older than the log afterwards. What the services said since is read back by themselves when they start
(shared/recalling.py); here is left from where on, and the incarnation is raised. Keys are never put back to an older state:
an erased customer's key must not return, and what was sealed since must stay readable.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import asyncpg

from deploy.postgres_tools import Tools
from deploy.setup import SCHEMAS
from shared.events.base import Writer
from shared.events.topics import TICKETS
from shared.personal import opens
from shared.recalling import CREATE, READS_BACK

# Rows of these tables that there are now go over those of the backup. Key, then all columns, of each table.
KEPT: dict[str, dict[str, tuple[str, ...]]] = {
    "keys": {"customer_key": ("customer_id", "wrapped", "created_at", "destroyed_at")},
    "auth": {
        "api_key": ("id", "name", "hash", "scopes", "created_at", "revoked_at"),
        "agent": ("id", "partner_id", "active"),
        "person": ("login", "version", "name", "email", "subject", "password", "scopes", "disabled", "created_at"),
    },
}
TOLD_ANEW = ("desk",)  # older backups lack it; what it lacks it reads on the log, from its beginning where need be
# Sessions of then may have been ended since: everybody signs in again.
NOT_RESTORED = ("auth.session", "auth.errand")
SECONDS = 24 * 3600
_SET_ASIDE = "_before_restore"
# Desk reads of erasures after the backup a moment later than it could be asked. A backup may be older than desk.
FORGET_ERASED = """DO $$ BEGIN
IF to_regclass('desk.document') IS NOT NULL THEN
    CREATE TEMPORARY TABLE erased_since ON COMMIT DROP AS
        SELECT customer_id FROM keys.customer_key WHERE destroyed_at IS NOT NULL;
    WITH gone AS (
        DELETE FROM desk.document WHERE people && ARRAY(SELECT customer_id FROM erased_since) RETURNING ticket_id
    ) INSERT INTO desk.stale (ticket_id) SELECT ticket_id FROM gone;
    DELETE FROM desk.customer_order WHERE customer_id IN (SELECT customer_id FROM erased_since);
END IF;
END $$;"""


class NotRestored(RuntimeError):
    """Nothing was changed; the message says why and what to do."""


async def what_runs(url: str) -> list[str]:
    """Programs of Patchbay that are connected to the database, besides this one."""
    connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "patchbay-cli"})
    try:
        rows = await connection.fetch(
            "SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'patchbay-%' AND pid <> pg_backend_pid() ORDER BY 1"
        )
    finally:
        await connection.close(timeout=5)
    return [row["name"].removeprefix("patchbay-") for row in rows]


async def schemas_now(url: str) -> list[str]:
    """Which of Patchbay's schemas the database has now."""
    connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "patchbay-cli"})
    try:
        rows = await connection.fetch("SELECT nspname FROM pg_namespace WHERE nspname = ANY($1)", list(SCHEMAS))
    finally:
        await connection.close(timeout=5)
    return sorted(row["nspname"] for row in rows)


def check_file(tools: Tools, file: Path) -> None:
    """Refuse what is no whole backup of Patchbay (blocking). Raises NotRestored."""
    if not file.is_file():
        raise NotRestored(f"There is no file {file}.")
    listed = subprocess.run(tools.command("pg_restore", "--list", str(file)), capture_output=True, text=True, check=False)
    missing = [schema for schema in (*KEPT, *READS_BACK) if f" SCHEMA - {schema} " not in listed.stdout]
    if listed.returncode != 0 or missing:
        why = f"it lacks {', '.join(missing)}" if listed.returncode == 0 else (listed.stderr.strip() or "it cannot be read")
        raise NotRestored(f"{file} is no whole backup that these programs can read: {why}.")


def check_master_key(tools: Tools, file: Path, master_keys: Sequence[bytes]) -> None:
    """Refuse a backup whose customers' keys none of these master keys opens (blocking). Raises NotRestored."""
    command = tools.command("pg_restore", "--data-only", "--schema=keys", "--table=customer_key", "--file=-", str(file))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reading:
        assert reading.stdout is not None
        sample = next((row for line in reading.stdout if (row := _wrapped(line)) is not None), None)
        reading.kill()
    if sample is None:
        return
    customer_id, wrapped = sample
    if not opens(master_keys, customer_id, wrapped):
        raise NotRestored(
            "The master key does not open this backup's keys: set PATCHBAY_MASTER_KEY_FILE to the master key that was in "
            "use when the backup was made."
        )


def _wrapped(line: str) -> tuple[str, bytes] | None:
    """Id and wrapped key of a line of COPY's text format, None for any other line."""
    parts = line.rstrip("\n").split("\t")
    if len(parts) != len(KEPT["keys"]["customer_key"]) or not parts[1].startswith("\\\\x"):
        return None
    return parts[0], bytes.fromhex(parts[1][3:])


def put_back(tools: Tools, file: Path, now: Sequence[str]) -> None:
    """Replace the schemas by those of the backup (blocking). Raises NotRestored, and then nothing was changed."""
    # BEGIN and COMMIT are in the script: when this process dies, its input ends early, and psql must not commit for that.
    command = tools.command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--file=-")
    with subprocess.Popen(
        command, env=tools.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as psql:
        assert psql.stdin is not None
        try:
            said = _feed(tools, file, now, psql.stdin)
        except BrokenPipeError:
            said = ""
        except BaseException:
            psql.kill()
            raise
        _, errors = psql.communicate(timeout=SECONDS)
    if psql.returncode != 0 or said:
        reason = " ".join(errors.decode(errors="replace").split()[:60]) or said
        raise NotRestored(f"The backup could not be put back, and nothing was changed: {reason}")


def _feed(tools: Tools, file: Path, now: Sequence[str], script: IO[bytes]) -> str:
    """Write the whole script; returns what pg_restore complained of, nothing when it did all."""
    script.write("\n".join(_before(now)).encode() + b"\n")
    script.flush()
    options = ["--no-owner", "--no-privileges", "--file=-"]
    writing = subprocess.run(
        tools.command("pg_restore", *options, str(file)), stdout=script, stderr=subprocess.PIPE, check=False, timeout=SECONDS
    )
    if writing.returncode != 0:
        return writing.stderr.decode(errors="replace").strip() or f"pg_restore ended with {writing.returncode}"
    script.write("\n".join(_after(now)).encode() + b"\n")
    script.flush()
    return ""


def _before(now: Sequence[str]) -> list[str]:
    return [
        "BEGIN;",
        "SET client_min_messages = warning;",
        "SELECT pg_advisory_xact_lock(hashtext('patchbay migrate'));",
        *(f"ALTER SCHEMA {schema} RENAME TO {schema}{_SET_ASIDE};" for schema in now),
    ]


def _after(now: Sequence[str]) -> list[str]:
    return [
        "SET client_min_messages = warning;",
        *(_keep(schema, table) for schema in KEPT if schema in now for table in KEPT[schema]),
        *(_if_there([table], f"DELETE FROM {table}") for table in NOT_RESTORED),
        FORGET_ERASED,
        *(statement for service in READS_BACK for statement in _anew(service, service in now)),
        *(f"DROP SCHEMA {schema}{_SET_ASIDE} CASCADE;" for schema in now),
        "COMMIT;",
    ]


def _keep(schema: str, table: str) -> str:
    """The rows that there are now, over those of the backup."""
    key, *others = KEPT[schema][table]
    names = ", ".join((key, *others))
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    before = f"{schema}{_SET_ASIDE}.{table}"
    return _if_there(
        [f"{schema}.{table}", before],
        f"INSERT INTO {schema}.{table} ({names}) SELECT {names} FROM {before} ON CONFLICT ({key}) DO UPDATE SET {changes}",
    )


def _if_there(tables: Sequence[str], statement: str) -> str:
    """The statement, where these tables are there: a backup may be older than they are, and so may the database."""
    there = " AND ".join(f"to_regclass('{table}') IS NOT NULL" for table in tables)
    return f"DO $$ BEGIN IF {there} THEN {statement}; END IF; END $$;"


def _anew(service: Writer, is_now: bool) -> list[str]:
    """Raise the incarnation; leave from where on the service reads back what it said after the backup.

    What is not in the backup was relayed after it was taken, so it lies behind whatever any consumer had read by then.
    """
    now = f", (SELECT number FROM {service}{_SET_ASIDE}.incarnation)" if is_now else ""
    read = " UNION ALL ".join(f"SELECT topic, partition, next_offset FROM {name}.consumer_offset" for name in READS_BACK)
    topics = ", ".join(f"'{topic.name}'" for topic in READS_BACK[service] if topic is not TICKETS)
    earlier = "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = least(r.next_offset, excluded.next_offset);"
    statements = [
        f"UPDATE {service}.incarnation SET number = greatest(number{now}) + 1;",
        CREATE.format(schema=service) + ";",
    ]
    statements.append(
        f"INSERT INTO {service}.recall AS r SELECT topic, partition, max(next_offset) FROM ({read}) o"
        f" WHERE topic IN ({topics}) GROUP BY topic, partition {earlier}"
    )
    if TICKETS in READS_BACK[service]:
        statements.append(
            f"INSERT INTO {service}.recall AS r SELECT topic, partition, next_offset FROM {service}.consumer_offset"
            f" WHERE topic = '{TICKETS.name}' {earlier}"
        )
    every = ", ".join(f"('{topic.name}')" for topic in READS_BACK[service])
    statements.append(f"INSERT INTO {service}.recall SELECT t, 0, 0 FROM (VALUES {every}) v(t) ON CONFLICT DO NOTHING;")
    return statements


async def finish(url: str) -> None:
    """Statistics for the planner, which a dump does not bring."""
    connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "patchbay-cli"})
    try:
        await connection.execute("ANALYZE", timeout=3600)
    finally:
        await connection.close(timeout=5)
