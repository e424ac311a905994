"""Word lists."""

from alembic import op

revision = "intake_0004"
down_revision = "intake_0003"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE intake.word_list (id text PRIMARY KEY, removed boolean NOT NULL, version integer NOT NULL,"
        " config bytea NOT NULL)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE intake.word_list")
