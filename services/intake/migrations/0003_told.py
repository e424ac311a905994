"""What providers say about messages that went out; a parked contact is kept once, however often it comes."""

from alembic import op

from shared.db import run_script

revision = "intake_0003"
down_revision = "intake_0002"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.delivery ADD COLUMN told bytea;
        CREATE INDEX delivery_provider_ref ON intake.delivery (provider_ref) WHERE provider_ref IS NOT NULL;
        ALTER TABLE intake.parked_contact ADD COLUMN digest bytea UNIQUE;
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.parked_contact DROP COLUMN digest;
        DROP INDEX intake.delivery_provider_ref;
        ALTER TABLE intake.delivery DROP COLUMN told;
        """,
    )
