"""Parked contacts that are to be tried again are found among all that are parked: it is looked for them each second."""

from alembic import op

revision = "intake_0015"
down_revision = "intake_0014"


def upgrade() -> None:
    op.execute("CREATE INDEX parked_contact_replay ON intake.parked_contact (id) WHERE replay")


def downgrade() -> None:
    op.execute("DROP INDEX intake.parked_contact_replay")
