"""Files of messages that are to be fetched."""

from alembic import op

from shared.db import run_script

revision = "intake_0011"
down_revision = "intake_0010"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE intake.fetch (
            attachment_id text PRIMARY KEY, message_id text NOT NULL, customer_id text NOT NULL, url text NOT NULL,
            attempts integer NOT NULL DEFAULT 0, told boolean NOT NULL DEFAULT false,
            due_at timestamptz NOT NULL, leased_until timestamptz);
        CREATE INDEX fetch_due ON intake.fetch (due_at);
        CREATE INDEX fetch_customer ON intake.fetch (customer_id);
        """,
    )


def downgrade() -> None:
    op.execute("DROP TABLE intake.fetch")
