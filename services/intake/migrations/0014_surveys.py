"""Which questions are asked after a resolution, and those that were."""

from alembic import op

from shared.db import run_script

revision = "intake_0014"
down_revision = "intake_0013"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE intake.survey_config (
            id text PRIMARY KEY, removed boolean NOT NULL, version integer NOT NULL, config bytea NOT NULL);
        CREATE TABLE intake.survey (
            id text PRIMARY KEY, ticket_id text NOT NULL, config_id text NOT NULL, kind text NOT NULL,
            scale_min integer NOT NULL, scale_max integer NOT NULL, quiet_seconds bigint NOT NULL, open_seconds bigint NOT NULL,
            agent_id text, resolved_at timestamptz NOT NULL, ask_at timestamptz NOT NULL,
            asked_at timestamptz, open_until timestamptz,
            answers integer NOT NULL DEFAULT 0, score integer, first_answer_at timestamptz);
        CREATE INDEX survey_ticket ON intake.survey (ticket_id);
        """,
    )


def downgrade() -> None:
    run_script(op, "DROP TABLE intake.survey;\nDROP TABLE intake.survey_config;")
