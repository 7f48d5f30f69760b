"""When rows were made, by block: the witness of the backups takes checksums of a minute at a time."""

from alembic import op

revision = "whatsapp_0002"
down_revision = "whatsapp_0001"


def upgrade() -> None:
    op.execute("CREATE INDEX messages_born ON messages USING brin (requested_at) WITH (autosummarize = on)")


def downgrade() -> None:
    op.execute("DROP INDEX messages_born")
