"""What is known of customers beside how to reach them: profiles, orders, merges, suggestions."""

from alembic import op

from shared.db import run_script

revision = "intake_0009"
down_revision = "intake_0008"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.customer ADD COLUMN version integer NOT NULL DEFAULT 0,
            ADD COLUMN profile jsonb NOT NULL DEFAULT '{}', ADD COLUMN merged_at timestamptz;
        ALTER TABLE intake.handle ADD COLUMN origin text, ADD COLUMN verified_by text;
        CREATE TABLE intake.customer_order (
            customer_id text NOT NULL, order_id text NOT NULL, version integer NOT NULL, said jsonb NOT NULL,
            PRIMARY KEY (customer_id, order_id));
        CREATE TABLE intake.suggestion (
            customer_id text NOT NULL, other_id text NOT NULL, evidence text NOT NULL,
            state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'dismissed')),
            suggested_at timestamptz NOT NULL, PRIMARY KEY (customer_id, other_id));
        CREATE INDEX suggestion_proven ON intake.suggestion (suggested_at)
            WHERE state = 'open' AND evidence = 'answered_from_it';
        CREATE INDEX suggestion_other ON intake.suggestion (other_id);
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP TABLE intake.suggestion;
        DROP TABLE intake.customer_order;
        ALTER TABLE intake.handle DROP COLUMN verified_by, DROP COLUMN origin;
        ALTER TABLE intake.customer DROP COLUMN merged_at, DROP COLUMN profile, DROP COLUMN version;
        """,
    )
