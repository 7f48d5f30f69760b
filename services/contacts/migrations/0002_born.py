"""When rows were made, by block: the witness of the backups takes checksums of a minute at a time."""

from alembic import op

revision = "contacts_0002"
down_revision = "contacts_0001"


def upgrade() -> None:
    op.execute("CREATE INDEX contacts_born ON contacts USING brin (created_at) WITH (autosummarize = on)")


def downgrade() -> None:
    op.execute("DROP INDEX contacts_born")
