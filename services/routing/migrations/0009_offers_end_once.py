"""An offer ends once: whoever decided on it without seeing how it ended is refused."""

from alembic import op

from shared.db import run_script

revision = "routing_0009"
down_revision = "routing_0008"


def upgrade() -> None:
    # The message is named like a constraint's, which it stands for: PostgreSQL has none that looks at the row before.
    run_script(
        op,
        """
        CREATE FUNCTION routing.offer_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'offer % was % already', OLD.offer_id, OLD.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'offer_ends_once'; END $$;
        CREATE TRIGGER offer_ends_once BEFORE UPDATE OF state ON routing.offer FOR EACH ROW
            WHEN (OLD.state <> 'live' AND OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION routing.offer_ends_once();
        """,
    )


def downgrade() -> None:
    run_script(
        op,
        """
        DROP TRIGGER offer_ends_once ON routing.offer;
        DROP FUNCTION routing.offer_ends_once();
        """,
    )
