"""Every version of the configuration, each with the number under which tickets are placed and filed."""

from alembic import op

from shared.db import run_script

revision = "routing_0006"
down_revision = "routing_0005"


def upgrade() -> None:
    # What there is becomes version 1. Who waits is filed again, and stays in the queue where it waits.
    run_script(
        op,
        """
        CREATE TABLE routing.config_version (number bigint PRIMARY KEY, at timestamptz NOT NULL, changed_by text);
        CREATE TABLE routing.config_history (
            kind text NOT NULL, id text NOT NULL, version integer NOT NULL, number bigint NOT NULL, data jsonb,
            PRIMARY KEY (kind, id, version));
        CREATE INDEX config_history_number ON routing.config_history (number);
        CREATE INDEX config_history_kind ON routing.config_history (kind, number);
        UPDATE routing.config c SET data = c.data || jsonb_build_object('abilities', a.profile - 'display_name')
            FROM routing.agent a WHERE c.kind = 'agent' AND c.id = a.agent_id;
        INSERT INTO routing.config_history (kind, id, version, number, data)
            SELECT kind, id, version, 1, data FROM routing.config WHERE kind IN ('skill', 'team', 'agent', 'queue', 'rule');
        INSERT INTO routing.config_version (number, at)
            SELECT 1, max(effective_from) FROM routing.config WHERE kind IN ('skill', 'team', 'agent', 'queue', 'rule')
            HAVING count(*) > 0;
        UPDATE routing.ticket SET filed_under = -1 WHERE queue_id IS NOT NULL;
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        UPDATE routing.ticket SET filed_under = 0 WHERE queue_id IS NOT NULL;
        DELETE FROM routing.config WHERE kind LIKE 'removed %';
        UPDATE routing.config SET data = data - 'abilities' WHERE kind = 'agent';
        DROP TABLE routing.config_history;
        DROP TABLE routing.config_version;
        """,
    )
