"""Replies with files and copies."""

from alembic import op

from shared.db import run_script

revision = "intake_0010"
down_revision = "intake_0009"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE intake.file (
            id text PRIMARY KEY, media_type text NOT NULL, size_bytes bigint NOT NULL, sha256 text NOT NULL, content bytea,
            message_id text, ticket_id text, customer_id text, created_at timestamptz NOT NULL DEFAULT now());
        CREATE INDEX file_message ON intake.file (message_id) WHERE message_id IS NOT NULL;
        CREATE INDEX file_customer ON intake.file (customer_id) WHERE customer_id IS NOT NULL;
        CREATE INDEX file_unused ON intake.file (created_at) WHERE message_id IS NULL;
        ALTER TABLE intake.delivery DROP COLUMN has_files, ADD COLUMN files text[], ADD COLUMN cc text[];
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE intake.delivery DROP COLUMN cc, DROP COLUMN files,
            ADD COLUMN has_files boolean NOT NULL DEFAULT false;
        DROP TABLE intake.file;
        """,
    )
