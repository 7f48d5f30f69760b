"""The ledger of received sends, the callbacks that are due, and the behaviour set while running."""

from __future__ import annotations

from alembic import op

revision = "simulator_0001"
down_revision = None

TABLES = (
    """CREATE TABLE sends (
        id uuid PRIMARY KEY,
        tracker text,
        phone_number_id text NOT NULL,
        wamid text NOT NULL,
        received_at timestamptz NOT NULL
    )""",
    "CREATE INDEX sends_tracker ON sends (tracker)",
    """CREATE TABLE callbacks (
        send_id uuid NOT NULL,
        place smallint NOT NULL,
        due_at timestamptz NOT NULL,
        attempts int NOT NULL DEFAULT 0,
        phone_number_id text NOT NULL,
        status jsonb NOT NULL,
        PRIMARY KEY (send_id, place)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)""",
    "CREATE INDEX callbacks_due_at ON callbacks (due_at)",
    """CREATE TABLE behaviour (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        document jsonb NOT NULL,
        set_at timestamptz NOT NULL DEFAULT now()
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
