"""Mails that stand in S3 and are to be fetched: where each is, and when it is tried next."""

from alembic import op

from shared.db import run_script

revision = "intake_0023"
down_revision = "intake_0022"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE intake.stored_mail (
            id text PRIMARY KEY, sender text NOT NULL, pointer bytea NOT NULL, traceparent text,
            attempts integer NOT NULL DEFAULT 0,
            due_at timestamptz NOT NULL DEFAULT clock_timestamp(), leased_until timestamptz);
        CREATE INDEX stored_mail_due ON intake.stored_mail (due_at);
        """,
    )


def downgrade() -> None:
    op.execute("DROP TABLE intake.stored_mail")
