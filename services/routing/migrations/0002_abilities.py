"""What each agent can do, by ability: to find the few who can take a ticket without looking at all who are free."""

from alembic import op

from shared.db import run_script

revision = "routing_0002"
down_revision = "routing_0001"


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE routing.ability (ability text NOT NULL, agent_id text NOT NULL, PRIMARY KEY (ability, agent_id));
        CREATE INDEX ability_agent ON routing.ability (agent_id);
        INSERT INTO routing.ability (ability, agent_id)
        SELECT 'language ' || l.tag, a.agent_id
            FROM routing.agent a CROSS JOIN LATERAL jsonb_array_elements_text(a.profile->'languages') AS l(tag)
        UNION
        SELECT 'skill ' || n || ' ' || s.name, a.agent_id
            FROM routing.agent a CROSS JOIN LATERAL jsonb_each_text(a.profile->'skills') AS s(name, level)
            CROSS JOIN LATERAL generate_series(1, s.level::integer) AS n
        UNION
        SELECT 'partner ' || (a.profile->>'partner_id'), a.agent_id
            FROM routing.agent a WHERE a.profile->>'partner_id' IS NOT NULL;
        """,
    )


def downgrade() -> None:
    op.execute("DROP TABLE routing.ability")
