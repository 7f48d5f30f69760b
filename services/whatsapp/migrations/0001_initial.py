"""Initial schema: connections, messages with their leases, raw webhooks, halted runs, outbox and inbox.

Two tables do not start with the company, since a webhook names a number and no company: `phone_numbers` maps
one to the other, and `webhook_deliveries` holds webhooks that are not parsed yet.

No index of `messages` covers `state`, not even in its condition: Postgres writes a changed row into all
indexes as soon as a column that one of them uses has changed. `queued_due_at` changes when a message is
leased, and not after, so that status updates are HOT updates; the fill factor keeps room for them. There is
no index of provider ids: statuses are matched by the client reference alone, and such an index costs a random
page write for nearly each message after each checkpoint.
"""

from __future__ import annotations

from alembic import op

from services.kit.postgres.schema import INBOX, OUTBOX

revision = "whatsapp_0001"
down_revision = None

TABLES = (
    """CREATE TABLE phone_numbers (
        phone_number_id text PRIMARY KEY,
        company text NOT NULL
    )""",
    """CREATE TABLE connections (
        company text NOT NULL,
        name text NOT NULL,
        phone_number_id text NOT NULL REFERENCES phone_numbers,
        rate float8,
        throttle_factor float8 NOT NULL DEFAULT 1,
        throttled_at timestamptz NOT NULL DEFAULT '-infinity',
        tokens float8 NOT NULL DEFAULT 0,
        refilled_at timestamptz NOT NULL DEFAULT now(),
        suspended_until timestamptz,
        recipients_per_day int,
        recipients_left int NOT NULL DEFAULT 0,
        quota_counted_at timestamptz NOT NULL DEFAULT '-infinity',
        PRIMARY KEY (company, name)
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE daily_recipients (
        company text NOT NULL,
        connection text NOT NULL,
        recipient text NOT NULL,
        contacted_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, connection, recipient)
    )""",
    "CREATE INDEX daily_recipients_contacted_at ON daily_recipients (company, connection, contacted_at)",
    """CREATE TABLE messages (
        company text NOT NULL,
        message_id uuid NOT NULL,
        campaign_id text NOT NULL,
        contact_id text NOT NULL,
        connection text NOT NULL,
        recipient text NOT NULL,
        text text NOT NULL,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN (
            'queued', 'leased', 'returned', 'expired', 'uncertain', 'accepted', 'sent', 'delivered', 'read',
            'failed')),
        due_at timestamptz NOT NULL DEFAULT now(),
        epoch int NOT NULL DEFAULT 0,
        attempts int NOT NULL DEFAULT 0,
        lease_expires_at timestamptz,
        attempted_at timestamptz,
        provider_id text,
        code int,
        reason text,
        requested_at timestamptz NOT NULL DEFAULT now(),
        accepted_at timestamptz,
        sent_at timestamptz,
        delivered_at timestamptz,
        read_at timestamptz,
        failed_at timestamptz,
        run int NOT NULL DEFAULT 0,
        priority smallint NOT NULL DEFAULT 0,
        send_before timestamptz,
        expires_at timestamptz,
        queued_due_at timestamptz GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN due_at END) STORED,
        PRIMARY KEY (company, message_id)
    ) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05)""",
    """CREATE INDEX messages_queued ON messages (company, connection, priority DESC, queued_due_at)
        WHERE queued_due_at IS NOT NULL""",
    """CREATE INDEX messages_lease_expires_at ON messages (lease_expires_at)
        WHERE lease_expires_at IS NOT NULL""",
    """CREATE INDEX messages_queued_by_run ON messages (company, campaign_id, run)
        WHERE queued_due_at IS NOT NULL""",
    """CREATE INDEX messages_queued_by_deadline ON messages (least(send_before, expires_at))
        WHERE queued_due_at IS NOT NULL AND least(send_before, expires_at) IS NOT NULL""",
    # BRIN is sufficient: the backup verifier computes checksums per minute of these times.
    "CREATE INDEX messages_requested_at_brin ON messages USING brin (requested_at) WITH (autosummarize = on)",
    """CREATE TABLE halted_runs (
        company text NOT NULL,
        campaign_id text NOT NULL,
        connection text NOT NULL,
        run int NOT NULL,
        halted_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, campaign_id, connection)
    )""",
    "CREATE INDEX halted_runs_halted_at ON halted_runs (halted_at)",
    """CREATE TABLE webhook_deliveries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        body bytea NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        processed_at timestamptz,
        parse_error text
    )""",
    "CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (id) WHERE processed_at IS NULL",
    "CREATE INDEX webhook_deliveries_processed_at_brin ON webhook_deliveries USING brin (processed_at)",
)


def upgrade() -> None:
    for statement in (*TABLES, *OUTBOX, *INBOX):
        op.execute(statement)
