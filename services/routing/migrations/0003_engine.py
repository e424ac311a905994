"""The place in line as one column that the index of lanes orders by, under which version of its queue a ticket was filed and
until when, what the strategies look at in a seat, and why offers were made.
"""

from alembic import op

from shared.db import run_script

revision = "routing_0003"
down_revision = "routing_0002"


def upgrade() -> None:
    # Tickets that wait stand by priority, then age, until they are filed under their queue's version.
    run_script(
        op,
        """
        ALTER TABLE routing.ticket ADD COLUMN rank bigint, ADD COLUMN filed_under integer, ADD COLUMN file_again_at timestamptz;
        UPDATE routing.ticket SET filed_under = 0,
            rank = (extract(epoch FROM age_from) * 1000000)::bigint - (priority - 2) * 3153600000000000
            WHERE queue_id IS NOT NULL;
        DROP INDEX routing.ticket_waiting;
        CREATE INDEX ticket_waiting ON routing.ticket (lane, rank, ticket_id)
            WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL;
        DROP INDEX routing.ticket_queue;
        CREATE INDEX ticket_queue ON routing.ticket (queue_id, filed_under) WHERE queue_id IS NOT NULL;
        CREATE INDEX ticket_file_again ON routing.ticket (file_again_at) WHERE file_again_at IS NOT NULL;

        ALTER TABLE routing.agent ADD COLUMN given_at timestamptz NOT NULL DEFAULT 'epoch';
        ALTER TABLE routing.seat ADD COLUMN given_at timestamptz NOT NULL DEFAULT 'epoch',
            ADD COLUMN used_share integer NOT NULL DEFAULT 0, ADD COLUMN versatility integer NOT NULL DEFAULT 0;
        UPDATE routing.seat s SET
            used_share = a.used_units * 10000 / greatest(coalesce((a.profile->>'capacity_units')::integer, 10), 1),
            versatility = (SELECT count(*) FROM jsonb_object_keys(coalesce(a.profile->'skills', '{}')))
                + jsonb_array_length(coalesce(a.profile->'languages', '[]'))
            FROM routing.agent a WHERE a.agent_id = s.agent_id;

        CREATE TABLE routing.decision (decision_id text PRIMARY KEY, at timestamptz NOT NULL, data jsonb NOT NULL);
        CREATE INDEX decision_age ON routing.decision (at);
        ALTER TABLE routing.offer ADD COLUMN decision_id text, ADD COLUMN reason jsonb;
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE routing.offer DROP COLUMN decision_id, DROP COLUMN reason;
        DROP TABLE routing.decision;
        ALTER TABLE routing.seat DROP COLUMN given_at, DROP COLUMN used_share, DROP COLUMN versatility;
        ALTER TABLE routing.agent DROP COLUMN given_at;
        DROP INDEX routing.ticket_waiting;
        CREATE INDEX ticket_waiting ON routing.ticket (lane, priority DESC, age_from, ticket_id)
            WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL;
        DROP INDEX routing.ticket_queue;
        CREATE INDEX ticket_queue ON routing.ticket (queue_id, age_from) WHERE queue_id IS NOT NULL;
        ALTER TABLE routing.ticket DROP COLUMN rank, DROP COLUMN filed_under, DROP COLUMN file_again_at;
        """,
    )
