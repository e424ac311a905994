"""Whose work a clock's ticket is, where a partner's: a partner's lists read its own clocks, in the order of an index."""

from alembic import op

from shared.db import run_script

revision = "sla_0002"
down_revision = "sla_0001"


def upgrade() -> None:
    run_script(
        op,
        """
        ALTER TABLE sla.clock ADD COLUMN partner_id text;
        UPDATE sla.clock c SET partner_id = convert_from(t.state, 'UTF8')::jsonb #>> '{standing,whose,partner_id}'
            FROM sla.ticket t WHERE t.ticket_id = c.ticket_id
            AND convert_from(t.state, 'UTF8')::jsonb #>> '{standing,whose,partner_id}' IS NOT NULL;
        CREATE INDEX clock_running_of_partner ON sla.clock (partner_id, deadline, ticket_id, target, cycle)
            WHERE state = 'running' AND breached_at IS NULL AND partner_id IS NOT NULL;
        CREATE INDEX clock_breached_of_partner ON sla.clock (partner_id, breached_at, ticket_id, target, cycle)
            WHERE breached_at IS NOT NULL AND partner_id IS NOT NULL;
        """,
    )


def downgrade() -> None:
    op.execute("ALTER TABLE sla.clock DROP COLUMN partner_id")
