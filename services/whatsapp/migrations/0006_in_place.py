"""Indices that do not look at the state: a report then changes its message in place, and no index is written.

Postgres writes a changed row into all indices anew as soon as a column has changed that some index has, be it
only in its condition. `queued_due_at` changes when a message is claimed, and not after. Pages keep room for
the next version of their rows. Only adds: a process of the version before goes on working beside, if slower,
as it looks for the former conditions.
"""

from alembic import op

revision = "whatsapp_0006"
down_revision = "whatsapp_0005"

STATEMENTS = (
    """ALTER TABLE messages ADD queued_due_at timestamptz
        GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN due_at END) STORED""",
    "ALTER TABLE messages SET (fillfactor = 60)",
    "DROP INDEX messages_queued, messages_leased, messages_recallable, messages_timed",
    """CREATE INDEX messages_queued ON messages (company, connection, urgency DESC, queued_due_at)
        WHERE queued_due_at IS NOT NULL""",
    "CREATE INDEX messages_leased ON messages (lease_until) WHERE lease_until IS NOT NULL",
    """CREATE INDEX messages_recallable ON messages (company, campaign_id, run)
        WHERE queued_due_at IS NOT NULL""",
    """CREATE INDEX messages_timed ON messages (least(not_after, expires_at))
        WHERE queued_due_at IS NOT NULL AND least(not_after, expires_at) IS NOT NULL""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
