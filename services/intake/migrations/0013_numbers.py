"""By what name somebody wrote from a number: another one after long silence is another person."""

from alembic import op

revision = "intake_0013"
down_revision = "intake_0012"


def upgrade() -> None:
    op.execute("ALTER TABLE intake.handle ADD COLUMN name_hash bigint")


def downgrade() -> None:
    op.execute("ALTER TABLE intake.handle DROP COLUMN name_hash")
