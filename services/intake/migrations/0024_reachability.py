"""On which channels no address or number of a customer can be written to, as it was told last; and when that was told, until it
was looked at once more.
"""

from alembic import op

from shared.db import run_script

revision = "intake_0024"
down_revision = "intake_0023"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.customer ADD COLUMN unreachable text[] NOT NULL DEFAULT '{}', ADD COLUMN reckoned_at timestamptz;
        CREATE INDEX customer_reckoned ON intake.customer (reckoned_at) WHERE reckoned_at IS NOT NULL;
        -- Who cannot be reached already is looked at, and told, by the first tick.
        UPDATE intake.customer c SET reckoned_at = '2000-01-01Z'
            WHERE EXISTS (SELECT FROM intake.handle h WHERE h.customer_id = c.id
                          AND (h.returned_at IS NOT NULL OR h.refuses <> '{}'));
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX intake.customer_reckoned;
        ALTER TABLE intake.customer DROP COLUMN reckoned_at, DROP COLUMN unreachable;
        """,
    )
