"""One data key per customer, wrapped by the master key; destroyed on erasure."""

from alembic import op

from shared.db import run_script

revision = "keys_0001"
down_revision = None


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE keys.customer_key (
            customer_id text PRIMARY KEY, wrapped bytea,
            created_at timestamptz NOT NULL DEFAULT now(), destroyed_at timestamptz,
            CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL)));
        """,
    )


def downgrade() -> None:
    op.execute("DROP TABLE keys.customer_key")
