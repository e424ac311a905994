"""Mail that comes by two ways: the words of what came in the last minutes, as keyed hashes; and the other names of messages."""

from alembic import op

from shared.db import run_script

revision = "intake_0016"
down_revision = "intake_0015"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE intake.fingerprint (
            shape bytea NOT NULL, words bytea NOT NULL, kept integer NOT NULL, way text NOT NULL, sent_at timestamptz,
            message_id text NOT NULL, came_at timestamptz NOT NULL);
        CREATE INDEX fingerprint_shape ON intake.fingerprint (shape, came_at);
        CREATE INDEX fingerprint_message ON intake.fingerprint (message_id);
        CREATE TABLE intake.other_name (id text PRIMARY KEY, message_id text NOT NULL, content_hash text NOT NULL);
        CREATE INDEX other_name_message ON intake.other_name (message_id);
        """,
    )


def downgrade() -> None:
    run_script(op, "DROP TABLE intake.other_name;\nDROP TABLE intake.fingerprint;")
