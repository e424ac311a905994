"""Rules about spam."""

from alembic import op

revision = "intake_0012"
down_revision = "intake_0011"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE intake.spam_rule (id text PRIMARY KEY, removed boolean NOT NULL, version integer NOT NULL,"
        " config bytea NOT NULL, event_id text NOT NULL)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE intake.spam_rule")
