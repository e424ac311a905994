"""Suggestions that a connector's word proves are merged as those are that an answer proves: found by one index."""

from alembic import op

from shared.db import run_script

revision = "intake_0021"
down_revision = "intake_0020"


def upgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX intake.suggestion_proven;
        CREATE INDEX suggestion_proven ON intake.suggestion (suggested_at)
            WHERE state = 'open' AND evidence IN ('answered_from_it', 'signed_identity');
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX intake.suggestion_proven;
        CREATE INDEX suggestion_proven ON intake.suggestion (suggested_at)
            WHERE state = 'open' AND evidence = 'answered_from_it';
        """,
    )
