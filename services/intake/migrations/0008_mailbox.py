"""How far each mailbox was read by IMAP, and which process reads it."""

from alembic import op

from shared.db import run_script

revision = "intake_0008"
down_revision = "intake_0007"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE intake.mailbox (
            account text NOT NULL, folder text NOT NULL, uidvalidity bigint NOT NULL DEFAULT 0,
            last_uid bigint NOT NULL DEFAULT 0, holder text NOT NULL, held_until timestamptz NOT NULL,
            PRIMARY KEY (account, folder)
        );
        """,
    )


def downgrade() -> None:
    run_script(op, "DROP TABLE intake.mailbox;")
