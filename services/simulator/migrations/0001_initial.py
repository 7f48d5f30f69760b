"""Initial schema: ledger of received messages, scheduled webhooks, fault configuration.

A row of `scheduled_webhooks` holds all statuses of one second, instead of a row per status. Rows are taken by
their due time alone, so the table has no primary key.
"""

from __future__ import annotations

from alembic import op

revision = "simulator_0001"
down_revision = None

TABLES = (
    """CREATE TABLE received_messages (
        id uuid PRIMARY KEY,
        client_reference text,
        phone_number_id text NOT NULL,
        wamid text NOT NULL,
        received_at timestamptz NOT NULL
    )""",
    "CREATE INDEX received_messages_client_reference ON received_messages (client_reference)",
    # BRIN is sufficient: the backup verifier computes checksums per minute of these times.
    """CREATE INDEX received_messages_received_at_brin ON received_messages
        USING brin (received_at) WITH (autosummarize = on)""",
    """CREATE TABLE scheduled_webhooks (
        due_at timestamptz NOT NULL,
        attempts int NOT NULL DEFAULT 0,
        statuses json NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)""",
    "CREATE INDEX scheduled_webhooks_due_at ON scheduled_webhooks (due_at)",
    """CREATE TABLE fault_config (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        document jsonb NOT NULL,
        set_at timestamptz NOT NULL DEFAULT now()
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
