"""An index that does not look at the state: news then change a message in place, and no index is written.

See the whatsapp service's migration of this name. Only adds.
"""

from alembic import op

revision = "campaigns_0005"
down_revision = "campaigns_0004"

STATEMENTS = (
    "ALTER TABLE messages ADD pending boolean GENERATED ALWAYS AS (state = -10) STORED",
    "ALTER TABLE messages SET (fillfactor = 50)",
    "DROP INDEX messages_pending",
    "CREATE INDEX messages_pending ON messages (company, campaign_id, message_id) WHERE pending",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
