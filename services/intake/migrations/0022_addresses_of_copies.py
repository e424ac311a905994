"""To which of their addresses a copy went, by the ids of handles; and the calls of a ticket."""

from alembic import op

from shared.db import run_script

revision = "intake_0022"
down_revision = "intake_0021"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.message ADD COLUMN cc_handles text[];
        CREATE INDEX call_ticket ON intake.call (ticket_id);
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX intake.call_ticket;
        ALTER TABLE intake.message DROP COLUMN cc_handles;
        """,
    )
