"""Tickets for lists, their histories, customers' cards, promises, words that are looked for, saved views.

Lists are read in the order of their index and stop at the page's end: those of live tickets, which are few, have indexes of
their own, by queue and by owner. What is looked for by words is found by the GIN index alone (`store/searching.py`). Its pending
list is off: it is written beside the reading of the log, and whoever looks for something should not read that list through.
"""

from alembic import op

from shared.db import create_plumbing, drop_plumbing, run_script

revision = "desk_0001"
down_revision = None

TABLES = (
    "view", "erased", "stale", "document", "agent", "named", "promised", "customer_order", "customer", "entry", "ticket"
)  # fmt: skip


def upgrade() -> None:
    create_plumbing(op, "desk")
    run_script(
        op,
        """
        CREATE TABLE desk.ticket (
            ticket_id text PRIMARY KEY, number bigint NOT NULL, customer_id text NOT NULL, status text NOT NULL,
            live boolean NOT NULL, spam boolean NOT NULL, merged_into text, partner_id text,
            queue_id text, team_id text, agent_id text, channel text NOT NULL, inbox text NOT NULL,
            language text NOT NULL, direction text NOT NULL, priority smallint NOT NULL,
            vip boolean NOT NULL, plan text, tier text, topic text, product text, tags text[] NOT NULL,
            opened_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, waiting_since timestamptz,
            state bytea NOT NULL) WITH (fillfactor = 80);
        CREATE INDEX ticket_number ON desk.ticket (number);
        CREATE INDEX ticket_updated ON desk.ticket (updated_at, number);
        CREATE INDEX ticket_customer ON desk.ticket (customer_id, number);
        CREATE INDEX ticket_owner ON desk.ticket (agent_id, updated_at, number) WHERE agent_id IS NOT NULL;
        CREATE INDEX ticket_merged ON desk.ticket (merged_into) WHERE merged_into IS NOT NULL;
        CREATE INDEX ticket_tags ON desk.ticket USING gin (tags);
        CREATE INDEX ticket_live ON desk.ticket (updated_at, number) WHERE live;
        CREATE INDEX ticket_live_queue ON desk.ticket (queue_id, updated_at, number) WHERE live;
        CREATE INDEX ticket_live_priority ON desk.ticket (priority DESC, number) WHERE live;

        CREATE TABLE desk.entry (
            id bigint GENERATED ALWAYS AS IDENTITY, ticket_id text NOT NULL, event_id text NOT NULL,
            type text NOT NULL, writer text NOT NULL, at timestamptz NOT NULL, person text, box text, data text NOT NULL,
            PRIMARY KEY (ticket_id, id));
        CREATE INDEX entry_person ON desk.entry (person) WHERE person IS NOT NULL;
        CREATE INDEX entry_title ON desk.entry (ticket_id, id) WHERE type IN ('ticket.opened.v1', 'ticket.renamed.v1');
        CREATE INDEX entry_survey ON desk.entry (ticket_id, id) WHERE type = 'survey.answered.v1';

        CREATE TABLE desk.customer (
            customer_id text PRIMARY KEY, vip boolean, plan text, tier text, merged_into text, state bytea NOT NULL)
            WITH (fillfactor = 80);
        CREATE INDEX customer_merged ON desk.customer (merged_into) WHERE merged_into IS NOT NULL;
        CREATE TABLE desk.customer_order (
            customer_id text NOT NULL, order_id text NOT NULL, recorded_at timestamptz NOT NULL, data text NOT NULL,
            PRIMARY KEY (customer_id, order_id));
        CREATE TABLE desk.promised (
            ticket_id text PRIMARY KEY, due_at timestamptz, breached boolean NOT NULL DEFAULT false,
            standing boolean NOT NULL DEFAULT false, state bytea NOT NULL DEFAULT '{}') WITH (fillfactor = 80);
        CREATE INDEX promised_due ON desk.promised (due_at) WHERE due_at IS NOT NULL;
        CREATE TABLE desk.named (key text PRIMARY KEY, names text NOT NULL);
        CREATE TABLE desk.agent (agent_id text PRIMARY KEY, team_ids text[] NOT NULL, active boolean NOT NULL);

        CREATE TABLE desk.document (ticket_id text PRIMARY KEY, people text[] NOT NULL, words tsvector NOT NULL);
        CREATE INDEX document_words ON desk.document USING gin (words) WITH (fastupdate = off);
        CREATE INDEX document_people ON desk.document USING gin (people);
        CREATE TABLE desk.stale (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ticket_id text NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp())
            WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);
        CREATE INDEX stale_ticket ON desk.stale (ticket_id);
        CREATE TABLE desk.erased (customer_id text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());

        CREATE TABLE desk.view (
            view_id text PRIMARY KEY, version integer NOT NULL, kind text NOT NULL, owner text NOT NULL, team_id text,
            name text NOT NULL, asked text NOT NULL, sort text NOT NULL, sort_order text, columns text[] NOT NULL,
            changed_at timestamptz NOT NULL,
            CHECK (kind IN ('personal', 'team', 'shared')), CHECK ((kind = 'team') = (team_id IS NOT NULL)));
        CREATE INDEX view_owner ON desk.view (owner);
        CREATE INDEX view_name ON desk.view (name, view_id);
        """,
    )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE desk.{table}")
    drop_plumbing(op, "desk")
