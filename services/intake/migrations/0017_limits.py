"""What was taken out of each sender's minute; files are found by their ticket."""

from alembic import op

from shared.db import run_script

revision = "intake_0017"
down_revision = "intake_0016"


def upgrade() -> None:
    # Unlogged: it costs no write to the journal, and after a crash of PostgreSQL minutes begin anew.
    run_script(
        op,
        """
        CREATE UNLOGGED TABLE intake.allowance (name bytea PRIMARY KEY, ends_at timestamptz NOT NULL, given bigint NOT NULL);
        CREATE INDEX file_ticket ON intake.file (ticket_id) WHERE ticket_id IS NOT NULL;
        """,
    )


def downgrade() -> None:
    run_script(op, "DROP INDEX intake.file_ticket;\nDROP TABLE intake.allowance;")
