"""Forms and posted contacts that could not be stored: by which names they are known, where those are not in what came, and whose
addresses and numbers they bring, so that they are tried again as they came, and forgotten with their people.
"""

from alembic import op

from shared.db import run_script

revision = "intake_0019"
down_revision = "intake_0018"


def upgrade() -> None:
    run_script(
        op,
        "ALTER TABLE intake.parked_contact ADD COLUMN naming bytea, ADD COLUMN handles text[] NOT NULL DEFAULT '{}'",
    )


def downgrade() -> None:
    run_script(op, "ALTER TABLE intake.parked_contact DROP COLUMN handles, DROP COLUMN naming")
