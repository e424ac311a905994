"""Who had a copy of a message that came in, and to whom a copy of one that went out is still to go: ids of customers."""

from alembic import op

from shared.db import run_script

revision = "intake_0018"
down_revision = "intake_0017"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.delivery ADD COLUMN copies_left text[];
        ALTER TABLE intake.message ADD COLUMN cc text[];
        CREATE INDEX message_cc ON intake.message USING gin (cc) WHERE cc IS NOT NULL;
        """,
    )


def downgrade() -> None:
    # The version before would send a reply of which only copies are left to the customer once more.
    run_script(
        op,
        """
        UPDATE intake.delivery SET state = 'delivered', due_at = NULL, leased_until = NULL, ended_at = clock_timestamp()
            WHERE copies_left IS NOT NULL;
        DROP INDEX intake.message_cc;
        ALTER TABLE intake.message DROP COLUMN cc;
        ALTER TABLE intake.delivery DROP COLUMN copies_left;
        """,
    )
