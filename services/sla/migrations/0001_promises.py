"""Calendars and policies, tickets as told, their clocks for reading, one timer a ticket, the database clock's high water."""

from alembic import op

from shared.db import create_plumbing, drop_plumbing, run_script

revision = "sla_0001"
down_revision = None

TABLES = ("high_water", "timer", "clock", "ticket", "definition")


def upgrade() -> None:
    create_plumbing(op, "sla")
    run_script(
        op,
        """
        CREATE TABLE sla.definition (
            kind text NOT NULL CHECK (kind IN ('calendar', 'policy')), id text NOT NULL, version integer NOT NULL,
            removed boolean NOT NULL, body bytea NOT NULL, PRIMARY KEY (kind, id, version));
        CREATE TABLE sla.ticket (
            ticket_id text PRIMARY KEY, state bytea NOT NULL, updated_at timestamptz NOT NULL) WITH (fillfactor = 70);
        CREATE TABLE sla.clock (
            ticket_id text NOT NULL, target text NOT NULL, cycle integer NOT NULL, state text NOT NULL,
            policy_id text NOT NULL, channel text NOT NULL, priority smallint NOT NULL,
            started_at timestamptz NOT NULL, target_us bigint NOT NULL, deadline timestamptz NOT NULL,
            ended_at timestamptz, breached_at timestamptz,
            PRIMARY KEY (ticket_id, target, cycle)) WITH (fillfactor = 70);
        CREATE INDEX clock_running ON sla.clock (deadline, ticket_id, target, cycle)
            WHERE state = 'running' AND breached_at IS NULL;
        CREATE INDEX clock_breached ON sla.clock (breached_at, ticket_id, target, cycle) WHERE breached_at IS NOT NULL;
        CREATE TABLE sla.timer (
            ticket_id text PRIMARY KEY, partition integer NOT NULL, due_at timestamptz NOT NULL)
            WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
        CREATE INDEX timer_due ON sla.timer (partition, due_at);
        CREATE TABLE sla.high_water (one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz NOT NULL);
        INSERT INTO sla.high_water (at) VALUES (clock_timestamp());
        """,
    )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE sla.{table}")
    drop_plumbing(op, "sla")
