"""Who attends to which ticket, for a moment, and what agents have begun to write."""

from alembic import op

from shared.db import run_script

revision = "routing_0007"
down_revision = "routing_0006"


def upgrade() -> None:
    # What attends ends by itself in seconds, so it need not outlive a crash.
    run_script(
        op,
        """
        CREATE UNLOGGED TABLE routing.attending (
            ticket_id text NOT NULL, agent_id text NOT NULL, doing text NOT NULL, since timestamptz NOT NULL,
            until timestamptz NOT NULL, PRIMARY KEY (ticket_id, agent_id)) WITH (fillfactor = 50);
        CREATE INDEX attending_agent ON routing.attending (agent_id);
        CREATE INDEX attending_until ON routing.attending (until);

        CREATE TABLE routing.draft (
            ticket_id text NOT NULL, agent_id text NOT NULL, kind text NOT NULL, draft_id text NOT NULL,
            version bigint NOT NULL, customer_id text NOT NULL, box text NOT NULL, updated_at timestamptz NOT NULL,
            PRIMARY KEY (ticket_id, agent_id, kind));
        CREATE INDEX draft_agent ON routing.draft (agent_id);
        CREATE INDEX draft_customer ON routing.draft (customer_id);
        CREATE INDEX draft_age ON routing.draft (updated_at);

        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DELETE FROM routing.config WHERE kind IN ('canned_response', 'removed canned_response');
        DELETE FROM routing.config_history WHERE kind = 'canned_response';
        DROP TABLE routing.draft;
        DROP TABLE routing.attending;
        """,
    )
