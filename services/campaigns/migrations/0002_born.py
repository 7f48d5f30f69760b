"""When rows were made, by block: the witness of the backups takes checksums of a minute at a time."""

from alembic import op

revision = "campaigns_0002"
down_revision = "campaigns_0001"


def upgrade() -> None:
    op.execute("CREATE INDEX messages_born ON messages USING brin (message_id) WITH (autosummarize = on)")


def downgrade() -> None:
    op.execute("DROP INDEX messages_born")
