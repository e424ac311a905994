"""Visits that ended and were not counted yet, what was seen of each queue, what was said of waits and what it was worth."""

from alembic import op

from shared.db import run_script

revision = "routing_0008"
down_revision = "routing_0007"

TABLES = ("visit_end", "wait_pass", "line", "wait", "estimate_score", "queue_minute")


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE routing.visit_end (
            ticket_id text NOT NULL, queue_id text NOT NULL, at timestamptz NOT NULL, waited_us bigint NOT NULL,
            outcome text NOT NULL);
        CREATE TABLE routing.wait_pass (one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz NOT NULL)
            WITH (fillfactor = 50);
        INSERT INTO routing.wait_pass (at) VALUES ('epoch');
        CREATE TABLE routing.line (
            queue_id text PRIMARY KEY, seen jsonb NOT NULL, as_of timestamptz NOT NULL, wait_seconds double precision,
            estimator text) WITH (fillfactor = 50);
        CREATE TABLE routing.wait (
            ticket_id text NOT NULL, since timestamptz NOT NULL, queue_id text NOT NULL, asked_at timestamptz NOT NULL,
            asked_place integer NOT NULL, estimates jsonb NOT NULL,
            place integer NOT NULL, seconds double precision, estimator text, as_of timestamptz NOT NULL,
            heard boolean NOT NULL DEFAULT false, ended_at timestamptz, outcome text,
            handling boolean NOT NULL DEFAULT false, PRIMARY KEY (ticket_id, since)) WITH (fillfactor = 70);
        CREATE INDEX wait_open ON routing.wait (ticket_id) WHERE ended_at IS NULL;
        CREATE INDEX wait_handling ON routing.wait (ended_at) WHERE handling;
        CREATE INDEX wait_age ON routing.wait (asked_at);
        CREATE TABLE routing.estimate_score (
            queue_id text NOT NULL, estimator text NOT NULL, day date NOT NULL, scored bigint NOT NULL,
            unknown bigint NOT NULL, silent bigint NOT NULL, bounded bigint NOT NULL, held bigint NOT NULL, near bigint NOT NULL,
            error_us numeric NOT NULL, absolute_us numeric NOT NULL, squared_us2 numeric NOT NULL, waited_us numeric NOT NULL,
            PRIMARY KEY (queue_id, day, estimator));
        CREATE TABLE routing.queue_minute (
            queue_id text NOT NULL, minute timestamptz NOT NULL, answered integer NOT NULL, within integer NOT NULL,
            abandoned integer NOT NULL, late integer NOT NULL, PRIMARY KEY (queue_id, minute));
        """,
    )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE routing.{table}")
