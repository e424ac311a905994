"""How large what is parked is, so that it is known how much of it there is without reading it; and to which URL it was posted."""

from alembic import op

from shared.db import run_script

revision = "intake_0020"
down_revision = "intake_0019"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.parked_contact
            ADD COLUMN size_bytes integer NOT NULL GENERATED ALWAYS AS (octet_length(body)) STORED,
            ADD COLUMN query text NOT NULL DEFAULT '';
        CREATE INDEX parked_contact_size ON intake.parked_contact (way, size_bytes);
        """,
    )


def downgrade() -> None:
    op.execute("ALTER TABLE intake.parked_contact DROP COLUMN query, DROP COLUMN size_bytes")
