"""Connections and their numbers, messages with their claims, callbacks as they came, outbox and inbox.

Two tables do not begin with the company, since a callback tells a number and no company: `numbers` is the way
from one to the other, and `callbacks` holds what has not been looked at yet.
"""

from __future__ import annotations

from alembic import op

from services.kit.schema import INBOX_V1, OUTBOX_V1

revision = "whatsapp_0001"
down_revision = None

TABLES = (
    """CREATE TABLE numbers (
        phone_number_id text PRIMARY KEY,
        company text NOT NULL
    )""",
    """CREATE TABLE connections (
        company text NOT NULL,
        name text NOT NULL,
        phone_number_id text NOT NULL REFERENCES numbers,
        rate float8,
        pace float8 NOT NULL DEFAULT 1,
        slowed_at timestamptz NOT NULL DEFAULT '-infinity',
        tokens float8 NOT NULL DEFAULT 0,
        filled_at timestamptz NOT NULL DEFAULT now(),
        held_until timestamptz,
        PRIMARY KEY (company, name)
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE messages (
        company text NOT NULL,
        message_id uuid NOT NULL,
        campaign_id text NOT NULL,
        contact_id text NOT NULL,
        connection text NOT NULL,
        recipient text NOT NULL,
        body text NOT NULL,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN (
            'queued', 'claimed', 'uncertain', 'accepted', 'sent', 'delivered', 'read', 'failed')),
        due_at timestamptz NOT NULL DEFAULT now(),
        epoch int NOT NULL DEFAULT 0,
        attempts int NOT NULL DEFAULT 0,
        lease_until timestamptz,
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
        PRIMARY KEY (company, message_id)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)""",
    "CREATE INDEX messages_queued ON messages (company, connection, due_at) WHERE state = 'queued'",
    "CREATE INDEX messages_leased ON messages (lease_until) WHERE state = 'claimed'",
    "CREATE INDEX messages_provider ON messages (company, provider_id) WHERE provider_id IS NOT NULL",
    """CREATE TABLE callbacks (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        body bytea NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        processed_at timestamptz,
        fault text
    )""",
    "CREATE INDEX callbacks_waiting ON callbacks (id) WHERE processed_at IS NULL",
    "CREATE INDEX callbacks_processed_at ON callbacks USING brin (processed_at)",
)


def upgrade() -> None:
    for statement in (*TABLES, *OUTBOX_V1, *INBOX_V1):
        op.execute(statement)
