"""Addresses that take no mail any more, and messages that say the same words."""

from alembic import op

from shared.db import run_script

revision = "intake_0007"
down_revision = "intake_0006"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.handle ADD COLUMN returned_at timestamptz;
        ALTER TABLE intake.message ADD COLUMN text_hash bytea;
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.message DROP COLUMN text_hash;
        ALTER TABLE intake.handle DROP COLUMN returned_at;
        """,
    )
