"""API keys: hashed and scoped."""

from alembic import op

from shared.db import run_script

revision = "auth_0001"
down_revision = None


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE auth.api_key (
            id text PRIMARY KEY, name text NOT NULL, hash bytea NOT NULL UNIQUE, scopes text[] NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(), revoked_at timestamptz);
        """,
    )


def downgrade() -> None:
    op.execute("DROP TABLE auth.api_key")
