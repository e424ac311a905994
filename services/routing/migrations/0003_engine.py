"""The place in line as one column that the index of lanes orders by, and under which version of its queue a ticket was filed."""

from alembic import op

from shared.db import run_script

revision = "routing_0003"
down_revision = "routing_0002"


def upgrade() -> None:
    # Tickets that wait stand by priority, then age, until they are filed under their queue's version.
    run_script(
        op,
        """
        ALTER TABLE routing.ticket ADD COLUMN rank bigint, ADD COLUMN filed_under integer;
        UPDATE routing.ticket SET filed_under = 0,
            rank = (extract(epoch FROM age_from) * 1000000)::bigint - (priority - 2) * 3153600000000000
            WHERE queue_id IS NOT NULL;
        DROP INDEX routing.ticket_waiting;
        CREATE INDEX ticket_waiting ON routing.ticket (lane, rank, ticket_id)
            WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL;
        DROP INDEX routing.ticket_queue;
        CREATE INDEX ticket_queue ON routing.ticket (queue_id, filed_under) WHERE queue_id IS NOT NULL;
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP INDEX routing.ticket_waiting;
        CREATE INDEX ticket_waiting ON routing.ticket (lane, priority DESC, age_from, ticket_id)
            WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL;
        DROP INDEX routing.ticket_queue;
        CREATE INDEX ticket_queue ON routing.ticket (queue_id, age_from) WHERE queue_id IS NOT NULL;
        ALTER TABLE routing.ticket DROP COLUMN rank, DROP COLUMN filed_under;
        """,
    )
