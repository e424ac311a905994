"""How a parked contact came, so that it can be taken as it would have been; and what people ask for about it."""

from alembic import op

from shared.db import run_script

revision = "intake_0002"
down_revision = "intake_0001"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.parked_contact ADD COLUMN way text NOT NULL DEFAULT '', ADD COLUMN sender text NOT NULL DEFAULT '',
            ADD COLUMN recipients text[] NOT NULL DEFAULT '{}', ADD COLUMN attempts integer NOT NULL DEFAULT 1,
            ADD COLUMN replay boolean NOT NULL DEFAULT false;
        ALTER TABLE intake.parked_contact DROP COLUMN provider;
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.parked_contact ADD COLUMN provider text NOT NULL DEFAULT '';
        ALTER TABLE intake.parked_contact DROP COLUMN way, DROP COLUMN sender, DROP COLUMN recipients, DROP COLUMN attempts,
            DROP COLUMN replay;
        """,
    )
