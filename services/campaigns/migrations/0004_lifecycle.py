"""Campaigns that are drafted, scheduled, paused, resumed and cancelled. Only adds."""

from alembic import op

revision = "campaigns_0004"
down_revision = "campaigns_0003"

STATEMENTS = (
    """ALTER TABLE campaigns
        ADD status text NOT NULL DEFAULT 'active'
            CHECK (status IN ('draft', 'scheduled', 'waiting', 'active', 'paused', 'cancelled')),
        ADD run int NOT NULL DEFAULT 0,
        ADD start_at timestamptz,
        ADD missed text NOT NULL DEFAULT 'late' CHECK (missed IN ('late', 'skip', 'ask')),
        ADD send_window jsonb,
        ADD closes_at timestamptz,
        ADD expires_at timestamptz,
        ADD next_at timestamptz,
        ADD note text,
        ADD more_texts text[] NOT NULL DEFAULT '{}',
        ADD variables jsonb NOT NULL DEFAULT '{}'""",
    """ALTER TABLE plans
        ADD complete boolean NOT NULL DEFAULT false,
        ADD walk_began_at timestamptz""",
    "ALTER TABLE messages ADD run int NOT NULL DEFAULT 0",
    "CREATE INDEX campaigns_next ON campaigns (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX messages_pending ON messages (company, campaign_id, message_id) WHERE state = -10",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
