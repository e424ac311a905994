"""A ticket that was merged holds no conversation: the one in its place may."""

from alembic import op

from shared.db import run_script

revision = "intake_0006"
down_revision = "intake_0005"


def upgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX intake.ticket_open_conversation;
        CREATE UNIQUE INDEX ticket_open_conversation ON intake.ticket (conversation)
            WHERE conversation IS NOT NULL AND NOT closed AND merged_into IS NULL;
        DROP INDEX intake.ticket_ended_conversation;
        CREATE INDEX ticket_ended_conversation ON intake.ticket (conversation, number)
            WHERE conversation IS NOT NULL AND (closed OR merged_into IS NOT NULL);
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX intake.ticket_open_conversation;
        CREATE UNIQUE INDEX ticket_open_conversation ON intake.ticket (conversation)
            WHERE conversation IS NOT NULL AND NOT closed;
        DROP INDEX intake.ticket_ended_conversation;
        CREATE INDEX ticket_ended_conversation ON intake.ticket (conversation, number) WHERE conversation IS NOT NULL AND closed;
        """,
    )
