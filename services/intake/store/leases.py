"""Rows that are to be tried, each by one process at a time: of a table that has `attempts`, `due_at` and `leased_until`.

Which attempt a row is at says whose it is: who was too slow, or whose row is gone, changes nothing any more.
"""

from __future__ import annotations


def claiming(table: str, key: str, columns: str) -> str:
    """For at most $1 of what is due, for $2 seconds. Returns these columns."""
    return f"""
        WITH due AS (
            SELECT {key} FROM {table}
            WHERE due_at <= clock_timestamp() AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY due_at LIMIT $1::integer FOR UPDATE SKIP LOCKED
        )
        UPDATE {table} t SET attempts = attempts + 1, leased_until = clock_timestamp() + make_interval(secs => $2::float8)
        FROM due WHERE t.{key} = due.{key} RETURNING {columns}
        """


def postponing(table: str, key: str) -> str:
    """Try $1 again at $3, which is at attempt $2."""
    return f"UPDATE {table} SET due_at = $3::timestamptz, leased_until = NULL WHERE {key} = $1 AND attempts = $2::integer"
