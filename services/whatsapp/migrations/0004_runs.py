"""Runs of campaigns, halts that take them back, times after which a message is not sent, and what goes first.

Only adds: a process of the version before goes on working beside. The check is not held against rows that are
there, so that no table is read through under a lock; they satisfied the narrower one.
"""

from alembic import op

revision = "whatsapp_0004"
down_revision = "whatsapp_0003"

STATEMENTS = (
    """ALTER TABLE messages
        ADD run int NOT NULL DEFAULT 0,
        ADD urgency smallint NOT NULL DEFAULT 0,
        ADD not_after timestamptz,
        ADD expires_at timestamptz,
        DROP CONSTRAINT messages_state_check,
        ADD CONSTRAINT messages_state_known CHECK (state IN (
            'queued', 'claimed', 'uncertain', 'accepted', 'sent', 'delivered', 'read', 'failed', 'recalled',
            'expired')) NOT VALID""",
    """CREATE TABLE halts (
        company text NOT NULL,
        campaign_id text NOT NULL,
        connection text NOT NULL,
        run int NOT NULL,
        halted_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, campaign_id, connection)
    )""",
    "CREATE INDEX halts_halted_at ON halts (halted_at)",
    "DROP INDEX messages_queued",
    """CREATE INDEX messages_queued ON messages (company, connection, urgency DESC, due_at)
        WHERE state = 'queued'""",
    "CREATE INDEX messages_recallable ON messages (company, campaign_id, run) WHERE state = 'queued'",
    """CREATE INDEX messages_timed ON messages (least(not_after, expires_at))
        WHERE state = 'queued' AND least(not_after, expires_at) IS NOT NULL""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
