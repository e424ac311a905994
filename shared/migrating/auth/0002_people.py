"""People who sign in, what they are let in by, and which agents are a partner's."""

from alembic import op

from shared.db import run_script

revision = "auth_0002"
down_revision = "auth_0001"

# Where agents were configured before this was there. Routing says so from now on.
KNOWN_AGENTS = """
    DO $$ BEGIN
        IF to_regclass('routing.agent') IS NOT NULL THEN
            INSERT INTO auth.agent (id, partner_id, active)
            SELECT agent_id, profile->>'partner_id', coalesce((profile->>'active')::boolean, true) FROM routing.agent;
        END IF;
    END $$
"""


def upgrade() -> None:
    run_script(
        op,
        """
        CREATE TABLE auth.agent (id text PRIMARY KEY, partner_id text, active boolean NOT NULL);
        CREATE TABLE auth.person (
            login text PRIMARY KEY, version integer NOT NULL, name text NOT NULL, email text UNIQUE, subject text UNIQUE,
            password text, scopes text[] NOT NULL, disabled boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL DEFAULT now());
        CREATE TABLE auth.session (
            hash bytea PRIMARY KEY, id text NOT NULL UNIQUE, login text NOT NULL REFERENCES auth.person,
            scopes text[] NOT NULL, way text NOT NULL CHECK (way IN ('password', 'oidc')),
            begun_at timestamptz NOT NULL DEFAULT now(), idle_seconds integer NOT NULL, good_until timestamptz NOT NULL,
            ends_at timestamptz NOT NULL, CHECK (good_until <= ends_at));
        CREATE INDEX session_of ON auth.session (login, begun_at);
        CREATE INDEX session_good_until ON auth.session (good_until);
        CREATE UNLOGGED TABLE auth.attempt (name bytea PRIMARY KEY, free_at timestamptz NOT NULL);
        CREATE TABLE auth.errand (
            state bytea PRIMARY KEY, nonce text NOT NULL, verifier text NOT NULL, way_back text NOT NULL,
            expires_at timestamptz NOT NULL);
        CREATE TABLE auth.audit (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), what text NOT NULL,
            by text NOT NULL, about text NOT NULL, detail text NOT NULL);
        CREATE INDEX audit_about ON auth.audit (about, id);
        """,
    )
    op.execute(KNOWN_AGENTS)


def downgrade() -> None:
    for table in ("audit", "errand", "attempt", "session", "person", "agent"):
        op.execute(f"DROP TABLE auth.{table}")
