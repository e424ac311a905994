"""Customers, tickets, messages, calls, deliveries, inboxes."""

from alembic import op

from shared.db import create_plumbing, drop_plumbing, run_script

revision = "intake_0001"
down_revision = None

TABLES = ("parked_contact", "delivery", "call", "attachment", "word", "ref", "message", "ticket", "handle", "customer", "inbox")


def upgrade() -> None:
    create_plumbing(op, "intake")
    run_script(
        op,
        """
        CREATE SEQUENCE intake.ticket_number START 100001;
        CREATE TABLE intake.inbox (
            id text PRIMARY KEY, channel text NOT NULL, address text NOT NULL, version integer NOT NULL, config bytea NOT NULL,
            UNIQUE (channel, address));
        CREATE TABLE intake.customer (
            id text PRIMARY KEY, vip boolean NOT NULL DEFAULT false, plan text, tier text, language text NOT NULL,
            merged_into text, erased_at timestamptz, created_at timestamptz NOT NULL);
        CREATE INDEX customer_merged ON intake.customer (merged_into) WHERE merged_into IS NOT NULL;
        CREATE TABLE intake.handle (
            kind text NOT NULL, scope text NOT NULL, value text NOT NULL, id text NOT NULL, customer_id text NOT NULL,
            PRIMARY KEY (kind, scope, value));
        CREATE INDEX handle_customer ON intake.handle (customer_id);
        CREATE TABLE intake.ticket (
            id text PRIMARY KEY, number bigint NOT NULL UNIQUE, customer_id text NOT NULL,
            channel text NOT NULL, inbox text NOT NULL, language text NOT NULL, subject text, conversation text,
            status text NOT NULL, closed boolean NOT NULL DEFAULT false, owned boolean NOT NULL DEFAULT false,
            merged_into text, followed_up_by text, rested_at timestamptz, promised_by timestamptz,
            story bytea NOT NULL, opened_at timestamptz NOT NULL, changed_at timestamptz NOT NULL) WITH (fillfactor = 75);
        CREATE INDEX ticket_ended_conversation ON intake.ticket (conversation, number) WHERE conversation IS NOT NULL AND closed;
        CREATE UNIQUE INDEX ticket_open_conversation ON intake.ticket (conversation)
            WHERE conversation IS NOT NULL AND NOT closed;
        CREATE INDEX ticket_customer ON intake.ticket (customer_id);
        CREATE INDEX ticket_resting ON intake.ticket (rested_at) WHERE rested_at IS NOT NULL;
        CREATE TABLE intake.message (
            id text PRIMARY KEY, ticket_id text NOT NULL, customer_id text NOT NULL,
            content_hash text NOT NULL,
            handle_kind text, handle text, message_ref text, request text, request_hash bytea,
            human boolean NOT NULL, opened boolean NOT NULL, participant boolean NOT NULL,
            media_type text NOT NULL, body bytea, received_at timestamptz NOT NULL);
        CREATE INDEX message_ticket ON intake.message (ticket_id, received_at);
        CREATE INDEX message_of_others ON intake.message (customer_id) WHERE NOT participant;
        CREATE INDEX message_request ON intake.message (request) WHERE request IS NOT NULL;
        CREATE TABLE intake.ref (inbox text NOT NULL, value text NOT NULL, ticket_id text NOT NULL, PRIMARY KEY (inbox, value));
        CREATE INDEX ref_ticket ON intake.ref (ticket_id);
        CREATE TABLE intake.attachment (
            id text PRIMARY KEY, message_id text NOT NULL, part integer NOT NULL, name text NOT NULL,
            media_type text NOT NULL, size_bytes bigint NOT NULL, sha256 text NOT NULL);
        CREATE INDEX attachment_message ON intake.attachment (message_id);
        CREATE TABLE intake.call (
            provider text NOT NULL, ref text NOT NULL, id text NOT NULL, ticket_id text NOT NULL, state bytea NOT NULL,
            PRIMARY KEY (provider, ref));
        CREATE TABLE intake.word (
            id text PRIMARY KEY, customer_id text NOT NULL, media_type text NOT NULL, body bytea,
            received_at timestamptz NOT NULL);
        CREATE INDEX word_customer ON intake.word (customer_id);
        CREATE TABLE intake.delivery (
            message_id text PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, ticket_id text NOT NULL,
            customer_id text NOT NULL, kind text NOT NULL, channel text NOT NULL, language text NOT NULL,
            state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'delivered', 'failed')),
            attempts integer NOT NULL DEFAULT 0, promised_by timestamptz, due_at timestamptz, leased_until timestamptz,
            event_id text, sealed bytea, has_files boolean NOT NULL DEFAULT false,
            uncertain boolean NOT NULL DEFAULT false, provider_ref text,
            created_at timestamptz NOT NULL, ended_at timestamptz,
            CHECK ((state IN ('delivered', 'failed')) = (due_at IS NULL)));
        CREATE INDEX delivery_due ON intake.delivery (due_at) WHERE due_at IS NOT NULL;
        CREATE INDEX delivery_order ON intake.delivery (ticket_id, n) WHERE due_at IS NOT NULL;
        CREATE INDEX delivery_customer ON intake.delivery (customer_id, created_at);
        CREATE TABLE intake.parked_contact (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, provider text NOT NULL, reason text NOT NULL,
            media_type text NOT NULL, body bytea NOT NULL, parked_at timestamptz NOT NULL DEFAULT now());
        """,
    )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE intake.{table}")
    op.execute("DROP SEQUENCE intake.ticket_number")
    drop_plumbing(op, "intake")
