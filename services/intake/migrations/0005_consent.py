"""Handles to which a person wants no more messages, by channel."""

from alembic import op

from shared.db import run_script

revision = "intake_0005"
down_revision = "intake_0004"


def upgrade() -> None:
    run_script(op, "ALTER TABLE intake.handle ADD COLUMN refuses text[] NOT NULL DEFAULT '{}';")


def downgrade() -> None:
    run_script(op, "ALTER TABLE intake.handle DROP COLUMN refuses;")
