"""On which channels a customer cannot be written to, and why, as intake told it last."""

from alembic import op

revision = "routing_0004"
down_revision = "routing_0003"


def upgrade() -> None:
    op.execute("ALTER TABLE routing.customer ADD COLUMN unreachable jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE routing.customer DROP COLUMN unreachable")
