"""Tickets at work, agents and their seats, offers, live streams, history, configuration, promises."""

from alembic import op

from shared.db import create_plumbing, drop_plumbing, run_script

revision = "routing_0001"
down_revision = None

TABLES = ("promise", "customer", "config", "entry", "stream", "stream_position", "offer", "presence", "seat", "agent", "ticket")


def upgrade() -> None:
    create_plumbing(op, "routing")
    run_script(
        op,
        """
        CREATE TABLE routing.ticket (
            ticket_id text PRIMARY KEY, number bigint NOT NULL, customer_id text NOT NULL, status text NOT NULL,
            agent_id text, last_agent_id text, queue_id text, lane text, priority smallint NOT NULL,
            age_from timestamptz, entered_at timestamptz, offer_agent_id text, offer_expires_at timestamptz,
            attention text, state bytea NOT NULL, updated_at timestamptz NOT NULL,
            CHECK (queue_id IS NULL OR agent_id IS NULL),
            CHECK ((offer_agent_id IS NULL) = (offer_expires_at IS NULL))) WITH (fillfactor = 70);
        CREATE INDEX ticket_waiting ON routing.ticket (lane, priority DESC, age_from, ticket_id)
            WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL;
        CREATE INDEX ticket_queue ON routing.ticket (queue_id, age_from) WHERE queue_id IS NOT NULL;
        CREATE INDEX ticket_offered ON routing.ticket (offer_expires_at) WHERE offer_expires_at IS NOT NULL;
        CREATE INDEX ticket_offered_to ON routing.ticket (offer_agent_id) WHERE offer_agent_id IS NOT NULL;
        CREATE INDEX ticket_owner ON routing.ticket (agent_id, ticket_id) WHERE agent_id IS NOT NULL;
        CREATE INDEX ticket_attention ON routing.ticket (attention, ticket_id) WHERE attention IS NOT NULL;
        CREATE INDEX ticket_customer ON routing.ticket (customer_id);

        CREATE TABLE routing.agent (
            agent_id text PRIMARY KEY, profile jsonb NOT NULL, state text NOT NULL, state_since timestamptz NOT NULL,
            idle_since timestamptz NOT NULL, used_units integer NOT NULL DEFAULT 0, ceiling_units integer NOT NULL,
            tickets integer NOT NULL DEFAULT 0, by_channel jsonb NOT NULL DEFAULT '{}',
            CONSTRAINT within_capacity CHECK (used_units BETWEEN 0 AND ceiling_units)) WITH (fillfactor = 70);
        CREATE TABLE routing.seat (
            agent_id text NOT NULL, team_id text NOT NULL, ready boolean NOT NULL, idle_since timestamptz NOT NULL,
            PRIMARY KEY (agent_id, team_id)) WITH (fillfactor = 70);
        CREATE INDEX seat_turn ON routing.seat (team_id, idle_since, agent_id) WHERE ready;
        CREATE TABLE routing.presence (agent_id text PRIMARY KEY, until timestamptz NOT NULL) WITH (fillfactor = 50);
        CREATE INDEX presence_until ON routing.presence (until);

        CREATE TABLE routing.offer (
            offer_id text PRIMARY KEY, ticket_id text NOT NULL, agent_id text NOT NULL, queue_id text NOT NULL,
            visit integer NOT NULL, state text NOT NULL, offered_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL, ended_at timestamptz,
            CHECK (state IN ('live', 'accepted', 'declined', 'expired', 'rescinded')),
            CHECK ((state = 'live') = (ended_at IS NULL)));
        CREATE UNIQUE INDEX offer_one_live ON routing.offer (ticket_id) WHERE state = 'live';
        CREATE INDEX offer_live_of ON routing.offer (agent_id, offered_at) WHERE state = 'live';

        CREATE TABLE routing.stream_position (agent_id text PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50);
        CREATE TABLE routing.stream (
            agent_id text NOT NULL, n bigint NOT NULL, kind text NOT NULL, payload text NOT NULL,
            at timestamptz NOT NULL, PRIMARY KEY (agent_id, n));
        CREATE INDEX stream_age ON routing.stream (at);

        CREATE TABLE routing.entry (
            id bigint GENERATED ALWAYS AS IDENTITY, ticket_id text NOT NULL, event_id text NOT NULL,
            type text NOT NULL, writer text NOT NULL, at timestamptz NOT NULL, customer_id text, data jsonb NOT NULL,
            PRIMARY KEY (ticket_id, id));
        CREATE INDEX entry_customer ON routing.entry (customer_id) WHERE customer_id IS NOT NULL;

        CREATE TABLE routing.config (
            kind text NOT NULL, id text NOT NULL, version integer NOT NULL, data jsonb NOT NULL,
            effective_from timestamptz NOT NULL, PRIMARY KEY (kind, id));
        CREATE TABLE routing.customer (customer_id text PRIMARY KEY, vip boolean, plan text, tier text);
        CREATE TABLE routing.promise (
            ticket_id text NOT NULL, clock_id text NOT NULL, target text NOT NULL, cycle integer NOT NULL,
            policy_id text NOT NULL, state text, deadline timestamptz, remaining_us bigint,
            warned_percent integer, breached boolean NOT NULL DEFAULT false,
            PRIMARY KEY (ticket_id, clock_id)) WITH (fillfactor = 70);
        """,
    )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE routing.{table}")
    drop_plumbing(op, "routing")
