"""Why a connection is suspended, and the trace contexts of messages and webhooks."""

from __future__ import annotations

from alembic import op

revision = "whatsapp_0002"
down_revision = "whatsapp_0001"

STATEMENTS = (
    "ALTER TABLE connections ADD COLUMN suspension_code int",
    "ALTER TABLE messages ADD COLUMN traceparent text",
    "ALTER TABLE webhook_deliveries ADD COLUMN traceparent text NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
