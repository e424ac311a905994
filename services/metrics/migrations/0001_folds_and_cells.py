"""Folds of what is measured, and the cells in which measures add up."""

from alembic import op

from shared.db import create_plumbing, drop_plumbing, run_script

revision = "metrics_0001"
down_revision = None


def upgrade() -> None:
    create_plumbing(op, "metrics")
    run_script(
        op,
        """
        CREATE TABLE metrics.fold (
            kind text NOT NULL, key text NOT NULL, state bytea NOT NULL,
            PRIMARY KEY (kind, key)) WITH (fillfactor = 70);
        CREATE TABLE metrics.dims (
            id uuid PRIMARY KEY,
            channel text NOT NULL, queue text NOT NULL, team text NOT NULL, agent text NOT NULL, priority text NOT NULL,
            language text NOT NULL, partner text NOT NULL, topic text NOT NULL, product text NOT NULL,
            policy text NOT NULL, target text NOT NULL, state text NOT NULL);
        CREATE TABLE metrics.cell (
            measure text NOT NULL, hour integer NOT NULL, dims uuid NOT NULL, bin integer NOT NULL,
            n bigint NOT NULL, total_us bigint NOT NULL,
            PRIMARY KEY (measure, hour, dims, bin)) WITH (fillfactor = 80);
        """,
    )


def downgrade() -> None:
    for table in ("cell", "dims", "fold"):
        op.execute(f"DROP TABLE metrics.{table}")
    drop_plumbing(op, "metrics")
