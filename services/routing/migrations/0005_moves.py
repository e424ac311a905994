"""What ends by time on a ticket besides its offer, whose conversation it is, who has something to do with it; and at which
tickets rules are to look.
"""

from alembic import op

from shared.db import run_script

revision = "routing_0005"
down_revision = "routing_0004"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE routing.ticket ADD COLUMN due_at timestamptz, ADD COLUMN live_agent_id text, ADD COLUMN besides text;
        UPDATE routing.ticket SET live_agent_id = agent_id WHERE agent_id IS NOT NULL AND status IN ('new', 'open')
            AND convert_from(state, 'UTF8')::jsonb #>> '{ticket,intake,channel}' = 'chat';
        CREATE INDEX ticket_due ON routing.ticket (due_at) WHERE due_at IS NOT NULL;
        CREATE INDEX ticket_live ON routing.ticket (live_agent_id) WHERE live_agent_id IS NOT NULL;
        CREATE TABLE routing.to_judge (ticket_id text PRIMARY KEY, noted_at timestamptz NOT NULL);
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP TABLE routing.to_judge;
        ALTER TABLE routing.ticket DROP COLUMN due_at, DROP COLUMN live_agent_id, DROP COLUMN besides;
        """,
    )
